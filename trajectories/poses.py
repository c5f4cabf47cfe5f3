"""Rotations and poses as recorded: unit quaternions (w, x, y, z) without jumps of sign, and six numbers for learning.

q and -q are the same rotation; a recording must not jump between them, or differences between steps mean nothing. A
network is given the first two columns of the rotation matrix instead (Zhou et al., "On the Continuity of Rotation
Representations in Neural Networks", 2019), which have neither jumps nor two spellings.
"""

import numpy as np


def quaternions_from_matrices(matrices: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to unit quaternions (..., 4) with w >= 0.

    Of the four ways to write each quaternion in terms of the matrix, the one with the largest pivot is taken
    (Shepperd, "Quaternion from rotation matrix", 1978), which is accurate everywhere.
    """
    m = np.asarray(matrices, dtype=np.float64)
    x, y, z = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Row i is the quaternion times four times its component i.
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    rows = np.stack(
        [
            np.stack([1 + x + y + z, wx, wy, wz], axis=-1),
            np.stack([wx, 1 + x - y - z, xy, xz], axis=-1),
            np.stack([wy, xy, 1 - x + y - z, yz], axis=-1),
            np.stack([wz, xz, yz, 1 - x - y + z], axis=-1),
        ],
        axis=-2,
    )
    pivot = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(rows, pivot[..., None, None], axis=-2)[..., 0, :]
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., :1] < 0, -q, q)


def matrices_from_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) to rotation matrices (..., 3, 3)."""
    w, x, y, z = np.moveaxis(np.asarray(quaternions, dtype=np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def sign_continuous(quaternions: np.ndarray) -> np.ndarray:
    """Choose the sign of each quaternion of a recording (T, 4) so that it is the one nearer to the step before."""
    q = np.asarray(quaternions)
    flips = np.where(np.sum(q[1:] * q[:-1], axis=1) < 0, -1.0, 1.0)
    return (q * np.cumprod(np.concatenate([[1.0], flips]))[:, None]).astype(q.dtype)


def poses_from_matrices(matrices: np.ndarray) -> np.ndarray:
    """A recording of homogeneous transforms (T, 4, 4) as poses (T, 7): position, sign-continuous unit quaternion."""
    m = np.asarray(matrices, dtype=np.float64)
    return np.concatenate([m[:, :3, 3], sign_continuous(quaternions_from_matrices(m[:, :3, :3]))], axis=1)


def rotation_6d(quaternions: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) to the first column, then the second, of the rotation matrix (..., 6)."""
    m = matrices_from_quaternions(quaternions)
    return np.concatenate([m[..., :, 0], m[..., :, 1]], axis=-1)


def matrices_from_6d(columns: np.ndarray) -> np.ndarray:
    """Six numbers (..., 6), as a network gives them, to the rotation matrix (..., 3, 3) by Gram-Schmidt.

    The two columns must not be parallel or zero.
    """
    c = np.asarray(columns, dtype=np.float64)
    first = c[..., :3] / np.linalg.norm(c[..., :3], axis=-1, keepdims=True)
    second = c[..., 3:] - np.sum(first * c[..., 3:], axis=-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def pose_features(poses: np.ndarray) -> np.ndarray:
    """Poses (..., 7) as learnt from, (..., 9): position [m], then `rotation_6d`."""
    return np.concatenate([poses[..., :3], rotation_6d(poses[..., 3:])], axis=-1)
