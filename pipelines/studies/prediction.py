"""Does the law foretell? The largest mixes are held out, predicted from the rest, and then looked at.

A law that fits what it has seen says little; one that was right about five times as many synthetic demos says more.
Forms are compared in the same way, and by Akaike's criterion corrected for few data (Hurvich and Tsai 1989).
"""

from dataclasses import dataclass

import numpy as np

from handful import InputError
from pipelines.studies.fits import Fit, Fits, pin_rate
from pipelines.studies.laws import laws, plainer_laws
from pipelines.studies.noise import Means
from pipelines.studies.results import Mix
from pipelines.studies.surface import rates

# Rates whose deviance is profiled before it is refined.
_RATES = np.concatenate([[0.002, 0.01], np.linspace(0.05, 0.95, 13), [0.99, 0.998]])


@dataclass(frozen=True)
class Prediction:
    """A held-out mix, foretold by the others.

    Attributes:
        mix: which one.
        predicted: rate by the best law.
        low: lower end of the interval of the expected rate.
        high: its upper end.
        measured: what it came to.
        measured_low: lower end of its interval.
        measured_high: upper end.
    """

    mix: Mix
    predicted: float
    low: float
    high: float
    measured: float
    measured_low: float
    measured_high: float

    @property
    def agrees(self) -> bool:
        """Whether some rate is in both intervals."""
        return self.low <= self.measured_high and self.measured_low <= self.high


@dataclass(frozen=True)
class Form:
    """How one form of law did.

    Attributes:
        name: of the form.
        parameters: that were fitted.
        deviance: what it leaves, in units of noise; about the number of mixes less `parameters` if it is true.
        aicc: Akaike's criterion above that of the best form; infinite with too few mixes to say.
        held_out: root mean square error of its rates for the mixes held out, fitted to the others; NaN where none were.
    """

    name: str
    parameters: int
    deviance: float
    aicc: float
    held_out: float


def predict(fits: Fits, n_real: int, n_sim: int) -> tuple[float, float, float]:
    """Expected success of any mix: best value, lower and upper end; these are 0 and 1 where nothing bounds it."""
    best = _at(fits.best, n_real, n_sim)
    profile = fits.profile(pin_rate(n_real, n_sim), best, _RATES, 0, log=False)
    return best, max(profile.low, 0.0), min(profile.high, 1.0)


def largest(means: Means) -> np.ndarray:
    """(C,) which mixes have the most synthetic demos.

    Raises:
        InputError: fewer than two numbers of synthetic demos besides, so that nothing tells how worth grows.
    """
    numbers = sorted({mix.n_sim for mix in means.mixes} - {0})
    if len(numbers) < 3:
        raise InputError(
            f"the largest number of synthetic demos can be foretold from two others or more; the study has "
            f"{len(numbers)} in all"
        )
    return np.array([mix.n_sim == numbers[-1] for mix in means.mixes])


def held_out(means: Means, m: float, held: np.ndarray, confidence: float = 0.95) -> list[Prediction]:
    """Predict the mixes held out, (C,) bool, from the others, and hold them against what was measured.

    Raises:
        InputError: as many mixes are left as a law has parameters, or fewer.
    """
    fits = Fits(means.only(~held), m, confidence)
    if fits.spare < 1:
        raise InputError(f"{int((~held).sum())} mixes are left to predict from; a law needs {fits.fewest} or more")
    return [
        Prediction(rate.mix, *predict(fits, rate.mix.n_real, rate.mix.n_sim), rate.rate, rate.low, rate.high)
        for rate, out in zip(rates(means, confidence), held, strict=True)
        if out
    ]


def forms(means: Means, m: float, held: np.ndarray) -> list[Form]:
    """Compare every form of law, and plainer ones, best criterion first.

    Args:
        means: of one weight rule.
        m: synthetic demos at the operating point.
        held: (C,) mixes held out for `held_out`.
    """
    every = (*laws(m), *plainer_laws(m))
    fits = Fits(means, m, forms=every)
    without = {fit.law.name: fit for fit in Fits(means.only(~held), m, forms=every).all} if held.any() else {}
    count = len(means.mixes)
    full = min(fit.deviance for fit in fits.all if not fit.law.fixed)
    # Noise beyond what runs show makes all forms look worse than they are (Burnham and Anderson 2002).
    scale = max(1.0, full / (count - 5)) if count > 5 else 1.0
    criterion = {fit.law.name: _aicc(fit.deviance / scale, fit.law.parameters, count) for fit in fits.all}
    least = min(criterion.values())
    found = [
        Form(
            name=fit.law.name,
            parameters=fit.law.parameters,
            deviance=fit.deviance,
            aicc=criterion[fit.law.name] - least if np.isfinite(criterion[fit.law.name]) else np.inf,
            held_out=_error(means, without.get(fit.law.name), held),
        )
        for fit in fits.all
    ]
    return sorted(found, key=lambda form: form.aicc)


def _aicc(deviance: float, parameters: int, count: int) -> float:
    left = count - parameters - 1
    return deviance + 2 * parameters + 2 * parameters * (parameters + 1) / left if left > 0 else np.inf


def _error(means: Means, fit: Fit | None, held: np.ndarray) -> float:
    if fit is None:
        return np.nan
    off = [
        _at(fit, mix.n_real, mix.n_sim) - rate
        for mix, rate, out in zip(means.mixes, means.rates, held, strict=True)
        if out
    ]
    return float(np.sqrt(np.mean(np.square(off))))


def _at(fit: Fit, n_real: int, n_sim: int) -> float:
    return float(fit.law.success(fit.theta, np.array([n_real], float), np.array([n_sim], float))[0])
