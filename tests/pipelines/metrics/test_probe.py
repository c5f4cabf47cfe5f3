"""The domain probe, against laws whose best classifier is known."""

import numpy as np
import pytest
from scipy import optimize, special

from handful import InputError
from pipelines.metrics.probe import domain_probe, softmax_regression


def drawn(shifts: list[np.ndarray], episodes: int, frames: int, rng: np.random.Generator) -> tuple[list, list]:
    """Unit normal features about a shift per domain, and the episode of each row."""
    owners = [np.repeat(np.arange(episodes), frames) for _ in shifts]
    return [rng.normal(size=(episodes * frames, len(shift))) + shift for shift in shifts], owners


def test_two_laws_are_told_apart_as_well_as_can_be():
    rng = np.random.default_rng(0)
    found = domain_probe(*drawn([np.zeros(5), 1.5 * np.eye(5)[0]], 400, 2, rng), rng)
    assert found.accuracy == pytest.approx(special.ndtr(0.75), abs=0.04)  # two unit normal laws 1.5 apart
    assert found.chance == 0.5
    assert found.episodes == 400
    assert found.ci[0] < found.accuracy < found.ci[1]
    assert np.diag(found.confusion).mean() == pytest.approx(found.accuracy)
    assert np.sum(found.confusion, axis=1) == pytest.approx([1, 1])


def test_one_law_is_not_told_apart_from_itself():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(60):
        found = domain_probe(*drawn([np.zeros(4)] * 3, 20, 3, rng), rng)
        inside += found.ci[0] <= 1 / 3 <= found.ci[1]
    assert found.chance == pytest.approx(1 / 3)
    assert inside >= 54


def test_frames_of_one_episode_are_never_on_both_sides():
    """Each episode has a mark of its own and nothing else: a classifier that met it would know it again."""
    rng = np.random.default_rng(2)
    rates = []
    for _ in range(20):
        marks = 20 * rng.normal(size=(2, 12, 30))
        owners = [np.repeat(np.arange(12), 10)] * 2
        features = [np.repeat(mark, 10, axis=0) + 0.01 * rng.normal(size=(120, 30)) for mark in marks]
        rates.append(domain_probe(features, owners, rng).accuracy)
    assert abs(np.mean(rates) - 0.5) < 0.12


def test_the_regression_is_the_formula():
    rng = np.random.default_rng(3)
    x, y, weight = rng.normal(size=(40, 3)), np.arange(40) % 3, rng.random(40) + 0.5

    def loss(flat: np.ndarray) -> float:
        table = flat.reshape(4, 3)
        p = np.exp(x @ table[:3] + table[3])
        p /= p.sum(axis=1, keepdims=True)
        return float(-(weight * np.log(p[np.arange(40), y])).sum() + 0.5 * 0.7 * (table[:3] ** 2).sum())

    slopes, offsets = softmax_regression(x, y, weight, 0.7)
    best = optimize.minimize(loss, np.zeros(12), method="BFGS").fun
    assert loss(np.vstack([slopes, offsets]).ravel()) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(
    ("features", "episodes", "message"),
    [
        ([np.zeros((8, 2))], [np.arange(8)], "at least two, got 1"),
        ([np.zeros((8, 2)), np.zeros((8, 3))], [np.arange(8)] * 2, r"of one size d, got \(8, 2\), \(8, 3\)"),
        ([np.zeros((8, 2)), np.full((8, 2), np.nan)], [np.arange(8)] * 2, "must be finite"),
        ([np.zeros((8, 2))] * 2, [np.arange(8), np.arange(8) // 4], "at least 4 episodes of each domain, got 2"),
    ],
)
def test_what_cannot_be_probed_is_refused(features, episodes, message):
    with pytest.raises(InputError, match=message):
        domain_probe(features, episodes, np.random.default_rng(0))
