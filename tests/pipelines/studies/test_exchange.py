from collections.abc import Sequence

import numpy as np
import pytest

from handful import InputError
from pipelines.studies.exchange import ExchangeRate, exchange_rate, marginal_rate, plateau
from pipelines.studies.fits import Fits
from pipelines.studies.laws import POWER, TRANSFER, Law
from pipelines.studies.noise import means
from pipelines.studies.planted import Truth, drawn

LAW = Law(POWER, TRANSFER, 1000.0)


def planted(ceiling: float = 0.9, k: float = 30, worth: float = 20) -> Truth:
    return Truth(LAW, np.array([ceiling, np.log(k), np.log(1.5), np.log(worth), 0.6]))


def found(
    truth: Truth,
    n_real: Sequence[int] = (10, 25, 50),
    n_sim: Sequence[int] = (0, 200, 1000),
    seeds: int = 3,
    at: int = 10,
) -> ExchangeRate:
    table = drawn(truth, n_real, n_sim, seeds, 200, np.random.default_rng(5))
    return exchange_rate(Fits(means(table), 1000), at)


def test_what_is_planted_is_in_the_interval() -> None:
    rate = found(planted())
    assert rate.identifiable
    assert not rate.reasons
    best, low, high = rate.worth
    assert low < 20 < high
    assert low < best < high
    assert high / low < 10
    assert rate.rate == pytest.approx((1000 / best, 1000 / high, 1000 / low))
    assert f"{rate.rate[0]:.2g} synthetic demos replace one real one at 10 real and 1000 synthetic" in rate.verdict


def test_the_margin_is_dearer_than_the_average() -> None:
    table = drawn(planted(), (0, 10, 25, 50), (0, 200, 1000, 5000), 3, 200, np.random.default_rng(3))
    fits = Fits(means(table), 1000)
    best, low, high = marginal_rate(fits)
    assert low < 1000 / (20 * 0.6) < high
    assert best > exchange_rate(fits, 10).rate[0]


@pytest.mark.parametrize(
    ("truth", "given", "reason"),
    [
        (planted(ceiling=0.7, k=0.3), {}, "real demos alone does not measurably rise from 10 to 50 demos"),
        (planted(worth=0.01), {}, "synthetic demos are not shown to be worth any"),
        (planted(worth=300), {}, "real demos, and at most 50 were tried; they are worth at least|nothing bounds"),
        (planted(), {"seeds": 1}, "one training seed, so how far seeds differ is unknown"),
        (planted(), {"n_real": (10,)}, "real demos alone were tried in 1 number; a curve needs at least 2"),
        (planted(), {"n_real": (10, 25), "n_sim": (0, 1000)}, "4 mixes are too few for a law; it takes at least 6"),
    ],
)
def test_what_is_not_identifiable_says_why(truth: Truth, given: dict[str, object], reason: str) -> None:
    rate = found(truth, **given)  # type: ignore[arg-type]
    assert not rate.identifiable
    assert rate.verdict.startswith("not identifiable: ")
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError("; ".join(rate.reasons))


def test_harm_is_named() -> None:
    table = drawn(planted(), (10, 25, 50), (0, 200, 1000), 3, 200, np.random.default_rng(5))
    cells = [
        type(cell)(**{**vars(cell), "successes": cell.successes & (cell.scenes % 3 == 0)}) if cell.n_sim else cell
        for cell in table.cells
    ]
    rate = exchange_rate(Fits(means(type(table)(tuple(cells))), 1000), 10)
    assert any("they do harm there" in reason for reason in rate.reasons)


def test_a_plateau_is_told_from_a_rise() -> None:
    flat = drawn(planted(0.7, 0.3), (10, 25, 50), (0,), 3, 200, np.random.default_rng(1))
    steep = drawn(planted(), (10, 25, 50), (0,), 3, 200, np.random.default_rng(1))
    assert plateau(means(flat)) > 0.05
    assert plateau(means(steep)) < 0.01


def test_an_operating_point_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="a number of real demos, got -1"):
        found(planted(), at=-1)
