"""Teleoperation: any device within the limits, the whole attempt on the tape, the same judge."""

from pathlib import Path

import numpy as np
import pytest

from generators.teleoperation import Command, Limits, integrate, record
from scenes.domains import get_domain
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.task import World
from scenes.workspace import Workspace, build_workspace
from sim.batch import BatchSim
from sim.panda import PANDA
from sim.transforms import angle_between
from trajectories import Store, validate

LIMITS = Limits()
START = np.array([0.5, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0])


class Steady:
    """A device that asks for the same for a while, then dives onto the table, which ends the episode."""

    operator = "human"
    name = "test"
    subtask = -1

    def __init__(self, twist: list[float], gripper: float = 1.0) -> None:
        self.command, self.left = Command(np.array(twist, float), gripper), 45

    def begin(self, scene: Scene, workspace: Workspace, rng: np.random.Generator) -> None:
        """Nothing to prepare."""

    def read(self, world: World, target: np.ndarray) -> Command:
        self.left -= 1
        return self.command if self.left >= 0 else Command(np.array([0, 0, -0.35, 0, 0, 0]), 1.0)


def scene() -> Scene:
    return draw_scene(build_workspace("lift"), get_domain("none"), "recording", 0, 0)


def test_a_twist_moves_the_target_by_its_speed_times_the_period() -> None:
    moved = integrate(START, Command(np.array([0.1, -0.2, 0.05, 0, 0, 0.8]), 1.0), LIMITS, 0.05)
    np.testing.assert_allclose(moved[:3] - START[:3], [0.005, -0.01, 0.0025], atol=1e-12)
    assert angle_between(moved[3:], START[3:]) == pytest.approx(0.04)


def test_a_wild_device_is_held_to_the_speed_limits() -> None:
    moved = integrate(START, Command(np.array([9.0, 9.0, 0, 0, 50.0, 0]), 1.0), LIMITS, 0.05)
    assert np.linalg.norm(moved[:3] - START[:3]) == pytest.approx(LIMITS.speed * 0.05)
    assert angle_between(moved[3:], START[3:]) == pytest.approx(LIMITS.turn_speed * 0.05)


@pytest.mark.parametrize("direction", np.concatenate([np.eye(3), -np.eye(3)]).tolist())
def test_the_tool_stays_in_its_box(direction: list[float]) -> None:
    pose = START
    for _ in range(200):
        pose = integrate(pose, Command(np.array([*direction, 0, 0, 0]), 1.0), LIMITS, 0.05)
    assert (pose[:3] >= LIMITS.low).all()
    assert (pose[:3] <= LIMITS.high).all()


def test_rotations_are_about_the_bases_axes() -> None:
    turned = integrate(START, Command(np.array([0, 0, 0, 0, 0, 1.0]), 1.0), LIMITS, 0.05)
    # The tool points down, so a turn about the base's z leaves it so.
    np.testing.assert_allclose(np.abs(turned[3:]), [0.0, np.cos(0.025), np.sin(0.025), 0.0], atol=1e-12)


def test_an_episode_that_failed_is_recorded_with_its_outcome() -> None:
    episode, outcome = record(build_workspace("lift"), scene(), Steady([0, 0, -0.3, 0, 0, 0]), np.random.default_rng(0))
    assert outcome is Outcome.COLLIDED
    assert episode.meta.outcome == "collided"
    assert episode.meta.operator == "human"
    validate(episode)


def test_the_arm_follows_the_device() -> None:
    workspace = build_workspace("lift")
    episode, _ = record(workspace, scene(), Steady([0.0, 0.1, 0.0, 0, 0, 0]), np.random.default_rng(0))
    tool = episode.arrays["observation/tool_pose_in_base"]
    np.testing.assert_allclose(tool[21, 1] - tool[1, 1], 0.1, atol=2e-3)
    np.testing.assert_allclose(tool[:40, 2], tool[0, 2], atol=2e-3)


def test_recorded_demos_obey_the_schema_and_end_in_success(lift_store: Path, stack_store: Path) -> None:
    for path, count in ((lift_store, 3), (stack_store, 2)):
        store = Store.open(path)
        assert len(store) == count
        for i in range(count):
            episode = store.episode(i)
            validate(episode)
            assert episode.meta.outcome == "success"
            assert episode.meta.action_source == "commanded"
            assert (episode.arrays["source/demo"] == -1).all()


def test_the_aimed_at_pose_is_that_of_the_action(lift_store: Path) -> None:
    arrays = Store.open(lift_store).episode(0).arrays
    pose = PANDA.chain.forward(arrays["action/intended"][:, :7].astype(float))
    assert np.linalg.norm(pose[:, :3] - arrays["action/tool_pose_in_base"][:, :3], axis=1).max() < 1.1e-3


def test_replaying_a_recording_gives_its_states_bit_for_bit(stack_store: Path) -> None:
    episode = Store.open(stack_store).episode(0)
    workspace, lane = build_workspace("stack_three"), np.array([0])
    sim = BatchSim(workspace.model, PANDA, 1)
    again = draw_scene(workspace, get_domain("none"), "recording", 0, episode.meta.scene)
    load_scenes(sim, workspace, lane, [again])
    for t, action in enumerate(episode.arrays["action/executed"]):
        np.testing.assert_array_equal(sim.state[0], episode.arrays["state"][t])
        sim.step(lane, action[None].astype(float))
    np.testing.assert_array_equal(sim.state[0], episode.arrays["state"][-1])
