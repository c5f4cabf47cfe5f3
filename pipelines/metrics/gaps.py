"""How far scores in simulation lie from real ones: what ranking leaves out.

A simulator may order policies perfectly and halve their success. And a single policy tells much, where its success is
known with one thing changed at a time: which changes hurt, in simulation as in reality?
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from handful import InputError
from pipelines.metrics.agreement import _pair


@dataclass(frozen=True)
class Gap:
    """Differences sim - real over policies, as rates."""

    # Mean difference: above 0, the simulator flatters.
    bias: float
    # Mean of absolute differences.
    mean_absolute: float
    # The largest absolute difference.
    largest: float


def absolute_gap(*, real: ArrayLike, sim: ArrayLike) -> Gap:
    """The gap between (N,) real scores and those of the same policies in simulation; raises as MMRV does."""
    a, b = _pair(real, sim, 1)
    return Gap(float((b - a).mean()), float(np.abs(b - a).mean()), float(np.abs(b - a).max()))


def sensitivities(base: float, changed: ArrayLike) -> np.ndarray:
    """|success as it is - success with one thing changed|, for (K,) changes: the scores of SIMPLER's Table VI.

    Agreement metrics over these, `real=` and `sim=`, judge a simulator by one policy alone.
    """
    values = np.asarray(changed, float)
    if not 0 <= base <= 1 or not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"success rates must lie between 0 and 1, got {base:g} and {values.tolist()}")
    return np.abs(base - values)


def gap_p_values(
    *, real_successes: ArrayLike, real_episodes: ArrayLike, sim_successes: ArrayLike, sim_episodes: ArrayLike
) -> np.ndarray:
    """Fisher's exact test per policy: how probable is so large a gap if its success rates were the same? (N,) each."""
    counts = [np.asarray(x, int) for x in (real_successes, real_episodes, sim_successes, sim_episodes)]
    if len({x.shape for x in counts}) != 1 or counts[0].ndim != 1:
        raise InputError(f"counts must be one per policy, got shapes {', '.join(str(x.shape) for x in counts)}")
    tables = [[[k, n - k], [j, m - j]] for k, n, j, m in zip(*(x.tolist() for x in counts), strict=True)]
    return np.array([stats.fisher_exact(table).pvalue for table in tables])
