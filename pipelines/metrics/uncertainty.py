"""Intervals for agreement, what a perfect simulator would score, and what chance would.

Measured rates differ from true ones, and that alone makes a perfect simulator look imperfect: its MMRV is above 0 and
its correlation below 1. A plain bootstrap adds the same noise once more, and its interval all but never holds the truth
where sim and real agree. So the true rates are drawn first, given the counts, and the metric is taken of those:

1. Real scores r and sim scores s of the policies are normal about the true ones with their binomial variances v and u.
   True scores differ by D = S - R ~ N(m, tau^2) over policies; R and m may be anything, tau is half-Cauchy(0.2). Given
   tau, all is normal; tau is summed over a grid. A simulator that differs by nothing but chance thus has tau near 0.
2. For a statement about *these* policies the metric is taken of each draw. For one about *others like them*, MMRV is
   taken of N of the policies drawn with replacement; a correlation gets the normal error of its Fisher transform
   (Fieller, Hartley and Pearson 1957), because samples of so few policies with repeats say little but their repeats.
3. Where a perfect simulator (both counts from one rate per cell) would often score as badly as was measured, 97.5 %
   one-sided, the interval reaches the perfect score.

`docs/metrics.md` has the coverage that this gives.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from handful import InputError, unknown_name
from pipelines.metrics.agreement import concordances, correlations, rank_correlations, rank_violations
from pipelines.metrics.results import Results

Rng = np.random.Generator

# Spread of differences between sim and real: grid of the standard deviation, and the scale of its prior.
_TAU = np.concatenate([[1e-6], np.geomspace(0.005, 1.0, 40)])
_PRIOR_SCALE = 0.2


@dataclass(frozen=True)
class Metric:
    """A measure of agreement: of many sets of scores at once, and the score of a perfect simulator."""

    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    perfect: float
    # Variance of atanh of a correlation: (a, b) for a / (N - b); None for what is no correlation.
    variance: tuple[float, int] | None = None


METRICS: Mapping[str, Metric] = {
    "mmrv": Metric(rank_violations, 0.0),
    "pearson": Metric(correlations, 1.0, (1.0, 3)),
    "spearman": Metric(rank_correlations, 1.0, (1.06, 3)),
    "kendall": Metric(concordances, 1.0, (0.437, 4)),
}


@dataclass(frozen=True)
class Uncertainty:
    """One metric with all that says how far to trust it."""

    # From the measured rates; NaN where it is not defined.
    value: float
    # 95 % interval for other policies like these.
    ci: tuple[float, float]
    # 95 % interval for these very policies, had their rates been known exactly.
    ci_these: tuple[float, float]
    # What a perfect simulator would score at these numbers of episodes: median, and 95 % range.
    noise_floor: float
    noise_range: tuple[float, float]
    # What sim scores in a random order would give on average.
    random: float


def uncertainty(
    *, real: Results, sim: Results, metric: str = "mmrv", samples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> Uncertainty:
    """Measure agreement with its interval, noise floor and random level.

    Args:
        real: counts on the real system.
        sim: counts of the same policies under the same conditions in simulation, in the same order.
        metric: mmrv, pearson, spearman or kendall.
        samples: draws; 2000 leave an end of the interval uncertain by a few thousandths.
        seed: of the draws, which come from PCG64.
        confidence: of both intervals.

    Raises:
        InputError: no such metric, other policies or conditions, fewer than 3 policies.
    """
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    if (real.policies, real.conditions) != (sim.policies, sim.conditions):
        raise InputError("real and sim hold other policies or conditions, or in another order; see results.matched")
    if len(real.policies) < 3:
        raise InputError(f"{len(real.policies)} policies are too few; agreement with an interval needs at least 3")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence}")
    chosen = METRICS[metric]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    ends = ((1 - confidence) / 2, (1 + confidence) / 2)
    value = float(chosen.of(real.scores, sim.scores))
    floor = _finite(chosen.of(*perfect_scores(real, sim, samples, rng)))
    truth = true_scores(real, sim, samples, rng)
    these = _finite(chosen.of(*truth))
    shuffled = rng.permuted(np.broadcast_to(sim.scores, (samples, len(real.policies))), axis=1)
    random = _finite(chosen.of(np.broadcast_to(real.scores, shuffled.shape), shuffled))
    low, high = np.quantile(floor, ends)
    reaches = value <= high if chosen.perfect == 0 else value >= low
    others = _of_others(chosen, truth, these, ends, rng)
    return Uncertainty(
        value=value,
        ci=_reaching(chosen, others, reaches),
        ci_these=_reaching(chosen, np.quantile(these, ends), reaches),
        noise_floor=float(np.median(floor)),
        noise_range=(float(low), float(high)),
        random=float(random.mean()),
    )


def true_scores(real: Results, sim: Results, samples: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Draw true scores given the counts, see the module: real and sim, each (samples, N) in [0, 1]."""
    (r, v), (s, u) = _moments(real), _moments(sim)
    d = s - r
    weight = 1 / (_TAU[:, None] ** 2 + v + u)
    total = weight.sum(axis=1)
    mean = (weight * d).sum(axis=1) / total
    likelihood = 0.5 * (np.log(weight).sum(axis=1) - (weight * (d - mean[:, None]) ** 2).sum(axis=1) - np.log(total))
    prior = np.log(np.gradient(_TAU)) - np.log1p((_TAU / _PRIOR_SCALE) ** 2)
    posterior = np.exp(likelihood + prior - (likelihood + prior).max())
    place = rng.choice(len(_TAU), size=samples, p=posterior / posterior.sum())
    tau = _TAU[place][:, None]
    m = (mean[place] + rng.standard_normal(samples) / np.sqrt(total[place]))[:, None]
    precision = 1 / tau**2 + 1 / (v + u)
    apart = (m / tau**2 + d / (v + u)) / precision + rng.standard_normal((samples, len(d))) / np.sqrt(precision)
    # Given how far they lie apart, both counts tell of the real score.
    precision = np.broadcast_to(1 / v + 1 / u, apart.shape)
    true = (r / v + (s - apart) / u) / precision + rng.standard_normal(apart.shape) / np.sqrt(precision)
    return np.clip(true, 0, 1), np.clip(true + apart, 0, 1)


def perfect_scores(real: Results, sim: Results, samples: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Scores that a perfect simulator would give at these n: both from the pooled rate of each cell, (samples, N)."""
    pooled = (real.successes + sim.successes) / (real.episodes + sim.episodes)
    rates = np.broadcast_to(pooled, (samples, *pooled.shape))
    return real.drawn(rates, rng), sim.drawn(rates, rng)


def _moments(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """Scores and their variances (N,), half a success and half a failure added: 0 of 20 is not known for certain."""
    rate = (results.successes + 0.5) / (results.episodes + 1)
    return results.scores, (rate * (1 - rate) / results.episodes).sum(axis=1) / len(results.conditions) ** 2


def _of_others(
    metric: Metric, truth: tuple[np.ndarray, np.ndarray], these: np.ndarray, ends: tuple[float, float], rng: Rng
) -> tuple[float, float]:
    """Interval for other policies: from true scores (B, N), and the metric of each draw (B,)."""
    samples, count = truth[0].shape
    if metric.variance is not None:
        scale, lost = metric.variance
        if count <= lost:
            return -1.0, 1.0
        z = np.arctanh(np.clip(these, -1 + 1e-12, 1 - 1e-12))
        low, high = np.tanh(np.quantile(z + rng.standard_normal(len(z)) * np.sqrt(scale / (count - lost)), ends))
        return float(low), float(high)
    again = rng.integers(count, size=(samples, count))
    row = np.arange(samples)[:, None]
    draws = metric.of(truth[0][row, again], truth[1][row, again])
    # Efron's bias-corrected percentiles (1987, without acceleration). Samples with a policy twice hold fewer different
    # ones, which lowers MMRV: the plain upper end is too low then, the corrected lower end too high. Together they do.
    center = np.median(these)
    below = ((draws < center).mean() + (draws <= center).mean()) / 2
    z0 = norm.ppf(np.clip(below, 0.5 / samples, 1 - 0.5 / samples))
    low, high = np.quantile(draws, norm.cdf(2 * z0 + norm.ppf(ends)))
    plain_low, plain_high = np.quantile(draws, ends)
    return float(min(low, plain_low)), float(max(high, plain_high))


def _reaching(metric: Metric, ends: Iterable[float], reaches: bool) -> tuple[float, float]:
    low, high = map(float, ends)
    if not reaches:
        return low, high
    return (metric.perfect, high) if metric.perfect == 0 else (low, metric.perfect)


def _finite(values: np.ndarray) -> np.ndarray:
    """Without draws in which all policies score the same, of which a correlation says nothing."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        raise InputError("all policies score the same, real or in simulation; a correlation needs some that differ")
    return kept
