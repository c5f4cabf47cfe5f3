import numpy as np
import pytest

from handful import InputError
from pipelines.studies.fits import Fits
from pipelines.studies.laws import POWER, TRANSFER, Law
from pipelines.studies.noise import means
from pipelines.studies.planted import Truth, drawn
from pipelines.studies.prediction import forms, held_out, largest, predict

TRUTH = Truth(Law(POWER, TRANSFER, 1000.0), np.array([0.9, np.log(30), np.log(1.5), np.log(20), 0.6]))
FOUND = means(drawn(TRUTH, (0, 10, 25, 50), (0, 200, 1000, 5000), 3, 200, np.random.default_rng(3)))


def test_the_largest_mixes_are_foretold() -> None:
    rows = held_out(FOUND, 1000, largest(FOUND))
    assert [row.mix.n_sim for row in rows] == [5000] * 4
    for row in rows:
        assert row.low < TRUTH.rate(row.mix.n_real, row.mix.n_sim) < row.high
        assert row.low < row.predicted < row.high
        assert row.agrees


def test_another_law_beyond_what_was_seen_is_noticed() -> None:
    """Synthetic demos that stop helping, and then harm: what is held out is not as foretold."""
    held = largest(FOUND)
    worse = np.where(held, 0.3, FOUND.rates)
    arcs = np.where(held, np.arcsin(np.sqrt(0.3)), FOUND.z)
    rows = held_out(type(FOUND)(**{**vars(FOUND), "rates": worse, "z": arcs}), 1000, held)
    assert not any(row.agrees for row in rows if row.mix.n_real)


def test_a_prediction_narrows_with_what_was_measured_there() -> None:
    inside, beyond = Fits(FOUND, 1000), Fits(FOUND.only(~largest(FOUND)), 1000)
    widths = []
    for fits in (inside, beyond):
        _, low, high = predict(fits, 50, 5000)
        widths.append(high - low)
    assert widths[0] < widths[1]


def test_forms_are_ranked_by_what_they_explain() -> None:
    rows = {row.name: row for row in forms(FOUND, 1000, largest(FOUND))}
    assert len(rows) == 16
    best = min(rows.values(), key=lambda row: row.aicc)
    assert best.aicc == 0
    assert best.deviance < 20
    plateau = rows["exponential, transfer, plateau"]
    assert plateau.parameters == 1
    assert plateau.aicc > 20
    assert plateau.deviance > 100
    assert rows["power, transfer, synthetic demos worth nothing"].aicc > 20
    assert rows["power, transfer"].held_out < 0.15 < plateau.held_out


def test_too_few_numbers_to_hold_one_out_are_refused() -> None:
    few = FOUND.only(np.array([mix.n_sim in (0, 200, 1000) for mix in FOUND.mixes]))
    with pytest.raises(InputError, match="from two others or more; the study has 2 in all"):
        largest(few)
    with pytest.raises(InputError, match="3 mixes are left to predict from; a law needs 6 or more"):
        held_out(FOUND, 1000, np.array([mix.n_sim != 200 or mix.n_real == 0 for mix in FOUND.mixes]))
