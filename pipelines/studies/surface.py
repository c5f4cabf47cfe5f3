"""The success surface of a study: a rate with its interval per mix, and what each gains on demos of one kind alone.

Intervals hold for another training run, averaged over seeds, on scenes not seen: see `noise` for where their width
comes from. Gains are paired, since mixes met the same scenes, and their p-values are held to one error rate together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from pipelines.metrics.pairs import holm
from pipelines.studies.noise import Means, reach
from pipelines.studies.results import Mix


@dataclass(frozen=True)
class Rate:
    """Success of one mix.

    Attributes:
        mix: what it was trained on.
        rate: share of successes over all seeds and scenes.
        low: lower end of the interval.
        high: its upper end.
        seeds: training seeds.
        scenes: that each was tried in.
    """

    mix: Mix
    rate: float
    low: float
    high: float
    seeds: int
    scenes: int


@dataclass(frozen=True)
class Gain:
    """What a mix gains on another.

    Attributes:
        mix: what it was trained on.
        baseline: the other, e.g. the same real demos alone.
        difference: of the two rates.
        low: lower end of its interval.
        high: upper end.
        relative: the ratio of the two rates, less 1; infinite where the baseline never succeeded.
        relative_low: lower end of its interval.
        relative_high: upper end.
        p_value: that they are equal.
        p_adjusted: the same, held to one error rate over all gains (Holm 1979).
    """

    mix: Mix
    baseline: Mix
    difference: float
    low: float
    high: float
    relative: float
    relative_low: float
    relative_high: float
    p_value: float
    p_adjusted: float


def rates(means: Means, confidence: float = 0.95) -> list[Rate]:
    """Every mix's rate with its interval."""
    half = reach(confidence, means.own_freedom) * np.sqrt(np.diag(means.own_covariance))
    low, high = (np.sin(np.clip(means.z + side * half, 0, np.pi / 2)) ** 2 for side in (-1, 1))
    return [
        Rate(mix, float(rate), min(float(a), float(rate)), max(float(b), float(rate)), int(seeds), means.scenes)
        for mix, rate, a, b, seeds in zip(means.mixes, means.rates, low, high, means.seeds, strict=True)
    ]


def gains(means: Means, confidence: float = 0.95, alone: Literal["real", "sim"] = "real") -> list[Gain]:
    """What every mix of both sources gains on its demos of one kind alone, where those were tried.

    The interval of the difference is made of the two rates' own and their correlation by common scenes (Zou and Donner
    2008, as Newcombe 1998 does for paired counts); that of the ratio in the same way (Donner and Zou 2012).
    """
    pairs = []
    for i, mix in enumerate(means.mixes):
        counts = (mix.n_real, 0) if alone == "real" else (0, mix.n_sim)
        j = means.place(*counts) if mix.n_real and mix.n_sim else None
        if j is not None:
            pairs.append((i, j))
    return contrasts(means, pairs, confidence)


def contrasts(means: Means, pairs: Sequence[tuple[int, int]], confidence: float = 0.95) -> list[Gain]:
    """What some mixes gain on others, their p-values held to one error rate.

    Args:
        means: of the study.
        pairs: numbers of a mix and of its baseline.
        confidence: of each interval.
    """
    every = rates(means, confidence)
    covariance = means.own_covariance
    found = []
    for i, j in pairs:
        error = math.sqrt(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
        score = abs(means.z[i] - means.z[j]) / error
        # Satterthwaite's degrees of freedom of a difference (1946).
        parts = np.array([covariance[i, i], covariance[j, j]])
        freedom = (
            parts.sum() ** 2 / (parts**2 / means.own_freedom[[i, j]]).sum() if np.isfinite(means.freedom) else np.inf
        )
        p = 2 * float(stats.t.sf(score, freedom))
        correlation = float(covariance[i, j] / math.sqrt(covariance[i, i] * covariance[j, j]))
        mine, base = every[i], every[j]
        difference = (mine.rate - base.rate, *_difference(mine, base, correlation))
        relative = mine.rate / base.rate - 1 if base.rate else math.inf
        found.append((mine.mix, base.mix, difference, (relative, *_ratio(mine, base, correlation)), p))
    adjusted = holm([p for *_, p in found])
    return [
        Gain(mix, baseline, *difference, *ratio, p, together)
        for (mix, baseline, difference, ratio, p), together in zip(found, adjusted, strict=True)
    ]


def _difference(a: Rate, b: Rate, correlation: float) -> tuple[float, float]:
    def together(one: float, other: float) -> float:
        return math.sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))

    middle = a.rate - b.rate
    return middle - together(a.rate - a.low, b.high - b.rate), middle + together(a.high - a.rate, b.rate - b.low)


def _ratio(a: Rate, b: Rate, correlation: float) -> tuple[float, float]:
    """Interval of a / b - 1: the ratios r at which that of a - r b ends at 0.

    With A and B the reach of either rate, (a - r b)^2 = A^2 - 2 c r A B + r^2 B^2 is a quadratic in r.
    """

    def parts(side_a: float, side_b: float) -> tuple[float, float, float]:
        first, last = b.rate**2 - side_b**2, a.rate**2 - side_a**2
        middle = a.rate * b.rate - correlation * side_a * side_b
        return middle + math.sqrt(max(middle**2 - first * last, 0.0)), first, last

    above, _, last = parts(a.rate - a.low, b.high - b.rate)
    below, first, _ = parts(a.high - a.rate, b.rate - b.low)
    return (last / above if above > 0 else 0.0) - 1, (below / first if first > 0 else math.inf) - 1
