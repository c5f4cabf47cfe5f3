"""Screening: how near the hand comes to the table and to objects."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from generators.options import PlanOptions
from generators.screening import fingertip_clearance, palm_is_clear, room, trailing
from sim.panda import PANDA
from tests.generators.standing import DOWN, LIFT, cube, situation


def corners(pose: np.ndarray) -> np.ndarray:
    return pose[:3] + LIFT.props[0].outline()


def test_fingertip_clearance_is_measured_at_the_lowest_corner() -> None:
    straight = np.array([[0.5, 0.0, 0.05, *DOWN]])
    level = fingertip_clearance(straight, np.ones(1), 0.0, PANDA.hand)
    assert level == pytest.approx(0.05 - 0.009, abs=1e-6)
    tilted = straight.copy()
    tilted[0, 3:] = (Rotation.from_rotvec([0.3, 0, 0]) * Rotation.from_quat(DOWN, scalar_first=True)).as_quat(
        scalar_first=True
    )
    assert fingertip_clearance(tilted, np.ones(1), 0.0, PANDA.hand) < level
    assert fingertip_clearance(straight, np.ones(1), 0.02, PANDA.hand) == pytest.approx(level - 0.02)


def test_the_palm_notices_a_cube_beneath_it() -> None:
    tool = np.array([[0.5, 0.0, 0.10, *DOWN]])
    assert palm_is_clear(tool, corners(cube(0.5, 0.0)), 0.004, PANDA.hand)
    assert not palm_is_clear(tool, corners(cube(0.5, 0.0, z=0.13)), 0.004, PANDA.hand)
    assert palm_is_clear(tool, np.zeros((0, 3)), 0.004, PANDA.hand)


def passing(x: float, y: np.ndarray, z: float) -> np.ndarray:
    """The tool on its way past, pointing down."""
    return np.array([[x, each, z, *DOWN] for each in y])


def rooms(
    path: np.ndarray, obstacles: list[np.ndarray], sway: float = 0.0, opening: float = 1.0, held: bool = False
) -> tuple[float, float]:
    start = path[0].copy()
    load = np.array([*start[:3], 1.0, 0.0, 0.0, 0.0]) if held else None
    where = replace(situation(cube(0.5, 0.4), held=load, obstacles=obstacles), tool=start, gripper=opening)
    end = len(path) - 1
    return room(path, np.full(len(path), opening), end, end, np.full(len(path), sway), where, PlanOptions())


def test_open_fingers_beside_a_cube_are_in_the_way_and_closed_ones_are_not() -> None:
    # The fingers open along the way; a cube's face is 23 mm from its middle.
    path, neighbour = passing(0.5, np.linspace(0.30, 0.0, 31), 0.03), [cube(0.5, -0.06)]
    hard, ease = rooms(path, neighbour)
    assert hard > 0 > ease
    hard, ease = rooms(path, neighbour, opening=0.0)
    assert hard > 0
    assert ease > 0


def test_motion_noise_asks_for_more_room() -> None:
    path, neighbour = passing(0.5, np.linspace(0.30, 0.0, 31), 0.03), [cube(0.5, -0.1)]
    assert rooms(path, neighbour, sway=0.0)[1] > 0 > rooms(path, neighbour, sway=0.05)[1]


def test_nothing_is_asked_to_be_further_away_than_it_is_to_begin_with() -> None:
    away, neighbour = passing(0.5, np.linspace(0.0, 0.30, 31), 0.03), [cube(0.5, -0.1)]
    assert rooms(away, neighbour, sway=0.05)[1] >= 0


def test_what_is_held_must_pass_over_what_stands_in_the_way() -> None:
    for height, clear in ((0.06, False), (0.10, True)):
        path = passing(0.5, np.linspace(0.15, -0.15, 31), height)
        _, ease = rooms(path, [cube(0.5, 0.0)], opening=0.5, held=True)
        assert (ease > 0) == clear


def test_what_is_held_must_not_meet_what_it_goes_to_from_the_side() -> None:
    goal = cube(0.5, 0.0)
    for height, clear in ((0.05, False), (0.10, True)):
        path = passing(0.5, np.linspace(0.15, 0.0, 31), height)
        load = np.array([*path[0, :3], 1.0, 0.0, 0.0, 0.0])
        where = replace(situation(goal, held=load), tool=path[0], gripper=0.5)
        _, ease = room(path, np.full(31, 0.5), 30, 30, np.zeros(31), where, PlanOptions())
        assert (ease > 0) == clear


def test_fingers_told_to_close_are_open_for_a_while() -> None:
    told = np.array([1.0] * 4 + [0.0] * 12 + [0.5] * 4)
    open_to = trailing(told)
    assert (open_to >= told).all()
    assert open_to[:10].tolist() == [1.0] * 10
    assert open_to[10:16].tolist() == [0.0] * 6
    assert open_to[16:].tolist() == [0.5] * 4
