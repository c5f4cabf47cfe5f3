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
    where = replace(situation(cube(0.6, 0.1), obstacles=[cube(0.5, 0.0)]), before=start, load=EDGE)
    poses = bridge(start, end, where, OPTIONS)
    over = np.linalg.norm(poses[:, :2] - [0.5, 0.0], axis=1) < EDGE
    top = EDGE + TABLE
    assert over.any()
    # What hangs in the gripper reaches an edge's length below the tool at most.
    assert (poses[over, 2] - EDGE > top).all()


def test_bridges_around_nothing_stay_low() -> None:
    start, end = np.array([0.4, -0.1, 0.15, *DOWN]), np.array([0.6, 0.1, 0.15, *DOWN])
    poses = bridge(start, end, replace(situation(cube(0.6, 0.1)), before=start), OPTIONS)
    np.testing.assert_allclose(poses[:, 2], 0.15, atol=1e-9)


def test_bridges_keep_their_ends_and_speed() -> None:
    start, end = np.array([0.4, -0.1, 0.05, *DOWN]), np.array([0.6, 0.1, 0.03, *DOWN])
    for obstacles in ([], [cube(0.5, 0.0)]):
        where = replace(situation(cube(0.6, 0.1), obstacles=obstacles), before=start)
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


def test_bridges_leave_and_arrive_in_the_motion_at_their_ends() -> None:
    start, end = np.array([0.4, -0.1, 0.15, *DOWN]), np.array([0.6, 0.1, 0.10, *DOWN])
    before, onward = start.copy(), end.copy()
    before[:3] -= [0.002, 0.004, -0.006]
    onward[:3] += [-0.004, 0.0, -0.008]
    for obstacles in ([], [cube(0.5, 0.0)]):
        where = replace(situation(cube(0.6, 0.1), obstacles=obstacles), before=before)
        whole = np.concatenate([[before, start], bridge(start, end, where, OPTIONS, onward), [end, onward]])
        steps = np.diff(whole[:, :3], axis=0)
        # No step differs from the one before by more than a fifth of a metre per second.
        assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() * 20 < 0.2
        at_rest = bridge(start, end, replace(where, before=start), OPTIONS)
        jumps = np.diff(np.concatenate([[before, start], at_rest, [end, onward]])[:, :3], axis=0)
        assert np.linalg.norm(jumps[1] - jumps[0]) > 2 * np.linalg.norm(steps[1] - steps[0])


def test_bridges_leave_a_tower_from_above_and_reach_one_from_above() -> None:
    tower = [cube(0.5, 0.0), cube(0.5, 0.0, z=1.5 * EDGE + TABLE)]
    over, aside = np.array([0.5, 0.0, 0.14, *DOWN]), np.array([0.5, 0.15, 0.09, *DOWN])
    where = replace(situation(cube(0.5, 0.15), obstacles=tower), before=over)
    poses = bridge(over, aside, where, OPTIONS)
    near = np.abs(poses[:, 1]) < 0.06
    assert near.sum() > 3
    assert (poses[near, 2] > 0.135).all()
    held = np.array([*aside[:3], 1.0, 0.0, 0.0, 0.0])
    where = replace(situation(tower[1], held=held, obstacles=tower[:1]), before=aside)
    poses = bridge(aside, over, where, OPTIONS)
    near = np.abs(poses[:, 1]) < 0.06
    assert near.sum() > 3
    assert (poses[near, 2] > 0.135).all()
