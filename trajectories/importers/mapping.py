"""What somebody else's data set means: which of its numbers are joint angles, in which unit, in whose frame.

Formats carry arrays under names that everybody chooses anew, so a person says once, in a short file, what each one is.
Nothing is guessed: a feature that is missing, too wide or too narrow, a rate that differs or a pose without a frame is
refused by name, before anything is written (`trajectories.importers.fitting`); then the features of each episode are
turned into the arrays of its record (`trajectories.importers.conversion`). What has to be derived (velocities from
positions, tool poses from joint angles) is said in the episode's `extra`.
"""

import json
import math
from collections.abc import Callable
from collections.abc import Mapping as Names
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from handful import InputError, __version__
from trajectories.canonical import canonical_json
from trajectories.schema import EpisodeMeta

# Tool poses (T, 7) in the base of joint angles (T, J) [rad]; trajectories know no robot, so it is handed in.
Forward = Callable[[np.ndarray], np.ndarray]

# Written numbers are rounded: a quaternion's norm and a rotation's determinant may be off by this much.
ROUNDING = 1e-2


@dataclass(frozen=True)
class Feature:
    """What a data set says about one of its features."""

    # Shape of one row; images are (height, width, 3).
    shape: tuple[int, ...]
    kind: Literal["numbers", "images", "text"] = "numbers"
    # What the data set itself calls the columns; may be empty.
    names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns of one row, flattened."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape)) or "1"
        if self.kind != "numbers":
            return f"{self.kind} {size}"
        return f"{size}: {', '.join(self.names)}" if 0 < len(self.names) <= 16 else size


@dataclass(frozen=True)
class Columns:
    """Some columns of a feature; of one whose rows have several dimensions, the flattened row is meant."""

    feature: str
    # Which columns, counted from 0, in the order in which they are wanted; None: all of them.
    columns: tuple[int, ...] | None = None
    unit: Literal["rad", "deg"] = "rad"


@dataclass(frozen=True)
class Gripper:
    """One column that tells how far the gripper is open, and what it reads at both ends."""

    feature: str
    # What the number is when the gripper is closed, and when it is open.
    closed: float
    open: float
    # Which column; may be left out where the feature has one only.
    column: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.closed) and math.isfinite(self.open)) or self.closed == self.open:
            raise InputError(
                f"gripper '{self.feature}' needs two different numbers for closed and open, "
                f"got {self.closed:g} and {self.open:g}"
            )


@dataclass(frozen=True)
class Pose:
    """A pose: position [m] and rotation, from one feature or from two."""

    feature: str
    # How the rotation is written: quaternion (w, x, y, z) or (x, y, z, w) after the position, or a 4x4 matrix by rows.
    convention: Literal["wxyz", "xyzw", "matrix"]
    # Pose of the robot's base in the frame of these numbers: x y z, then w x y z; [0, 0, 0, 1, 0, 0, 0] if it is that.
    base: tuple[float, float, float, float, float, float, float]
    columns: tuple[int, ...] | None = None
    # Where the quaternion is, if not behind the position in the same feature.
    rotation_feature: str | None = None
    rotation_columns: tuple[int, ...] | None = None

    @property
    def parts(self) -> tuple[Columns, Columns | None]:
        """Where the position is, or all of it; and where the rotation is, if elsewhere."""
        rotation = None if self.rotation_feature is None else Columns(self.rotation_feature, self.rotation_columns)
        return Columns(self.feature, self.columns), rotation

    def __post_init__(self) -> None:
        if abs(math.hypot(*self.base[3:]) - 1) > ROUNDING:
            raise InputError(
                f"pose '{self.feature}' has a base whose quaternion {list(self.base[3:])} (w, x, y, z) has not length 1"
            )
        if self.convention == "matrix" and self.rotation_feature is not None:
            raise InputError(
                f"pose '{self.feature}' is a matrix, which holds the rotation; rotation_feature is for quaternions"
            )


@dataclass(frozen=True)
class Action:
    """What was commanded, or that nothing was recorded that can serve as a command."""

    # joint_targets: absolute joint targets; achieved_next: action[t] becomes the joints achieved at t + 1.
    kind: Literal["joint_targets", "achieved_next"]
    gripper: Gripper
    # The joint targets; for that kind alone.
    joints: Columns | None = None
    # Where the commanded tool pose is; kinematics: that of the joint targets; achieved_next: the tool's at t + 1.
    tool_pose: Pose | Literal["kinematics", "achieved_next"] = "achieved_next"

    def __post_init__(self) -> None:
        if (self.joints is None) != (self.kind == "achieved_next"):
            need = "names the feature of its joint targets in action.joints" if self.joints is None else "has no joints"
            raise InputError(f"an action of kind '{self.kind}' {need}")
        if self.kind == "achieved_next" and self.tool_pose != "achieved_next":
            raise InputError("an action of kind 'achieved_next' has tool_pose 'achieved_next' too")


@dataclass(frozen=True)
class Mapping:
    """What a foreign data set means. Built from a YAML file in `configs/mapping/` or of a person's own."""

    # Robot, gripper and action space, e.g. panda.
    embodiment: str
    # Name of the task that is shown.
    task: str
    # Control steps per second; must be the data set's own.
    control_rate: float
    # Who moved the robot.
    operator: Literal["human", "script", "augmentation", "policy"]
    # What the episodes ended in, e.g. success.
    outcome: str
    joint_position: Columns
    # differences: derived from the positions.
    joint_velocity: Columns | Literal["differences"]
    gripper: Gripper
    # kinematics: computed from the joint angles; known for the panda.
    tool_pose: Pose | Literal["kinematics"]
    action: Action
    # The sentence for every episode; None: the data set's own.
    instruction: str | None = None
    paraphrases: tuple[str, ...] = ()
    # Our name of a camera -> the feature with its images.
    cameras: dict[str, str] = field(default_factory=dict)
    # Object -> where its pose is.
    objects: dict[str, Pose] = field(default_factory=dict)
    # A lower rate to import at; must divide the data set's evenly.
    resample_to: float | None = None
    # Whether images are stored with the bottom row first, as some versions of robosuite do.
    images_upside_down: bool = False

    def __post_init__(self) -> None:
        for what, name in (("embodiment", self.embodiment), ("task", self.task), ("outcome", self.outcome)):
            if not name.strip():
                raise InputError(f"a mapping needs a name for its {what}")
        for what, names in (("camera", self.cameras), ("object", self.objects)):
            for name in names:
                if not name or "/" in name:
                    raise InputError(f"a mapping's {what} needs a name without '/', got '{name}'")
        if not (math.isfinite(self.control_rate) and self.control_rate > 0):
            raise InputError(f"a mapping's control_rate must be more than 0 Hz, got {self.control_rate:g}")
        if self.resample_to is not None:
            self._stride(self.resample_to)

    def _stride(self, rate: float) -> int:
        ratio = self.control_rate / rate if rate > 0 else 0.0
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-6:
            raise InputError(f"resample_to {rate:g} Hz does not divide the data set's {self.control_rate:g} Hz evenly")
        return round(ratio)

    @property
    def stride(self) -> int:
        """How many steps of the data set become one of ours."""
        return 1 if self.resample_to is None else self._stride(self.resample_to)

    @property
    def rate(self) -> float:
        """Control rate of what is imported [Hz]."""
        return self.control_rate / self.stride

    def numbers(self) -> list[str]:
        """The features that hold numbers this mapping needs, sorted."""
        named: list[Columns | Gripper | Pose | str | None] = [self.joint_position, self.joint_velocity, self.gripper]
        named += [self.tool_pose, self.action.gripper, self.action.joints, self.action.tool_pose]
        named += list(self.objects.values())
        found = {item.feature for item in named if isinstance(item, Columns | Gripper | Pose)}
        found |= {item.rotation_feature for item in named if isinstance(item, Pose) and item.rotation_feature}
        return sorted(found)

    def uses_kinematics(self) -> bool:
        """Whether tool poses are to be computed from joint angles."""
        return "kinematics" in (self.tool_pose, self.action.tool_pose)

    def derived(self) -> dict[str, str]:
        """What of an imported episode was not in the data set, and how it came about."""
        notes = {"subtask": "0 throughout: the data set names none"}
        if self.joint_velocity == "differences":
            notes["observation/joint_velocity"] = "differences of joint positions"
        if self.tool_pose == "kinematics":
            notes["observation/tool_pose_in_base"] = "kinematics of the joint positions"
        if self.action.tool_pose == "kinematics":
            notes["action/tool_pose_in_base"] = "kinematics of the joint targets"
        elif self.action.tool_pose == "achieved_next":
            notes["action/tool_pose_in_base"] = "the tool pose achieved at the next step"
        if self.stride > 1:
            notes["rate"] = f"every step of {self.stride} at {self.control_rate:g} Hz; the last of their actions"
        return notes

    def upright(self, frames: np.ndarray) -> np.ndarray:
        """Images (T, height, width, 3) with the top row first."""
        return np.ascontiguousarray(frames[:, ::-1]) if self.images_upside_down else frames

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        return dict(json.loads(canonical_json(asdict(self), "mapping")))

    @classmethod
    def from_json(cls, record: Names[str, Any]) -> "Mapping":
        """The inverse of `to_json`."""

        def plain(value: Any) -> Any:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

        def build(kind: type, value: Any) -> Any:
            return kind(**plain(value)) if isinstance(value, Names) else value

        action = dict(record["action"])
        action["gripper"] = build(Gripper, action["gripper"])
        action["joints"] = build(Columns, action["joints"])
        action["tool_pose"] = build(Pose, action["tool_pose"])
        return cls(
            **{
                **plain(record),
                "joint_position": build(Columns, record["joint_position"]),
                "joint_velocity": build(Columns, record["joint_velocity"]),
                "gripper": build(Gripper, record["gripper"]),
                "tool_pose": build(Pose, record["tool_pose"]),
                "action": Action(**action),
                "objects": {name: build(Pose, pose) for name, pose in record["objects"].items()},
            }
        )

    def meta(self, source: str, sentence: str | None, scene: int, extra: Names[str, Any]) -> EpisodeMeta:
        """The metadata of one imported episode.

        Args:
            source: the domain is called "real/<source>".
            sentence: what the data set itself says the episode is about; None: nothing.
            scene: the episode's index.
            extra: what else the format knows.

        Raises:
            InputError: neither the mapping nor the data set has an instruction.
        """
        instruction = self.instruction or sentence
        if not instruction:
            raise InputError(f"episode {scene} has no task sentence of its own; give the mapping an 'instruction'")
        return EpisodeMeta(
            task=self.task,
            embodiment=self.embodiment,
            domain=f"real/{source}",
            control_rate=self.rate,
            instruction=instruction,
            paraphrases=self.paraphrases,
            outcome=self.outcome,
            operator=self.operator,
            action_source="commanded" if self.action.kind == "joint_targets" else "achieved_next",
            scene=scene,
            versions={"handful": __version__},
            extra={**extra, "derived": self.derived()},
        )
