"""Laws of success over demos: what a number of demos, real and synthetic, would be expected to give.

A law has two halves. An *exchange* turns a mix into an effective number of real demos,

    x = n_real + worth * g(n_sim / m),   g(1) = 1,

so that `worth` is what m synthetic demos are worth in real ones at the operating point m. A *shape* turns x into
success,

    p = ceiling * s(x / k; a),   s from 0 to 1:   no demos, no success; 1 - ceiling is the floor of failure.

Which of the forms is true nobody knows, so all are fitted, and intervals hold over all (see `fits`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from handful import InputError

# Effective real demos below this are none.
_LEAST = 1e-9


@dataclass(frozen=True)
class Shape:
    """How success rises from 0 to its ceiling.

    Attributes:
        name: of the form.
        rise: s(y, a) of y = x / k > 0 and the exponent a > 0.
        inverse: y of s in (0, 1) and a.
        exponents: least and greatest a that is considered.
    """

    name: str
    rise: Callable[[np.ndarray, np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray, np.ndarray], np.ndarray]
    exponents: tuple[float, float]


@dataclass(frozen=True)
class Exchange:
    """How the worth of synthetic demos grows with their number.

    Attributes:
        name: of the form.
        grow: g(u, e) of u = n_sim / m and the form's parameter e.
        slope: dg/du at u and e.
        invert: u at which g(u, e) is a given value; infinite where it never is.
        range: least and greatest e that is considered.
    """

    name: str
    grow: Callable[[np.ndarray, np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray]
    invert: Callable[[np.ndarray, np.ndarray], np.ndarray]
    range: tuple[float, float]


# Failure falls as a power of data, the usual scaling law (Hestness et al. 2017), begun at 1 for no data.
POWER = Shape(
    "power",
    lambda y, a: -np.expm1(-a * np.log1p(y)),
    lambda s, a: np.expm1(-np.log1p(-s) / a),
    (0.05, 30.0),
)
# The odds of success rise as a power of data (Hill 1910).
ODDS = Shape(
    "odds",
    lambda y, a: 1 / (1 + np.exp(-a * np.log(y))),
    lambda s, a: np.exp((np.log(s) - np.log1p(-s)) / a),
    (0.2, 5.0),
)
# Failure falls as a stretched exponential (Weibull 1951).
EXPONENTIAL = Shape(
    "exponential",
    lambda y, a: -np.expm1(-np.exp(a * np.log(y))),
    lambda s, a: np.exp(np.log(-np.log1p(-s)) / a),
    (0.2, 5.0),
)
SHAPES = (POWER, ODDS, EXPONENTIAL)


# Effective data grow as a power of the data transferred from (Hernandez et al. 2021).
TRANSFER = Exchange(
    "transfer",
    lambda u, e: np.where(u > 0, np.exp(e * np.log(np.maximum(u, 1e-300))), 0.0),
    lambda u, e: e * np.exp((e - 1) * np.log(np.maximum(u, 1e-300))),
    lambda g, e: np.exp(np.log(np.maximum(g, 1e-300)) / e),
    (0.05, 1.0),
)
# However many synthetic demos, they replace so many real ones and no more; e is the share of that reached at u = 1.
SATURATING = Exchange(
    "saturating",
    lambda u, e: u / (e * u + 1 - e),
    lambda u, e: (1 - e) / (e * u + 1 - e) ** 2,
    lambda g, e: np.where(e * g < 1, g * (1 - e) / np.maximum(1 - e * g, 1e-300), np.inf),
    (0.0, 0.99),
)
EXCHANGES = (TRANSFER, SATURATING)

PARAMETERS = ("ceiling", "log_k", "log_a", "log_worth", "e")


@dataclass(frozen=True)
class Law:
    """One form of each half. Parameters are theta, (..., 5): ceiling, log k, log a, log worth, e.

    Attributes:
        shape: of success over effective demos.
        exchange: of synthetic demos for real ones.
        m: synthetic demos at the operating point, at which `worth` is stated.
        fixed: parameters that are given, by number.
        note: what that means.
    """

    shape: Shape
    exchange: Exchange
    m: float
    fixed: tuple[tuple[int, float], ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        """Both halves, and what is fixed."""
        return ", ".join(filter(None, (self.shape.name, self.exchange.name, self.note)))

    @property
    def parameters(self) -> int:
        """How many are to be fitted."""
        return len(PARAMETERS) - len(self.fixed)

    def effective(self, theta: np.ndarray, n_real: np.ndarray, n_sim: np.ndarray) -> np.ndarray:
        """Effective real demos of (C,) mixes, (..., C)."""
        worth = np.exp(theta[..., 3, None]) * self.exchange.grow(n_sim / self.m, theta[..., 4, None])
        return np.asarray(np.maximum(n_real + worth, _LEAST))

    def success(self, theta: np.ndarray, n_real: np.ndarray, n_sim: np.ndarray) -> np.ndarray:
        """Expected rates of (C,) mixes, (..., C)."""
        x = self.effective(theta, n_real, n_sim)
        y = x * np.exp(-theta[..., 1, None])
        return np.asarray(theta[..., 0, None] * self.shape.rise(y, np.exp(theta[..., 2, None])))

    def needed(self, theta: np.ndarray, level: float) -> np.ndarray:
        """Effective real demos that reach a rate, (...); infinite where the ceiling lies below."""
        ceiling = theta[..., 0]
        share = np.minimum(level / ceiling, 1 - 1e-12)
        found = np.exp(theta[..., 1]) * self.shape.inverse(share, np.exp(theta[..., 2]))
        return np.where(level < ceiling, found, np.inf)

    def synthetic(self, theta: np.ndarray, worth: np.ndarray) -> np.ndarray:
        """Synthetic demos that are worth so many real ones, (...); 0 for none, infinite where none suffice."""
        ratio = np.asarray(worth) * np.exp(-theta[..., 3])
        return np.where(ratio <= 0, 0.0, self.m * self.exchange.invert(np.maximum(ratio, 1e-12), theta[..., 4]))

    def marginal(self, theta: np.ndarray, n_sim: np.ndarray | float) -> np.ndarray:
        """Synthetic demos that replace one more real demo where there are `n_sim`, (...)."""
        slope = self.exchange.slope(np.asarray(n_sim / self.m, float), theta[..., 4])
        return np.asarray(self.m / (np.exp(theta[..., 3]) * slope))

    def box(self, most_real: float, least: float, most: float) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest parameters that are considered, (5,) each.

        Args:
            most_real: the most real demos of the study.
            least: the least worth considered, in real demos.
            most: the greatest.
        """
        low = (0.01, np.log(1e-2), np.log(self.shape.exponents[0]), np.log(least), self.exchange.range[0])
        high = (1.0, np.log(1e3 * most_real), np.log(self.shape.exponents[1]), np.log(most), self.exchange.range[1])
        ends = np.array(low), np.array(high)
        for parameter, value in self.fixed:
            for end in ends:
                end[parameter] = value
        return ends


def laws(m: float) -> tuple[Law, ...]:
    """Every form considered, for an operating point of m synthetic demos."""
    if m <= 0:
        raise InputError(f"the operating point needs synthetic demos, got {m:g}")
    return tuple(Law(shape, exchange, m) for shape in SHAPES for exchange in EXCHANGES)


def plainer_laws(m: float) -> tuple[Law, ...]:
    """What the full forms are set against: fewer parameters, for who would explain as much with less."""
    nothing = np.log(1e-6)
    found = []
    for shape in SHAPES:
        found += [
            Law(shape, TRANSFER, m, ((0, 1.0),), "no floor"),
            Law(shape, TRANSFER, m, ((4, 1.0),), "every synthetic demo worth the same"),
            Law(shape, TRANSFER, m, ((3, nothing), (4, 1.0)), "synthetic demos worth nothing"),
        ]
    # All far beyond k: the same success everywhere.
    found.append(Law(EXPONENTIAL, TRANSFER, m, ((1, np.log(1e-6)), (2, 0.0), (3, 0.0), (4, 1.0)), "plateau"))
    return tuple(found)
