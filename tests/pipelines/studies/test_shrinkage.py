import numpy as np
import pytest
from scipy.special import polygamma

from pipelines.studies.shrinkage import _inverse_trigamma, shrunk


def measured(true: np.ndarray, freedom: int, number: int = 0) -> np.ndarray:
    return true * np.random.default_rng(number).chisquare(freedom, len(true)) / freedom


def test_equal_variances_are_pooled() -> None:
    values = np.array([1.0, 1.1, 0.9, 1.05])
    found, freedom = shrunk(values, np.full(4, 2.0))
    np.testing.assert_allclose(found, values.mean())
    np.testing.assert_allclose(freedom, 8)


def test_scattered_variances_are_drawn_together_as_far_as_they_are_alike() -> None:
    """Inverse chi-square about 2 with 6 degrees of freedom: the prior is found again, and the error falls."""
    rng = np.random.default_rng(1)
    true = 2.0 * 6 / rng.chisquare(6, 20_000)
    values = measured(true, 3)
    found, freedom = shrunk(values, np.full(len(true), 3.0))
    assert freedom[0] - 3 == pytest.approx(6, rel=0.1)
    common = (found[0] * freedom[0] - 3 * values[0]) / (freedom[0] - 3)
    assert common == pytest.approx(2, rel=0.05)
    assert np.median(np.abs(np.log(found / true))) < 0.6 * np.median(np.abs(np.log(values / true)))


@pytest.mark.parametrize("x", [0.01, 0.7, 3.0, 400.0])
def test_trigamma_is_inverted(x: float) -> None:
    assert _inverse_trigamma(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)
