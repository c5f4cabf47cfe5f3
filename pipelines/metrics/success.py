"""Exact intervals of a success rate, and how far failures got.

`pipelines.statistics.wilson_interval` is what the project prints: about right at every n. Clopper and Pearson's never
covers less often than it says, and is wider for it: for claims of the kind "at least".
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import beta

from handful import InputError


def clopper_pearson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a binomial proportion (Clopper and Pearson 1934).

    Args:
        successes: k, 0 to `trials`.
        trials: n; with none nothing is known and the interval is (0, 1).
        confidence: at least this is the probability that such an interval covers the true rate.

    Raises:
        InputError: counts or a confidence that make no sense.
    """
    if not 0 <= successes <= trials:
        raise InputError(f"successes must be between 0 and trials, got {successes} of {trials}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def stage_progress(reached: Sequence[int], stages: int) -> tuple[float, list[float]]:
    """How far episodes got: mean share of stages done, and share of episodes that did each stage.

    Args:
        reached: stages done, per episode, 0 to `stages`.
        stages: of the task; an episode that did all of them has succeeded.

    Raises:
        InputError: no episodes, or a number of stages that cannot be.
    """
    done = np.asarray(reached, int)
    if not len(done) or stages < 1:
        raise InputError(f"progress needs episodes and stages, got {len(done)} and {stages}")
    if done.min() < 0 or done.max() > stages:
        raise InputError(f"an episode did {int(done.max() if done.min() >= 0 else done.min())} of {stages} stages")
    return float(done.mean() / stages), [float((done > stage).mean()) for stage in range(stages)]
