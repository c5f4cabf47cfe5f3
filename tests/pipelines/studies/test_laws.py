import numpy as np
import pytest

from handful import InputError
from pipelines.studies.laws import EXCHANGES, POWER, SHAPES, TRANSFER, Exchange, Law, Shape, laws, plainer_laws

THETA = np.array([0.8, np.log(30.0), np.log(0.7), np.log(12.0), 0.4])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_rises_from_nothing_to_all(shape: Shape) -> None:
    y, a = np.array([1e-9, 0.1, 1.0, 10.0, 1e12]), np.array(1.3)
    risen = shape.rise(y, a)
    assert risen[0] == pytest.approx(0, abs=1e-6)
    assert risen[-1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(risen) > 0).all()
    np.testing.assert_allclose(shape.inverse(risen[1:4], a), y[1:4])


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_an_exchange_grows_from_nothing_through_one(exchange: Exchange) -> None:
    u, e = np.array([0.01, 0.5, 1.0, 3.0]), np.array(0.4)
    assert exchange.grow(np.zeros(1), e) == 0
    np.testing.assert_allclose(exchange.grow(np.ones(1), e), 1)
    np.testing.assert_allclose(exchange.invert(exchange.grow(u, e), e), u)
    slope = (exchange.grow(u + 1e-6, e) - exchange.grow(u - 1e-6, e)) / 2e-6
    np.testing.assert_allclose(exchange.slope(u, e), slope, rtol=1e-5)


def test_worth_is_what_demos_at_the_operating_point_replace() -> None:
    for law in laws(1000):
        mix = law.success(THETA, np.array([10.0]), np.array([1000.0]))
        real = law.success(THETA, np.array([22.0]), np.array([0.0]))
        np.testing.assert_allclose(mix, real)


def test_the_rate_at_the_margin_is_that_of_a_further_demo() -> None:
    law = Law(POWER, TRANSFER, 1000)
    replaced = law.marginal(THETA, 1000)
    one_real = law.effective(THETA, np.array([10.001]), np.array([1000.0]))
    as_many = law.effective(THETA, np.array([10.0]), np.array([1000.0 + 0.001 * replaced]))
    np.testing.assert_allclose(one_real, as_many, rtol=1e-7)
    # 1 / (worth slope) = 1000 / (12 x 0.4)
    assert replaced == pytest.approx(1000 / 4.8)


def test_demos_needed_for_a_rate_give_it() -> None:
    for law in laws(500):
        x = law.needed(THETA, 0.6)
        assert law.success(THETA, np.array([float(x)]), np.zeros(1)) == pytest.approx(0.6)
        assert law.needed(THETA, 0.81) == np.inf
        synthetic = law.synthetic(THETA, np.array(5.0))
        assert law.effective(THETA, np.zeros(1), np.array([float(synthetic)])) == pytest.approx(5.0)
    assert law.synthetic(THETA, np.array(-1.0)) == 0
    assert law.synthetic(THETA, np.array(1e6)) == np.inf  # saturating: they never replace so many


def test_plainer_laws_hold_what_they_fix() -> None:
    low, high = plainer_laws(100)[0].box(50, 0.01, 100)
    assert low[0] == high[0] == 1
    plateau = plainer_laws(100)[-1]
    assert plateau.parameters == 1
    theta = plateau.box(50, 0.01, 100)[0]
    theta[0] = 0.4
    rates = plateau.success(theta, np.array([0.0, 1.0, 50.0]), np.array([100.0, 0.0, 5000.0]))
    np.testing.assert_allclose(rates, 0.4)


def test_an_operating_point_without_synthetic_demos_is_refused() -> None:
    with pytest.raises(InputError, match="needs synthetic demos, got 0"):
        laws(0)
