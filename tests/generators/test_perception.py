"""Poses as the planner sees them: off by no more than was asked for, in every direction; nothing drawn for nothing."""

import numpy as np
import pytest

from generators.perception import Perception
from handful import InputError, random_stream
from scenes.task import World
from sim.transforms import angle_between, quat_from_rotvec


def streams(n: int) -> list[np.random.Generator]:
    return [random_stream("generation", 0, "lift", i, "sensor_noise") for i in range(n)]


def world(n: int) -> World:
    rng = np.random.default_rng(0)
    poses = np.concatenate([rng.uniform(-1, 1, (n, 3)), quat_from_rotvec(rng.normal(size=(n, 3)))], axis=1)
    flat = np.zeros(n)
    return World({"a": poses, "b": poses + 0.0}, {"a": flat, "b": flat}, poses, flat, flat)


def test_errors_are_uniform_within_their_bounds() -> None:
    there, seen = world(400), Perception(0.005, 0.08).look(world(400), streams(400))
    for name, pose in there.objects.items():
        off = seen.objects[name][:, :3] - pose[:, :3]
        assert np.abs(off).max() <= 0.005
        # A uniform distribution's standard deviation is its bound over the root of 3.
        np.testing.assert_allclose(off.std(axis=0), 0.005 / np.sqrt(3), rtol=0.12)
        angle = angle_between(seen.objects[name][:, 3:], pose[:, 3:])
        assert angle.max() <= 0.08 + 1e-9
        assert angle.mean() == pytest.approx(0.04, rel=0.1)
        np.testing.assert_allclose(np.linalg.norm(seen.objects[name][:, 3:], axis=1), 1.0)
    assert (seen.objects["a"] != seen.objects["b"]).any()


def test_the_world_itself_stays_as_it_is() -> None:
    there, before = world(3), world(3)
    Perception(0.01, 0.1).look(there, streams(3))
    np.testing.assert_array_equal(there.objects["a"], before.objects["a"])


def test_without_errors_nothing_is_drawn() -> None:
    there, stream = world(1), streams(1)
    assert Perception().look(there, stream) is there
    assert stream[0].random() == streams(1)[0].random()


def test_every_look_is_another() -> None:
    stream = streams(1)
    first, second = (Perception(0.005).look(world(1), stream).objects["a"] for _ in range(2))
    assert (first != second).any()
    assert np.linalg.norm(first[0, :3] - second[0, :3]) <= Perception(0.005).slack(0.03)


@pytest.mark.parametrize(
    ("values", "message"),
    [((-0.001, 0.0), "position must be at least 0 .* got -0.001"), ((0.0, 2.0), "angle must be at least 0 .* got 2.0")],
)
def test_errors_out_of_bounds_are_refused(values: tuple[float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Perception(*values)
