"""Is one policy better than another? Tests and intervals for a fixed number of rollouts.

With paired seeds both policies met the same worlds, and only the scenes on which they disagree tell them apart: fewer
rollouts decide. Without, each rate has its own noise. Whoever peeks and goes on until something is significant needs
`pipelines.metrics.sequential` instead.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy import optimize, stats

from handful import InputError
from pipelines.statistics import wilson_interval


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p-value that A and B are equal, from paired rollouts (McNemar 1947; binomial, no approximation).

    Args:
        wins: pairs in which A alone succeeded.
        losses: pairs in which B alone succeeded.
    """
    if min(wins, losses) < 0:
        raise InputError(f"numbers of pairs must not be negative, got {wins} and {losses}")
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def barnard(successes_a: int, trials_a: int, successes_b: int, trials_b: int) -> float:
    """Exact unconditional two-sided p-value that two rates are equal, from unpaired rollouts (Barnard 1945).

    More powerful than Fisher's test, which also fixes the number of successes that nobody fixed.
    """
    for k, n in ((successes_a, trials_a), (successes_b, trials_b)):
        if not 0 <= k <= n or n == 0:
            raise InputError(f"successes must be between 0 and trials, and trials at least 1, got {k} of {n}")
    table = [[successes_a, successes_b], [trials_a - successes_a, trials_b - successes_b]]
    # The same for both orders, also where the library's search would differ in the last digits.
    return float(min(1.0, stats.barnard_exact(table, alternative="two-sided", pooled=True).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979): those at most alpha hold one error or more with chance alpha."""
    if not all(0 <= p <= 1 for p in p_values):
        raise InputError(f"p-values must lie between 0 and 1, got {list(p_values)}")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def unpaired_difference(
    successes_a: int, trials_a: int, successes_b: int, trials_b: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of rate A - rate B of unpaired rollouts (Newcombe 1998, method 10: from the two Wilson intervals)."""
    low_a, high_a = wilson_interval(successes_a, trials_a, confidence)
    low_b, high_b = wilson_interval(successes_b, trials_b, confidence)
    a = successes_a / trials_a if trials_a else 0.5
    b = successes_b / trials_b if trials_b else 0.5
    return a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b)


def paired_difference(wins: int, losses: int, pairs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of rate A - rate B of paired rollouts: the differences that a score test does not reject (Tango 1998).

    Args:
        wins: pairs in which A alone succeeded.
        losses: pairs in which B alone succeeded.
        pairs: all pairs, at least 1.
        confidence: how often it covers the difference, about.
    """
    if min(wins, losses) < 0 or wins + losses > pairs or pairs < 1:
        raise InputError(f"{wins} and {losses} of {pairs} pairs cannot be")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    observed = (wins - losses) / pairs

    def score(difference: float) -> float:
        return _score(wins, losses, pairs, difference)

    edge = 1 - 1e-12
    low = -1.0 if score(-edge) < z else float(optimize.brentq(lambda d: score(d) - z, -edge, observed))
    high = 1.0 if score(edge) > -z else float(optimize.brentq(lambda d: score(d) + z, observed, edge))
    return low, high


def _score(wins: int, losses: int, pairs: int, difference: float) -> float:
    """Tango's statistic: standard normal, about, where `difference` is true; falls as `difference` rises."""
    n, d = pairs, difference
    linear = -wins - losses + (2 * n - wins + losses) * d
    constant = -losses * d * (1 - d)
    # The most probable share of pairs that B alone wins, if A - B is d.
    q = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * q + d * (1 - d))
    surplus = wins - losses - n * d
    if variance <= 0:
        return 0.0 if surplus == 0 else math.copysign(math.inf, surplus)
    return surplus / math.sqrt(variance)


def outcomes_of_pairs(a: np.ndarray, b: np.ndarray) -> tuple[int, int]:
    """(wins, losses) of (n,) paired outcomes, true where a policy succeeded."""
    return int((a & ~b).sum()), int((b & ~a).sum())
