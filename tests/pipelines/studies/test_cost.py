import numpy as np
import pytest

from handful import InputError
from pipelines.studies.cost import Prices, best_mix, frontier
from pipelines.studies.fits import Fits
from pipelines.studies.laws import POWER, TRANSFER, Law
from pipelines.studies.noise import means
from pipelines.studies.planted import Truth, drawn

LAW = Law(POWER, TRANSFER, 1000.0)
# A real demo at 1.5, and synthetic ones so dear that it is not plain which to buy: 1,000 of them cost 10.
PRICES = Prices(
    minutes_per_real=3, seconds_per_sim=36, operator_hour=30, processor_hour=1, training_hours=2, training_hour=0.5
)


def planted(worth: float) -> Truth:
    return Truth(LAW, np.array([0.9, np.log(60), np.log(1.5), np.log(worth), 0.6]))


def fitted(truth: Truth, number: int = 0) -> Fits:
    table = drawn(truth, (0, 10, 25, 50), (0, 200, 1000, 5000), 3, 200, np.random.default_rng(number))
    return Fits(means(table), 1000)


def test_prices_add_up() -> None:
    assert (PRICES.real, PRICES.sim, PRICES.training) == (1.5, 0.01, 1.0)
    assert PRICES.of(10, 1000) == 26.0


def test_the_best_mix_is_that_of_the_planted_law() -> None:
    truth = planted(15)
    found = best_mix(fitted(truth, 1), PRICES, 61)
    n_sim = np.arange(0, 5001)
    x = (60 - 0.01 * n_sim) / 1.5 + 15 * (n_sim / 1000) ** 0.6
    best = int(n_sim[x.argmax()])
    assert 500 < best < 4500
    assert found.n_sim[1] <= best <= found.n_sim[2]
    assert found.n_sim[1] <= found.n_sim[0] <= found.n_sim[2]
    assert found.n_real[1] <= found.n_real[0] <= found.n_real[2]
    assert PRICES.of(found.n_real[0], found.n_sim[0]) <= 61
    assert found.tried
    assert found.success[1] < truth.rate(found.n_real[0], found.n_sim[0]) < found.success[2]
    assert found.real_only[1] < truth.rate(40, 0) < found.real_only[2]


def test_worthless_synthetic_demos_are_not_bought() -> None:
    found = best_mix(fitted(planted(0.02)), PRICES, 61)
    assert found.n_real[0] == found.n_real[2] == 40
    assert found.n_sim[0] == found.n_sim[1] == 0
    assert found.decided


def test_no_more_synthetic_demos_are_bought_than_were_tried() -> None:
    cheap = Prices(minutes_per_real=3, seconds_per_sim=0.36, operator_hour=30, processor_hour=1)
    found = best_mix(fitted(planted(15)), cheap, 61)
    assert found.n_sim[2] == 5000
    assert found.n_real[0] >= 40


def test_a_frontier_begins_where_a_demo_is_affordable() -> None:
    rows = frontier(fitted(planted(15)), PRICES, np.array([1.0, 20.0, 40.0]))
    assert [row.budget for row in rows] == [20.0, 40.0]
    assert rows[0].success[0] < rows[1].success[0]


def test_a_budget_for_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"a budget of 2 does not buy one real demo; with training that is 2\.5"):
        best_mix(fitted(planted(15)), PRICES, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seconds_per_sim": 0}, "synthetic demos are free"),
        ({"operator_hour": 0}, "real demos are free"),
        ({"processor_hour": -1}, "processor_hour must be at least 0, got -1"),
    ],
)
def test_prices_that_cannot_be_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Prices(**{**vars(PRICES), **given})
