"""One episode as the rules of content see it, and from where on something is held against it."""

from dataclasses import dataclass, field

import numpy as np

from trajectories.schema import EpisodeMeta


@dataclass(frozen=True)
class Thresholds:
    """From where on something is held against a recording."""

    # Deviation of a quaternion's norm from 1.
    quaternion: float = 1e-3
    # Deviation of a control step from its length, as a share of it.
    clock: float = 0.01
    # How far joints and their targets may lie beyond the embodiment's limits [rad].
    joint: float = 0.05
    # How fast joints and their targets may move, as a multiple of the embodiment's limit.
    joint_speed: float = 1.1
    # How fast a tool or an object may move from one step to the next [m/s].
    speed: float = 3.0
    # An arm that moves by less than this has not moved [rad].
    moved: float = 0.1
    # Targets that stay the same for so long [s], while the arm moves on after half of it.
    stale: float = 1.0
    # Targets further than `lag` [rad] from where the arm gets, for `unfollowed` [s].
    lag: float = 0.3
    unfollowed: float = 0.5
    # Standing still for so long [s]: joints slower than `still` [rad/s], gripper than `still_gripper` [1/s].
    idle: float = 2.0
    still: float = 0.01
    still_gripper: float = 0.02
    # Images of one colour, give or take `blank_levels` of 255, for so long [s].
    blank: float = 0.5
    blank_levels: int = 8
    # The same image for so long [s], while the arm moves.
    frozen: float = 1.0
    # Shorter episodes are cut off rather than done [s].
    shortest: float = 0.5


@dataclass(frozen=True)
class JointLimits:
    """What an embodiment's J joints can do."""

    # Lowest and highest angle, (J,) [rad].
    lower: np.ndarray
    upper: np.ndarray
    # Largest speed, (J,) [rad/s].
    speed: np.ndarray


@dataclass(frozen=True)
class Frames:
    """What is kept of one camera's T images."""

    # Whether all pixels have one colour, (T,) bool.
    blank: np.ndarray
    # Whether the image is the one before, byte by byte, (T,) bool; false for the first.
    repeated: np.ndarray


@dataclass(frozen=True)
class Recording:
    """One episode as the rules see it."""

    meta: EpisodeMeta
    # Every key but images and model values.
    arrays: dict[str, np.ndarray]
    # By key, e.g. "images/front".
    frames: dict[str, Frames] = field(default_factory=dict)
    # Of the episode's embodiment; None: not known.
    limits: JointLimits | None = None
    # An earlier episode with the same numbers, if there is one.
    twin: int | None = None
    thresholds: Thresholds = Thresholds()

    def steps(self, seconds: float) -> int:
        """Control steps in a span of time, at least 1."""
        return max(1, round(seconds * self.meta.control_rate))

    def moved(self, start: int, stop: int) -> float:
        """How far the joint that moved most did so in steps [start, stop) [rad]."""
        joints = self.arrays["observation/joint_position"][start:stop]
        return float(np.ptp(joints, axis=0).max()) if len(joints) else 0.0


@dataclass(frozen=True)
class Breach:
    """Where an episode breaks a rule: the first step, how many in all, and in numbers."""

    step: int
    steps: int
    detail: str
