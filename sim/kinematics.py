"""Kinematics of a serial arm for many configurations at once: forward, Jacobian, inverse.

Planning asks for tens of thousands of configurations per second, so everything here works on arrays (N, J) and touches
no simulator. Inside, the configurations are the last axis and each formula is written out by component: every operation
then runs along contiguous memory, products with the constant zeros of an arm's geometry are left out, and every row's
result is independent of the other rows, to the last bit.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.transforms import Array, compose, matrix_from_quat, quat_multiply


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

    def forward(self, q: Array) -> Array:
        """Tool poses in the base frame (..., 7) of joint angles (..., J) [rad]."""
        q = np.asarray(q, float)
        half = q.reshape(-1, self.joint_count()) / 2
        positions, quats, turned = self._links
        poses = np.empty((len(half), len(positions), 7))
        poses[..., :3], poses[:, -1, 3:] = positions, quats[-1]
        poses[:, :-1, 3:] = np.cos(half)[..., None] * quats[:-1] + np.sin(half)[..., None] * turned
        # Neighbours are joined in pairs, all pairs at once: the arm's length in steps would be many small ones.
        while (count := poses.shape[1]) > 1:
            pairs = compose(poses[:, 0 : count - 1 : 2], poses[:, 1::2])
            poses = np.concatenate([pairs, poses[:, -1:]], axis=1) if count % 2 else pairs
        return poses.reshape(*q.shape[:-1], 7)

    @cached_property
    def _links(self) -> tuple[Array, Array, Array]:
        """Positions (J + 1, 3) and quaternions (J + 1, 4) of the joints' frames at zero angle and the tool, each in the
        one before; then of the joints' frames after half a turn (J, 4)."""
        poses = np.concatenate([self.frames, self.tool[None]])
        return poses[:, :3], poses[:, 3:], quat_multiply(self.frames[:, 3:], [0.0, 0.0, 0.0, 1.0])

    def jacobian(self, q: Array) -> Array:
        """Geometric Jacobians (N, 6, J) of the tool: linear [m/rad] above angular, both in the base frame."""
        position, _, axes, origins = self._walk(np.ascontiguousarray(np.asarray(q, float).T))
        return np.stack(_jacobian(position, axes, origins)).transpose(2, 0, 1)


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


def _jacobian(position: Array, axes: Array, origins: Array) -> list[Array]:
    """The six rows (J, N) of the Jacobians, from what `Chain._walk` found."""
    ax, ay, az = axes
    lx, ly, lz = (position[i] - origins[i] for i in range(3))
    return [ay * lz - az * ly, az * lx - ax * lz, ax * ly - ay * lx, ax, ay, az]


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


def _error(chain: Chain, q: Array, goal: Array) -> tuple[list[Array], list[Array]]:
    """What separates the tool at angles (J, N) from its goal (12, N), and the Jacobians' rows, 6 of (J, N).

    The error is six of (N,) in the base frame: the way, then the rotation vector, by the sine and cosine of its angle.
    """
    position, frame, axes, origins = chain._walk(q)
    way = [goal[i] - position[i] for i in range(3)]
    sine, trace = [np.zeros(q.shape[1])] * 3, np.zeros(q.shape[1])
    for i, (x, y, z) in enumerate(frame):
        gx, gy, gz = goal[3 + 3 * i : 6 + 3 * i]
        sine = [sine[0] + (y * gz - z * gy), sine[1] + (z * gx - x * gz), sine[2] + (x * gy - y * gx)]
        trace = trace + (x * gx + y * gy + z * gz)
    length = np.sqrt(sum(s * s for s in sine))  # twice the sine of the angle
    angle = np.arctan2(length, trace - 1.0)
    # At half a turn the axis is lost; the angle is not.
    scale = np.where(length > 1e-9, angle / np.maximum(length, 1e-12), 0.5)
    flipped = (length <= 1e-9) & (trace < 1.0)
    turn = [np.where(flipped, np.pi if i == 0 else 0.0, scale * s) for i, s in enumerate(sine)]
    return way + turn, _jacobian(position, axes, origins)


def _damped_step(rows: list[Array], error: list[Array], pull: Array, damping: Array) -> Array:
    """Joint steps (J, N): J^T (J J^T + damping I)^-1 (error - J pull) + pull, by Cholesky's factors."""
    factor: list[list[Array]] = []
    for i in range(6):
        factor.append([])
        for j in range(i + 1):
            total = (rows[i] * rows[j]).sum(axis=0)
            if i == j:
                total += damping
            for k in range(j):
                total -= factor[i][k] * factor[j][k]
            factor[i].append(np.sqrt(total) if i == j else total / factor[j][j])
    solved: list[Array] = []
    for i in range(6):
        total = error[i] - (rows[i] * pull).sum(axis=0)
        for k in range(i):
            total -= factor[i][k] * solved[k]
        solved.append(total / factor[i][i])
    for i in reversed(range(6)):
        for k in range(i + 1, 6):
            solved[i] = solved[i] - factor[k][i] * solved[k]
        solved[i] = solved[i] / factor[i][i]
    step = pull.copy()
    for row, share in zip(rows, solved, strict=True):
        step += row * share
    return step
