import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from trajectories import poses


@pytest.fixture
def rotations():
    # Half turns about each axis and near them are where naive formulas lose their digits.
    turns = Rotation.from_rotvec(np.pi * np.concatenate([np.eye(3), np.eye(3) * (1 - 1e-9), [[0.6, 0.8, 0]]]))
    return Rotation.concatenate([Rotation.random(500, random_state=0), turns, Rotation.identity()])


def test_quaternions_agree_with_scipy(rotations):
    ours = poses.quaternions_from_matrices(rotations.as_matrix())
    theirs = rotations.as_quat(scalar_first=True)
    np.testing.assert_allclose(np.abs((ours * theirs).sum(axis=1)), 1, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-12)
    assert (ours[:, 0] >= 0).all()


def test_matrices_agree_with_scipy(rotations):
    ours = poses.matrices_from_quaternions(rotations.as_quat(scalar_first=True))
    np.testing.assert_allclose(ours, rotations.as_matrix(), atol=1e-12)


def test_a_recording_through_half_turns_has_no_jumps():
    angles = np.linspace(0, 6 * np.pi, 400)
    axis = np.array([0.6, 0.0, 0.8])
    matrices = np.tile(np.eye(4), (400, 1, 1))
    matrices[:, :3, :3] = Rotation.from_rotvec(angles[:, None] * axis).as_matrix()
    matrices[:, 0, 3] = angles
    recording = poses.poses_from_matrices(matrices)
    assert np.abs(np.diff(recording[:, 3:], axis=0)).max() < 0.03
    np.testing.assert_allclose(poses.matrices_from_quaternions(recording[:, 3:]), matrices[:, :3, :3], atol=1e-12)
    np.testing.assert_array_equal(recording[:, 0], angles)


def test_six_numbers_are_the_first_two_columns_and_lead_back(rotations):
    six = poses.rotation_6d(rotations.as_quat(scalar_first=True))
    np.testing.assert_allclose(six[:, :3], rotations.as_matrix()[:, :, 0], atol=1e-12)
    np.testing.assert_allclose(six[:, 3:], rotations.as_matrix()[:, :, 1], atol=1e-12)
    np.testing.assert_allclose(poses.matrices_from_6d(six), rotations.as_matrix(), atol=1e-12)


@given(
    st.lists(st.floats(-2, 2), min_size=6, max_size=6).filter(lambda c: np.linalg.norm(np.cross(c[:3], c[3:])) > 1e-3)
)
def test_whatever_a_network_gives_becomes_a_rotation(columns):
    matrix = poses.matrices_from_6d(np.array(columns))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1)
