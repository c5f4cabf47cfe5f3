"""The UR5e is the published one: its table of frames, weight and limits; its gripper's stroke, force and pace."""

import mujoco
import numpy as np
import pytest

from sim.gripper2f import FINGER_JOINTS, FORCE, TRAVEL
from sim.kinematics import solve_inverse
from sim.parts import Inertial, rotated_inertial
from sim.transforms import matrix_from_quat, quat_from_rotvec, quat_rotate
from sim.trials import Trial, pointing_down
from sim.ur5e import UR5E
from sim.ur5e_shell import SHELL

CHAIN = UR5E.chain
# As published: a [m], d [m], alpha [rad] of each joint.
PUBLISHED = [
    (0.0, 0.1625, np.pi / 2),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.0),
    (0.0, 0.1333, np.pi / 2),
    (0.0, 0.0997, -np.pi / 2),
    (0.0, 0.0996, 0.0),
]


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(UR5E)


def textbook_flange(q: np.ndarray) -> np.ndarray:
    """The flange (4, 4) in the robot's own base frame, by the textbook's matrices."""
    pose = np.eye(4)
    for angle, (a, d, alpha) in zip(q, PUBLISHED, strict=True):
        c, s, ca, sa = np.cos(angle), np.sin(angle), np.cos(alpha), np.sin(alpha)
        pose = pose @ [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]]
    return pose


def test_the_flange_is_where_the_published_table_puts_it() -> None:
    rng = np.random.default_rng(1)
    for q in rng.uniform(-np.pi, np.pi, (20, 6)):
        flange = textbook_flange(q)
        tool = CHAIN.forward(q)
        # The base is turned half a turn about z; the tool is straight out of the flange.
        position = np.diag([-1.0, -1.0, 1.0]) @ (flange[:3, 3] + 0.147 * flange[:3, 2])
        np.testing.assert_allclose(tool[:3], position, atol=1e-12)
        np.testing.assert_allclose(
            quat_rotate(tool[3:], [0.0, 0.0, 1.0]), np.diag([-1.0, -1.0, 1.0]) @ flange[:3, 2], atol=1e-12
        )


def test_limits_are_the_data_sheets(trial: Trial) -> None:
    np.testing.assert_allclose(CHAIN.max_speed, np.pi)
    np.testing.assert_allclose(CHAIN.upper, [2 * np.pi, 2 * np.pi, np.pi, 2 * np.pi, 2 * np.pi, 2 * np.pi])
    np.testing.assert_allclose(CHAIN.lower, -CHAIN.upper)
    torque = [trial.model.jnt_actfrcrange[trial.model.joint(name).id, 1] for name in UR5E.joints]
    np.testing.assert_allclose(torque, [150.0, 150.0, 150.0, 28.0, 28.0, 28.0])


def test_links_weigh_what_is_published(trial: Trial) -> None:
    masses = [trial.model.body(f"link{i}").mass[0] for i in range(1, 7)]
    np.testing.assert_allclose(masses, [3.761, 8.058, 2.846, 1.37, 1.3, 0.365])


def test_the_upper_arms_centre_of_mass_is_halfway_along_it_and_beside_the_joints(trial: Trial) -> None:
    np.testing.assert_allclose(trial.model.body("link2").ipos, [-0.2125, 0.0, 0.11336], atol=1e-12)


def test_an_inertial_in_another_frame_gives_the_same_energy() -> None:
    inertial = Inertial(2.0, (0.1, -0.2, 0.3), (0.02, 0.03, 0.04, 0.001, -0.002, 0.003))
    turn, offset = matrix_from_quat(quat_from_rotvec([0.3, -0.5, 0.8])), np.array([0.4, 0.1, -0.2])
    moved = rotated_inertial(inertial, offset, turn)
    spin = np.array([0.7, -1.1, 0.4])

    def energy(of: Inertial, spin: np.ndarray) -> float:
        xx, yy, zz, xy, xz, yz = of.inertia
        return float(spin @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ spin)

    assert energy(moved, turn @ spin) == pytest.approx(energy(inertial, spin), rel=1e-12)
    np.testing.assert_allclose(moved.centre, offset + turn @ inertial.centre)
    assert moved.mass == inertial.mass


def test_the_elbow_points_up_all_over_the_table() -> None:
    grid = [(x, y, z) for x in (0.3, 0.5, 0.72) for y in (-0.3, 0.0, 0.3) for z in (0.02, 0.3)]
    target = np.array([pointing_down(*at, yaw) for at in grid for yaw in (-1.5, 0.0, 1.5)])
    found = solve_inverse(CHAIN, target, np.tile(UR5E.home, (len(target), 1)), UR5E.home)
    assert found.reached().all()
    q = found.q.copy()
    elbow = -np.sin(q[:, 1]) * 0.425 + 0.1625
    wrist = elbow - np.sin(q[:, 1] + q[:, 2]) * 0.3922
    # The elbow lies above the line from shoulder to wrist, on one side for every pose.
    assert (q[:, 2] > 0.3).all()
    assert (elbow > (0.1625 + wrist) / 2).all()
    assert found.limit_margin.min() > 0.3


def test_home_points_straight_down_over_the_table() -> None:
    home = CHAIN.forward(UR5E.home)
    np.testing.assert_allclose(home[:3], [0.46, 0.0, 0.28], atol=1e-3)
    np.testing.assert_allclose(quat_rotate(home[3:], np.eye(3)), np.diag([1.0, -1.0, -1.0]), atol=2e-3)


def test_the_gripper_opens_by_85_mm_between_its_pads(trial: Trial) -> None:
    trial.restart()
    data = trial.data()
    left, right = (data.geom_xpos[trial.model.geom(name).id] for name in ("pad_left", "pad_right"))
    pad = trial.model.geom("pad_left").size[1]
    assert np.linalg.norm(left - right) - 2 * pad == pytest.approx(0.085, abs=1e-3)


def test_fingers_close_at_150_mm_a_second_between_them(trial: Trial) -> None:
    trial.restart()
    columns = UR5E.finger_addresses(trial.model)
    trial.opening = 0.0
    trial.wait(2)
    before = trial.sim.qpos[0, columns].sum()
    trial.wait(4)
    assert (before - trial.sim.qpos[0, columns].sum()) * 5 == pytest.approx(0.150, rel=0.1)


def test_the_grip_never_exceeds_its_force(trial: Trial) -> None:
    trial.restart((0.5, 0.0))
    height = trial.bench.table + trial.bench.edge / 2
    assert trial.go(pointing_down(0.5, 0.0, height + 0.1))
    assert trial.go(pointing_down(0.5, 0.0, height))
    trial.opening = 0.0
    trial.wait(20)
    cube = trial.model.geom("cube_geom").id
    fingers = {trial.model.geom(name).id for name in UR5E.finger_geoms}
    force = sum(c[3] for c in trial.touching() if cube in c[:2] and fingers.intersection(c[:2]))
    assert 0.5 * FORCE < force <= 1.01 * FORCE


def test_fingers_stop_at_their_ends(trial: Trial) -> None:
    ranges = [trial.model.jnt_range[trial.model.joint(name).id] for name in FINGER_JOINTS]
    np.testing.assert_allclose(ranges, [[0.0, TRAVEL]] * 2)


@pytest.mark.parametrize("link", [*SHELL, "hand", "left_finger", "right_finger"])
def test_no_shape_floats(link: str, trial: Trial) -> None:
    """Every visible shape of a link overlaps another of the same link or of a neighbour."""
    trial.restart()
    model, data = trial.model, trial.data()
    body = model.body(link).id
    near = {body, model.body_parentid[body]} | set(np.flatnonzero(model.body_parentid == body))
    seen = [g for g in range(model.ngeom) if model.geom_group[g] == 2]
    for geom in (g for g in seen if model.geom_bodyid[g] == body):
        others = [g for g in seen if g != geom and model.geom_bodyid[g] in near]
        gap = min(mujoco.mj_geomDistance(model, data, geom, g, 0.1, None) for g in others)
        assert gap < 0.0005, model.geom(geom).name


def test_shapes_weigh_nothing_and_are_few_enough_to_draw_fast(trial: Trial) -> None:
    shapes = [g for g in range(trial.model.ngeom) if trial.model.geom(g).name.startswith("shell_")]
    assert not trial.model.geom_contype[shapes].any()
    assert not trial.model.geom_conaffinity[shapes].any()
    assert len(shapes) <= 46
