"""What a budget is best spent on: real demos, synthetic ones, or both, and how sure that is.

Along the mixes that a budget buys, success is highest where the effective number of demos is. So the best mix depends
on what synthetic demos are worth and on how that grows, and not on the shape of success: the interval of the best mix
is every mix that is best under some law and parameters that the study allows (`fits`). Laws are not carried on beyond
the most synthetic demos that were tried: processors are so cheap that the best would always lie there, on no evidence.
"""

import math
from dataclasses import dataclass

import numpy as np

from handful import InputError
from pipelines.studies.fits import Fits
from pipelines.studies.prediction import predict

# Mixes tried along the line of a budget; worths, and growths, that are held against the study.
_MIXES, _WORTHS, _GROWTHS = 201, 33, 13


@dataclass(frozen=True)
class Prices:
    """What data and training cost, in one currency.

    Attributes:
        minutes_per_real: a person's time per real demo, with resets and failures [minutes].
        seconds_per_sim: processor time per synthetic demo [s].
        operator_hour: price of a person's hour.
        processor_hour: price of a processor core's hour.
        training_hours: of the machine that trains one policy [h].
        training_hour: price of that machine's hour.
    """

    minutes_per_real: float
    seconds_per_sim: float
    operator_hour: float
    processor_hour: float
    training_hours: float = 0.0
    training_hour: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (value >= 0 and math.isfinite(value)):
                raise InputError(f"{name} must be at least 0, got {value:g}")
        if not self.real or not self.sim:
            kind = "synthetic" if self.real else "real"
            raise InputError(f"{kind} demos are free at these prices, so that no budget bounds them; give them a price")

    @property
    def real(self) -> float:
        """Price of a real demo."""
        return self.minutes_per_real / 60 * self.operator_hour

    @property
    def sim(self) -> float:
        """Price of a synthetic demo."""
        return self.seconds_per_sim / 3600 * self.processor_hour

    @property
    def training(self) -> float:
        """Price of training a policy, whatever it learns from."""
        return self.training_hours * self.training_hour

    def of(self, n_real: float, n_sim: float) -> float:
        """Price of a policy and its demos."""
        return n_real * self.real + n_sim * self.sim + self.training


@dataclass(frozen=True)
class BestMix:
    """The best that a budget buys.

    Attributes:
        budget: in the prices' currency.
        n_real: real demos of the best mix: by the best law, the fewest and the most that the study allows.
        n_sim: synthetic demos: the same.
        success: expected of the best law's mix: best value, lower and upper end.
        real_only: the same of spending all on real demos, as many as that buys.
        tried: whether the best mix has no more real demos than the study tried either.
    """

    budget: float
    n_real: tuple[int, int, int]
    n_sim: tuple[int, int, int]
    success: tuple[float, float, float]
    real_only: tuple[float, float, float]
    tried: bool

    @property
    def decided(self) -> bool:
        """Whether the study tells how many real demos to buy, to within a factor of two."""
        _, fewest, most = self.n_real
        return most <= max(2 * fewest, 1)


def best_mix(fits: Fits, prices: Prices, budget: float) -> BestMix:
    """The best mix for a budget, with its interval.

    Raises:
        InputError: the budget buys no demo.
    """
    left = budget - prices.training
    if left < prices.real:
        raise InputError(
            f"a budget of {budget:g} does not buy one real demo; with training that is {prices.of(1, 0):g}"
        )
    most_real = int(left / prices.real + 1e-9)
    # From nothing but synthetic demos to as many real ones as there is money for; more of these steps near 0.
    n_real = np.unique(np.round(most_real * np.linspace(0, 1, _MIXES) ** 2)).astype(int)
    affordable = np.floor((left - n_real * prices.real) / prices.sim + 1e-9)
    n_sim = np.minimum(affordable, fits.n_sim.max()).astype(int)
    best = int(fits.best.law.effective(fits.best.theta, n_real, n_sim).argmax())
    places = {best}
    logs = np.log(np.geomspace(*fits.worths, _WORTHS))
    shares = np.linspace(0, 1, _GROWTHS)
    worth, growth = (values.ravel() for values in np.meshgrid(logs, shares))
    for law, theta, rise in fits.along({3: worth, 4: growth}):
        allowed = theta[rise <= fits.allowed]
        places |= set(law.effective(allowed, n_real, n_sim).argmax(axis=1).tolist())
    ends = min(places), max(places)
    return BestMix(
        budget=budget,
        n_real=(int(n_real[best]), int(n_real[ends[0]]), int(n_real[ends[1]])),
        n_sim=(int(n_sim[best]), int(n_sim[ends[1]]), int(n_sim[ends[0]])),
        success=predict(fits, int(n_real[best]), int(n_sim[best])),
        real_only=predict(fits, most_real, 0),
        tried=bool(n_real[best] <= fits.n_real.max()),
    )


def frontier(fits: Fits, prices: Prices, budgets: np.ndarray) -> list[BestMix]:
    """The best mix for each budget that buys a real demo."""
    return [best_mix(fits, prices, float(budget)) for budget in budgets if budget >= prices.of(1, 0)]
