"""Bridges clear what is in the way, and keep their ends and speed."""

from dataclasses import replace

import numpy as np

from generators.bridges import bridge
from generators.options import PLAIN, PlanOptions
from scenes.cubes import EDGE
from tests.generators.standing import DOWN, TABLE, cube, situation

OPTIONS = PlanOptions()


def test_bridges_pass_over_what_stands_in_the_way() -> None:
    start, end = np.array([0.4, -0.1, 0.05, *DOWN]), np.array([0.6, 0.1, 0.05, *DOWN])
    where = replace(situation(cube(0.6, 0.1), obstacles=[cube(0.5, 0.0)]), load=EDGE)
    poses = bridge(start, end, where, OPTIONS)
    over = np.linalg.norm(poses[:, :2] - [0.5, 0.0], axis=1) < EDGE
    top = EDGE + TABLE
    assert over.any()
    # What hangs in the gripper reaches an edge's length below the tool at most.
    assert (poses[over, 2] - EDGE > top).all()


def test_bridges_around_nothing_stay_low() -> None:
    start, end = np.array([0.4, -0.1, 0.15, *DOWN]), np.array([0.6, 0.1, 0.15, *DOWN])
    poses = bridge(start, end, situation(cube(0.6, 0.1)), OPTIONS)
    np.testing.assert_allclose(poses[:, 2], 0.15, atol=1e-9)


def test_bridges_keep_their_ends_and_speed() -> None:
    start, end = np.array([0.4, -0.1, 0.05, *DOWN]), np.array([0.6, 0.1, 0.03, *DOWN])
    for obstacles in ([], [cube(0.5, 0.0)]):
        where = situation(cube(0.6, 0.1), obstacles=obstacles)
        poses = bridge(start, end, where, OPTIONS)
        whole = np.concatenate([[start], poses, [end]])
        speed = np.linalg.norm(np.diff(whole[:, :3], axis=0), axis=1) * 20
        # The option is a mean. Minimum-jerk motion peaks at 1.9 times that, and the way across has less of the time.
        assert speed.max() < 2.5 * OPTIONS.speed
        np.testing.assert_allclose(np.linalg.norm(poses[:, 3:], axis=1), 1.0, atol=1e-9)


def test_the_plain_bridge_is_a_straight_line_of_its_steps() -> None:
    start, end = np.array([0.4, -0.1, 0.05, *DOWN]), np.array([0.6, 0.1, 0.05, *DOWN])
    poses = bridge(start, end, situation(cube(0.6, 0.1), obstacles=[cube(0.5, 0)]), PLAIN)
    assert len(poses) == PLAIN.plain_steps - 1
    np.testing.assert_allclose(np.diff(poses[:, :3], axis=0), np.tile((end - start)[:3] / 5, (3, 1)), atol=1e-12)
