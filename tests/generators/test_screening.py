"""Screening: how near the hand comes to the table and to objects."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from generators.screening import fingertip_clearance, palm_is_clear
from sim.panda import PANDA
from tests.generators.standing import DOWN, LIFT, cube


def corners(pose: np.ndarray) -> np.ndarray:
    return pose[:3] + LIFT.props[0].outline()


def test_fingertip_clearance_is_measured_at_the_lowest_corner() -> None:
    straight = np.array([[0.5, 0.0, 0.05, *DOWN]])
    level = fingertip_clearance(straight, np.ones(1), 0.0, PANDA.hand)
    assert level == pytest.approx(0.05 - 0.009, abs=1e-6)
    tilted = straight.copy()
    tilted[0, 3:] = (Rotation.from_rotvec([0.3, 0, 0]) * Rotation.from_quat(DOWN, scalar_first=True)).as_quat(
        scalar_first=True
    )
    assert fingertip_clearance(tilted, np.ones(1), 0.0, PANDA.hand) < level
    assert fingertip_clearance(straight, np.ones(1), 0.02, PANDA.hand) == pytest.approx(level - 0.02)


def test_the_palm_notices_a_cube_beneath_it() -> None:
    tool = np.array([[0.5, 0.0, 0.10, *DOWN]])
    assert palm_is_clear(tool, corners(cube(0.5, 0.0)), 0.004, PANDA.hand)
    assert not palm_is_clear(tool, corners(cube(0.5, 0.0, z=0.13)), 0.004, PANDA.hand)
    assert palm_is_clear(tool, np.zeros((0, 3)), 0.004, PANDA.hand)
