"""Pose algebra against SciPy's rotations, which share no code with it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim.transforms import (
    IDENTITY_POSE,
    angle_between,
    compose,
    interpolate,
    inverse,
    matrix_from_quat,
    quat_about_z,
    quat_conjugate,
    quat_from_matrix,
    quat_from_rotvec,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)

N = 200


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def wxyz(rotation: Rotation) -> np.ndarray:
    return rotation.as_quat(scalar_first=True)


def scipy(quat: np.ndarray) -> Rotation:
    return Rotation.from_quat(quat, scalar_first=True)


def quats(rng: np.random.Generator, n: int = N) -> np.ndarray:
    return wxyz(Rotation.random(n, rng))


def poses(rng: np.random.Generator, n: int = N) -> np.ndarray:
    return np.concatenate([rng.uniform(-1, 1, (n, 3)), quats(rng, n)], axis=1)


def matrix(pose: np.ndarray) -> np.ndarray:
    """Homogeneous (n, 4, 4), by SciPy."""
    result = np.tile(np.eye(4), (len(pose), 1, 1))
    result[:, :3, :3] = scipy(pose[:, 3:]).as_matrix()
    result[:, :3, 3] = pose[:, :3]
    return result


def same_rotation(a: np.ndarray, b: np.ndarray) -> None:
    """Up to sign, which does not matter."""
    np.testing.assert_allclose(np.abs((a * b).sum(axis=-1)), 1.0, atol=1e-12)


def test_multiply_is_composition_of_rotations(rng: np.random.Generator) -> None:
    a, b = quats(rng), quats(rng)
    same_rotation(quat_multiply(a, b), wxyz(scipy(a) * scipy(b)))


def test_multiply_broadcasts_over_leading_dimensions(rng: np.random.Generator) -> None:
    a, b = quats(rng, 3), quats(rng, 5)
    grid = quat_multiply(a[:, None], b[None])
    assert grid.shape == (3, 5, 4)
    np.testing.assert_array_equal(grid[2, 4], quat_multiply(a[2], b[4]))


def test_conjugate_undoes_a_rotation(rng: np.random.Generator) -> None:
    q = quats(rng)
    same_rotation(quat_conjugate(q), wxyz(scipy(q).inv()))


def test_rotate_turns_vectors_as_scipy_does(rng: np.random.Generator) -> None:
    q, v = quats(rng), rng.normal(size=(N, 3))
    np.testing.assert_allclose(quat_rotate(q, v), scipy(q).apply(v), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 0.3, np.pi - 1e-6])
def test_rotation_vectors_go_there_and_back(rng: np.random.Generator, angle: float) -> None:
    axis = rng.normal(size=(N, 3))
    rotvec = angle * axis / np.linalg.norm(axis, axis=1, keepdims=True)
    same_rotation(quat_from_rotvec(rotvec), wxyz(Rotation.from_rotvec(rotvec)))
    np.testing.assert_allclose(rotvec_from_quat(quat_from_rotvec(rotvec)), rotvec, atol=1e-9)


def test_rotation_vectors_take_the_short_way_round() -> None:
    np.testing.assert_allclose(rotvec_from_quat(quat_about_z(1.5 * np.pi)), [0, 0, -0.5 * np.pi], atol=1e-12)


def test_about_z_is_a_turn_about_z(rng: np.random.Generator) -> None:
    angle = rng.uniform(-3, 3, N)
    same_rotation(quat_about_z(angle), wxyz(Rotation.from_euler("z", angle[:, None])))


def test_matrix_from_quat_is_scipys(rng: np.random.Generator) -> None:
    q = quats(rng)
    np.testing.assert_allclose(matrix_from_quat(q), scipy(q).as_matrix(), atol=1e-12)


def test_quat_from_matrix_holds_near_half_turns(rng: np.random.Generator) -> None:
    axis = np.concatenate([np.eye(3), -np.eye(3), rng.normal(size=(N, 3))])
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    for angle in (np.pi, np.pi - 1e-9, 0.0, 1.0):
        want = Rotation.from_rotvec(angle * axis)
        got = quat_from_matrix(want.as_matrix())
        same_rotation(got, wxyz(want))
        assert (got[:, 0] >= 0).all()


def test_compose_is_the_product_of_homogeneous_matrices(rng: np.random.Generator) -> None:
    a, b = poses(rng), poses(rng)
    np.testing.assert_allclose(matrix(compose(a, b)), matrix(a) @ matrix(b), atol=1e-12)


def test_compose_broadcasts_one_pose_over_many(rng: np.random.Generator) -> None:
    one, many = poses(rng, 1)[0], poses(rng, 4)
    np.testing.assert_array_equal(compose(one, many)[3], compose(one, many[3]))
    np.testing.assert_array_equal(compose(many, one)[2], compose(many[2], one))


def test_inverse_is_the_inverse_matrix(rng: np.random.Generator) -> None:
    a = poses(rng)
    np.testing.assert_allclose(matrix(inverse(a)), np.linalg.inv(matrix(a)), atol=1e-12)


def test_identity_changes_nothing(rng: np.random.Generator) -> None:
    a = poses(rng)
    np.testing.assert_allclose(compose(IDENTITY_POSE, a), a, atol=1e-15)
    np.testing.assert_allclose(compose(a, IDENTITY_POSE), a, atol=1e-15)


def test_angle_between_is_scipys_magnitude(rng: np.random.Generator) -> None:
    a, b = quats(rng), quats(rng)
    np.testing.assert_allclose(angle_between(a, b), (scipy(a).inv() * scipy(b)).magnitude(), atol=1e-7)
    np.testing.assert_allclose(angle_between(a, -a), 0.0, atol=1e-7)


def test_interpolation_is_straight_and_even(rng: np.random.Generator) -> None:
    a, b = poses(rng, 1)[0], poses(rng, 1)[0]
    s = np.linspace(0, 1, 11)
    path = interpolate(a, b, s)
    np.testing.assert_allclose(path[:, :3], a[:3] + s[:, None] * (b[:3] - a[:3]), atol=1e-12)
    np.testing.assert_allclose(angle_between(a[3:], path[:, 3:]), s * angle_between(a[3:], b[3:]), atol=1e-7)
    same_rotation(path[-1, 3:], b[3:])
