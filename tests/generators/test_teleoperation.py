"""Teleoperation: any device within the limits, the whole attempt on the tape, the same judge."""

from pathlib import Path

import numpy as np
import pytest

from generators.rollout import StepRecord, Tape, build_episode
from generators.scripted import ScriptedOperator
from generators.teleoperation import Command, Limits, Session, integrate, record
from handful import InputError, random_stream
from scenes.domains import get_domain
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.sensing import measure_joints
from scenes.task import World
from scenes.workspace import Workspace, build_workspace
from sim.batch import BatchSim
from sim.kinematics import solve_inverse
from sim.panda import PANDA
from sim.transforms import angle_between
from trajectories import Episode, Store, validate

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


def straight_loop(workspace: Workspace, scene: Scene, device: ScriptedOperator, rng: np.random.Generator) -> Episode:
    """The recording loop written down once more in one piece, as an oracle for the session."""
    lane, sim = np.array([0]), BatchSim(workspace.model, workspace.embodiment, 1)
    load_scenes(sim, workspace, lane, [scene])
    monitor, tape = Monitor(workspace, sim), Tape(sim)
    monitor.begin(lane, [scene])
    device.begin(scene, workspace, rng)
    chain = workspace.embodiment.chain
    sensor = random_stream(scene.namespace, scene.seed, workspace.task.name, scene.index, "sensor_noise")
    joints = sim.joint_position(lane)
    target, posture = chain.forward(joints)[0], workspace.embodiment.home
    while monitor.outcome[0] is None:
        command = device.read(workspace.observe(sim, lane), target)
        wanted = integrate(target, command, LIMITS, 0.05)
        solution = solve_inverse(chain, wanted[None], joints, posture, posture_gain=0.05)
        if solution.reached()[0] and (np.abs(solution.q - joints).max(axis=0) * 20.0 <= chain.max_speed).all():
            joints, target = solution.q, wanted
        action = np.concatenate([joints, [[command.gripper]]], axis=1).astype(np.float32)
        mark, subtask = np.array([-1]), np.array([device.subtask])
        measured = measure_joints(sim, lane, [scene], [sensor])
        tape.before(lane, StepRecord(action, action, target[None], subtask, mark, mark), measured)
        sim.step(lane, action.astype(float))
        monitor.update(lane)
    meta = {"operator": "script", "attempts": 1, "seeds": scene.seeds(workspace.task.name, 0)}
    extra = {"device": "script"}
    return build_episode(workspace, tape, 0, scene, monitor.outcome[0], {}, {**meta, "extra": extra})


@pytest.mark.parametrize("domain", ["none", "twin/dev-0"])
def test_a_session_records_what_a_loop_in_one_piece_does_bit_for_bit(domain: str) -> None:
    workspace = build_workspace("lift")
    drawn = draw_scene(workspace, get_domain(domain), "recording", 3, 1)
    expected = straight_loop(workspace, drawn, ScriptedOperator(), np.random.default_rng(5))
    episode, _ = record(workspace, drawn, ScriptedOperator(), np.random.default_rng(5))
    assert_same(episode, expected)


def assert_same(one: Episode, other: Episode) -> None:
    assert one.arrays.keys() == other.arrays.keys()
    for key, value in one.arrays.items():
        assert value.dtype == other.arrays[key].dtype
        np.testing.assert_array_equal(value, other.arrays[key], err_msg=key)
    assert one.meta.to_json() == other.meta.to_json()


def wander(seed: int, steps: int) -> list[Command]:
    rng = np.random.default_rng(seed)
    return [Command(rng.normal(0, [0.1] * 3 + [0.4] * 3), float(rng.random() < 0.7)) for _ in range(steps)]


def test_going_back_to_a_checkpoint_leaves_no_trace() -> None:
    """What is recorded after it is what would have been recorded without the detour, encoder noise included."""
    workspace = build_workspace("lift")
    noisy = draw_scene(workspace, get_domain("twin/dev-0"), "recording", 0, 0)
    straight, detour = Session(workspace, noisy), Session(workspace, noisy)
    for command in wander(1, 25):
        straight.step(command, 0)
        detour.step(command, 0)
    here = detour.checkpoint()
    for command in [*wander(2, 10), *[Command(np.array([0, 0, -0.35, 0, 0, 0]), 0.0)] * 40]:
        detour.step(command, 0)
    assert detour.outcome is Outcome.COLLIDED
    detour.rewind(here)
    assert (len(detour), detour.outcome, detour.hold) == (25, None, straight.hold)
    np.testing.assert_array_equal(detour.target, straight.target)
    for command in wander(3, 20):
        straight.step(command, 0)
        detour.step(command, 0)
    assert_same(detour.finish("human", "test")[0], straight.finish("human", "test")[0])


def test_a_checkpoint_may_be_gone_back_to_twice_and_by_a_longer_way() -> None:
    session = Session(build_workspace("lift"), scene())
    start = session.checkpoint()
    for seed, steps in ((1, 340), (2, 20)):  # the first is longer than the tape has room for at its start
        for command in wander(seed, steps):
            session.step(command, 0)
            if session.outcome is not None:
                break
        session.rewind(start)
        assert len(session) == 0
    with pytest.raises(InputError, match="nothing was recorded: the attempt has no steps"):
        session.finish("human", "test")


def test_the_future_is_no_place_to_go_back_to() -> None:
    session = Session(build_workspace("lift"), scene())
    start = session.checkpoint()
    session.step(wander(1, 1)[0], 0)
    ahead = session.checkpoint()
    session.rewind(start)
    with pytest.raises(InputError, match="this attempt has 0 steps; it cannot go back to step 1"):
        session.rewind(ahead)


def test_each_attempt_at_a_scene_is_told_apart_in_its_provenance() -> None:
    session = Session(build_workspace("lift"), scene(), attempt=2)
    session.step(wander(1, 1)[0], 0)
    episode, outcome = session.finish("human", "test", {"assistance": []})
    assert outcome is Outcome.TIMED_OUT
    assert (episode.meta.attempts, episode.meta.seeds["attempt"]) == (3, 2)
    said = {"roles": scene().roles, "level": "D0", "subtasks": ["lift the blue cube"]}
    assert episode.meta.extra == {**said, "device": "test", "assistance": []}


def test_a_command_out_of_reach_is_not_followed() -> None:
    session = Session(build_workspace("lift"), scene(), Limits(low=(0.0, -2.0, 0.0), high=(2.0, 2.0, 2.0)))
    for _ in range(80):
        session.step(Command(np.array([0.35, 0, 0, 0, 0, 0]), 1.0), -1)
    assert session.blocked
    assert session.target[0] < 1.0
