import numpy as np
import pytest
from scipy import stats

from handful import InputError
from pipelines.metrics import absolute_gap, calibration, condition_agreement, mean_maximum_rank_violation, pearson
from pipelines.metrics.gaps import gap_p_values, sensitivities


def test_the_table_of_outcomes_and_what_follows_from_it():
    real = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    sim = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    found = condition_agreement(real=real, sim=sim)
    assert (found.both, found.real_only, found.sim_only, found.neither) == (20, 5, 10, 15)
    # Cohen's kappa of this very table is 0.4 in the textbooks.
    assert found.accuracy == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)
    assert found.phi == pytest.approx(np.corrcoef(real, sim)[0, 1])
    assert found.p_value == pytest.approx(stats.binomtest(5, 15).pvalue)


def test_outcomes_that_never_vary_have_no_correlation():
    found = condition_agreement(real=[True, True], sim=[True, True])
    assert found.accuracy == 1
    assert np.isnan(found.phi)
    assert np.isnan(found.kappa)


@pytest.mark.parametrize(
    ("real", "sim", "message"),
    [
        ([1, 0], [1], "real has 2 conditions and sim has 1"),
        ([1, 0.5], [1, 0], "real must hold outcomes, true or false, got 0.5"),
        ([], [], "one outcome per condition"),
    ],
)
def test_what_is_no_pair_of_outcomes_is_refused(real, sim, message):
    with pytest.raises(InputError, match=message):
        condition_agreement(real=real, sim=sim)


def test_forecasts_that_are_right_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.95, 40_000)
    y = rng.random(40_000) < p
    found = calibration(real=y, sim=p)
    assert found.brier == pytest.approx((p * (1 - p)).mean(), abs=0.005)
    assert found.expected_error < 0.02
    assert (found.slope, found.intercept) == pytest.approx((1, 0), abs=0.06)
    assert sum(n for n, _, _ in found.bins) == len(p)


def test_forecasts_that_are_too_sure_have_a_small_slope():
    rng = np.random.default_rng(1)
    logit = rng.normal(0.5, 1, 40_000)
    y = rng.random(40_000) < 1 / (1 + np.exp(-logit))
    found = calibration(real=y, sim=1 / (1 + np.exp(-(2 * logit + 0.6))))
    # logit = (2 logit + 0.6) / 2 - 0.3
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.3), abs=0.06)
    assert found.expected_error > 0.05


def test_a_forecast_that_separates_outcomes_has_no_slope():
    found = calibration(real=[0, 0, 1, 1], sim=[0.1, 0.2, 0.8, 0.9])
    assert np.isnan(found.slope)
    assert found.brier == pytest.approx((0.01 + 0.04) / 2)
    with pytest.raises(InputError, match="probabilities between 0 and 1"):
        calibration(real=[0, 1], sim=[0.2, 20])


def test_the_gap_has_a_sign_and_a_size():
    found = absolute_gap(real=[0.5, 0.5], sim=[0.9, 0.4])
    assert (found.bias, found.mean_absolute, found.largest) == pytest.approx((0.15, 0.25, 0.4))


def test_sensitivities_are_simplers_table_vi():
    real, sim = [0.028, 0.083, 0.111, 0.389, 0.458], [0.048, 0.057, 0.080, 0.144, 0.473]
    base = 0.9
    given = {"real": sensitivities(base, base - np.array(real)), "sim": sensitivities(base, base - np.array(sim))}
    assert given["real"] == pytest.approx(real)
    assert mean_maximum_rank_violation(**given) == pytest.approx(0.0, abs=0.0015)
    assert pearson(**given) == pytest.approx(0.832, abs=0.0015)
    with pytest.raises(InputError, match="between 0 and 1, got 90"):
        sensitivities(90, [80])


def test_each_gap_has_its_p_value():
    found = gap_p_values(
        real_successes=[10, 3], real_episodes=[20, 20], sim_successes=[50, 80], sim_episodes=[100, 100]
    )
    assert found == pytest.approx([1.0, stats.fisher_exact([[3, 17], [80, 20]]).pvalue])
    with pytest.raises(InputError, match="one per policy"):
        gap_p_values(real_successes=[1], real_episodes=[2, 2], sim_successes=[1], sim_episodes=[2])
