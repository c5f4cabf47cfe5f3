"""The arrays of an episode's record from the features of somebody else's data set, as a mapping says what they mean."""

from collections.abc import Mapping as Names

import numpy as np

from handful import InputError
from trajectories.importers.mapping import ROUNDING, Columns, Forward, Gripper, Mapping, Pose
from trajectories.poses import (
    matrices_from_quaternions,
    poses_from_matrices,
    quaternions_from_matrices,
    sign_continuous,
)


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
    position, rotation = pose.parts
    values = _columns(position, features, where)
    if pose.convention == "matrix":
        matrices = values.reshape(-1, 4, 4)
        turns = matrices[:, :3, :3]
        error = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max()
        if error > ROUNDING or np.linalg.det(turns).min() < 0:
            raise InputError(f"{where}: '{pose.feature}' holds matrices that are no rotations")
        place, quaternions = matrices[:, :3, 3], quaternions_from_matrices(turns)
    else:
        place = values[:, :3]
        quaternions = values[:, 3:] if rotation is None else _columns(rotation, features, where)
        norms = np.linalg.norm(quaternions, axis=1, keepdims=True)
        if np.abs(norms - 1).max() > ROUNDING:
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
