"""All that the laws say of one weight rule, worked out at once: for a page, a table or a script.

Where a question cannot be answered there is a sentence instead, so that a page has something true to print.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handful import InputError
from pipelines.studies.cost import BestMix, Prices, frontier
from pipelines.studies.curves import IsoCurve, iso_curve
from pipelines.studies.exchange import ExchangeRate, exchange_rate, marginal_rate
from pipelines.studies.fits import Fits
from pipelines.studies.noise import Means, means
from pipelines.studies.prediction import Form, Prediction, forms, held_out, largest
from pipelines.studies.results import Table

# Numbers of real demos at which a curve is drawn.
_POINTS = 9


@dataclass(frozen=True, eq=False)
class Summary:
    """What the laws say of one weight rule.

    Attributes:
        weight: the rule.
        means: the rates that they were fitted to, with their noise.
        misfit: p-value of the best law.
        exchange: the exchange rate at the operating point.
        marginal: synthetic demos that replace one further real one there: best value, lower and upper end.
        forms: how every form of law did, best first.
        predictions: the mixes with the most synthetic demos, foretold by the others.
        unpredicted: why there are none.
        curves: iso-performance curves, each of what some number of real demos alone gives.
        best: the best mix for the price of so many real demos; empty without prices.
    """

    weight: str
    means: Means
    misfit: float
    exchange: ExchangeRate
    marginal: tuple[float, float, float]
    forms: tuple[Form, ...]
    predictions: tuple[Prediction, ...]
    unpredicted: str
    curves: tuple[IsoCurve, ...]
    best: tuple[BestMix, ...]

    @property
    def law(self) -> str:
        """A sentence on the law that is followed."""
        best = min(self.forms, key=lambda form: form.deviance)
        word = "describes the rates" if self.misfit >= 0.05 else "leaves more than chance would"
        rivals = [form for form in self.forms if form.aicc <= 2]
        return (
            f"of {len(self.forms)} forms of law, '{best.name}' comes nearest and {word} (p = {self.misfit:.2g}); "
            f"by Akaike's criterion {len(rivals)} do about as well as the best, so intervals hold over all full forms"
        )


def summarise(
    table: Table, weight: str, n_real: int | None = None, n_sim: int | None = None, prices: Prices | None = None
) -> Summary:
    """Work out all that the laws say of one weight rule.

    Args:
        table: of the study, one domain.
        weight: the rule.
        n_real: real demos at the operating point; the fewest in any blend unless given.
        n_sim: synthetic ones; the most unless given.
        prices: of demos and training, for the best mixes.

    Raises:
        InputError: no blend follows the rule, or it has too few mixes for a law.
    """
    part = table.of_weight(weight)
    blends = [mix for mix in part.mixes if mix.n_real and mix.n_sim]
    if not blends:
        raise InputError(f"no mix is weighed by '{weight}'; there is: {', '.join(table.weights) or 'none'}")
    pooled = means(part)
    real = min(mix.n_real for mix in blends) if n_real is None else n_real
    fits = Fits(pooled, max(mix.n_sim for mix in blends) if n_sim is None else n_sim)
    if fits.spare < 1:
        raise InputError(f"{len(part.mixes)} mixes are too few for a law; it takes at least {fits.fewest}")
    alone = sorted({mix.n_real for mix in part.mixes if not mix.n_sim})
    out, predictions, unpredicted = _foretold(pooled, fits.m)
    return Summary(
        weight=weight,
        means=pooled,
        misfit=fits.misfit,
        exchange=exchange_rate(fits, real),
        marginal=marginal_rate(fits),
        forms=tuple(forms(pooled, fits.m, out)),
        predictions=predictions,
        unpredicted=unpredicted,
        curves=_curves(fits, alone),
        best=tuple(frontier(fits, prices, np.array([prices.of(number, 0) for number in alone]))) if prices else (),
    )


def _foretold(pooled: Means, m: float) -> tuple[np.ndarray, tuple[Prediction, ...], str]:
    nothing = np.zeros(len(pooled.mixes), bool)
    try:
        out = largest(pooled)
        return out, tuple(held_out(pooled, m, out)), ""
    except InputError as error:
        return nothing, (), str(error)


def _curves(fits: Fits, alone: Sequence[int]) -> tuple[IsoCurve, ...]:
    best = fits.best
    levels = best.law.success(best.theta, np.array(alone, float), np.zeros(len(alone)))
    return tuple(
        iso_curve(fits, float(level), np.linspace(0, number, _POINTS))
        for level, number in zip(levels, alone, strict=True)
        if 0.001 < level < 0.999
    )
