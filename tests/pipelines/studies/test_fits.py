from functools import cache

import numpy as np
import pytest
from scipy import optimize

from handful import InputError
from pipelines.studies.descent import descend
from pipelines.studies.fits import Fits, pin_rate, pin_worth
from pipelines.studies.laws import POWER, TRANSFER, Law, laws
from pipelines.studies.noise import Means, means
from pipelines.studies.planted import Truth, drawn
from pipelines.studies.results import Mix

LAW = Law(POWER, TRANSFER, 1000.0)
TRUTH = Truth(LAW, np.array([0.9, np.log(30), np.log(1.5), np.log(20), 0.6]))


@cache
def measured(number: int = 0) -> Means:
    return means(drawn(TRUTH, (0, 10, 25, 50), (0, 200, 1000, 5000), 3, 200, np.random.default_rng(number)))


def exact(noise: float = 1e-3) -> Means:
    """Rates as the law says, with next to no noise."""
    found = measured()
    rates = np.array([TRUTH.rate(mix.n_real, mix.n_sim) for mix in found.mixes])
    arcs = np.arcsin(np.sqrt(rates))
    return Means(
        **{**vars(found), "rates": rates, "z": arcs, "run_variance": noise**2, "scene_share": 0, "paired_share": 0}
    )


def test_descent_finds_what_scipy_finds() -> None:
    """Many small problems at once, some with their least at an end of the box."""
    rng = np.random.default_rng(1)
    x = np.linspace(0.1, 3, 8)
    targets = 1.5 * np.exp(-np.linspace(0.2, 3, 6)[:, None] * x) + 0.05 * rng.standard_normal((6, 8))
    low, high = np.array([0.1, 0.5]), np.array([2.0, 2.0])

    def residuals(theta: np.ndarray, which: np.ndarray) -> np.ndarray:
        return theta[..., :1] * np.exp(-theta[..., 1:] * x) - targets[which]

    theta, cost = descend(residuals, np.tile([1.0, 1.0], (6, 1)), low, high, tolerance=1e-10)
    for row in range(6):
        found = optimize.least_squares(
            lambda t, row=row: t[0] * np.exp(-t[1] * x) - targets[row], [1, 1], bounds=(low, high)
        )
        assert cost[row] == pytest.approx(2 * found.cost, rel=1e-4)
        np.testing.assert_allclose(theta[row], found.x, atol=1e-2)
    assert (theta[:, 1] == 0.5).any()
    assert (theta[:, 1] == 2.0).any()


def test_descent_leaves_what_is_held() -> None:
    theta, _ = descend(lambda t, _: t - 5.0, np.array([[1.0, 2.0]]), np.zeros(2), np.full(2, 9.0), held=(0,))
    np.testing.assert_allclose(theta, [[1.0, 5.0]], atol=1e-3)


def test_the_planted_law_is_found_again() -> None:
    fits = Fits(exact(), 1000)
    assert fits.best.law == LAW
    np.testing.assert_allclose(fits.best.theta, TRUTH.theta, atol=0.05)
    assert fits.best.deviance < 0.1
    # The others do not fit exact rates, and leave far more.
    assert fits.all[1].deviance > 10


def test_an_interval_holds_what_a_brute_search_holds() -> None:
    """Worths at which scipy, from many starts, finds no more deviance than allowed, are those of the interval."""
    fits = Fits(measured(), 1000, forms=(LAW,))
    profile = fits.profile(pin_worth, float(np.exp(fits.best.theta[3])), np.geomspace(*fits.worths, 17), 3)
    found = measured()
    white = np.linalg.inv(np.linalg.cholesky(found.covariance))
    low, high = LAW.box(50, *fits.worths)
    keep = [0, 1, 2, 4]

    def least(worth: float) -> float:
        def residuals(free: np.ndarray) -> np.ndarray:
            theta = np.insert(free, 3, np.log(worth))
            rates = LAW.success(theta, fits.n_real, fits.n_sim)
            return white @ (found.z - np.arcsin(np.sqrt(np.clip(rates, 1e-9, 1 - 1e-9))))

        starts = [fits.best.theta[keep], 0.5 * (low + high)[keep]]
        return min(2 * optimize.least_squares(residuals, s, bounds=(low[keep], high[keep])).cost for s in starts)

    for end in (profile.low, profile.high):
        assert least(end) - fits.best.deviance == pytest.approx(fits.allowed, abs=0.15)
    assert profile.low < TRUTH.worth(1000) < profile.high


def test_a_rate_is_held_by_its_pin() -> None:
    theta = np.tile(TRUTH.theta, (3, 1))
    wanted = np.array([0.2, 0.5, 0.7])
    held = pin_rate(50, 5000)(LAW, theta, wanted)
    np.testing.assert_allclose(LAW.success(held, np.array([50.0]), np.array([5000.0]))[:, 0], wanted)
    np.testing.assert_array_equal(theta, np.tile(TRUTH.theta, (3, 1)))


def test_what_is_held_along_a_surface_is_least() -> None:
    fits = Fits(measured(), 1000)
    logs = np.log([5.0, float(np.exp(fits.best.theta[3])), 100.0])
    for law, theta, rise in fits.along({3: logs}):
        np.testing.assert_allclose(theta[:, 3], logs)
        assert rise.min() > -0.01
        if law == fits.best.law:
            assert rise[1] == pytest.approx(0, abs=0.01)
            assert min(rise[0], rise[2]) > fits.allowed


def test_rates_that_no_law_gives_are_noticed() -> None:
    found = exact(0.01)
    crooked = found.z + np.where(np.arange(len(found.z)) % 2, 0.1, -0.1)
    fits = Fits(Means(**{**vars(found), "z": crooked}), 1000)
    assert fits.misfit < 1e-6
    assert fits.allowed > 10 * Fits(found, 1000).allowed
    assert Fits(found, 1000).misfit > 0.5


def test_two_weight_rules_are_refused() -> None:
    found = measured()
    mixed = tuple(Mix(mix.n_real, mix.n_sim, "0.5") if i == 5 else mix for i, mix in enumerate(found.mixes))
    with pytest.raises(InputError, match=r"one weight rule at a time, got 0\.5, natural"):
        Fits(Means(**{**vars(found), "mixes": mixed}), 1000)


def test_all_forms_are_fitted_best_first() -> None:
    fits = Fits(measured(), 1000)
    assert {fit.law for fit in fits.all} == set(laws(1000))
    assert [fit.deviance for fit in fits.all] == sorted(fit.deviance for fit in fits.all)
