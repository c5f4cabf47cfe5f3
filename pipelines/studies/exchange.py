"""The exchange rate: how many synthetic demos replace one real one, at a stated operating point.

At n real and m synthetic demos, the synthetic ones are worth so many real ones as would have to be added to the n, were
there no synthetic ones, to do as well. The average rate is m over that; the marginal one is what one further real demo
replaces there, and is higher where returns diminish. Papers that quote one of the two differ by tenfold and more from
those that quote the other.

Often a study does not determine it, and then a number would mislead. So there is a verdict, with its reasons.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from handful import InputError
from pipelines.studies.fits import Fits, Profile, pin_marginal, pin_worth
from pipelines.studies.noise import Means
from pipelines.studies.surface import gains

# Values of a profile before it is refined.
_GRID = 17
# Below this chance no law is believed.
_MISFIT = 0.001


@dataclass(frozen=True, eq=False)
class ExchangeRate:
    """What synthetic demos are worth beside real ones, at n_real and n_sim.

    Intervals end at 0 or infinity where the study sets no bound.

    Attributes:
        n_real: real demos at the operating point.
        n_sim: synthetic ones.
        success: expected there by the best law.
        worth: real demos that the synthetic ones are worth: best value, lower and upper end.
        rate: synthetic demos per real one that they replace: best value, lower and upper end.
        identifiable: whether the study determines `worth`.
        reasons: why it does not, a sentence each.
        profile: of `worth`.
    """

    n_real: int
    n_sim: int
    success: float
    worth: tuple[float, float, float]
    rate: tuple[float, float, float]
    identifiable: bool
    reasons: tuple[str, ...]
    profile: Profile

    @property
    def verdict(self) -> str:
        """One sentence: the rate with its interval, or that it is not identifiable and why."""
        if self.identifiable:
            best, low, high = self.rate
            return (
                f"{_short(best)} synthetic demos replace one real one at {self.n_real} real and {self.n_sim} "
                f"synthetic ({_short(low)} to {_short(high)})"
            )
        return f"not identifiable: {'; '.join(self.reasons)}"


def exchange_rate(fits: Fits, n_real: int) -> ExchangeRate:
    """The exchange rate at `n_real` real and the fits' number of synthetic demos."""
    if n_real < 0:
        raise InputError(f"an operating point needs a number of real demos, got {n_real}")
    profile = fits.profile(pin_worth, float(np.exp(fits.best.theta[3])), np.geomspace(*fits.worths, _GRID), 3)
    n_sim = fits.m
    point = np.array([n_real], float), np.array([n_sim], float)
    low, high = profile.low, profile.high
    reasons = _reasons(fits, n_real, profile)
    return ExchangeRate(
        n_real=n_real,
        n_sim=int(n_sim),
        success=float(fits.best.law.success(fits.best.theta, *point)[0]),
        worth=(profile.best, low, high),
        rate=(n_sim / profile.best, n_sim / high, n_sim / low if low else np.inf),
        identifiable=not reasons,
        reasons=reasons,
        profile=profile,
    )


def marginal_rate(fits: Fits) -> tuple[float, float, float]:
    """Synthetic demos that replace one further real one where there are the fits' number: best, lower and upper end."""
    least, most = fits.m / fits.worths[1] / 100, fits.m / fits.worths[0]
    best = float(fits.best.law.marginal(fits.best.theta, fits.m))
    profile = fits.profile(pin_marginal, best, np.geomspace(least, most, _GRID), 3)
    return profile.best, profile.low, profile.high


def _reasons(fits: Fits, n_real: int, profile: Profile) -> tuple[str, ...]:
    means = fits.means
    alone = [mix.n_real for mix in means.mixes if not mix.n_sim]
    found = []
    if np.isinf(means.freedom):
        found.append("each mix has one training seed, so how far seeds differ is unknown")
    if len(alone) < 2:
        found.append(
            f"real demos alone were tried in {len(alone)} number{'s' * (len(alone) != 1)}; a curve needs at least 2"
        )
    elif plateau(means) > 0.05:
        found.append(
            f"success with real demos alone does not measurably rise from {min(alone)} to {max(alone)} demos "
            f"(p = {plateau(means):.2g})"
        )
    if fits.spare < 1:
        found.append(f"{len(means.mixes)} mixes are too few for a law; it takes at least {fits.fewest}")
    if fits.misfit < _MISFIT:
        found.append(f"no law describes the measured rates (p = {fits.misfit:.1g})")
    if profile.low <= 0:
        worse = [gain for gain in gains(means) if gain.mix.n_sim == fits.m and gain.high < 0]
        harm = "; they do harm there" if worse else ""
        found.append(f"synthetic demos are not shown to be worth any{harm}")
    if np.isinf(profile.high):
        found.append(f"nothing bounds what they are worth; it is at least {_short(profile.low)} real demos")
    elif alone and n_real + profile.best > max(alone):
        found.append(
            f"to do as well would take about {_short(n_real + profile.best)} real demos, and at most {max(alone)} were "
            f"tried; they are worth at least {_short(profile.low)}"
        )
    return tuple(found)


def plateau(means: Means) -> float:
    """P-value that success with real demos alone is the same whatever their number; 1 with fewer than two numbers."""
    alone = np.array([not mix.n_sim for mix in means.mixes])
    count = int(alone.sum())
    if count < 2:
        return 1.0
    z, precision = means.z[alone], np.linalg.inv(means.covariance[np.ix_(alone, alone)])
    off = z - (precision @ z).sum() / precision.sum()
    left = float(off @ precision @ off)
    if np.isinf(means.freedom):
        return float(stats.chi2.sf(left, count - 1))
    return float(stats.f.sf(left / (count - 1), count - 1, means.freedom))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
