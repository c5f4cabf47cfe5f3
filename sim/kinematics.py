"""Kinematics of a serial arm for many configurations at once: forward, Jacobian, inverse.

Planning asks for tens of thousands of configurations per second, so everything here works on arrays (N, J) and touches
no simulator. Every row's result is independent of the other rows.
"""

from dataclasses import dataclass

import numpy as np

from sim.transforms import (
    Array,
    compose,
    cross,
    matrix_from_quat,
    quat_conjugate,
    quat_from_matrix,
    quat_multiply,
    rotvec_from_quat,
)


@dataclass(frozen=True)
class Chain:
    """A serial arm: J revolute joints, each about its own local z axis.

    Attributes:
        frames: (J, 7) pose of each joint's frame in the frame before it, at zero angle.
        tool: (7,) pose of the tool in the last joint's frame.
        lower: (J,) lower joint limits [rad].
        upper: (J,) upper joint limits [rad].
        max_speed: (J,) joint speed limits [rad/s].
    """

    frames: Array
    tool: Array
    lower: Array
    upper: Array
    max_speed: Array

    def joint_count(self) -> int:
        """Number of joints J."""
        return len(self.frames)

    def _walk(self, q: Array) -> tuple[Array, Array, Array, Array]:
        """Tool position (N, 3) and rotation (N, 3, 3), joint axes (N, J, 3) and origins (N, J, 3), in the base."""
        n, joints = q.shape
        axes, origins = np.empty((n, joints, 3)), np.empty((n, joints, 3))
        rotation = np.broadcast_to(np.eye(3), (n, 3, 3))
        position = np.zeros((n, 3))
        cos, sin = np.cos(q), np.sin(q)
        for j in range(joints):
            position = position + rotation @ self.frames[j, :3]
            rotation = rotation @ matrix_from_quat(self.frames[j, 3:])
            origins[:, j], axes[:, j] = position, rotation[:, :, 2]
            c, s = cos[:, j, None], sin[:, j, None]
            x, y = rotation[:, :, 0], rotation[:, :, 1]
            rotation = np.stack([c * x + s * y, c * y - s * x, rotation[:, :, 2]], axis=-1)
        position = position + rotation @ self.tool[:3]
        return position, rotation @ matrix_from_quat(self.tool[3:]), axes, origins

    def forward(self, q: Array) -> Array:
        """Tool poses in the base frame (..., 7) of joint angles (..., J) [rad]."""
        q = np.asarray(q, float)
        flat = q.reshape(-1, q.shape[-1])
        pose = np.zeros((len(flat), 7))
        pose[:, 3] = 1.0
        turn = np.zeros((len(flat), 4))
        for j in range(self.joint_count()):
            turn[:, 0], turn[:, 3] = np.cos(flat[:, j] / 2), np.sin(flat[:, j] / 2)
            pose = compose(pose, self.frames[j])
            pose[:, 3:] = quat_multiply(pose[:, 3:], turn)
        return compose(pose, self.tool).reshape(*q.shape[:-1], 7)

    def jacobian(self, q: Array) -> Array:
        """Geometric Jacobians (N, 6, J) of the tool: linear [m/rad] above angular, both in the base frame."""
        position, _, axes, origins = self._walk(np.asarray(q, float))
        linear = cross(axes, position[:, None] - origins)
        return np.concatenate([linear, axes], axis=-1).transpose(0, 2, 1)


@dataclass(frozen=True)
class InverseResult:
    """Joint angles found for each target pose, and how far off they are."""

    q: Array  # (N, J) [rad]
    position_error: Array  # (N,) [m]
    rotation_error: Array  # (N,) [rad]
    limit_margin: Array  # (N,) smallest distance to a joint limit [rad]

    def reached(self, position_tolerance: float = 1e-3, rotation_tolerance: float = 1e-2) -> np.ndarray:
        """Whether each target (N,) is met within the tolerances [m], [rad]."""
        return (self.position_error < position_tolerance) & (self.rotation_error < rotation_tolerance)


def solve_inverse(
    chain: Chain,
    target: Array,
    start: Array,
    posture: Array,
    iterations: int = 10,
    damping: float = 0.02,
    posture_gain: float = 0.1,
    max_step: float = 0.4,
) -> InverseResult:
    """Damped least squares inverse kinematics with joint limits and a null-space posture, for N targets at once.

    Each iteration moves by dq = J^T (J J^T + lambda^2 I)^-1 e + (I - J^+ J) k (posture - q), clipped to `max_step`
    and to the joint limits (Wampler, IEEE Trans. SMC 16(1), 1986; null-space term after Liegeois, 1977). lambda falls
    with the error, so that the last iterations converge quadratically away from singularities.

    Args:
        chain: the arm.
        target: (N, 7) tool poses in the base frame.
        start: (N, J) angles to start from [rad].
        posture: (N, J) or (J,) angles that the redundancy should stay near [rad].
        iterations: number of iterations.
        damping: lambda at 10 cm or 1 rad of error.
        posture_gain: share of the posture's difference made up per iteration.
        max_step: largest joint step per iteration [rad].

    Returns:
        The angles and their remaining errors; a target out of reach leaves an error, never an exception.
    """
    q = np.clip(np.array(start, float), chain.lower, chain.upper)
    target = np.asarray(target, float)
    eye6 = np.eye(6)
    active = np.arange(len(q))
    for _ in range(iterations):
        error, jacobian = _error_and_jacobian(chain, q[active], target[active])
        size = np.linalg.norm(error, axis=-1)
        transposed = jacobian.transpose(0, 2, 1)
        lam = (damping * np.minimum(1.0, size / 0.1) ** 2 + 1e-6)[:, None, None]
        pull = posture_gain * ((posture[active] if posture.ndim == 2 else posture) - q[active])
        rhs = np.stack([error, (jacobian @ pull[:, :, None])[:, :, 0]], axis=-1)
        solved = transposed @ np.linalg.solve(jacobian @ transposed + lam * eye6, rhs)
        step = solved[:, :, 0] + pull - solved[:, :, 1]
        largest = np.abs(step).max(axis=-1, keepdims=True)
        step *= np.minimum(1.0, max_step / np.maximum(largest, 1e-9))
        q[active] = np.clip(q[active] + step, chain.lower, chain.upper)
        active = active[(size > 1e-6) | (largest[:, 0] > 1e-4)]
        if len(active) == 0:
            break
    error, _ = _error_and_jacobian(chain, q, target)
    margin = np.minimum(q - chain.lower, chain.upper - q).min(axis=-1)
    return InverseResult(q, np.linalg.norm(error[:, :3], axis=-1), np.linalg.norm(error[:, 3:], axis=-1), margin)


def _error_and_jacobian(chain: Chain, q: Array, target: Array) -> tuple[Array, Array]:
    """Pose error (N, 6) in the base frame, position above rotation vector, and the Jacobian (N, 6, J)."""
    position, rotation, axes, origins = chain._walk(q)
    turn = rotvec_from_quat(quat_multiply(target[:, 3:], quat_conjugate(quat_from_matrix(rotation))))
    error = np.concatenate([target[:, :3] - position, turn], axis=-1)
    linear = cross(axes, position[:, None] - origins)
    return error, np.concatenate([linear, axes], axis=-1).transpose(0, 2, 1)
