"""Kinematics of a serial arm for many configurations at once: forward, Jacobian, inverse.

Planning asks for tens of thousands of configurations per second, so everything here works on arrays (N, J) and touches
no simulator. Inside, the configurations are the last axis and each formula is written out by component: every operation
then runs along contiguous memory, products with the constant zeros of an arm's geometry are left out, and every row's
result is independent of the other rows, to the last bit.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.transforms import Array, matrix_from_quat, quat_multiply

# Each axis' next, and the one after that.
_ONE_ON, _TWO_ON = np.array([1, 2, 0]), np.array([2, 0, 1])
# A product of quaternions a and b, by component: the sum over i of a[i] * _SIGNS[i] * b[_FACTORS[i]].
_FACTORS = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
_SIGNS = np.array([[1.0, 1, 1, 1], [-1, 1, -1, 1], [-1, 1, 1, -1], [-1, -1, 1, 1]])[..., None, None]


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

    @cached_property
    def _turns(self) -> tuple[Array, ...]:
        """Rotation matrix of each joint's frame in the frame before it, then of the tool in the last joint's."""
        matrices = matrix_from_quat(np.concatenate([self.frames[:, 3:], self.tool[None, 3:]]))
        # Quarter turns exactly, so that what they multiply by zero can be left out.
        whole = np.round(matrices)
        return tuple(np.where(np.abs(matrices - whole) < 1e-12, whole, matrices))

    def _walk(self, q: Array) -> tuple[Array, Array, Array, Array]:
        """Along the arm, for angles (J, N): tool position (3, N) and axes (3, 3, N), the first index says which.

        Then joint axes (3, J, N) and origins (3, J, N), by component first; all in the base frame.
        """
        joints, n = q.shape
        axes, origins = np.empty((3, joints, n)), np.empty((3, joints, n))
        cos, sin = np.cos(q), np.sin(q)
        frame = [np.zeros((3, n)) for _ in range(3)]
        for axis, column in enumerate(frame):
            column[axis] = 1.0
        position = np.zeros((3, n))
        for j in range(joints):
            position = _add(position, frame, self.frames[j, :3])
            x, y, z = _turn(frame, self._turns[j])
            origins[:, j], axes[:, j] = position, z
            frame = [cos[j] * x + sin[j] * y, cos[j] * y - sin[j] * x, z]
        position = _add(position, frame, self.tool[:3])
        return position, np.stack(_turn(frame, self._turns[-1])), axes, origins

    def links(self, q: Array) -> tuple[Array, Array]:
        """Where the base and then each joint's frame, as turned by its joint, are at angles (N, J) [rad].

        Returns:
            Positions (J + 1, 3, N) [m] and axes (J + 1, 3, 3, N), the second index says which, in the base frame.
        """
        angles = np.asarray(q, float).T
        joints, n = angles.shape
        positions, axes = np.zeros((joints + 1, 3, n)), np.zeros((joints + 1, 3, 3, n))
        axes[0] = np.eye(3)[..., None]
        cos, sin = np.cos(angles), np.sin(angles)
        for j in range(joints):
            frame = list(axes[j])
            positions[j + 1] = _add(positions[j], frame, self.frames[j, :3])
            x, y, z = _turn(frame, self._turns[j])
            axes[j + 1] = cos[j] * x + sin[j] * y, cos[j] * y - sin[j] * x, z
        return positions, axes

    def forward(self, q: Array) -> Array:
        """Tool poses in the base frame (..., 7) of joint angles (..., J) [rad]."""
        q = np.asarray(q, float)
        half = q.reshape(-1, self.joint_count()).T / 2
        positions, quats, turned = self._links
        poses = np.empty((7, len(positions), half.shape[1]))
        poses[:3], poses[3:, -1] = positions.T[..., None], quats[-1][:, None]
        poses[3:, :-1] = np.cos(half) * quats[:-1].T[..., None] + np.sin(half) * turned.T[..., None]
        # Neighbours are joined in pairs, all pairs at once: the arm's length in steps would be many small ones.
        while (count := poses.shape[1]) > 1:
            pairs = _join(poses[:, 0 : count - 1 : 2], poses[:, 1::2])
            poses = np.concatenate([pairs, poses[:, -1:]], axis=1) if count % 2 else pairs
        return np.ascontiguousarray(poses[:, 0].T).reshape(*q.shape[:-1], 7)

    @cached_property
    def _links(self) -> tuple[Array, Array, Array]:
        """Positions (J + 1, 3) and quaternions (J + 1, 4) of the joints' frames at zero angle and the tool, each in the
        one before; then of the joints' frames after half a turn (J, 4)."""
        poses = np.concatenate([self.frames, self.tool[None]])
        return poses[:, :3], poses[:, 3:], quat_multiply(self.frames[:, 3:], [0.0, 0.0, 0.0, 1.0])

    def jacobian(self, q: Array) -> Array:
        """Geometric Jacobians (N, 6, J) of the tool: linear [m/rad] above angular, both in the base frame."""
        position, _, axes, origins = self._walk(np.ascontiguousarray(np.asarray(q, float).T))
        return _jacobian(position, axes, origins).transpose(2, 0, 1)


def _join(a: Array, b: Array) -> Array:
    """As `compose`, to the last bit, for poses (7, ...) by component first; in few operations, as these are short."""
    w, u, v = a[3], a[4:], b[:3]
    u1, u2 = u[_ONE_ON], u[_TWO_ON]
    t = 2.0 * (u1 * v[_TWO_ON] - u2 * v[_ONE_ON])
    parts = a[3:, None] * (b[3:][_FACTORS] * _SIGNS)
    pose = np.empty(a.shape)
    pose[:3] = a[:3] + (v + w * t + (u1 * t[_TWO_ON] - u2 * t[_ONE_ON]))
    pose[3:] = parts[0] + parts[1] + parts[2] + parts[3]
    return pose


def _turn(frame: list[Array], turn: Array) -> list[Array]:
    """The axes (3, N) of a frame given in another whose axes are `frame`, from its constant matrix `turn` (3, 3)."""
    turned = []
    for column in turn.T:
        total: Array | None = None
        for axis, share in zip(frame, column, strict=True):
            if share != 0.0:
                term = axis if share == 1.0 else share * axis
                total = term if total is None else total + term
        assert total is not None  # a rotation has no empty column
        turned.append(total)
    return turned


def _add(position: Array, frame: list[Array], offset: Array) -> Array:
    """Positions (3, N) moved by a constant offset (3,) in a frame of axes (3, N)."""
    for axis, share in zip(frame, offset, strict=True):
        if share != 0.0:
            position = position + share * axis
    return position


def _jacobian(position: Array, axes: Array, origins: Array) -> Array:
    """The rows (6, J, N) of the Jacobians, from what `Chain._walk` found."""
    lever = position[:, None] - origins
    rows = np.empty((6, *axes.shape[1:]))
    np.subtract(axes[_ONE_ON] * lever[_TWO_ON], axes[_TWO_ON] * lever[_ONE_ON], out=rows[:3])
    rows[3:] = axes
    return rows


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

    Each iteration moves by dq = J^T (J J^T + lambda I)^-1 (e - J p) + p with p = k (posture - q), clipped to `max_step`
    and to the joint limits (Wampler, IEEE Trans. SMC 16(1), 1986; null-space term after Liegeois, 1977). lambda falls
    with the error, so that the last iterations converge quadratically away from singularities; with k = 1 they do so
    towards the solution nearest to the posture. A row that has arrived takes no part in further iterations.

    Args:
        chain: the arm.
        target: (N, 7) tool poses in the base frame.
        start: (N, J) angles to start from [rad].
        posture: (N, J) or (J,) angles that the redundancy should stay near [rad].
        iterations: number of iterations.
        damping: lambda at 10 cm or 1 rad of error.
        posture_gain: k, share of the posture's difference made up per iteration.
        max_step: largest joint step per iteration [rad].

    Returns:
        The angles and their remaining errors; a target out of reach leaves an error, never an exception.
    """
    q = np.clip(np.asarray(start, float), chain.lower, chain.upper).T.copy()
    goal = _columns(np.asarray(target, float))
    rest = np.broadcast_to(np.asarray(posture, float), (len(target), len(q))).T
    active = np.arange(len(target))
    for _ in range(iterations):
        here = q[:, active]
        error, rows = _error(chain, here, goal[:, active])
        size = np.sqrt(sum(e * e for e in error))
        pull = posture_gain * (rest[:, active] - here)
        step = _damped_step(rows, error, pull, damping * np.minimum(1.0, size / 0.1) ** 2 + 1e-7)
        largest = np.abs(step).max(axis=0)
        step *= np.minimum(1.0, max_step / np.maximum(largest, 1e-9))
        moved = np.clip(here + step, chain.lower[:, None], chain.upper[:, None])
        q[:, active] = moved
        active = active[(size > 1e-5) | (np.abs(moved - here).max(axis=0) > 1e-4)]
        if len(active) == 0:
            break
    error, _ = _error(chain, q, goal)
    found = np.ascontiguousarray(q.T)
    margin = np.minimum(found - chain.lower, chain.upper - found).min(axis=-1)
    position_error, rotation_error = (np.sqrt(sum(e * e for e in part)) for part in (error[:3], error[3:]))
    return InverseResult(found, position_error, rotation_error, margin)


def _columns(pose: Array) -> Array:
    """Poses (N, 7) as (12, N): the position, then the frame's three axes one after the other."""
    axes = matrix_from_quat(pose[:, 3:]).transpose(2, 1, 0).reshape(9, -1)
    return np.concatenate([pose[:, :3].T, axes])


def _error(chain: Chain, q: Array, goal: Array) -> tuple[Array, Array]:
    """What separates the tool at angles (J, N) from its goal (12, N), and the Jacobians' rows (6, J, N).

    The error (6, N) is in the base frame: the way, then the rotation vector, by the sine and cosine of its angle.
    """
    position, frame, axes, origins = chain._walk(q)
    # (3, 3, N): axis by axis, the products of where it is with where it is to be.
    wanted = goal[3:].reshape(3, 3, -1)
    cross = frame[:, _ONE_ON] * wanted[:, _TWO_ON] - frame[:, _TWO_ON] * wanted[:, _ONE_ON]
    along = frame * wanted
    sine = cross[0] + cross[1] + cross[2]
    cosines = along[:, 0] + along[:, 1] + along[:, 2]
    trace = cosines[0] + cosines[1] + cosines[2]
    length = np.sqrt(sum(s * s for s in sine))  # twice the sine of the angle
    angle = np.arctan2(length, trace - 1.0)
    # At half a turn the axis is lost; the angle is not.
    scale = np.where(length > 1e-9, angle / np.maximum(length, 1e-12), 0.5)
    flipped = (length <= 1e-9) & (trace < 1.0)
    turn = np.where(flipped, np.array([np.pi, 0.0, 0.0])[:, None], scale * sine)
    return np.concatenate([goal[:3] - position, turn]), _jacobian(position, axes, origins)


def _damped_step(rows: Array, error: Array, pull: Array, damping: Array) -> Array:
    """Joint steps (J, N): J^T (J J^T + damping I)^-1 (error - J pull) + pull, by Cholesky's factors.

    Args:
        rows: (6, J, N) of the Jacobians.
        error: (6, N).
        pull: (J, N).
        damping: (N,).
    """
    factor = np.empty((6, *error.shape))
    for i in range(6):
        factor[i, : i + 1] = (rows[i] * rows[: i + 1]).sum(axis=1)
        factor[i, i] += damping
    for j in range(6):
        column = factor[j:, j]
        for k in range(j):
            column -= factor[j:, k] * factor[j, k]
        np.sqrt(column[0], out=column[0])
        column[1:] /= column[0]
    solved = error - (rows * pull).sum(axis=1)
    for k in range(6):
        solved[k] /= factor[k, k]
        solved[k + 1 :] -= factor[k + 1 :, k] * solved[k]
    for i in reversed(range(6)):
        for k in range(i + 1, 6):
            solved[i] -= factor[k, i] * solved[k]
        solved[i] /= factor[i, i]
    step = pull.copy()
    for row, share in zip(rows, solved, strict=True):
        step += row * share
    return step
