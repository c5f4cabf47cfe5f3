"""Iso-performance curves: the mixes of real and synthetic demos that do equally well.

The band about a curve is every mix whose interval of expected success holds the level; the curve itself is the best
law's. Synthetic demos that would be needed are infinite where no number of them suffices.
"""

from dataclasses import dataclass

import numpy as np

from handful import InputError
from pipelines.studies.fits import Fits, Pin
from pipelines.studies.laws import Law

# Numbers of synthetic demos that are held against the study, at each number of real ones.
_GRID = 13
# Synthetic demos, as a multiple of the most that were tried, beyond which nothing is said.
_BEYOND = 10.0


@dataclass(frozen=True, eq=False)
class IsoCurve:
    """Mixes of one expected success.

    Attributes:
        level: the success.
        n_real: (G,) real demos.
        n_sim: (G,) synthetic demos that it takes with them; 0 where real ones suffice, infinite where none do.
        low: (G,) the fewest that the study allows; 0 where none may be needed.
        high: (G,) the most; infinite where nothing bounds them.
    """

    level: float
    n_real: np.ndarray
    n_sim: np.ndarray
    low: np.ndarray
    high: np.ndarray


def iso_curve(fits: Fits, level: float, n_real: np.ndarray) -> IsoCurve:
    """The mixes that give a success, at (G,) numbers of real demos.

    Raises:
        InputError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"an iso-performance curve needs a success between 0 and 1, got {level:g}")
    best = fits.best
    needed = best.law.needed(best.theta, level)
    curve = best.law.synthetic(best.theta, needed - n_real)
    ends = []
    for real, middle in zip(n_real.tolist(), curve.tolist(), strict=True):
        grid = np.geomspace(1.0, _BEYOND * fits.n_sim.max(), _GRID)
        profile = fits.profile(_pin_needed(level, real), middle, grid, 0)
        enough = middle == 0 and (profile.deviance > profile.allowed).all()
        ends.append((0.0, 0.0) if enough else (profile.low, profile.high))
    low, high = np.array(ends).T
    return IsoCurve(level, np.asarray(n_real, float), curve, low, high)


def _pin_needed(level: float, n_real: float) -> Pin:
    """Hold how many synthetic demos give the level with so many real ones, by the ceiling."""

    def pin(law: Law, theta: np.ndarray, n_sim: np.ndarray) -> np.ndarray:
        held = theta.copy()
        worth = np.exp(held[..., 3]) * law.exchange.grow(n_sim / law.m, held[..., 4])
        y = np.maximum(n_real + worth, 1e-9) * np.exp(-held[..., 1])
        held[..., 0] = level / np.maximum(law.shape.rise(y, np.exp(held[..., 2])), 1e-12)
        return held

    return pin
