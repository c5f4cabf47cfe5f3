"""Joint angles along tool paths: each pose solved from the one before, so that a redundant arm's elbow keeps its way.

A path is followed pose by pose, so little is done at a time, for few arms: each iteration is a few dozen operations on
small matrices, where `sim.kinematics` has hundreds on long rows. The method is that of `sim.kinematics.solve_inverse`.
Every arm's result is independent of the others, to the last bit.
"""

import numpy as np

from sim.kinematics import Chain
from sim.transforms import Array, matrix_from_quat

# As `solve_inverse` has them: iterations, damping, the posture's gain, the longest joint step per iteration [rad].
_ITERATIONS, _DAMPING, _GAIN, _LONGEST = 10, 0.02, 0.1, 0.4
# Each axis' next, and the one after that.
_ONE_ON, _TWO_ON = [1, 2, 0], [2, 0, 1]


class Tracker:
    """Follows tool paths with an arm.

    Args:
        chain: the arm.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        frames = np.zeros((chain.joint_count() + 1, 4, 4))
        frames[:, :3, :3] = matrix_from_quat(np.concatenate([chain.frames[:, 3:], chain.tool[None, 3:]]))
        frames[:, :3, 3] = np.concatenate([chain.frames[:, :3], chain.tool[None, :3]])
        frames[:, 3, 3] = 1.0
        joints, self._tool = frames[:-1], frames[-1]
        # A joint's matrix is fixed + cos(angle) * even + sin(angle) * odd.
        self._fixed, self._even, self._odd = joints.copy(), np.zeros_like(joints), np.zeros_like(joints)
        self._fixed[..., :2] = 0.0
        self._even[..., :2] = joints[..., :2]
        self._odd[..., 0], self._odd[..., 1] = joints[..., 1], -joints[..., 0]

    def __call__(self, poses: Array, start: Array) -> Array:
        """Joint angles (N, T, J) [rad] that lead the tools of N arms through poses (N, T, 7) in the base frame.

        Args:
            poses: of the tools.
            start: (N, J) angles before the first pose [rad].

        A pose out of reach leaves the arm as near as it got, and the next is solved from there.
        """
        goals = matrix_from_quat(poses[..., 3:])
        q = np.clip(start, self._chain.lower, self._chain.upper)
        found = np.empty((*poses.shape[:2], q.shape[1]))
        for t in range(poses.shape[1]):
            q = self._reach(q, poses[:, t, :3], goals[:, t])
            found[:, t] = q
        return found

    def _reach(self, start: Array, place: Array, turn: Array) -> Array:
        """Angles (N, J) for places (N, 3) and rotation matrices (N, 3, 3), from others."""
        q = start.copy()
        active = np.arange(len(q))
        for _ in range(_ITERATIONS):
            here = q[active]
            error, jacobian = self._error(here, place[active], turn[active])
            size = np.sqrt((error * error).sum(axis=1))
            damping = _DAMPING * np.minimum(1.0, size / 0.1) ** 2 + 1e-7
            across = jacobian.transpose(0, 2, 1)
            square = jacobian @ across
            square[:, range(6), range(6)] += damping[:, None]
            pull = _GAIN * (start[active] - here)
            short = error[..., None] - jacobian @ pull[..., None]
            step = pull + (across @ np.linalg.solve(square, short))[..., 0]
            step *= np.minimum(1.0, _LONGEST / np.maximum(np.abs(step).max(axis=1), 1e-9))[:, None]
            moved = np.clip(here + step, self._chain.lower, self._chain.upper)
            q[active] = moved
            going = (size > 1e-5) | (np.abs(moved - here).max(axis=1) > 1e-4)
            if not going.any():
                break
            active = active[going]
        return q

    def _error(self, q: Array, place: Array, turn: Array) -> tuple[Array, Array]:
        """What separates the tools from their goals (N, 6), and the Jacobians (N, 6, J)."""
        n, joints = q.shape
        local = self._fixed + np.cos(q)[..., None, None] * self._even + np.sin(q)[..., None, None] * self._odd
        frames = np.empty((n, joints, 4, 4))
        frames[:, 0] = local[:, 0]
        for j in range(1, joints):
            np.matmul(frames[:, j - 1], local[:, j], out=frames[:, j])
        tool = frames[:, -1] @ self._tool
        axes, lever = frames[..., :3, 2], tool[:, None, :3, 3] - frames[..., :3, 3]
        jacobian = np.empty((n, 6, joints))
        linear = axes[..., _ONE_ON] * lever[..., _TWO_ON] - axes[..., _TWO_ON] * lever[..., _ONE_ON]
        jacobian[:, :3], jacobian[:, 3:] = linear.transpose(0, 2, 1), axes.transpose(0, 2, 1)
        # The rotation vector that is left, by the sine and cosine of its angle.
        left = turn @ tool[:, :3, :3].transpose(0, 2, 1)
        sine = left[:, _TWO_ON, _ONE_ON] - left[:, _ONE_ON, _TWO_ON]
        length = np.sqrt((sine * sine).sum(axis=1))
        angle = np.arctan2(length, left[:, 0, 0] + left[:, 1, 1] + left[:, 2, 2] - 1.0)
        rotation = sine * (angle / np.maximum(length, 1e-12))[:, None]
        # At half a turn the axis is lost; the angle is not.
        lost = (length <= 1e-9) & (angle > 1.0)
        rotation[lost] = [np.pi, 0.0, 0.0]
        return np.concatenate([place - tool[:, :3, 3], rotation], axis=1), jacobian
