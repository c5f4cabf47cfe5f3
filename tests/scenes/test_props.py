"""What is asked of all props at once is what each says alone."""

import numpy as np

from scenes.monitor import _equally_many
from scenes.props import hold_distances
from scenes.task import get_task


def test_hold_distances_of_all_props_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    for name in ("pick_place", "square", "stack_three:D1"):
        props = get_task(name).props
        poses = rng.normal(size=(5, len(props), 7))
        poses[..., 3:] /= np.linalg.norm(poses[..., 3:], axis=-1, keepdims=True)
        points = rng.normal(size=(5, 3))
        together = hold_distances(poses, _equally_many([prop.hold_points for prop in props]), points[:, None])
        alone = np.stack([prop.hold_distance(poses[:, i], points) for i, prop in enumerate(props)], axis=1)
        np.testing.assert_array_equal(together, alone)
        nearest = [np.linalg.norm(poses[:, i, :3] - points, axis=1) for i in range(len(props))]
        held_off_centre = [np.abs(prop.hold_points).max() > 0 for prop in props]
        for i, off in enumerate(held_off_centre):
            assert np.allclose(together[:, i], nearest[i]) != off
