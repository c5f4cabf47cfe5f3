"""Following tool paths: as the solver for many does, pose by pose, whatever the company."""

import numpy as np
import pytest

from sim.embodiment import Embodiment
from sim.kinematics import solve_inverse
from sim.panda import PANDA
from sim.robots import get_embodiment
from sim.tracking import Tracker

STEPS = 16


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def paths(robot: Embodiment, rng: np.random.Generator, arms: int) -> tuple[np.ndarray, np.ndarray]:
    """Tool poses (N, T, 7) of joint motion that wanders from near home, and where it starts (N, J)."""
    start = robot.home + rng.normal(0, 0.1, (arms, len(robot.home)))
    way = np.cumsum(rng.normal(0, 0.02, (arms, STEPS, len(robot.home))), axis=1)
    joints = np.clip(start[:, None] + way, robot.chain.lower, robot.chain.upper)
    return robot.chain.forward(joints), start


@pytest.mark.parametrize("name", ["panda", "ur5e"])
def test_it_gives_what_the_solver_gives_from_pose_to_pose(name: str, rng: np.random.Generator) -> None:
    robot = get_embodiment(name)
    poses, current = paths(robot, rng, 40)
    found = Tracker(robot.chain)(poses, current)
    for t in range(STEPS):
        result = solve_inverse(robot.chain, poses[:, t], current, current)
        assert result.reached().mean() > 0.9
        current = result.q
        np.testing.assert_allclose(found[:, t], current, atol=1e-6)


def test_an_arm_moves_alone_as_in_company_to_the_last_bit(rng: np.random.Generator) -> None:
    poses, start = paths(PANDA, rng, 33)
    # One is led out of reach, and takes more iterations than the others.
    poses[7, 4:, 0] += 2.0
    track = Tracker(PANDA.chain)
    whole = track(poses, start)
    for rows in ([0], [7], [32], [5, 6, 7], list(range(20))):
        np.testing.assert_array_equal(track(poses[rows], start[rows]), whole[rows])


def test_out_of_reach_it_stays_within_its_limits_where_the_solver_does(rng: np.random.Generator) -> None:
    away, current = paths(PANDA, rng, 1)
    away[:, 4:8, 0] += 2.0
    found = Tracker(PANDA.chain)(away, current)
    assert (found >= PANDA.chain.lower).all()
    assert (found <= PANDA.chain.upper).all()
    for t in range(STEPS):
        result = solve_inverse(PANDA.chain, away[:, t], current, current)
        assert result.reached().all() or t >= 4
        current = result.q
        np.testing.assert_allclose(found[:, t], current, atol=1e-6)


def test_half_a_turn_is_no_standstill() -> None:
    pose = PANDA.chain.forward(PANDA.home)[None, None]
    turned = pose.copy()
    # Half a turn about the tool's own z.
    w, x, y, z = pose[0, 0, 3:]
    turned[..., 3:] = [-z, y, -x, w]
    found = Tracker(PANDA.chain)(np.repeat(turned, 6, axis=1), PANDA.home[None])
    assert np.abs(found[0, -1] - PANDA.home).max() > 0.5


def test_no_arms_are_no_fault() -> None:
    assert Tracker(PANDA.chain)(np.zeros((0, STEPS, 7)), np.zeros((0, 7))).shape == (0, STEPS, 7)
