"""Demos of one robot for another: same motion of the tool, own joints, own pace."""

from dataclasses import replace

import numpy as np
import pytest

from generators.augment import Engine, Options
from generators.crossing import Pace, crossed, extra_wait, fitted, paced, seek, slower
from generators.demos import Demo
from generators.planning import BRIDGE, Layout, follow
from scenes.domains import get_domain
from scenes.workspace import build_workspace
from sim.embodiment import Embodiment
from sim.panda import PANDA
from sim.transforms import angle_between, compose, interpolate
from sim.ur5e import UR5E

RATE = 20.0
DOWN = [0.0, 1.0, 0.0, 0.0]


@pytest.fixture
def demo(lift_demos: list[Demo]) -> Demo:
    return lift_demos[0]


def straight(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    return interpolate(start, end, np.arange(1, steps + 1) / steps)


def sweep(steps: int) -> tuple[np.ndarray, Layout]:
    """A tool pose at home, and a layout from it across the table and down, that closes the gripper in its middle."""
    start = UR5E.chain.forward(UR5E.home)
    end = np.array([0.6, 0.2, 0.05, *DOWN])
    event = steps // 2
    closing = np.where(np.arange(steps) < event, 1.0, 0.0)
    demo, step = np.zeros(steps, int), np.arange(steps)
    return start, Layout(straight(start, end, steps), closing, demo, step, None, abs(step - event), event, event)


def slow(robot: Embodiment, speed: float) -> Embodiment:
    return replace(robot, chain=replace(robot.chain, max_speed=np.full(robot.chain.joint_count(), speed)))


def test_a_robots_own_demo_stays_as_it_is(demo: Demo) -> None:
    assert fitted(demo, PANDA) is demo


def test_another_robots_demo_keeps_its_objects_and_loses_its_joints(demo: Demo) -> None:
    other = fitted(demo, UR5E)
    assert other.joints is None
    assert other.objects is demo.objects
    assert other.embodiment == "panda"


def test_a_demo_of_an_unknown_robot_keeps_everything_but_its_joints(demo: Demo) -> None:
    other = fitted(replace(demo, embodiment="somebody's arm"), UR5E)
    assert other.joints is None
    np.testing.assert_array_equal(other.gripper, demo.gripper)
    np.testing.assert_array_equal(other.target, demo.target)


def test_openings_keep_their_width_but_open_stays_open(demo: Demo) -> None:
    half = replace(demo, gripper=np.linspace(0.0, 1.0, len(demo)))
    ours = fitted(half, UR5E).gripper
    part = half.gripper < 0.9
    np.testing.assert_allclose(ours[part] * UR5E.hand.reach, half.gripper[part] * PANDA.hand.reach)
    np.testing.assert_array_equal(ours[~part], half.gripper[~part])


def test_longer_fingertips_take_hold_higher(demo: Demo) -> None:
    longer = replace(UR5E, hand=replace(UR5E.hand, tip_length=PANDA.hand.tip_length + 0.01))
    moved = fitted(demo, longer).target
    want = compose(demo.target, [0.0, 0.0, -0.01, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(moved, want)
    shorter = replace(UR5E, hand=replace(UR5E.hand, tip_length=PANDA.hand.tip_length - 0.01))
    np.testing.assert_allclose(fitted(demo, shorter).target, demo.target)


def test_slower_fingers_get_their_time(demo: Demo) -> None:
    # The Panda's fingers need 0.2 s for their travel, the gripper on the UR5e 0.567 s.
    assert extra_wait(demo, UR5E, RATE) == 8
    assert extra_wait(demo, replace(UR5E, finger_speed=10.0), RATE) == 0


def test_the_search_starts_where_the_path_is_on_one_branch() -> None:
    _, layout = sweep(47)
    guess = seek(UR5E.chain, UR5E.home, [layout.tool, layout.tool[:3]], np.tile(UR5E.home, (2, 1)))
    assert [len(g) for g in guess] == [47, 3]
    assert (guess[0][:, 2] > 0.0).all()  # the elbow stays up
    reached = UR5E.chain.forward(guess[0])
    assert np.linalg.norm(reached[:, :3] - layout.tool[:, :3], axis=1).max() < 0.01
    assert np.linalg.norm(reached[[4, 9, 46], :3] - layout.tool[[4, 9, 46], :3], axis=1).max() < 1e-4
    assert np.abs(np.diff(np.concatenate([UR5E.home[None], guess[0]]), axis=0)).max() < 0.1


def test_searching_does_not_depend_on_company() -> None:
    _, layout = sweep(30)
    commands = np.tile(UR5E.home, (2, 1))
    both = seek(UR5E.chain, UR5E.home, [layout.tool, layout.tool[:20]], commands)
    for i, tool in enumerate((layout.tool, layout.tool[:20])):
        np.testing.assert_array_equal(seek(UR5E.chain, UR5E.home, [tool], commands[:1])[0], both[i])


def test_a_pace_spreads_a_step_evenly_and_keeps_its_ends() -> None:
    start, layout = sweep(6)
    pace = Pace(np.array([1, 1, 3, 1, 2, 1]))
    slowed = pace.layout(start, layout)
    assert slowed.step.tolist() == [0, 1, BRIDGE, BRIDGE, 2, 3, BRIDGE, 4, 5]
    assert ((slowed.step == BRIDGE) == (slowed.demo == BRIDGE)).all()
    np.testing.assert_allclose(slowed.tool[[0, 1, 4, 5, 7, 8]], layout.tool, atol=1e-12)
    moves = np.linalg.norm(np.diff(slowed.tool[1:5, :3], axis=0), axis=1)
    np.testing.assert_allclose(moves, moves.mean(), rtol=1e-9)
    assert slowed.away.tolist() == [3, 2, 1, 1, 1, 0, 1, 1, 2]
    assert slowed.gripper[slowed.event] == 0.0
    assert slowed.gripper[slowed.event - 1] == 1.0


def test_speed_is_made_up_for_with_time_but_a_jump_is_not() -> None:
    chain = slow(UR5E, 1.0).chain
    joints = UR5E.home + np.outer([0.02, 0.16, 0.18], np.ones(6))
    # 0.14 rad in a twentieth of a second is 2.8 rad/s: four steps at 0.9 rad/s or less.
    assert slower(chain, joints, UR5E.home, RATE).counts.tolist() == [1, 4, 1]
    assert slower(chain, UR5E.home + np.outer([0.02, 0.04], np.ones(6)), UR5E.home, RATE) is None
    assert slower(chain, UR5E.home + np.outer([0.02, 2.0], np.ones(6)), UR5E.home, RATE) is None


@pytest.mark.parametrize("limit", [np.pi, 0.4])
def test_crossed_layouts_keep_the_arms_speed(limit: float) -> None:
    robot = slow(UR5E, limit)
    start, layout = sweep(30)
    layouts, joints, feasible = crossed(robot, [layout], [start], [5], UR5E.home[None], RATE)
    assert feasible.tolist() == [True]
    speed = np.abs(np.diff(np.concatenate([UR5E.home[None], joints[0]]), axis=0)) * RATE
    assert speed.max() <= limit
    assert len(joints[0]) == len(layouts[0].tool) >= 35
    reached = UR5E.chain.forward(joints[0])
    assert np.linalg.norm(reached[:, :3] - layouts[0].tool[:, :3], axis=1).max() < 1e-3
    assert angle_between(reached[:, 3:], layouts[0].tool[:, 3:]).max() < 1e-2
    np.testing.assert_allclose(layouts[0].tool[-1], layout.tool[-1], atol=1e-12)


def test_a_path_out_of_reach_is_not_followed() -> None:
    start, layout = sweep(30)
    away = straight(start, np.array([1.5, 0.0, 0.3, *DOWN]), 30)
    _, _, feasible = crossed(
        UR5E, [layout, replace(layout, tool=away)], [start] * 2, [0, 0], np.tile(UR5E.home, (2, 1)), RATE
    )
    assert feasible.tolist() == [True, False]


def test_panda_demos_make_ur5e_episodes(lift_demos: list[Demo]) -> None:
    workspace = build_workspace("lift", "ur5e")
    result = Engine(workspace, lift_demos, get_domain("none"), 0, Options()).make([0, 1, 2, 3])
    assert len(result.episodes) >= 3
    for episode in result.episodes:
        assert episode.meta.embodiment == "ur5e"
        assert [source["embodiment"] for source in episode.meta.sources] == ["panda"] * len(lift_demos)
        intended = episode.arrays["action/intended"]
        assert intended.shape[1] == 7
        assert (np.abs(np.diff(intended[:, :6], axis=0)) * RATE <= UR5E.chain.max_speed + 1e-4).all()
        assert (episode.arrays["source/demo"] != BRIDGE).any()


def test_a_robots_own_demos_are_not_said_to_be_anothers(lift_demos: list[Demo]) -> None:
    result = Engine(build_workspace("lift"), lift_demos, get_domain("none"), 0, Options()).make([0, 1])
    assert result.episodes
    assert all("embodiment" not in source for episode in result.episodes for source in episode.meta.sources)


def test_what_is_too_fast_for_the_arm_is_followed_more_slowly_and_the_rest_as_it_is() -> None:
    robot, command = UR5E, UR5E.home[None]
    start, hasty = sweep(4)
    _, easy = sweep(80)
    layouts, starts, commands = [hasty, easy], [start, start], np.repeat(command, 2, axis=0)
    guesses = seek(robot.chain, robot.home, [layout.tool for layout in layouts], commands)
    _, at_once = follow(robot.chain, [layout.tool for layout in layouts], guesses, commands, RATE)
    changed, joints, feasible = paced(robot.chain, layouts, guesses, starts, commands, RATE)
    assert at_once.tolist() == [False, True]
    assert feasible.all()
    assert changed[1] is easy
    assert len(joints[0]) == len(changed[0].gripper) > len(hasty.gripper)
    np.testing.assert_allclose(changed[0].tool[-1], hasty.tool[-1], atol=1e-9)
    steps = np.abs(np.diff(np.concatenate([command, joints[0]]), axis=0)) * RATE
    assert (steps <= robot.chain.max_speed).all()
