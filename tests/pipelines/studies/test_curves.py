import numpy as np
import pytest

from handful import InputError
from pipelines.studies.curves import iso_curve
from pipelines.studies.fits import Fits
from pipelines.studies.laws import POWER, TRANSFER, Law
from pipelines.studies.noise import means
from pipelines.studies.planted import Truth, drawn

LAW = Law(POWER, TRANSFER, 1000.0)
TRUTH = Truth(LAW, np.array([0.9, np.log(30), np.log(1.5), np.log(20), 0.6]))
FITS = Fits(means(drawn(TRUTH, (0, 10, 25, 50), (0, 200, 1000, 5000), 3, 200, np.random.default_rng(3))), 1000)


def test_the_curve_holds_the_planted_one() -> None:
    real = np.array([5.0, 15.0])
    found = iso_curve(FITS, 0.6, real)
    true = LAW.synthetic(TRUTH.theta, LAW.needed(TRUTH.theta, 0.6) - real)
    assert (found.low < true).all()
    assert (true < found.high).all()
    assert (found.low < found.n_sim).all()
    assert (found.n_sim < found.high).all()
    assert found.n_sim[0] > found.n_sim[1]
    np.testing.assert_allclose(FITS.best.law.success(FITS.best.theta, real, found.n_sim), 0.6)


def test_enough_real_demos_need_no_others() -> None:
    found = iso_curve(FITS, 0.3, np.array([40.0]))
    assert (found.n_sim[0], found.low[0]) == (0, 0)
    assert found.high[0] <= 1


def test_a_level_above_what_can_be_reached_has_no_end() -> None:
    found = iso_curve(FITS, 0.99, np.array([10.0]))
    assert found.n_sim[0] > 50_000
    assert np.isinf(found.high[0])
    assert found.low[0] > 5000


def test_a_level_that_is_no_rate_is_refused() -> None:
    with pytest.raises(InputError, match="a success between 0 and 1, got 60"):
        iso_curve(FITS, 60, np.array([10.0]))
