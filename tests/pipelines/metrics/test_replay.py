import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import binom

from handful import InputError
from pipelines.metrics.replay import Divergence, replay_divergence, rotation_angles, segments


def drifting(count: int, rows: int, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Recorded segments, and replays that drift away along x at `speed` [m/s] at 20 Hz."""
    recorded = np.random.default_rng(0).normal(size=(count, rows, 3)).cumsum(axis=1)
    away = np.zeros_like(recorded)
    away[..., 0] = speed * np.arange(rows) / 20
    return recorded, recorded + away


def test_drift_is_what_it_is_after_the_horizon():
    recorded, replayed = drifting(7, 25, 0.01)
    assert replay_divergence(recorded, replayed, rate=20).millimetres == pytest.approx(np.full(7, 10.0))
    assert replay_divergence(recorded, replayed, rate=20, horizon=0.5).median == pytest.approx(5)


def test_the_interval_of_the_median_holds_it_as_often_as_it_says():
    rng, held = np.random.default_rng(1), 0
    for _ in range(600):
        low, high = Divergence(1.0, rng.lognormal(1.0, 1.0, 31)).interval()
        held += low <= np.exp(1.0) <= high
    assert held / 600 >= 0.93
    n = 31
    low = int(binom.ppf(0.025, n, 0.5))
    assert binom.cdf(n - low, n, 0.5) - binom.cdf(low - 1, n, 0.5) >= 0.95
    assert Divergence(1.0, np.array([3.0])).interval() == (0.0, np.inf)


def test_segments_share_their_ends():
    cut = segments(np.arange(11), 4)
    assert cut.tolist() == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]]
    with pytest.raises(InputError, match="an episode of 4 rows has no segment of 4 steps"):
        segments(np.arange(4), 4)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda b: b[:, :-1], {}, "two arrays"),
        (lambda b: b + 0.002, {}, "segment 0 starts 3.5 mm apart"),
        (lambda b: b, {"horizon": 3.0}, r"3 s at 20 Hz is row 60; segments here have rows 0 \(the start\) to 24"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, options, message):
    recorded, replayed = drifting(2, 25, 0.0)
    with pytest.raises(InputError, match=message):
        replay_divergence(recorded, change(replayed), rate=20, **options)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.3, 1.0, 2.0, np.pi])
def test_rotation_angles_are_geodesic(angle):
    rng = np.random.default_rng(2)
    first = Rotation.random(5, rng)
    axes = rng.normal(size=(5, 3))
    second = first * Rotation.from_rotvec(angle * axes / np.linalg.norm(axes, axis=1, keepdims=True))
    a, b = (r.as_quat()[:, [3, 0, 1, 2]] for r in (first, second))
    assert rotation_angles(a, b) == pytest.approx(np.full(5, angle), abs=1e-9)
    assert rotation_angles(a, -b) == pytest.approx(np.full(5, angle), abs=1e-9)
