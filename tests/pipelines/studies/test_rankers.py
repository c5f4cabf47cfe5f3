"""Measures cheaper than rollouts, held against success: the right sign, an honest interval, what they would choose."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipelines.studies.rankers import interval, rankers
from pipelines.studies.results import Mix
from pipelines.studies.surface import Rate

MIXES = [Mix(10, n, "0.5") for n in (100, 200, 300, 400, 500, 600)]
SUCCESS = [0.1, 0.5, 0.2, 0.6, 0.4, 0.9]


def rows(losses: list[list[float]]) -> list[dict[str, Any]]:
    """Finished runs: a list of losses per mix, one per seed."""
    return [
        {
            "n_real": mix.n_real,
            "n_sim": mix.n_sim,
            "weight": mix.weight,
            "seed": seed,
            "offline": {"loss": loss, "executed": 1.0},
            "probe": None,
        }
        for mix, of_seeds in zip(MIXES, losses, strict=True)
        for seed, loss in enumerate(of_seeds)
    ]


def rates() -> list[Rate]:
    return [Rate(mix, rate, rate - 0.05, rate + 0.05, 2, 100) for mix, rate in zip(MIXES, SUCCESS, strict=True)]


def test_a_loss_that_falls_as_success_rises_ranks_as_rollouts_do() -> None:
    (found,) = rankers(rows([[1 - rate, 1.1 - rate] for rate in SUCCESS]), rates())
    assert "loss" in found.name
    assert (found.rho, found.mixes) == (pytest.approx(1.0), 6)
    assert found.picked == found.best
    assert found.low < 0.9 < found.high == pytest.approx(1.0)


def test_the_mix_that_a_misleading_loss_would_choose_is_named() -> None:
    losses = [[0.1], [0.5], [0.9], [0.4], [0.6], [0.7]]
    (found,) = rankers(rows(losses), rates())
    assert found.rho == pytest.approx(spearmanr([-each for (each,) in losses], SUCCESS).statistic)
    assert (found.picked.mix, found.best.mix) == (MIXES[0], MIXES[5])
    assert found.low < found.rho < found.high
    assert found.high - found.low > 1


def test_too_few_mixes_or_values_that_are_all_the_same_say_nothing() -> None:
    assert rankers(rows([[0.1]] * 6), rates()) == []
    few = rows([[rate] for rate in SUCCESS])[:4]
    assert rankers(few, rates()) == []


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_interval_holds_the_truth_as_often_as_it_says(rho: float) -> None:
    """Of normal pairs, whose rank correlation follows from Pearson's."""
    rng, n, held = np.random.default_rng(3), 9, 0
    pearson = 2 * np.sin(np.pi * rho / 6)
    for _ in range(1000):
        a = rng.standard_normal(n)
        b = pearson * a + np.sqrt(1 - pearson**2) * rng.standard_normal(n)
        low, high = interval(float(spearmanr(a, b).statistic), n)
        held += low <= rho <= high
    assert held >= 930
