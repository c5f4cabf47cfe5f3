"""Assistance: levels, deadband, and guidance that is gentle."""

import numpy as np
import pytest

from generators.assistance import PULL, Assistance, guide
from generators.teleoperation import Command, Limits, integrate
from handful import InputError
from scenes.cubes import Lift, StackThree
from scenes.domains import get_domain
from scenes.scene import Scene, draw_scene
from scenes.task import World
from scenes.workspace import build_workspace
from sim.transforms import angle_between, quat_about_z, quat_multiply

LIMITS = Limits(speed=0.4, turn_speed=2.0)
DOWN = np.array([0.0, 1.0, 0.0, 0.0])
GRASP = Lift.subtasks[0]


@pytest.fixture
def scene() -> Scene:
    return draw_scene(build_workspace("lift"), get_domain("none"), "recording", 0, 0)


def world(scene: Scene, xy: tuple[float, float], yaw: float = 0.0) -> World:
    cube = np.array([[*xy, 0.02, *quat_about_z(yaw)]])
    objects = {name: cube if name == scene.roles["target"] else cube + 0.3 for name in Lift.objects}
    speeds = {name: np.zeros(1) for name in objects}
    return World(objects, speeds, np.zeros((1, 7)), np.ones(1), np.zeros(1))


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
def test_guidance_leaves_the_hand_alone(scene: Scene, twist: list[float], where: tuple[float, float], why: str) -> None:
    given = np.array(twist, float)
    np.testing.assert_array_equal(guide(given, tool(0.5, 0.0), world(scene, where), scene, GRASP), given, err_msg=why)


def test_guidance_is_for_grasps_alone(scene: Scene) -> None:
    given = np.array([0.1, 0, 0, 0, 0, 0])
    guided = guide(given, tool(0.5, 0.05), world(scene, (0.55, 0.0)), scene, StackThree.subtasks[1])
    np.testing.assert_array_equal(guided, given)


def test_the_pull_is_at_most_its_share_of_the_hands_own_speed(scene: Scene) -> None:
    given = np.array([0.06, 0, -0.08, 0, 0, 0])
    guided = guide(given, tool(0.5, 0.06), world(scene, (0.55, 0.0)), scene, GRASP)
    assert 0 < np.linalg.norm(guided[:3] - given[:3]) <= PULL * 0.1 + 1e-12
    assert guided[2] == given[2]


@pytest.mark.parametrize("yaw", [-0.7, 0.0, 0.3, 0.78])
def test_going_down_with_guidance_ends_over_the_cube_along_its_sides(scene: Scene, yaw: float) -> None:
    pose, seen = tool(0.52, 0.02, 0.5), world(scene, (0.5, 0.0), yaw)
    pose[2] = 0.3
    for _ in range(60):
        twist = guide(np.array([0, 0, -0.1, 0, 0, 0]), pose, seen, scene, GRASP)
        pose = integrate(pose, Command(twist, 1.0), LIMITS, 0.05)
    np.testing.assert_allclose(pose[:2], [0.5, 0.0], atol=2e-3)
    grasps = [quat_multiply(quat_about_z(yaw + k * np.pi / 2), DOWN) for k in range(4)]
    assert min(float(angle_between(pose[3:], grasp)) for grasp in grasps) < 0.02
