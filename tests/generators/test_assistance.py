"""Assistance: levels, deadband, and guidance that is gentle."""

from dataclasses import replace

import numpy as np
import pytest

from generators.assistance import PULL, Assistance, guide
from generators.teleoperation import Command, Limits, integrate
from handful import InputError
from scenes.cubes import Lift
from sim.transforms import angle_between, quat_about_z, quat_multiply

LIMITS = Limits(speed=0.4, turn_speed=2.0)
DOWN = np.array([0.0, 1.0, 0.0, 0.0])
CUBE = Lift.props[0]


def cube(x: float, y: float, yaw: float = 0.0) -> np.ndarray:
    return np.array([x, y, 0.02, *quat_about_z(yaw)])


def tool(x: float, y: float, yaw: float = 0.0) -> np.ndarray:
    return np.array([x, y, 0.2, *quat_multiply(quat_about_z(yaw), DOWN)])


@pytest.mark.parametrize(("level", "speed"), [(1, 0.04), (2, 0.1), (3, 0.2), (4, 0.4)])
def test_full_deflection_is_the_levels_share_of_the_limits(level: int, speed: float) -> None:
    twist = Assistance(speed=level).twist(np.array([1.0, 0, 0, 0, 0, -1.0]), LIMITS)
    np.testing.assert_allclose(twist, [speed, 0, 0, 0, 0, -5 * speed])


def test_a_diagonal_is_no_faster_than_an_axis() -> None:
    twist = Assistance(speed=4).twist(np.ones(6), LIMITS)
    assert np.linalg.norm(twist[:3]) == pytest.approx(0.4)
    assert np.linalg.norm(twist[3:]) == pytest.approx(2.0)


def test_a_trembling_stick_is_at_rest_and_the_rest_of_its_range_is_smooth() -> None:
    aid = Assistance(speed=4, deadband=0.2)

    def at(deflection: float) -> float:
        return float(aid.twist(np.array([deflection, 0, 0, 0, 0, 0]), LIMITS)[0])

    assert at(0.19) == at(-0.2) == 0.0
    np.testing.assert_allclose([at(0.2001), at(0.6), at(-0.6), at(1.0)], [0.0, 0.2, -0.2, 0.4], atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"speed": 0}, "speed level 0 does not exist; levels are 1 to 4"), ({"deadband": 0.6}, "outside 0 to 0.5")],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Assistance(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("twist", "where", "why"),
    [
        ([0, 0, 0, 0, 0, 0], (0.45, 0.0), "a hand at rest stays at rest"),
        ([0.1, 0, 0, 0, 0, 0], (0.45, 0.2), "nothing is near"),
        ([-0.1, 0, 0, 0, 0, 0], (0.55, 0.0), "the hand moves away"),
        ([0, 0, 0, 0, 0, 0.5], (0.45, 0.0), "the hand only turns"),
    ],
)
def test_guidance_leaves_the_hand_alone(twist: list[float], where: tuple[float, float], why: str) -> None:
    given = np.array(twist, float)
    np.testing.assert_array_equal(guide(given, tool(0.5, 0.0), cube(*where), CUBE), given, err_msg=why)


def test_the_pull_is_at_most_its_share_of_the_hands_own_speed() -> None:
    given = np.array([0.06, 0, -0.08, 0, 0, 0])
    guided = guide(given, tool(0.5, 0.06), cube(0.55, 0.0), CUBE)
    assert 0 < np.linalg.norm(guided[:3] - given[:3]) <= PULL * 0.1 + 1e-12
    assert guided[2] == pytest.approx(given[2], abs=1e-9)


@pytest.mark.parametrize("yaw", [-0.7, 0.0, 0.3, 0.78])
def test_going_down_with_guidance_ends_over_the_cube_along_its_sides(yaw: float) -> None:
    pose = tool(0.52, 0.02, 0.5)
    pose[2] = 0.3
    for _ in range(60):
        twist = guide(np.array([0, 0, -0.1, 0, 0, 0]), pose, cube(0.5, 0.0, yaw), CUBE)
        pose = integrate(pose, Command(twist, 1.0), LIMITS, 0.05)
    np.testing.assert_allclose(pose[:2], [0.5, 0.0], atol=2e-3)
    grasps = [quat_multiply(quat_about_z(yaw + k * np.pi / 2), DOWN) for k in range(4)]
    assert min(float(angle_between(pose[3:], grasp)) for grasp in grasps) < 0.02


def test_guidance_to_an_object_that_is_grasped_from_the_side_goes_across_that_way() -> None:
    """Pulled up and down as well as sideways, and not forwards, which is the hand's own affair."""
    ahead = np.array([np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0])  # the tool's z along the base's x
    lying = replace(CUBE, symmetries=((1.0, 0.0, 0.0, 0.0),), grasps=((0.0, 0.0, 0.0, *ahead.tolist()),))
    given = np.array([0.1, 0, 0, 0, 0, 0])
    guided = guide(given, np.array([0.3, 0.03, 0.06, *ahead]), cube(0.5, 0.0), lying)
    assert guided[0] == pytest.approx(0.1)
    assert guided[1] < 0
    assert guided[2] < 0
    np.testing.assert_array_equal(guided[3:], 0.0)
