"""The robot is honest: its torques and grip are limited, it tracks what it is told, it holds without glue."""

import mujoco
import numpy as np
import pytest

from sim.panda import PANDA
from sim.transforms import quat_rotate
from tests.arm import DOWN, Arm

PUBLISHED_TORQUE = [87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0]  # [N m]
PUBLISHED_GRIP = 70.0  # [N]


@pytest.fixture(scope="module")
def holding() -> Arm:
    """The arm squeezes a cube, 10 cm over the table."""
    arm = Arm()
    arm.grasp("cube_1")
    arm.go(arm.above("cube_1", 0.10), 20)
    arm.wait(10)
    return arm


def squeeze(arm: Arm, cube: str) -> dict[str, float]:
    """Normal force of each pad on a cube [N]."""
    force = {"pad_left": 0.0, "pad_right": 0.0}
    for first, second, _, normal in arm.contacts():
        if second == f"{cube}_geom" and first in force:
            force[first] += normal
    return force


def sweep(axis: int, amplitude: float, pace: float) -> np.ndarray:
    """Tool positions (T, 3) that swing about (0.5, 0, 0.25) m along one axis, from rest; pace [rad/s]."""
    t = np.arange(0, 160) / 20.0
    begin = np.clip(t / 2, 0, 1)
    path = np.tile([0.5, 0.0, 0.25], (len(t), 1))
    path[:, axis] += amplitude * begin**3 * (10 - 15 * begin + 6 * begin**2) * np.sin(pace * t)
    return path


@pytest.mark.parametrize(("axis", "amplitude", "pace"), [(1, 0.15, 2.7), (0, 0.09, 4.4), (2, 0.10, 4.0)])
def test_servos_follow_free_motion_at_demo_speed_within_3_mm(axis: int, amplitude: float, pace: float) -> None:
    path = sweep(axis, amplitude, pace)
    speed = np.linalg.norm(np.diff(path, axis=0), axis=1).max() * 20
    assert 0.38 < speed < 0.42
    arm = Arm()
    arm.go(np.array([*path[0], *DOWN]), 40)
    errors = []
    arm.after_step = lambda: errors.append(np.linalg.norm(arm.tool[:3] - PANDA.chain.forward(arm.command)[0, :3]))
    arm.follow(np.concatenate([path, np.tile(DOWN, (len(path), 1))], axis=1))
    assert max(errors) < 3e-3
    assert np.mean(errors) < 1e-3


def test_motor_torque_stays_at_the_published_limit_under_a_hopeless_command() -> None:
    arm = Arm()
    dofs = PANDA.joint_addresses(arm.sim.model)[1]
    peak = np.zeros(7)
    for turn in (1.0, -1.0, 1.0, -1.0):
        arm.command = np.clip(arm.command + 1.5 * turn, PANDA.chain.lower, PANDA.chain.upper)
        for _ in range(4):
            arm.wait(1)
            torque = np.abs(arm.sim.batch.bind("qfrc_actuator")[0, dofs])
            peak = np.maximum(peak, torque)
    assert (peak <= np.array(PUBLISHED_TORQUE) + 1e-9).all()
    assert (peak > 0.99 * np.array(PUBLISHED_TORQUE)).sum() >= 4  # the command did ask for more


def test_gravity_is_compensated_at_rest() -> None:
    arm = Arm()
    before = arm.tool
    arm.wait(40)
    np.testing.assert_allclose(arm.tool[:3], before[:3], atol=2e-4)


def test_grip_force_stays_at_the_published_limit(holding: Arm) -> None:
    force = squeeze(holding, "cube_1")
    assert force["pad_left"] + force["pad_right"] <= PUBLISHED_GRIP * 1.01
    assert force["pad_left"] == pytest.approx(force["pad_right"], rel=0.05)
    assert force["pad_left"] > 20.0  # a real squeeze


def test_a_squeezed_cube_is_penetrated_by_less_than_a_millimetre(holding: Arm) -> None:
    depth = [depth for first, second, depth, _ in holding.contacts() if "pad" in first and "cube_1" in second]
    assert len(depth) >= 4
    assert 0 < max(depth) < 1e-3


def test_a_held_cube_stays_in_the_fingers(holding: Arm) -> None:
    before = holding.object("cube_1")[:3] - holding.tool[:3]
    holding.wait(40)
    np.testing.assert_allclose(holding.object("cube_1")[:3] - holding.tool[:3], before, atol=1e-3)


def test_an_opened_gripper_drops_what_it_held() -> None:
    arm = Arm()
    arm.grasp("cube_1")
    arm.go(arm.above("cube_1", 0.10), 20)
    height = arm.object("cube_1")[2]
    arm.grip(1.0)
    assert arm.object("cube_1")[2] < height - 0.08


def test_nothing_in_the_model_holds_an_object_artificially() -> None:
    model = Arm().sim.model
    assert model.nmocap == 0
    welds = [mujoco.mjtEq.mjEQ_WELD, mujoco.mjtEq.mjEQ_CONNECT]
    assert not np.isin(model.eq_type, welds).any()
    transmissions = set(model.actuator_trntype.tolist())
    assert transmissions <= {mujoco.mjtTrn.mjTRN_JOINT.value, mujoco.mjtTrn.mjTRN_TENDON.value}
    assert model.geom_friction[:, 0].max() <= 1.0


def test_fingers_open_and_close_together_over_their_travel() -> None:
    arm = Arm()
    columns = PANDA.finger_addresses(arm.sim.model)
    arm.grip(0.0, 25)
    assert np.abs(arm.sim.qpos[0, columns]).max() < 1e-3
    arm.grip(1.0, 25)
    np.testing.assert_allclose(arm.sim.qpos[0, columns], PANDA.finger_open, atol=1e-3)


def test_the_tool_lies_between_the_finger_pads() -> None:
    arm = Arm()
    model = arm.sim.batch.get_model(0)
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, arm.sim.state[0], mujoco.mjtState.mjSTATE_INTEGRATION.value)
    mujoco.mj_forward(model, data)
    left, right = (data.geom_xpos[model.geom(name).id] for name in ("pad_left", "pad_right"))
    middle = (left + right) / 2
    approach = quat_rotate(arm.tool[3:], [0.0, 0.0, 1.0])
    np.testing.assert_allclose(np.cross(middle - arm.tool[:3], approach), 0.0, atol=1e-4)
    assert abs(np.dot(middle - arm.tool[:3], approach)) < 0.01


def test_home_is_well_inside_the_limits_with_the_tool_pointing_down() -> None:
    chain = PANDA.chain
    assert np.minimum(PANDA.home - chain.lower, chain.upper - PANDA.home).min() > 0.1
    assert quat_rotate(chain.forward(PANDA.home)[3:], [0.0, 0.0, 1.0])[2] < -0.99


def test_speed_and_position_limits_are_the_published_ones() -> None:
    chain = PANDA.chain
    np.testing.assert_allclose(chain.lower, [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
    np.testing.assert_allclose(chain.upper, [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
    np.testing.assert_allclose(chain.max_speed, [2.175] * 4 + [2.61] * 3)
