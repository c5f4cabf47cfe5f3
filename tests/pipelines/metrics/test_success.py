import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmarks.metrics import rate_coverage
from handful import InputError
from pipelines.metrics import clopper_pearson_interval, stage_progress

# Computed by others from the definition.
TABLE = [
    (10, 20, 0.2720, 0.7280),
    (18, 20, 0.6830, 0.9877),
    (2, 20, 0.0123, 0.3170),
    (14, 20, 0.4572, 0.8811),
    (0, 20, 0.0000, 0.1684),
    (20, 20, 0.8316, 1.0000),
    (40, 50, 0.6628, 0.8997),
    (90, 100, 0.8238, 0.9510),
    (450, 500, 0.8703, 0.9249),
]


@pytest.mark.parametrize(("successes", "trials", "low", "high"), TABLE)
def test_matches_the_table(successes, trials, low, high):
    assert clopper_pearson_interval(successes, trials) == pytest.approx((low, high), abs=5.1e-5)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
def test_matches_scipy(counts, confidence):
    expected = binomtest(*counts).proportion_ci(confidence, method="exact")
    assert clopper_pearson_interval(*counts, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_coverage_is_what_it_should_be():
    found = rate_coverage()
    assert found["clopper_pearson"]["lowest"] >= 0.95
    assert found["wilson"]["mean"] >= 0.94
    # Wilson's is the narrower one because it does not promise that.
    assert found["wilson"]["lowest"] < 0.95


def test_without_trials_nothing_is_known():
    assert clopper_pearson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(("arguments", "message"), [((6, 5), "got 6 of 5"), ((1, 2, 95), "between 0 and 1, got 95")])
def test_impossible_counts_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        clopper_pearson_interval(*arguments)


def test_progress_counts_stages():
    share, by_stage = stage_progress([0, 1, 1, 3], 3)
    assert share == pytest.approx(5 / 12)
    assert by_stage == [0.75, 0.25, 0.25]
    assert np.mean(by_stage) == pytest.approx(share)


@pytest.mark.parametrize(("reached", "message"), [([], "0 and 2"), ([3], "an episode did 3 of 2"), ([-1], "did -1 of")])
def test_impossible_progress_is_refused(reached, message):
    with pytest.raises(InputError, match=message):
        stage_progress(reached, 2)
