"""Agreement against a published table, scipy, and the definition written out."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from handful import InputError
from pipelines.metrics import kendall, mean_maximum_rank_violation, pearson, spearman
from pipelines.metrics.agreement import correlations

TABLE = json.loads((Path(__file__).parents[2] / "data" / "simpler_table_iv.json").read_text())
# Printed values that do not follow from the printed rates: what they give instead.
MISPRINTS = {("r", "va", "apple"): 0.2374, ("r", "vm", "drawer_close"): 0.7712}
CELLS = [(kind, column) for kind in ("va", "vm") for column in TABLE["columns"]]
# What swapped arguments give for the columns of "vm": never what was published, but for the one where all is in order.
SWAPPED = [0.0600, 0.0367, 0.1033, 0.0618, 0.0027, 0.0000, 0.1133, 0.0107, 0.0108]


def scores(kind: str, column: str) -> dict[str, list[float]]:
    place = TABLE["columns"].index(column)
    return {name: [row[place] for row in TABLE[key]] for name, key in (("real", "real"), ("sim", f"sim_{kind}"))}


def published(metric: str, kind: str, column: str) -> float:
    printed = TABLE[f"published_{metric}_{kind}"][TABLE["columns"].index(column)]
    return MISPRINTS.get((metric, kind, column), printed)


@pytest.mark.parametrize(("kind", "column"), CELLS)
def test_simplers_table_iv_is_recomputed(kind, column):
    given_ = scores(kind, column)
    assert mean_maximum_rank_violation(**given_) == pytest.approx(published("mmrv", kind, column), abs=0.0015)
    assert pearson(**given_) == pytest.approx(published("r", kind, column), abs=0.0015)


def test_misprints_are_misprints():
    for (metric, kind, column), value in MISPRINTS.items():
        printed = TABLE[f"published_{metric}_{kind}"][TABLE["columns"].index(column)]
        assert abs(printed - value) > 0.0015


@pytest.mark.parametrize(("column", "value"), list(zip(TABLE["columns"], SWAPPED, strict=True)))
def test_swapped_arguments_give_something_else(column, value):
    right = scores("vm", column)
    wrong = mean_maximum_rank_violation(real=right["sim"], sim=right["real"])
    assert wrong == pytest.approx(value, abs=0.0015)
    if column != "drawer_open":  # ordered alike, so 0 both ways
        assert abs(wrong - published("mmrv", "vm", column)) > 0.009


@pytest.mark.parametrize("metric", [mean_maximum_rank_violation, pearson, spearman, kendall])
def test_arguments_without_their_names_are_refused(metric):
    with pytest.raises(TypeError, match="positional"):
        metric([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])


def by_definition(real: list[float], sim: list[float], ties: str) -> float:
    """The loops of the paper, with the comparison of the authors' code or with that of strict signs."""
    worst = []
    for a, x in zip(real, sim, strict=True):
        violations = []
        for b, y in zip(real, sim, strict=True):
            wrong = (x > y) != (a > b) if ties == "simpler" else (a - b) * (x - y) < 0
            violations.append(abs(a - b) if wrong else 0.0)
        worst.append(max(violations))
    return sum(worst) / len(worst)


RATES = st.lists(st.tuples(*[st.integers(0, 20).map(lambda k: k / 20)] * 2), min_size=3, max_size=9)


@given(RATES)
def test_mmrv_is_its_definition_and_zero_for_equal_order(pairs):
    real, sim = [r for r, _ in pairs], [s for _, s in pairs]
    for ties in ("simpler", "strict"):
        found = mean_maximum_rank_violation(real=real, sim=sim, ties=ties)
        assert found == pytest.approx(by_definition(real, sim, ties), abs=1e-12)
        assert 0 <= found <= 1
    assert mean_maximum_rank_violation(real=real, sim=real) == 0


def test_a_tie_in_simulation_is_charged_to_the_better_policy_or_to_none():
    tied = {"real": [0.9, 0.5], "sim": [0.7, 0.7]}
    assert mean_maximum_rank_violation(**tied) == pytest.approx(0.4 / 2)
    assert mean_maximum_rank_violation(**tied, ties="strict") == 0
    with pytest.raises(InputError, match=r"unknown rule for ties 'strickt'.*Did you mean 'strict'"):
        mean_maximum_rank_violation(**tied, ties="strickt")


@given(RATES)
def test_correlations_are_scipys(pairs):
    real, sim = np.array(pairs).T
    if np.ptp(real) == 0 or np.ptp(sim) == 0:
        assert np.isnan(correlations(real, sim))
        return
    assert pearson(real=real, sim=sim) == pytest.approx(stats.pearsonr(real, sim).statistic, abs=1e-9)
    assert spearman(real=real, sim=sim) == pytest.approx(stats.spearmanr(real, sim).statistic, abs=1e-9)
    assert kendall(real=real, sim=sim) == pytest.approx(stats.kendalltau(real, sim).statistic, abs=1e-9)


@pytest.mark.parametrize(
    ("real", "sim", "message"),
    [
        ([0.1, 0.2], [0.1, 0.2], "2 policies are too few; this needs at least 3"),
        ([0.1, 0.2, 0.3], [0.1, 0.2], "real has 3 scores and sim has 2"),
        ([10, 20, 30], [0.1, 0.2, 0.3], r"real scores must lie between 0 and 1 \(rates, not percent\), got 10"),
        ([0.1, 0.2, 0.3], [0.1, np.nan, 0.3], "sim scores must lie between 0 and 1.*got nan"),
        ([0.5, 0.5, 0.5], [0.1, 0.2, 0.3], "all 3 real scores are 0.5; a correlation needs some that differ"),
        ([[0.5], [0.4], [0.3]], [0.1, 0.2, 0.3], r"one score per policy, got an array of shape \(3, 1\)"),
    ],
)
def test_bad_scores_are_refused(real, sim, message):
    with pytest.raises(InputError, match=message):
        pearson(real=real, sim=sim)
