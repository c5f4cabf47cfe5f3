"""How well scores in simulation foretell scores on the real system, over several policies.

Each function takes one score per policy, by keyword: which of the two is real matters. The mean maximum rank violation
weighs a wrong order by the *real* margin, so swapped arguments give another number without any sign of it; positions
are therefore not accepted. Rank correlations ignore margins: two policies that differ by one rollout count as much as
two that differ by all of them. Report them beside the others, never alone.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from handful import InputError, unknown_name

Ties = Literal["simpler", "strict"]
TIES: tuple[Ties, ...] = ("simpler", "strict")


def mean_maximum_rank_violation(*, real: ArrayLike, sim: ArrayLike, ties: Ties = "simpler") -> float:
    """MMRV of Li et al., "Evaluating Real-World Robot Manipulation Policies in Simulation" (SIMPLER), 2024, III-B.

        violation(i, j) = |real_i - real_j| where sim orders i and j otherwise than real does, else 0
        MMRV            = mean over i of max over j of violation(i, j)

    Args:
        real: (N,) real scores in [0, 1], e.g. success rates.
        sim: (N,) scores of the same policies in simulation, in [0, 1].
        ties: "simpler", as the authors' code counts: two policies that tie in simulation alone are a violation of the
            better one, not of the worse; "strict": only a reversed order is one, a tie is none.

    Returns:
        In [0, 1]; 0 where the order is the same.

    Raises:
        InputError: scores of different numbers of policies, fewer than two, or outside [0, 1].
    """
    if ties not in TIES:
        raise unknown_name("rule for ties", ties, TIES)
    return float(rank_violations(*_pair(real, sim, 2), ties))


def rank_violations(real: np.ndarray, sim: np.ndarray, ties: Ties = "simpler") -> np.ndarray:
    """MMRV of many sets of scores at once, unchecked: (..., N) each, to (...)."""
    by_real = real[..., :, None] - real[..., None, :]
    by_sim = sim[..., :, None] - sim[..., None, :]
    wrong = by_real * by_sim < 0 if ties == "strict" else (by_sim > 0) != (by_real > 0)
    return np.asarray((np.abs(by_real) * wrong).max(axis=-1).mean(axis=-1))


def pearson(*, real: ArrayLike, sim: ArrayLike) -> float:
    """Pearson's correlation coefficient of (N,) scores.

    Raises:
        InputError: fewer than three policies (two always give 1 or -1), scores of different numbers of policies or
            outside [0, 1], or scores that are all the same, whose correlation is not defined.
    """
    return float(correlations(*_varied(real, sim)))


def correlations(real: np.ndarray, sim: np.ndarray) -> np.ndarray:
    """Pearson's r of many sets of scores at once, (..., N) each, to (...); NaN where it is not defined."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (real, sim))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * b).sum(axis=-1) / np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    # The mean of equal numbers may miss them by a rounding error.
    constant = (np.ptp(real, axis=-1) == 0) | (np.ptp(sim, axis=-1) == 0)
    return np.where(constant, np.nan, np.clip(r, -1, 1))


def spearman(*, real: ArrayLike, sim: ArrayLike) -> float:
    """Spearman's rank correlation of (N,) scores, ties at their mean rank; raises as `pearson` does."""
    return float(rank_correlations(*_varied(real, sim)))


def rank_correlations(real: np.ndarray, sim: np.ndarray) -> np.ndarray:
    """Spearman's rho of many sets of scores at once, (..., N) each, to (...); NaN where it is not defined."""
    return correlations(stats.rankdata(real, axis=-1), stats.rankdata(sim, axis=-1))


def kendall(*, real: ArrayLike, sim: ArrayLike) -> float:
    """Kendall's tau-b of (N,) scores; raises as `pearson` does."""
    return float(concordances(*_varied(real, sim)))


def concordances(real: np.ndarray, sim: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of many sets of scores at once, (..., N) each, to (...); NaN where it is not defined."""
    a, b = (np.sign(x[..., :, None] - x[..., None, :]) for x in (real, sim))
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = np.sqrt((a * a).sum(axis=(-2, -1)) * (b * b).sum(axis=(-2, -1)))
        return np.asarray((a * b).sum(axis=(-2, -1)) / pairs)


def _varied(real: ArrayLike, sim: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = _pair(real, sim, 3)
    for name, values in (("real", a), ("sim", b)):
        if np.ptp(values) == 0:
            raise InputError(f"all {len(values)} {name} scores are {values[0]:g}; a correlation needs some that differ")
    return a, b


def _pair(real: ArrayLike, sim: ArrayLike, least: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(real, float), np.asarray(sim, float)
    for name, values in (("real", a), ("sim", b)):
        if values.ndim != 1:
            raise InputError(f"{name} must be one score per policy, got an array of shape {values.shape}")
        wrong = values[~((values >= 0) & (values <= 1))]
        if len(wrong):
            raise InputError(f"{name} scores must lie between 0 and 1 (rates, not percent), got {wrong[0]:g}")
    if len(a) != len(b):
        raise InputError(f"real has {len(a)} scores and sim has {len(b)}; both need one per policy, in the same order")
    if len(a) < least:
        raise InputError(f"{len(a)} policies are too few; this needs at least {least}")
    return a, b
