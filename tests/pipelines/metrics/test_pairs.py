"""Tests and intervals of differences: against scipy, published examples, and the maximum of the likelihood."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from handful import InputError
from pipelines.metrics import barnard, holm, mcnemar, paired_difference, unpaired_difference
from pipelines.metrics.pairs import _score, outcomes_of_pairs

COUNTS = st.integers(2, 60).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda w: st.tuples(st.just(w), st.integers(0, n - w), st.just(n)))
)


def test_mcnemar_is_the_binomial_test_on_pairs_that_differ():
    assert mcnemar(0, 0) == 1
    assert mcnemar(9, 1) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(1, 9) == mcnemar(9, 1)
    with pytest.raises(InputError, match="must not be negative, got -1 and 3"):
        mcnemar(-1, 3)


def test_barnard_is_the_published_example_and_beats_fisher():
    # Mehta and Senchaudhuri, "Conditional versus unconditional exact tests", 2003: 7 of 15 against 12 of 15.
    one_sided = stats.barnard_exact([[7, 12], [8, 3]], alternative="less").pvalue
    assert one_sided == pytest.approx(0.0341, abs=5e-4)
    two_sided = barnard(7, 15, 12, 15)
    assert two_sided == pytest.approx(2 * one_sided, rel=1e-3)
    assert two_sided < stats.fisher_exact([[7, 12], [8, 3]]).pvalue
    assert barnard(12, 15, 7, 15) == pytest.approx(two_sided)
    with pytest.raises(InputError, match="got 3 of 2"):
        barnard(3, 2, 1, 2)


def test_holm_is_the_step_down_rule():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    with pytest.raises(InputError, match="between 0 and 1"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_definition_rejects(p_values):
    alpha, order = 0.05, np.argsort(p_values, kind="stable")
    rejected = set()
    for rank, place in enumerate(order):
        if (len(p_values) - rank) * p_values[place] > alpha:
            break
        rejected.add(place)
    assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected


@pytest.mark.parametrize(
    ("counts", "low", "high"), [((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090)]
)
def test_the_unpaired_interval_is_newcombes_published_one(counts, low, high):
    assert unpaired_difference(*counts) == pytest.approx((low, high), abs=5.1e-5)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.floats(-0.9, 0.9))
def test_the_score_has_the_most_probable_nuisance(counts, difference):
    """Tango's closed form against a search for the maximum of the multinomial likelihood."""
    wins, losses, pairs = counts
    same = pairs - wins - losses

    def loss(q: float) -> float:
        p = (q + difference, q, 1 - 2 * q - difference)
        return -sum(k * math.log(max(x, 1e-300)) for k, x in zip((wins, losses, same), p, strict=True) if k)

    low, high = max(0.0, -difference), (1 - difference) / 2
    best = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    variance = pairs * (2 * best + difference * (1 - difference))
    if variance > 1e-3:
        expected = (wins - losses - pairs * difference) / math.sqrt(variance)
        assert _score(wins, losses, pairs, difference) == pytest.approx(expected, abs=2e-3, rel=2e-3)


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_the_paired_interval_holds_the_difference_and_mirrors(counts):
    wins, losses, pairs = counts
    low, high = paired_difference(wins, losses, pairs)
    assert -1 <= low <= (wins - losses) / pairs <= high <= 1
    mirrored = paired_difference(losses, wins, pairs)
    assert (-mirrored[1], -mirrored[0]) == pytest.approx((low, high), abs=1e-8)
    for end in (low, high):
        if abs(end) < 1:
            assert abs(_score(wins, losses, pairs, end)) == pytest.approx(1.959964, abs=1e-4)


def test_the_paired_interval_covers_as_often_as_it_says():
    n, won, lost = 40, 0.25, 0.1
    held = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            probability = stats.multinomial.pmf([wins, losses, n - wins - losses], n, [won, lost, 1 - won - lost])
            if probability > 1e-6:
                low, high = paired_difference(wins, losses, n)
                held += probability * (low <= won - lost <= high)
    assert 0.94 < held < 0.97


def test_impossible_pairs_are_refused():
    with pytest.raises(InputError, match="3 and 4 of 5 pairs cannot be"):
        paired_difference(3, 4, 5)


def test_pairs_are_counted():
    a, b = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 0, 1, 0], bool)
    assert outcomes_of_pairs(a, b) == (2, 1)
