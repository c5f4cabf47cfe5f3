"""Recording demonstrations: a device says how the tool should move, 20 times a second; the arm follows; the tape runs.

Every device, scripted or held by a person, stands behind the same interface, so what is recorded has one form.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from generators.rollout import StepRecord, Tape, build_episode
from handful import InputError, random_stream
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, load_scenes
from scenes.sensing import measure_joints
from scenes.task import World
from scenes.workspace import TABLE_TOP, Workspace
from sim.batch import BatchSim, Snapshot
from sim.embodiment import Embodiment
from sim.kinematics import solve_inverse
from sim.transforms import Array, interpolate, quat_from_rotvec, quat_multiply
from trajectories import Episode

_LANE = np.array([0])
# A command that joints could follow at less than this share of its speed is one that they cannot follow.
_SLOWEST = 0.1


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
    # Corners of the box that the tool stays in, over a table of nominal height; it rises and sinks with the table [m].
    low: tuple[float, float, float] = (0.25, -0.40, 0.005)
    high: tuple[float, float, float] = (0.75, 0.40, 0.60)

    def over(self, height: float) -> "Limits":
        """The same over a table that is so much higher than the nominal one [m]."""
        low, high = (*self.low[:2], self.low[2] + height), (*self.high[:2], self.high[2] + height)
        return replace(self, low=low, high=high)


def integrate(target: Array, command: Command, limits: Limits, period: float) -> Array:
    """The tool pose (7,) one control step after `target` under a command, within the limits."""
    linear, angular = command.twist[:3].copy(), command.twist[3:].copy()
    linear *= min(1.0, limits.speed / max(float(np.linalg.norm(linear)), 1e-9))
    angular *= min(1.0, limits.turn_speed / max(float(np.linalg.norm(angular)), 1e-9))
    position = np.clip(target[:3] + period * linear, limits.low, limits.high)
    quat = quat_multiply(quat_from_rotvec(period * angular), target[3:])
    return np.concatenate([position, quat / np.linalg.norm(quat)])


def track(
    robot: Embodiment, joints: Array, target: Array, wanted: Array, rate: float
) -> tuple[Array, Array, np.ndarray]:
    """Go from tool poses towards others within a control step, as far as the arm can.

    Args:
        robot: whose arm.
        joints: (n, J) joint angles last commanded [rad].
        target: (n, 7) tool poses last aimed at.
        wanted: (n, 7) tool poses to aim at.
        rate: control rate [Hz].

    Returns:
        Angles (n, J) and tool poses (n, 7) to command, and (n,) where they are the last ones, because the arm cannot
        get there, or not so fast.
    """
    chain, wanted = robot.chain, wanted.copy()
    found = solve_inverse(chain, wanted, joints, robot.home, posture_gain=0.05)
    q, reached = found.q.copy(), found.reached()
    share = (chain.max_speed / np.maximum(np.abs(q - joints) * rate, 1e-9)).min(axis=1)
    slow = np.flatnonzero((share > _SLOWEST) & (share < 1.0) & reached)
    if len(slow):
        # An arm slower than the command goes as far along as its joints allow.
        wanted[slow] = interpolate(target[slow], wanted[slow], 0.95 * share[slow])
        again = solve_inverse(chain, wanted[slow], joints[slow], robot.home, posture_gain=0.05)
        q[slow], reached[slow] = again.q, again.reached()
    blocked = ~(reached & (np.abs(q - joints) * rate <= chain.max_speed).all(axis=1))
    stay = blocked[:, None]
    return np.where(stay, joints, q), np.where(stay, target, wanted), blocked


@dataclass(frozen=True)
class Checkpoint:
    """A moment of an attempt that it can go back to, exactly.

    Attributes:
        steps: control steps taken by then.
        snapshot: the simulation.
        joints: (1, J) joint angles last commanded [rad].
        target: (7,) tool pose last aimed at.
        judged: what the judge knew: goal ever met, steps it had held, outcome.
        sensor: where the stream of sensor noise stood.
        world: what was where.
    """

    steps: int
    snapshot: Snapshot
    joints: Array
    target: Array
    judged: tuple[bool, int, Outcome | None]
    sensor: dict[str, Any]
    world: World


class Session:
    """One attempt at a scene, a control step at a time, with everything on the tape.

    Args:
        workspace: the task's world.
        scene: where.
        limits: bounds on whoever moves the tool.
        attempt: 0 for the first try at this scene.

    Attributes:
        world: what is where, a batch of one.
        target: (7,) tool pose that the arm was last told to reach.
        blocked: whether the last command was not followed, because the arm cannot get there, or not so fast.
    """

    def __init__(self, workspace: Workspace, scene: Scene, limits: Limits | None = None, attempt: int = 0) -> None:
        self.workspace, self.scene, self.attempt = workspace, scene, attempt
        self.sim = BatchSim(workspace.model, workspace.embodiment, 1)
        load_scenes(self.sim, workspace, _LANE, [scene])
        self._monitor, self._tape = Monitor(workspace, self.sim), Tape(self.sim)
        self._monitor.begin(_LANE, [scene])
        self._sensor = random_stream(
            scene.namespace, scene.seed, workspace.task.name, scene.index, "sensor_noise", attempt
        )
        self._joints = self.sim.joint_position(_LANE)
        self.target: Array = workspace.embodiment.chain.forward(self._joints)[0]
        self.world = workspace.observe(self.sim, _LANE)
        self.limits = (limits or Limits()).over(float(self.world.table_height[0]) - TABLE_TOP)
        self.blocked = False

    def __len__(self) -> int:
        """Control steps taken."""
        return int(self._tape.length[0])

    @property
    def outcome(self) -> Outcome | None:
        """How the attempt ended; None while it is under way."""
        return self._monitor.outcome[0]

    @property
    def hold(self) -> float:
        """For how much of the time that it must the goal has held without a break, in [0, 1]."""
        return min(1.0, float(self._monitor.held[0]) / self._monitor.need)

    @property
    def rate(self) -> float:
        """Control steps per second [Hz]."""
        return self.sim.timing.rate

    def step(self, command: Command, subtask: int) -> None:
        """Do what a device asks for during one control step, as far as limits and the arm allow.

        Args:
            command: what it asks for.
            subtask: index of the subtask under way; -1: not known.
        """
        wanted = integrate(self.target, command, self.limits, 1.0 / self.rate)
        self._joints, targets, blocked = track(
            self.workspace.embodiment, self._joints, self.target[None], wanted[None], self.rate
        )
        self.target, self.blocked = targets[0], bool(blocked[0])
        gripper = float(np.clip(command.gripper, 0.0, 1.0))
        action = np.concatenate([self._joints, [[gripper]]], axis=1).astype(np.float32)
        mark = np.array([-1])
        measured = measure_joints(self.sim, _LANE, [self.scene], [self._sensor])
        record = StepRecord(action, action, self.target[None], np.array([subtask]), mark, mark)
        self._tape.before(_LANE, record, measured)
        self.sim.step(_LANE, action.astype(float))
        self.world = self._monitor.update(_LANE)

    def checkpoint(self) -> Checkpoint:
        """Remember this moment."""
        judged = bool(self._monitor.met[0]), int(self._monitor.held[0]), self.outcome
        stream = copy.deepcopy(self._sensor.bit_generator.state)
        snapshot = self.sim.snapshot(_LANE)
        return Checkpoint(len(self), snapshot, self._joints, self.target, judged, dict(stream), self.world)

    def rewind(self, checkpoint: Checkpoint) -> None:
        """Go back to a moment of this attempt: what was done since then leaves no trace.

        Raises:
            InputError: the checkpoint lies ahead, so it cannot be of this attempt's past.
        """
        if checkpoint.steps > len(self):
            raise InputError(f"this attempt has {len(self)} steps; it cannot go back to step {checkpoint.steps}")
        self.sim.restore(_LANE, checkpoint.snapshot)
        self._tape.cut(_LANE, np.array([checkpoint.steps]))
        self._joints, self.target, self.world = checkpoint.joints, checkpoint.target, checkpoint.world
        self._monitor.met[0], self._monitor.held[0], self._monitor.outcome[0] = checkpoint.judged
        self._sensor.bit_generator.state = checkpoint.sensor
        self.blocked = False

    def give_up(self) -> Outcome:
        """Count the attempt's time as over, and say how it ended."""
        self._monitor.give_up(_LANE)
        outcome = self.outcome
        assert outcome is not None  # give_up settles it
        return outcome

    def finish(self, operator: str, device: str, extra: Mapping[str, Any] | None = None) -> tuple[Episode, Outcome]:
        """The attempt as an episode, and how it ended; its time counts as over if that was not known.

        Args:
            operator: who moved it, "human" or "script".
            device: name of the device.
            extra: anything else to store with the episode.

        Raises:
            InputError: not a step was taken.
        """
        if len(self) == 0:
            raise InputError("nothing was recorded: the attempt has no steps")
        outcome = self.give_up()
        meta = {
            "operator": operator,
            "attempts": self.attempt + 1,
            "seeds": self.scene.seeds(self.workspace.task.name, self.attempt),
            "extra": {"device": device, **(extra or {})},
        }
        return build_episode(self.workspace, self._tape, 0, self.scene, outcome, {}, meta), outcome


def record(
    workspace: Workspace, scene: Scene, device: Device, rng: np.random.Generator, limits: Limits | None = None
) -> tuple[Episode, Outcome]:
    """Record one episode as fast as the device gives commands.

    Args:
        workspace: the task's world.
        scene: where.
        device: who moves the tool.
        rng: the operator's stream.
        limits: bounds on the device.

    Returns:
        The episode, and how it ended: recorded either way, for the caller to keep or discard.
    """
    session = Session(workspace, scene, limits)
    device.begin(scene, workspace, rng)
    for _ in range(2 * workspace.task.horizon):
        command = device.read(session.world, session.target)
        session.step(command, device.subtask)
        if session.outcome is not None:
            break
    return session.finish(device.operator, device.name)
