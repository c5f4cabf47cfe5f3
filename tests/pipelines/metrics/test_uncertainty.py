"""Intervals of agreement: what a perfect simulator scores, coverage in small, and that they narrow with n."""

import itertools

import numpy as np
import pytest

from benchmarks.metrics import agreement_coverage
from handful import InputError
from pipelines.metrics.agreement import rank_violations
from pipelines.metrics.results import Results
from pipelines.metrics.uncertainty import _TAU, METRICS, true_scores, uncertainty

NAMES = tuple("abcdefgh")


def results(rates, episodes):
    n = np.full((len(rates), 1), episodes)
    return Results(NAMES[: len(rates)], ("",), np.rint(np.array(rates)[:, None] * n).astype(int), n)


SPREAD = (0.1, 0.2, 0.35, 0.5, 0.6, 0.75, 0.85, 0.95)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rates_reach_the_perfect_score(metric):
    same = results(SPREAD, 20)
    found = uncertainty(real=same, sim=same, metric=metric, samples=500)
    perfect = METRICS[metric].perfect
    assert found.value == perfect
    assert perfect in found.ci
    assert perfect in found.ci_these
    assert found.ci[0] <= found.ci_these[0] + 0.05
    assert abs(found.random - perfect) > 0.2


def test_the_noise_floor_is_what_two_draws_of_one_rate_score():
    """At 20 trials a perfect simulator has a median of about 0.04 and up to about 0.17."""
    rng, rates = np.random.default_rng(0), np.array(SPREAD)
    drawn = rank_violations(*(rng.binomial(20, rates, (20_000, 8)) / 20 for _ in range(2)))
    found = uncertainty(real=results(SPREAD, 20), sim=results(SPREAD, 20), samples=4000)
    assert found.noise_floor == pytest.approx(np.median(drawn), abs=0.01)  # it lies on a grid
    assert found.noise_range == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)
    assert 0.02 < found.noise_floor < 0.08
    assert found.noise_range[1] > 0.08


def test_the_random_level_is_that_of_all_orders():
    real, sim = results(SPREAD[:5], 50), results((0.3, 0.1, 0.2, 0.9, 0.8), 50)
    orders = np.array(list(itertools.permutations(sim.scores)))
    every = rank_violations(np.broadcast_to(real.scores, orders.shape), orders)
    assert uncertainty(real=real, sim=sim, samples=4000).random == pytest.approx(every.mean(), abs=0.01)


def test_true_scores_follow_their_posterior():
    """Against a chain that knows only the model's density (Metropolis over R, D, m and tau), 4 policies."""
    rng = np.random.default_rng(1)
    real, sim = results((0.3, 0.5, 0.6, 0.8), 40), results((0.5, 0.4, 0.7, 0.6), 60)
    r, s = real.scores, sim.scores
    v, u = ((p := (x.successes + 0.5) / (x.episodes + 1)) * (1 - p) / x.episodes for x in (real, sim))
    v, u = v[:, 0], u[:, 0]
    places = np.log(np.gradient(_TAU)) - np.log1p((_TAU / 0.2) ** 2)

    def density(true, apart, m, k):
        misfit = (r - true) ** 2 / v + (s - true - apart) ** 2 / u + (apart - m) ** 2 / _TAU[k] ** 2
        return places[k] - len(r) * np.log(_TAU[k]) - misfit.sum() / 2

    # Only away from tau = 0, where the chain moves; so both are compared given tau > 0.05.
    state, kept = (r.copy(), s - r, 0.0, 30), []
    now = density(*state)
    for step in range(24_000):
        k = int(np.clip(state[3] + rng.integers(-3, 4), 0, len(_TAU) - 1))
        new = (
            state[0] + 0.03 * rng.standard_normal(4),
            state[1] + 0.04 * rng.standard_normal(4),
            state[2] + 0.05 * rng.standard_normal(),
            k if _TAU[k] > 0.05 else state[3],
        )
        other = density(*new)
        if np.log(rng.random()) < other - now:
            state, now = new, other
        if step > 4000 and step % 4 == 0:
            kept.append(state[0] + state[1])
    drawn = true_scores(real, sim, 40_000, np.random.default_rng(2))[1]
    chain = np.array(kept)
    assert chain.mean(axis=0) == pytest.approx(drawn.mean(axis=0), abs=0.03)
    assert chain.std(axis=0) == pytest.approx(drawn.std(axis=0), rel=0.3)


def test_more_episodes_narrow_the_interval_for_these_policies_and_less_that_for_others():
    off = (0.3, 0.1, 0.5, 0.4, 0.8, 0.6, 0.95, 0.7)
    few, many = (uncertainty(real=results(SPREAD, n), sim=results(off, n), samples=1000) for n in (20, 2000))
    width = [[u.ci[1] - u.ci[0], u.ci_these[1] - u.ci_these[0]] for u in (few, many)]
    assert width[1][1] < 0.4 * width[0][1]
    assert width[1][0] > 0.4 * width[0][0]
    assert many.ci_these[0] <= many.value <= many.ci_these[1]


@pytest.mark.parametrize("off", [0.0, 0.25, None])
def test_intervals_hold_the_truth(off):
    """In small; docs/metrics.md has the table. At a coverage of 0.9, 60 studies give 46 at least, all but surely."""
    found = agreement_coverage(8, 50, 200, off, 60, 300, np.random.default_rng(5))
    for metric in ("mmrv", "pearson"):
        assert found[metric]["others"] >= 46 / 60
        assert found[metric]["these"] >= 46 / 60


def test_the_same_seed_gives_the_same_interval():
    a, b = results(SPREAD, 20), results(SPREAD[::-1], 30)
    assert uncertainty(real=a, sim=b, samples=100) == uncertainty(real=a, sim=b, samples=100)
    assert uncertainty(real=a, sim=b, samples=100, seed=1) != uncertainty(real=a, sim=b, samples=100)


def test_three_policies_say_nothing_of_the_correlation_of_others():
    few, other = results(SPREAD[:3], 50), results((0.2, 0.1, 0.5), 50)
    assert uncertainty(real=few, sim=other, metric="pearson", samples=200).ci == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("real", "sim", "options", "message"),
    [
        (results(SPREAD[:2], 9), results(SPREAD[:2], 9), {}, "2 policies are too few; agreement with an interval"),
        (results(SPREAD, 9), results(SPREAD[:3], 9), {}, "hold other policies or conditions"),
        (results(SPREAD, 9), results(SPREAD, 9), {"metric": "pearsen"}, "unknown metric 'pearsen'"),
        (results(SPREAD, 9), results(SPREAD, 9), {"confidence": 95}, "between 0 and 1, got 95"),
    ],
)
def test_bad_input_is_refused(real, sim, options, message):
    with pytest.raises(InputError, match=message):
        uncertainty(real=real, sim=sim, **options)
