"""Wilson's interval against a published table, scipy and its own coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from handful import InputError
from pipelines.statistics import wilson_interval

TABLE = [
    (10, 20, 0.2993, 0.7007),
    (18, 20, 0.6990, 0.9721),
    (2, 20, 0.0279, 0.3010),
    (14, 20, 0.4810, 0.8545),
    (0, 20, 0.0000, 0.1611),
    (20, 20, 0.8389, 1.0000),
    (40, 50, 0.6696, 0.8876),
    (90, 100, 0.8256, 0.9448),
    (450, 500, 0.8706, 0.9233),
]


@pytest.mark.parametrize(("successes", "trials", "low", "high"), TABLE)
def test_matches_the_published_table(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5.1e-5)


@given(
    st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_matches_scipy(counts, confidence):
    successes, trials = counts
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_holds_the_rate_and_mirrors(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= (successes / trials if trials else 0) <= high <= 1
    mirrored = wilson_interval(trials - successes, trials)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


def test_covers_the_true_rate_about_as_often_as_it_says():
    trials, rate = 100, 0.8
    covered = [low <= rate <= high for low, high in (wilson_interval(k, trials) for k in range(trials + 1))]
    coverage = float(np.dot(covered, binom.pmf(np.arange(trials + 1), trials, rate)))
    assert 0.93 < coverage < 0.97


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(InputError, match=f"between 0 and trials, got {successes} of {trials}"):
        wilson_interval(successes, trials)


def test_impossible_confidence_is_refused():
    with pytest.raises(InputError, match=r"confidence must lie between 0 and 1, got 95"):
        wilson_interval(1, 2, 95)
