"""Recording demonstrations: a device says how the tool should move, 20 times a second; the arm follows; the tape runs.

Every device, scripted or held by a person, stands behind the same interface, so what is recorded has one form.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from generators.rollout import StepRecord, Tape, build_episode
from handful import random_stream
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, load_scenes
from scenes.sensing import measure_joints
from scenes.task import World
from scenes.workspace import Workspace
from sim.batch import BatchSim
from sim.kinematics import solve_inverse
from sim.transforms import Array, quat_from_rotvec, quat_multiply
from trajectories import Episode

_LANE = np.array([0])


@dataclass(frozen=True)
class Command:
    """What a device asks for during one control step.

    Attributes:
        twist: (6,) tool velocity in the base frame: linear [m/s], then angular [rad/s].
        gripper: wanted opening [0, 1].
    """

    twist: Array
    gripper: float


class Device(Protocol):
    """A source of commands."""

    # Who moves it, as stored with the episode: "human" or "script".
    operator: str
    # Name, as in `--device`.
    name: str
    # Index of the subtask under way; -1 where the device does not know.
    subtask: int

    def begin(self, scene: Scene, workspace: Workspace, rng: np.random.Generator) -> None:
        """Prepare for a scene."""

    def read(self, world: World, target: Array) -> Command:
        """Say what to do next.

        Args:
            world: what is where, a batch of one.
            target: (7,) tool pose that the arm was last told to reach.
        """


@dataclass(frozen=True)
class Limits:
    """How fast and where a device may move the tool."""

    # [m/s], [rad/s]
    speed: float = 0.35
    turn_speed: float = 2.0
    # Corners of the box that the tool stays in [m].
    low: tuple[float, float, float] = (0.25, -0.40, 0.005)
    high: tuple[float, float, float] = (0.75, 0.40, 0.60)


def integrate(target: Array, command: Command, limits: Limits, period: float) -> Array:
    """The tool pose (7,) one control step after `target` under a command, within the limits."""
    linear, angular = command.twist[:3].copy(), command.twist[3:].copy()
    linear *= min(1.0, limits.speed / max(float(np.linalg.norm(linear)), 1e-9))
    angular *= min(1.0, limits.turn_speed / max(float(np.linalg.norm(angular)), 1e-9))
    position = np.clip(target[:3] + period * linear, limits.low, limits.high)
    quat = quat_multiply(quat_from_rotvec(period * angular), target[3:])
    return np.concatenate([position, quat / np.linalg.norm(quat)])


def record(
    workspace: Workspace, scene: Scene, device: Device, rng: np.random.Generator, limits: Limits | None = None
) -> tuple[Episode, Outcome]:
    """Record one episode.

    Args:
        workspace: the task's world.
        scene: where.
        device: who moves the tool.
        rng: the operator's stream.
        limits: bounds on the device.

    Returns:
        The episode, and how it ended: recorded either way, for the caller to keep or discard.
    """
    limits = limits or Limits()
    sim = BatchSim(workspace.model, workspace.embodiment, 1)
    load_scenes(sim, workspace, _LANE, [scene])
    monitor, tape = Monitor(workspace, sim), Tape(sim)
    monitor.begin(_LANE, [scene])
    device.begin(scene, workspace, rng)
    chain, period = workspace.embodiment.chain, 1.0 / sim.timing.rate
    sensor = random_stream(scene.namespace, scene.seed, workspace.task.name, scene.index, "sensor_noise")
    joints = sim.joint_position(_LANE)
    target = chain.forward(joints)[0]
    posture = workspace.embodiment.home
    for _ in range(2 * workspace.task.horizon):
        command = device.read(workspace.observe(sim, _LANE), target)
        wanted = integrate(target, command, limits, period)
        solution = solve_inverse(chain, wanted[None], joints, posture, posture_gain=0.05)
        step = np.abs(solution.q - joints).max(axis=0) * sim.timing.rate
        if solution.reached()[0] and (step <= chain.max_speed).all():
            joints, target = solution.q, wanted
        gripper = float(np.clip(command.gripper, 0.0, 1.0))
        action = np.concatenate([joints, [[gripper]]], axis=1).astype(np.float32)
        mark = np.array([-1])
        subtask = np.array([device.subtask])
        measured = measure_joints(sim, _LANE, [scene], [sensor])
        tape.before(_LANE, StepRecord(action, action, target[None], subtask, mark, mark), measured)
        sim.step(_LANE, action.astype(float))
        monitor.update(_LANE)
        if monitor.outcome[0] is not None:
            break
    monitor.give_up(_LANE)
    outcome = monitor.outcome[0]
    assert outcome is not None  # give_up settles it
    meta = {
        "operator": device.operator,
        "attempts": 1,
        "seeds": scene.seeds(workspace.task.name, 0),
        "extra": {"device": device.name},
    }
    return build_episode(workspace, tape, 0, scene, outcome, {}, meta), outcome
