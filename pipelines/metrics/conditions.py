"""Agreement condition by condition: where sim and real met the same initial conditions, does sim foretell each one?

Rates can agree while successes fall on other conditions. What a pair of rollouts shares decides how many real trials a
simulation can save.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from handful import InputError
from pipelines.metrics.pairs import mcnemar


@dataclass(frozen=True)
class ConditionAgreement:
    """The 2 x 2 table of outcomes, real against sim, and what follows from it."""

    both: int
    real_only: int
    sim_only: int
    neither: int

    @property
    def total(self) -> int:
        """All conditions."""
        return self.both + self.real_only + self.sim_only + self.neither

    @property
    def accuracy(self) -> float:
        """Share of conditions with the same outcome."""
        return (self.both + self.neither) / self.total

    @property
    def phi(self) -> float:
        """Correlation of the two outcomes (Matthews' coefficient); NaN where one of them never varies."""
        real, sim = self.both + self.real_only, self.both + self.sim_only
        scale = real * (self.total - real) * sim * (self.total - sim)
        return (self.both * self.neither - self.real_only * self.sim_only) / math.sqrt(scale) if scale else math.nan

    @property
    def kappa(self) -> float:
        """Agreement beyond chance (Cohen 1960); NaN where chance alone agrees always."""
        real, sim = (self.both + self.real_only) / self.total, (self.both + self.sim_only) / self.total
        chance = real * sim + (1 - real) * (1 - sim)
        return (self.accuracy - chance) / (1 - chance) if chance < 1 else math.nan

    @property
    def p_value(self) -> float:
        """Exact McNemar: are the two success rates the same?"""
        return mcnemar(self.sim_only, self.real_only)


def condition_agreement(*, real: ArrayLike, sim: ArrayLike) -> ConditionAgreement:
    """Compare (n,) outcomes on the same conditions, in the same order; true or 1 is success.

    Raises:
        InputError: none, of different lengths, or something else than outcomes.
    """
    a, b = _outcomes("real", real), _outcomes("sim", sim)
    _same_length(a, b)
    return ConditionAgreement(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))


@dataclass(frozen=True)
class Calibration:
    """Success probabilities in simulation, taken as forecasts of real outcomes."""

    # Mean squared error of the forecast; 0.25 is what "always 0.5" gets.
    brier: float
    # Mean |forecast - frequency| over bins of the forecast, weighted by how many fall into each.
    expected_error: float
    # Of a logistic regression of the outcome on the forecast's log-odds; a calibrated forecast has slope 1 and
    # intercept 0, one too sure of itself a slope below 1. NaN where outcomes or forecasts do not vary, or a threshold
    # on the forecast separates the outcomes.
    slope: float
    intercept: float
    # Per bin that is not empty: how many, mean forecast, share of successes.
    bins: tuple[tuple[int, float, float], ...]


def calibration(*, real: ArrayLike, sim: ArrayLike, bins: int = 10) -> Calibration:
    """Score forecasts.

    Args:
        real: (n,) outcomes, true or 1 is success.
        sim: (n,) probabilities of success under the same conditions, in simulation.
        bins: of equal width over [0, 1].

    Raises:
        InputError: lengths differ, or values are not outcomes and probabilities.
    """
    y, p = _outcomes("real", real), np.asarray(sim, float)
    _same_length(y, p)
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("sim must be probabilities between 0 and 1")
    if bins < 1:
        raise InputError(f"bins must be at least 1, got {bins}")
    place = np.minimum((p * bins).astype(int), bins - 1)
    rows = [
        (int(m.sum()), float(p[m].mean()), float(y[m].mean())) for m in (place == k for k in range(bins)) if m.any()
    ]
    error = sum(n * abs(forecast - share) for n, forecast, share in rows) / len(y)
    slope, intercept = _reliability(y, p)
    return Calibration(float(((p - y) ** 2).mean()), error, slope, intercept, tuple(rows))


def _reliability(y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of y on logit p."""
    # A forecast of 0 or 1 from so many rollouts is not certainty.
    x = special.logit(np.clip(p, 1e-3, 1 - 1e-3))
    hit, miss = x[y], x[~y]
    if np.ptp(x) == 0 or not len(hit) or not len(miss) or hit.min() >= miss.max() or hit.max() <= miss.min():
        return math.nan, math.nan
    sign = np.where(y, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (w[0] * x + w[1])
        pull = -sign * special.expit(-margin)
        return float(-special.log_expit(margin).sum()), np.array([(pull * x).sum(), pull.sum()])

    found = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS")
    return float(found.x[0]), float(found.x[1])


def _outcomes(name: str, values: ArrayLike) -> np.ndarray:
    given = np.asarray(values)
    if given.ndim != 1 or not len(given):
        raise InputError(f"{name} must be one outcome per condition, got an array of shape {given.shape}")
    if not np.isin(given, (0, 1)).all():
        raise InputError(f"{name} must hold outcomes, true or false, got {given[~np.isin(given, (0, 1))][0]}")
    return given.astype(bool)


def _same_length(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise InputError(f"real has {len(a)} conditions and sim has {len(b)}; both need the same, in the same order")
