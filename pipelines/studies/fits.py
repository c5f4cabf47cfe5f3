"""Laws fitted to a study, and intervals of anything that they say, by profile likelihood.

Rates on the scale of even noise (`noise`) are normal about a law's, with covariance V; the deviance of a law is

    D(theta) = (z - arcsin sqrt p(theta))' V^-1 (z - arcsin sqrt p(theta)).

The interval of a quantity is every value that some law, with some parameters, holds without its deviance rising above
the least one of all by more than t^2 (Raue et al. 2009; t of the pooled noise). So which law is true is one more thing
that is not known, and a quantity that the study does not determine shows as an interval without an end. Where even the
best law leaves more than the noise would, the allowance grows by that factor (Birge 1932).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.stats import qmc

from handful import InputError
from pipelines.studies.descent import descend
from pipelines.studies.laws import Law, laws
from pipelines.studies.noise import Means

# theta (..., P) and a value (...) -> theta at which the quantity has that value.
Pin = Callable[[Law, np.ndarray, np.ndarray], np.ndarray]
# Starts: points of a Sobol sequence over the box that are tried, and how many of the best are descended from.
_TRIED, _KEPT = 512, 6
# Starts of each value of a profile, and how often it is refined.
_NEAR, _REFINED = 3, 2


@dataclass(frozen=True, eq=False)
class Fit:
    """The best parameters of one law.

    Attributes:
        law: its form.
        theta: (5,) its parameters.
        deviance: how far it is from the rates, in units of their noise.
    """

    law: Law
    theta: np.ndarray
    deviance: float


@dataclass(frozen=True, eq=False)
class Profile:
    """The least deviance at values of a quantity.

    Attributes:
        values: (G,) ascending.
        deviance: (G,) above the least of all.
        allowed: up to which a value is in the interval.
        best: the value at the best fit.
        low: lower end of the interval; minus infinity where it has none.
        high: upper end; infinity where it has none.
    """

    values: np.ndarray
    deviance: np.ndarray
    allowed: float
    best: float
    low: float
    high: float


class Fits:
    """Every law fitted to the same rates."""

    def __init__(self, means: Means, m: float, confidence: float = 0.95, forms: Sequence[Law] | None = None) -> None:
        """Args:
        means: of the mixes; of one weight rule, or the laws' one worth of synthetic demos would mean nothing.
        m: synthetic demos at the operating point.
        confidence: of intervals.
        forms: laws to fit; all there are unless given.
        """
        rules = sorted({mix.weight for mix in means.mixes} - {""})
        if len(rules) > 1:
            raise InputError(f"laws are fitted to one weight rule at a time, got {', '.join(rules)}")
        self.means = means
        self.m = m
        self.forms = tuple(laws(m) if forms is None else forms)
        self.n_real = np.array([mix.n_real for mix in means.mixes], float)
        self.n_sim = np.array([mix.n_sim for mix in means.mixes], float)
        self._white = np.linalg.inv(np.linalg.cholesky(means.covariance))
        self._quantile = means.quantile(confidence)
        most = max(float(self.n_real.max()), 1.0)
        # Worth from a hundredth of a demo, which is nothing, to more than could be told from the study.
        self.worths = (0.01, 30 * max(most, m / 10))
        self._box = {law.name: law.box(most, *self.worths) for law in self.forms}

    @cached_property
    def all(self) -> tuple[Fit, ...]:
        """The best fit of every law, best first."""
        found = []
        for law in self.forms:
            theta, deviance = self._least(law, self._starts(law))
            place = int(deviance.argmin())
            found.append(Fit(law, theta[place], float(deviance[place])))
        return tuple(sorted(found, key=lambda fit: fit.deviance))

    @property
    def best(self) -> Fit:
        """The law with the least deviance."""
        return self.all[0]

    @property
    def spare(self) -> int:
        """Mixes beyond the parameters of a law."""
        return len(self.n_real) - self.forms[0].parameters

    @property
    def fewest(self) -> int:
        """Mixes that it takes for anything to be to spare."""
        return self.forms[0].parameters + 1

    @property
    def misfit(self) -> float:
        """P-value that even the best law leaves as much as it does by chance; 1 where nothing is to spare."""
        if self.spare < 1:
            return 1.0
        left = self.best.deviance / self.spare
        freedom = self.means.freedom
        survival = (
            stats.chi2.sf(left * self.spare, self.spare) if np.isinf(freedom) else stats.f.sf(left, self.spare, freedom)
        )
        return float(survival)

    @property
    def allowed(self) -> float:
        """Rise of the deviance up to which parameters are in an interval."""
        excess = self.best.deviance / self.spare if self.spare > 0 else 1.0
        return self._quantile**2 * max(1.0, excess)

    def profile(self, pin: Pin, best: float, values: np.ndarray, coordinate: int, log: bool = True) -> Profile:
        """Profile a quantity.

        Args:
            pin: gives parameters at which the quantity has a value, by changing `coordinate` alone.
            best: the quantity at the best fit.
            values: (G,) ascending, from the least to the greatest that are considered; intervals that reach an end of
                them have none there.
            coordinate: the parameter that is given up for the quantity.
            log: whether values between are geometric means.
        """
        back = np.exp if log else np.asarray
        new = np.log(values) if log else np.asarray(values, float)
        grid, deviance = np.empty(0), np.empty(0)
        paths = {law: np.empty((0, len(self.best.theta))) for law in self._contenders()}
        least = self.best.deviance
        for _ in range(1 + _REFINED):
            near = np.argsort(np.abs(grid - new[:, None]), axis=1)[:, :_NEAR]
            order = np.argsort(np.concatenate([grid, new]))
            found = []
            for law, path in paths.items():
                theta, left = self._pinned(law, pin, back(new), coordinate, path[near] if len(path) else None)
                paths[law] = np.concatenate([path, theta])[order]
                found.append(left)
            grid = np.concatenate([grid, new])[order]
            deviance = np.concatenate([deviance, np.min(found, axis=0)])[order]
            least = min(least, float(deviance.min()))
            new = _between(grid, deviance - least, self.allowed)
            if not len(new):
                break
        low, high = _ends(grid, deviance - least, self.allowed)
        return Profile(back(grid), deviance - least, self.allowed, best, float(back(low)), float(back(high)))

    def along(self, held: Mapping[int, np.ndarray]) -> list[tuple[Law, np.ndarray, np.ndarray]]:
        """The least deviance of each law where some parameters are held.

        Args:
            held: (G,) values by number of the parameter; those outside a law's range are moved to its end.

        Returns:
            By law within the allowance: parameters (G, 5), and deviances (G,) above the least of all.
        """
        found = []
        count = len(next(iter(held.values())))
        row = np.arange(count)
        for law in self._contenders():
            starts = np.concatenate([[self._of(law).theta], self._starts(law)[: _NEAR - 1]])
            begin = np.tile(starts, (count, 1))
            low, high = self._box[law.name]
            for parameter, values in held.items():
                begin[:, parameter] = np.clip(np.repeat(values, len(starts)), low[parameter], high[parameter])
            theta, deviance = self._least(law, begin, tuple(held))
            deviance = deviance.reshape(count, -1)
            place = deviance.argmin(axis=1)
            theta = theta.reshape(count, len(starts), -1)[row, place]
            found.append((law, theta, deviance[row, place] - self.best.deviance))
        return found

    def _of(self, law: Law) -> Fit:
        return next(fit for fit in self.all if fit.law == law)

    def _contenders(self) -> list[Law]:
        """Laws that may hold a value within the allowance: the others' least deviance is above it."""
        return [fit.law for fit in self.all if fit.deviance <= self.best.deviance + self.allowed]

    def _starts(self, law: Law) -> np.ndarray:
        low, high = self._box[law.name]
        points = low + (high - low) * _sobol(len(low))
        deviance = (self._residuals(law, points) ** 2).sum(axis=-1)
        return np.asarray(points[np.argsort(deviance, kind="stable")[:_KEPT]])

    def _residuals(self, law: Law, theta: np.ndarray) -> np.ndarray:
        rates = np.clip(law.success(theta, self.n_real, self.n_sim), 1e-9, 1 - 1e-9)
        return np.asarray((self.means.z - np.arcsin(np.sqrt(rates))) @ self._white.T)

    def _least(self, law: Law, starts: np.ndarray, held: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        low, high = self._box[law.name]
        return descend(lambda theta, _: self._residuals(law, theta), starts, low, high, held)

    def _pinned(
        self, law: Law, pin: Pin, values: np.ndarray, coordinate: int, starts: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Least deviance at each of (G,) values: parameters (G, 5) and deviances (G,)."""
        low, high = self._box[law.name]

        def residuals(theta: np.ndarray, value: np.ndarray) -> np.ndarray:
            held = pin(law, theta, value)
            given = held[..., coordinate]
            outside = np.maximum(low[coordinate] - given, 0) + np.maximum(given - high[coordinate], 0)
            held[..., coordinate] = np.clip(given, low[coordinate], high[coordinate])
            return np.concatenate([self._residuals(law, held), 1e2 * outside[..., None]], axis=-1)

        if starts is None:
            points = low + (high - low) * _sobol(len(low))[: _TRIED // 4]
            points = np.concatenate([[self._of(law).theta], points])
            tried = np.broadcast_to(points[None], (len(values), *points.shape))
            first = (residuals(tried, values[:, None]) ** 2).sum(axis=-1)
            order = np.argsort(first, axis=1, kind="stable")[:, :_NEAR]
            order[:, -1] = 0
            starts = points[order]
        count = starts.shape[1]
        flat = np.repeat(values, count)
        theta, deviance = descend(
            lambda at, which: residuals(at, flat[which]), starts.reshape(-1, len(low)), low, high, held=(coordinate,)
        )
        held = pin(law, theta, flat).reshape(len(values), count, -1)
        deviance = deviance.reshape(len(values), count)
        place = deviance.argmin(axis=1)
        row = np.arange(len(values))
        return held[row, place], deviance[row, place]


def _sobol(dimensions: int) -> np.ndarray:
    return np.asarray(qmc.Sobol(dimensions, scramble=False).random(_TRIED))


def _between(grid: np.ndarray, rise: np.ndarray, allowed: float) -> np.ndarray:
    """Points in the gaps in which an end of the interval lies, and beside the least."""
    inside = rise <= allowed
    gaps = set(np.flatnonzero(inside[:-1] != inside[1:]).tolist())
    least = int(rise.argmin())
    gaps |= {place for place in (least - 1, least) if 0 <= place < len(grid) - 1}
    parts = [np.linspace(grid[g], grid[g + 1], 5)[1:-1] for g in sorted(gaps)]
    return np.concatenate(parts) if parts else np.array([])


def _ends(grid: np.ndarray, rise: np.ndarray, allowed: float) -> tuple[float, float]:
    inside = np.flatnonzero(rise <= allowed)
    if not len(inside):
        # All that is allowed lies beyond one end, or between two values.
        least = int(rise.argmin())
        low = -np.inf if least == 0 else float(grid[least - 1])
        return low, np.inf if least == len(grid) - 1 else float(grid[least + 1])
    first, last = int(inside[0]), int(inside[-1])
    low = -np.inf if first == 0 else _cross(grid, rise, first, first - 1, allowed)
    high = np.inf if last == len(grid) - 1 else _cross(grid, rise, last, last + 1, allowed)
    return low, high


def _cross(grid: np.ndarray, rise: np.ndarray, inner: int, outer: int, allowed: float) -> float:
    """Where the rise is as allowed, between a value inside and one outside; its root is about straight."""
    a, b = np.sqrt(np.maximum(rise[[inner, outer]], 0))
    return float(grid[inner] + (grid[outer] - grid[inner]) * (np.sqrt(allowed) - a) / (b - a))


def pin_worth(law: Law, theta: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Hold what m synthetic demos are worth, in real ones."""
    held = theta.copy()
    held[..., 3] = np.log(worth)
    return held


def pin_marginal(law: Law, theta: np.ndarray, marginal: np.ndarray) -> np.ndarray:
    """Hold how many synthetic demos replace one more real one where there are m, by their worth."""
    held = theta.copy()
    slope = np.maximum(law.exchange.slope(np.array(1.0), held[..., 4]), 1e-12)
    held[..., 3] = np.log(law.m / (marginal * slope))
    return held


def pin_rate(n_real: float, n_sim: float) -> Pin:
    """Hold the success of a mix, by its ceiling."""
    mix = (np.array([n_real], float), np.array([n_sim], float))

    def pin(law: Law, theta: np.ndarray, rate: np.ndarray) -> np.ndarray:
        held = theta.copy()
        held[..., 0] = 1.0
        risen = law.success(held, *mix)[..., 0]
        held[..., 0] = rate / np.maximum(risen, 1e-12)
        return held

    return pin
