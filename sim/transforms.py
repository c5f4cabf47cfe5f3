"""Batched rigid-body algebra on NumPy arrays.

A pose is one array of 7 numbers: position x y z [m], then a unit quaternion (w, x, y, z) as in MuJoCo; any leading
dimensions are batch dimensions and broadcast. A rotation vector is axis times angle [rad].
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

IDENTITY_POSE: Array = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])


def quat_multiply(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product of quaternions (..., 4): the rotation b followed by a."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    w = aw * bw - ax * bx - ay * by - az * bz
    product = np.empty((*np.shape(w), 4))
    product[..., 0] = w
    product[..., 1] = aw * bx + ax * bw + ay * bz - az * by
    product[..., 2] = aw * by - ax * bz + ay * bw + az * bx
    product[..., 3] = aw * bz + ax * by - ay * bx + az * bw
    return product


def cross(a: Array, b: Array) -> Array:
    """Cross product of vectors (..., 3); several times as fast as `np.cross` on short arrays."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    x = ay * bz - az * by
    product = np.empty((*np.shape(x), 3))
    product[..., 0] = x
    product[..., 1] = az * bx - ax * bz
    product[..., 2] = ax * by - ay * bx
    return product


def quat_conjugate(q: ArrayLike) -> Array:
    """Inverse rotation of unit quaternions (..., 4)."""
    return np.asarray(q, float) * np.array([1.0, -1.0, -1.0, -1.0])


def quat_rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Rotate vectors (..., 3) by unit quaternions (..., 4): v + 2 w (u x v) + 2 u x (u x v)."""
    q, v = np.asarray(q, float), np.asarray(v, float)
    u = q[..., 1:]
    t = 2.0 * cross(u, v)
    return v + q[..., :1] * t + cross(u, t)


def quat_from_rotvec(rotvec: ArrayLike) -> Array:
    """Unit quaternions (..., 4) of rotation vectors (..., 3) [rad]."""
    rotvec = np.asarray(rotvec, float)
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    half = 0.5 * angle
    # sin(x/2)/x -> 1/2 as x -> 0
    scale = np.where(angle > 1e-9, np.sin(half) / np.maximum(angle, 1e-12), 0.5)
    return np.concatenate([np.cos(half), rotvec * scale], axis=-1)


def rotvec_from_quat(q: ArrayLike) -> Array:
    """Rotation vectors (..., 3) [rad] of unit quaternions (..., 4), the short way round (angle <= pi)."""
    q = np.asarray(q, float)
    q = np.where(q[..., :1] < 0, -q, q)
    sin = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sin, q[..., :1])
    return q[..., 1:] * np.where(sin > 1e-9, angle / np.maximum(sin, 1e-12), 2.0)


def quat_about_z(angle: ArrayLike) -> Array:
    """Unit quaternions (..., 4) that turn by `angle` (...,) [rad] about z."""
    half = 0.5 * np.asarray(angle, float)
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)


def matrix_from_quat(q: ArrayLike) -> Array:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    q = np.asarray(q, float)
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    matrix = np.empty((*np.shape(w), 3, 3))
    matrix[..., 0, 0] = 1 - 2 * (y * y + z * z)
    matrix[..., 0, 1] = 2 * (x * y - w * z)
    matrix[..., 0, 2] = 2 * (x * z + w * y)
    matrix[..., 1, 0] = 2 * (x * y + w * z)
    matrix[..., 1, 1] = 1 - 2 * (x * x + z * z)
    matrix[..., 1, 2] = 2 * (y * z - w * x)
    matrix[..., 2, 0] = 2 * (x * z - w * y)
    matrix[..., 2, 1] = 2 * (y * z + w * x)
    matrix[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return matrix


def quat_from_matrix(matrix: ArrayLike) -> Array:
    """Unit quaternions (..., 4), w >= 0, of rotation matrices (..., 3, 3).

    Each component is computed from the best conditioned of Shepperd's four cases (J. Guidance and Control 1(3), 1978).
    """
    m = np.asarray(matrix, float)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    cases = np.stack(
        [
            np.stack([1 + m00 + m11 + m22, a, b, c], axis=-1),
            np.stack([a, 1 + m00 - m11 - m22, d, e], axis=-1),
            np.stack([b, d, 1 - m00 + m11 - m22, f], axis=-1),
            np.stack([c, e, f, 1 - m00 - m11 + m22], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(np.stack([cases[..., i, i] for i in range(4)], axis=-1), axis=-1)
    q = np.take_along_axis(cases, best[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(q[..., :1] < 0, -q, q)


def compose(a: ArrayLike, b: ArrayLike) -> Array:
    """Poses (..., 7) of frame C in A, from B in A and C in B."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return _join(a[..., :3] + quat_rotate(a[..., 3:], b[..., :3]), quat_multiply(a[..., 3:], b[..., 3:]))


def _join(position: Array, quat: Array) -> Array:
    pose = np.empty((*np.broadcast_shapes(position.shape[:-1], quat.shape[:-1]), 7))
    pose[..., :3] = position
    pose[..., 3:] = quat
    return pose


def inverse(pose: ArrayLike) -> Array:
    """Poses (..., 7) of A in B, from B in A."""
    pose = np.asarray(pose, float)
    quat = quat_conjugate(pose[..., 3:])
    return _join(-quat_rotate(quat, pose[..., :3]), quat)


def angle_between(a: ArrayLike, b: ArrayLike) -> Array:
    """Geodesic angle (...,) [rad] between unit quaternions (..., 4)."""
    return np.linalg.norm(rotvec_from_quat(quat_multiply(quat_conjugate(a), b)), axis=-1)


def interpolate(a: ArrayLike, b: ArrayLike, fraction: ArrayLike) -> Array:
    """Poses (..., 7) on the way from a to b: straight in position, the short geodesic in rotation.

    Args:
        a: poses at fraction 0, (..., 7).
        b: poses at fraction 1, (..., 7).
        fraction: (...,) in [0, 1].
    """
    a, b, s = np.asarray(a, float), np.asarray(b, float), np.asarray(fraction, float)[..., None]
    turn = rotvec_from_quat(quat_multiply(quat_conjugate(a[..., 3:]), b[..., 3:]))
    return _join(a[..., :3] + s * (b[..., :3] - a[..., :3]), quat_multiply(a[..., 3:], quat_from_rotvec(s * turn)))
