"""The sequential test: a martingale under the null, few false alarms under peeking, and soon decided."""

import math

import numpy as np
import pytest

from benchmarks.metrics import ALPHA, streams
from handful import InputError
from pipelines.metrics.sequential import SequentialTest, decide, log_evidence


def test_evidence_is_expected_to_stay_as_it_is_if_policies_are_equal():
    wins, losses = np.ogrid[:40, :40]
    now = np.exp(log_evidence(wins, losses))
    after = (np.exp(log_evidence(wins + 1, losses)) + np.exp(log_evidence(wins, losses + 1))) / 2
    assert now[0, 0] == pytest.approx(1)
    assert after == pytest.approx(now, rel=1e-12)
    assert log_evidence(wins, losses) == pytest.approx(log_evidence(losses.T, wins.T).T)


def test_evidence_is_the_mean_over_the_prior():
    q = (np.arange(100_000) + 0.5) / 100_000

    def bet(share: np.ndarray | float, wins: int, losses: int) -> np.ndarray | float:
        return (2 * share) ** wins * (2 - 2 * share) ** losses

    for wins, losses in ((7, 2), (0, 5), (12, 12)):
        atoms = sum(0.2 * (bet(p, wins, losses) + bet(1 - p, wins, losses)) for p in (2 / 3, 4 / 5))
        expected = 0.2 * np.mean(bet(q, wins, losses)) + atoms
        assert math.exp(log_evidence(wins, losses)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("rate", "shared"), [(0.5, 0.0), (0.9, 0.0), (0.7, 0.5)])
def test_equal_policies_are_rarely_told_apart_however_often_one_looks(rate, shared):
    found = streams(rate, rate, shared, 10_000, np.random.default_rng(3))
    # 0.05 and four standard errors of 10,000 streams would be 0.059; the bound itself is met with room.
    assert found["decided"] <= ALPHA


def test_a_difference_of_twenty_points_is_found_soon():
    found = streams(0.8, 0.6, 0.0, 10_000, np.random.default_rng(4))
    assert found["pairs"] <= 90
    assert found["decided"] >= 0.9
    assert found["wrong"] < 0.005


def test_verdict_p_value_and_end():
    test = SequentialTest()
    for _ in range(8):
        assert test.add(True, False) == "undecided"
    before = test.p_value
    assert test.add(True, False) == "a"
    assert test.p_value == pytest.approx(math.exp(-log_evidence(9, 0)))
    assert test.p_value <= 0.05 < before
    with pytest.raises(InputError, match="the comparison was over after 9 pairs: a"):
        test.add(False, True)


def test_without_a_decision_it_ends_undecided():
    same = np.array([True, False, True])
    test = decide(same, same, most=3)
    assert (test.verdict, test.over, test.pairs, test.p_value) == ("undecided", True, 3, 1.0)
    assert not decide(same, same, most=4).over


def test_the_verdict_mirrors():
    a, b = np.array([True] * 12), np.array([False] * 12)
    assert (decide(a, b).verdict, decide(b, a).verdict) == ("a", "b")
    assert decide(a, b).pairs == decide(b, a).pairs < 12


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="alpha must lie between 0 and 1, got 5"):
        SequentialTest(alpha=5)
    with pytest.raises(InputError, match="most must be at least 1 pair, got 0"):
        SequentialTest(most=0)
    with pytest.raises(InputError, match=r"one per pair, got shapes \(2,\) and \(3,\)"):
        decide(np.ones(2, bool), np.ones(3, bool))
