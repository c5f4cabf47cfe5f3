"""What somebody else's data set means: which of its numbers are joint angles, in which unit, in whose frame.

Formats carry arrays under names that everybody chooses anew, so a person says once, in a short file, what each one is.
Nothing is guessed: a feature that is missing, too wide or too narrow, a rate that differs or a pose without a frame is
refused by name, before anything is written. `convert` then turns the features of one episode into the arrays of the
episode record. What the mapping itself has to derive (velocities from positions, tool poses from joint angles) is said
in the episode's `extra`.
"""

import json
import math
from collections.abc import Callable
from collections.abc import Mapping as Names
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from handful import InputError, __version__, unknown_name
from trajectories.canonical import canonical_json
from trajectories.poses import (
    matrices_from_quaternions,
    poses_from_matrices,
    quaternions_from_matrices,
    sign_continuous,
)
from trajectories.schema import EpisodeMeta

# Tool poses (T, 7) in the base of joint angles (T, J) [rad]; trajectories know no robot, so it is handed in.
Forward = Callable[[np.ndarray], np.ndarray]

# Written numbers are rounded: a quaternion's norm and a rotation's determinant may be off by this much.
_ROUNDING = 1e-2


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

    def __post_init__(self) -> None:
        if abs(math.hypot(*self.base[3:]) - 1) > _ROUNDING:
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


def offers(features: Names[str, Feature]) -> str:
    """The features of a data set in one line."""
    return "; ".join(f"{name} ({feature})" for name, feature in features.items()) or "none"


def check(mapping: Mapping, features: Names[str, Feature], rate: float, where: str, forward: Forward | None) -> None:
    """Refuse a mapping that does not fit a data set, before any of it is read.

    Args:
        mapping: what is said about the data set.
        features: what it has.
        rate: its control steps per second.
        where: names the data set in errors.
        forward: kinematics of the mapping's embodiment, if there are any.

    Raises:
        InputError: naming the feature and what the data set offers, or the rates.
    """
    if abs(rate - mapping.control_rate) > 1e-6 * rate:
        raise InputError(
            f"{where} has {rate:g} steps per second and the mapping's control_rate is {mapping.control_rate:g}; "
            f"set control_rate: {rate:g}, and resample_to for another rate that divides it evenly"
        )
    if mapping.uses_kinematics() and forward is None:
        raise InputError(
            f"the mapping asks for tool poses by kinematics, which are known for panda and not for "
            f"'{mapping.embodiment}'; name a feature with the tool's pose"
        )
    joints = _check_columns(mapping.joint_position, features, where, None)
    if isinstance(mapping.joint_velocity, Columns):
        _check_columns(mapping.joint_velocity, features, where, joints)
    if mapping.action.joints is not None:
        _check_columns(mapping.action.joints, features, where, joints)
    for gripper in (mapping.gripper, mapping.action.gripper):
        feature = _find(gripper.feature, features, where)
        if gripper.column is None and feature.width != 1:
            raise InputError(f"{where}: '{gripper.feature}' has {feature.width} columns; say which is the gripper's")
        _check_range(gripper.feature, (gripper.column or 0,), feature, where)
    for pose in (mapping.tool_pose, mapping.action.tool_pose, *mapping.objects.values()):
        if isinstance(pose, Pose):
            _check_pose(pose, features, where)
    for camera, name in mapping.cameras.items():
        feature = _find(name, features, where, None)
        if feature.kind != "images" or len(feature.shape) != 3 or feature.shape[2] != 3:
            raise InputError(f"{where}: camera '{camera}' needs images of 3 channels; '{name}' is {feature}")


def _find(name: str, features: Names[str, Feature], where: str, kind: str | None = "numbers") -> Feature:
    if name not in features:
        near = str(unknown_name(f"feature of {where}", name, features)).split("; there is:")
        hint = " Did you mean" + near[1].split("Did you mean")[1] if "Did you mean" in near[1] else ""
        raise InputError(f"{near[0]}; it has: {offers(features)}.{hint}")
    feature = features[name]
    if kind is not None and feature.kind != kind:
        raise InputError(f"{where}: '{name}' is {feature}; it should hold {kind}")
    return feature


def _check_range(name: str, columns: tuple[int, ...], feature: Feature, where: str) -> None:
    wrong = [column for column in columns if not 0 <= column < feature.width]
    if wrong:
        raise InputError(
            f"{where}: '{name}' has no column {wrong[0]}; it has {feature.width}, counted from 0 ({feature})"
        )


def _check_columns(part: Columns, features: Names[str, Feature], where: str, width: int | None) -> int:
    feature = _find(part.feature, features, where)
    columns = tuple(range(feature.width)) if part.columns is None else part.columns
    _check_range(part.feature, columns, feature, where)
    if len(set(columns)) != len(columns) or not columns:
        raise InputError(f"{where}: columns {list(columns)} of '{part.feature}' must be different ones, at least one")
    if width is not None and len(columns) != width:
        raise InputError(f"{where}: '{part.feature}' gives {len(columns)} columns; the arm has {width} joints")
    return len(columns)


def _check_pose(pose: Pose, features: Names[str, Feature], where: str) -> None:
    position, rotation = _pose_parts(pose)
    wanted = {"matrix": 16, "wxyz": 7, "xyzw": 7}[pose.convention] if rotation is None else 3
    for part, width in ((position, wanted), (rotation, 4)):
        if part is None:
            continue
        found = _check_columns(part, features, where, None)
        if found != width:
            raise InputError(
                f"{where}: '{part.feature}' gives {found} columns; this part of a pose written as "
                f"'{pose.convention}' has {width}"
            )


def _pose_parts(pose: Pose) -> tuple[Columns, Columns | None]:
    rotation = None if pose.rotation_feature is None else Columns(pose.rotation_feature, pose.rotation_columns)
    return Columns(pose.feature, pose.columns), rotation


def convert(
    mapping: Mapping, features: Names[str, np.ndarray], where: str, forward: Forward | None
) -> dict[str, np.ndarray]:
    """The arrays of one episode's record, without images, from its features.

    Args:
        mapping: a mapping that `check` let through.
        features: feature -> (T, ...) numbers; at least those of `mapping.numbers()`.
        where: names the episode in errors.
        forward: kinematics; see `check`.

    Returns:
        Arrays by schema key, of T // stride steps.

    Raises:
        InputError: too few steps, numbers that are not finite, quaternions or matrices that are no rotations.
    """
    stride = mapping.stride
    steps = min((len(features[name]) for name in mapping.numbers()), default=0) // stride
    if steps < 2:
        raise InputError(f"{where} has {steps} control steps; an episode needs at least 2")
    observed, acted = slice(0, steps * stride, stride), slice(stride - 1, steps * stride, stride)
    joints = _columns(mapping.joint_position, features, where)
    if isinstance(mapping.joint_velocity, Columns):
        velocity = _columns(mapping.joint_velocity, features, where)
    else:
        velocity = np.gradient(joints, 1 / mapping.control_rate, axis=0)
    if isinstance(mapping.tool_pose, Pose):
        tool = _poses(mapping.tool_pose, features, where)[observed]
    else:
        tool = _forward(forward, joints[observed])
    joints = joints[observed]
    targets = _next(joints)
    if mapping.action.joints is not None:
        targets = _columns(mapping.action.joints, features, where)[acted]
    if isinstance(mapping.action.tool_pose, Pose):
        aim = _poses(mapping.action.tool_pose, features, where)[acted]
    else:
        aim = _next(tool) if mapping.action.tool_pose == "achieved_next" else _forward(forward, targets)
    command = _opening(mapping.action.gripper, features, where)[acted]
    action = np.concatenate([targets, command], axis=1).astype(np.float32)
    arrays = {
        "observation/joint_position": joints,
        "observation/joint_velocity": velocity[observed],
        "observation/gripper_opening": _opening(mapping.gripper, features, where)[observed],
        "observation/tool_pose_in_base": tool,
        "action/executed": action,
        "action/intended": action.copy(),
        "action/tool_pose_in_base": aim,
        **{f"objects/{name}": _poses(p, features, where)[observed] for name, p in mapping.objects.items()},
    }
    return {
        **{key: np.ascontiguousarray(value, np.float32) for key, value in arrays.items()},
        "subtask": np.zeros(steps, np.int8),
    }


def _next(rows: np.ndarray) -> np.ndarray:
    """Row t + 1 at row t; the last is repeated."""
    return np.concatenate([rows[1:], rows[-1:]])


def _columns(part: Columns, features: Names[str, np.ndarray], where: str) -> np.ndarray:
    """The columns (T, D) as float64, in radians."""
    values = np.asarray(features[part.feature])
    if values.dtype.kind not in "fiub":
        raise InputError(f"{where}: '{part.feature}' holds {values.dtype}, not numbers")
    values = values.reshape(len(values), -1).astype(np.float64)
    values = values if part.columns is None else values[:, part.columns]
    if not np.isfinite(values).all() or np.abs(values).max(initial=0) > np.finfo(np.float32).max:
        raise InputError(f"{where}: '{part.feature}' holds values that are not finite")
    return np.deg2rad(values) if part.unit == "deg" else values


def _opening(gripper: Gripper, features: Names[str, np.ndarray], where: str) -> np.ndarray:
    """(T, 1) opening in [0, 1]."""
    column = _columns(Columns(gripper.feature, (gripper.column or 0,)), features, where)
    return np.clip((column - gripper.closed) / (gripper.open - gripper.closed), 0, 1)


def _forward(forward: Forward | None, joints: np.ndarray) -> np.ndarray:
    if forward is None:
        raise InputError("tool poses by kinematics need an arm whose kinematics are known")
    poses = np.array(forward(joints))
    poses[:, 3:] = sign_continuous(poses[:, 3:])
    return poses


def _poses(pose: Pose, features: Names[str, np.ndarray], where: str) -> np.ndarray:
    """Poses (T, 7) in the robot's base: m, sign-continuous unit quaternions (w, x, y, z)."""
    position, rotation = _pose_parts(pose)
    values = _columns(position, features, where)
    if pose.convention == "matrix":
        matrices = values.reshape(-1, 4, 4)
        turns = matrices[:, :3, :3]
        error = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max()
        if error > _ROUNDING or np.linalg.det(turns).min() < 0:
            raise InputError(f"{where}: '{pose.feature}' holds matrices that are no rotations")
        place, quaternions = matrices[:, :3, 3], quaternions_from_matrices(turns)
    else:
        place = values[:, :3]
        quaternions = values[:, 3:] if rotation is None else _columns(rotation, features, where)
        norms = np.linalg.norm(quaternions, axis=1, keepdims=True)
        if np.abs(norms - 1).max() > _ROUNDING:
            raise InputError(
                f"{where}: '{pose.rotation_feature or pose.feature}' holds quaternions of norm "
                f"{norms.min():.4f} to {norms.max():.4f}; need 1"
            )
        quaternions = quaternions / norms
        if pose.convention == "xyzw":
            quaternions = quaternions[:, [3, 0, 1, 2]]
    return _in_base(np.concatenate([place, sign_continuous(quaternions)], axis=1), np.array(pose.base))


def _in_base(poses: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Poses (T, 7) given in the frame in which the robot's base has pose `base` (7,), in the base's own frame."""
    if np.array_equal(base, [0, 0, 0, 1, 0, 0, 0]):
        return poses
    frame = _homogeneous(base[None])
    return poses_from_matrices(np.linalg.inv(frame) @ _homogeneous(poses))


def _homogeneous(poses: np.ndarray) -> np.ndarray:
    matrices = np.tile(np.eye(4), (len(poses), 1, 1))
    quaternions = poses[:, 3:] / np.linalg.norm(poses[:, 3:], axis=1, keepdims=True)
    matrices[:, :3, :3], matrices[:, :3, 3] = matrices_from_quaternions(quaternions), poses[:, :3]
    return matrices
