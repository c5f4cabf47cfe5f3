"""Rules of weight: what they give, and what is none."""

import math

import pytest

from handful import InputError
from pipelines.studies.weights import WeightRule


@pytest.mark.parametrize(
    ("rule", "share"),
    [
        ("natural", 800 / (800 + 12000)),
        ("0.25", 0.25),
        ("0", 0.0),
        ("sqrt(n_real / n_sim)", math.sqrt(0.05)),
        ("min(0.5, 4 * n_real / (n_real + n_sim))", 4 * 10 / 210),
        ("(n_real / (n_real + n_sim)) ** 0.5", math.sqrt(10 / 210)),
    ],
)
def test_a_rule_gives_the_real_share(rule: str, share: float) -> None:
    assert WeightRule(rule).share((10, 200), (800, 12000)) == pytest.approx(share)


@pytest.mark.parametrize("rule", ["natural", "0.25", "n_real / n_sim"])
def test_one_source_alone_has_all_of_the_samples(rule: str) -> None:
    assert WeightRule(rule).share((10, 0), (800, 0)) == 1.0
    assert WeightRule(rule).share((0, 200), (0, 12000)) == 0.0


@pytest.mark.parametrize(
    "rule", ["half", "natual", "n_real if 1 else 2", "__import__('os')", "n_real.real", "'a'", "True", ""]
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(InputError, match="unknown weight rule"):
        WeightRule(rule)


def test_a_formula_that_gives_no_share_is_refused_with_the_numbers() -> None:
    with pytest.raises(InputError, match="gives 2 for 20 real and 10 synthetic demos"):
        WeightRule("n_real / n_sim").share((20, 10), (1, 1))
    with pytest.raises(InputError, match="cannot be worked out"):
        WeightRule("n_real / (n_real - n_real)")
    with pytest.raises(InputError, match="cannot be worked out"):
        WeightRule("9.0 ** 9 ** 9")
