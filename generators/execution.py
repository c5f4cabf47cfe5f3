"""Following planned paths: each lane of a chunk takes its next step, with motion noise, on tape, before the judge."""

from dataclasses import dataclass

import numpy as np

from generators.planning import Path
from generators.rollout import StepRecord, Tape
from handful import InputError
from scenes.monitor import Memory, Monitor
from scenes.scene import Scene
from scenes.sensing import measure_joints
from scenes.task import World
from scenes.workspace import Workspace
from sim.batch import BatchSim, Snapshot
from sim.transforms import Array


@dataclass(frozen=True)
class MotionNoise:
    """Noise added to the executed joint targets, so that data shows how to come back: an AR(1) process per joint."""

    # Standard deviation [rad].
    std: float = 0.02
    # Correlation from one control step to the next.
    persistence: float = 0.95
    # Factor on the noise within `quiet` control steps of a gripper event; it rises to 1 at `loud` steps from it.
    at_event: float = 0.05
    quiet: int = 8
    loud: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.std < 0.5:
            raise InputError(f"noise.std must be at least 0 and below 0.5 rad, got {self.std}")
        if not 0 <= self.persistence < 1:
            raise InputError(f"noise.persistence must be at least 0 and below 1, got {self.persistence}")
        if not 0 <= self.at_event <= 1:
            raise InputError(f"noise.at_event must be 0 to 1, got {self.at_event}")
        if not 0 <= self.quiet <= self.loud:
            raise InputError(f"noise.quiet must be 0 to noise.loud ({self.loud}), got {self.quiet}")

    def loudness(self, distance: int) -> float:
        """Factor on the noise at so many control steps from the nearest gripper event."""
        rise = (distance - self.quiet) / max(1, self.loud - self.quiet)
        return self.at_event + (1.0 - self.at_event) * min(1.0, max(0.0, rise))


@dataclass(frozen=True)
class Checkpoint:
    """All that one lane's future follows from, besides its path and its random streams."""

    sim: Snapshot
    monitor: Memory
    drift: Array
    command: Array
    gripper: float
    length: int


class Execution:
    """Steps the lanes of a chunk along the paths they were given, each at its own place.

    Args:
        workspace: the task's world.
        scenes: one per lane.
        noise: what is added to the executed targets.
        threads: threads that step the physics.

    Attributes:
        sim: the batch.
        monitor: its judge.
        tape: what each lane did.
        command: (N, J) last intended joint targets [rad].
        gripper: (N,) last commanded openings.
        jitter: per lane the stream of its motion noise.
        sensor: per lane the stream of its sensor noise.
        physics_steps: engine steps taken.
    """

    def __init__(self, workspace: Workspace, scenes: list[Scene], noise: MotionNoise, threads: int) -> None:
        self.scenes, self.noise = scenes, noise
        self.sim = BatchSim(workspace.trimmed, workspace.embodiment, len(scenes), threads)
        self.monitor = Monitor(workspace, self.sim)
        self.tape = Tape(self.sim)
        n, joints = len(scenes), len(workspace.embodiment.joints)
        self.command = np.zeros((n, joints))
        self.gripper = np.ones(n)
        self.drift = np.zeros((n, joints))
        self.jitter: list[np.random.Generator] = [np.random.default_rng(0)] * n
        self.sensor: list[np.random.Generator] = [np.random.default_rng(0)] * n
        self.physics_steps = 0
        self._tracks = _Tracks(n, joints)

    def begin(self, lanes: np.ndarray) -> None:
        """Start lanes anew, from the state that they are in."""
        self.monitor.begin(lanes, [self.scenes[i] for i in lanes])
        self.tape.rewind(lanes)
        self.command[lanes], self.gripper[lanes], self.drift[lanes] = self.sim.joint_position(lanes), 1.0, 0.0

    def checkpoint(self, lane: int) -> Checkpoint:
        """Save a lane exactly."""
        ids = np.array([lane])
        memory = self.monitor.memory(lane)
        drift, command = self.drift[lane].copy(), self.command[lane].copy()
        length = int(self.tape.length[lane])
        return Checkpoint(self.sim.snapshot(ids), memory, drift, command, float(self.gripper[lane]), length)

    def restore(self, lane: int, checkpoint: Checkpoint) -> None:
        """Put a lane back to where it was saved, without a path."""
        ids = np.array([lane])
        self.sim.restore(ids, checkpoint.sim)
        self.monitor.recall(lane, checkpoint.monitor)
        self.drift[lane], self.command[lane] = checkpoint.drift, checkpoint.command
        self.gripper[lane] = checkpoint.gripper
        self.tape.cut(ids, np.array([checkpoint.length]))
        self._tracks.clear(lane)

    def assign(self, lane: int, path: Path, subtask: int) -> None:
        """Give a lane a path to follow from its next step on, in place of what is left of the one it has."""
        away = path.away
        loud = np.zeros(len(path)) if away is None else np.array([self.noise.loudness(int(d)) for d in away])
        # As many numbers as steps: a path is followed to its end, or else the stream is not used any more.
        fresh = self.jitter[lane].standard_normal(path.joints.shape)
        self._tracks.put(lane, path, loud, fresh, subtask)

    def ahead(self, lane: int) -> tuple[Array, Array, int]:
        """What is left of a lane's path: joint targets (n, J), tool poses (n, 7), steps until its gripper's event.

        The event's steps are below 0 once it is past, and n where the path has none.
        """
        track = self._tracks
        left = slice(track.at[lane], track.length[lane])
        return track.joints[lane, left], track.tool[lane, left], int(track.event[lane] - track.at[lane])

    def redirect(self, lane: int, joints: Array, tool: Array) -> None:
        """Replace what `ahead` says of a lane."""
        track = self._tracks
        left = slice(track.at[lane], track.length[lane])
        track.joints[lane, left], track.tool[lane, left] = joints, tool

    def progress(self, lanes: np.ndarray) -> np.ndarray:
        """Steps that lanes (n,) have taken of their paths."""
        return self._tracks.at[lanes]

    def until_event(self, lanes: np.ndarray) -> np.ndarray:
        """Steps until the gripper's event on the paths of lanes (n,), as `ahead` says."""
        return self._tracks.event[lanes] - self._tracks.at[lanes]

    def moving(self) -> np.ndarray:
        """Lanes that have steps of a path left and whose outcome is not known, in rising order."""
        lanes = np.flatnonzero(self._tracks.at < self._tracks.length)
        return lanes[[self.monitor.outcome[i] is None for i in lanes]]

    def advance(self, lanes: np.ndarray) -> World:
        """Take one control step in each of the lanes, which have one left; returns what is seen after it."""
        track, noise = self._tracks, self.noise
        at = lanes, track.at[lanes]
        joints, gripper = track.joints[at], track.gripper[at]
        blend = np.sqrt(1.0 - noise.persistence**2)
        self.drift[lanes] = noise.persistence * self.drift[lanes] + blend * noise.std * track.fresh[at]
        # In float32, as stored: the stored action is exactly the one that was applied.
        intended = np.concatenate([joints, gripper[:, None]], axis=1).astype(np.float32)
        executed = intended.copy()
        executed[:, :-1] += (track.loud[at][:, None] * self.drift[lanes]).astype(np.float32)
        record = StepRecord(intended, executed, track.tool[at], track.subtask[lanes], track.demo[at], track.step[at])
        sensor = [self.sensor[i] for i in lanes]
        measured = measure_joints(self.sim, lanes, [self.scenes[i] for i in lanes], sensor)
        self.tape.before(lanes, record, measured)
        self.sim.step(lanes, executed.astype(float))
        self.physics_steps += len(lanes) * self.sim.steps_per_control()
        self.command[lanes], self.gripper[lanes] = joints, gripper
        track.at[lanes] += 1
        return self.monitor.update(lanes)


class _Tracks:
    """The path that each lane follows and where it is on it, as arrays over lanes; memory grows as needed."""

    def __init__(self, lanes: int, joints: int, capacity: int = 128) -> None:
        self.at, self.length = np.zeros(lanes, int), np.zeros(lanes, int)
        self.subtask, self.event = np.zeros(lanes, int), np.zeros(lanes, int)
        self.joints, self.fresh = (np.zeros((lanes, capacity, joints)) for _ in range(2))
        self.tool = np.zeros((lanes, capacity, 7))
        self.gripper, self.loud = np.zeros((lanes, capacity)), np.zeros((lanes, capacity))
        self.demo, self.step = np.zeros((lanes, capacity), int), np.zeros((lanes, capacity), int)

    def put(self, lane: int, path: Path, loud: np.ndarray, fresh: Array, subtask: int) -> None:
        """Lay a lane's path, with the factor on its noise per step and the normal numbers that drive the noise."""
        n = len(path)
        if n > self.gripper.shape[1]:
            for name in ("joints", "fresh", "tool", "gripper", "loud", "demo", "step"):
                rows = getattr(self, name)
                more = np.zeros((len(rows), n, *rows.shape[2:]), rows.dtype)
                setattr(self, name, np.concatenate([rows, more], axis=1))
        self.joints[lane, :n], self.tool[lane, :n], self.gripper[lane, :n] = path.joints, path.tool, path.gripper
        self.demo[lane, :n], self.step[lane, :n] = path.demo, path.step
        self.loud[lane, :n], self.fresh[lane, :n] = loud, fresh
        self.at[lane], self.length[lane], self.subtask[lane] = 0, n, subtask
        self.event[lane] = n if path.away is None else int(np.argmin(path.away))

    def clear(self, lane: int) -> None:
        """Take a lane's path away."""
        self.at[lane] = self.length[lane] = 0
