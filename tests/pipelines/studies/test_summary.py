import numpy as np
import pytest

from handful import InputError
from pipelines.studies.cost import Prices
from pipelines.studies.laws import POWER, TRANSFER, Law
from pipelines.studies.planted import Truth, drawn
from pipelines.studies.summary import summarise

TRUTH = Truth(Law(POWER, TRANSFER, 1000.0), np.array([0.9, np.log(30), np.log(1.5), np.log(20), 0.6]))
PRICES = Prices(minutes_per_real=3, seconds_per_sim=36, operator_hour=30, processor_hour=1)


def test_everything_is_worked_out_at_once() -> None:
    table = drawn(TRUTH, (10, 25), (0, 200, 1000, 5000), 3, 100, np.random.default_rng(2), weight="0.5")
    found = summarise(table, "0.5", n_sim=1000, prices=PRICES)
    assert (found.exchange.n_real, found.exchange.n_sim) == (10, 1000)
    assert found.exchange.worth[1] < TRUTH.worth(1000) < found.exchange.worth[2]
    assert found.marginal[1] < found.marginal[0] < found.marginal[2]
    assert [row.mix.n_sim for row in found.predictions] == [5000, 5000]
    assert [curve.n_real[-1] for curve in found.curves] == [10, 25]
    assert all(curve.n_sim[-1] == pytest.approx(0, abs=1e-3) for curve in found.curves)
    assert [best.budget for best in found.best] == [15.0, 37.5]
    assert found.law.startswith("of 16 forms of law, '")


def test_what_cannot_be_foretold_says_why() -> None:
    table = drawn(TRUTH, (10, 25), (0, 200, 1000), 3, 50, np.random.default_rng(2), weight="0.5")
    found = summarise(table, "0.5")
    assert found.predictions == ()
    assert "from two others or more; the study has 2 in all" in found.unpredicted
    assert all(np.isnan(form.held_out) for form in found.forms)
    assert found.best == ()


def test_a_rule_without_mixes_or_with_too_few_is_refused() -> None:
    table = drawn(TRUTH, (10, 25), (0, 1000), 3, 50, np.random.default_rng(2), weight="0.5")
    with pytest.raises(InputError, match=r"no mix is weighed by 'natural'; there is: 0\.5"):
        summarise(table, "natural")
    with pytest.raises(InputError, match="4 mixes are too few for a law; it takes at least 6"):
        summarise(table, "0.5")
