"""The Panda's kinematics against MuJoCo's own, finite differences, and the published pose."""

import mujoco
import numpy as np
import pytest

from scenes.workspace import build_workspace
from sim.kinematics import Chain, solve_inverse
from sim.panda import PANDA
from sim.transforms import angle_between, quat_about_z, quat_multiply, quat_rotate

CHAIN = PANDA.chain


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_workspace("lift").model


def configurations(rng: np.random.Generator, n: int, margin: float = 0.0) -> np.ndarray:
    return rng.uniform(CHAIN.lower + margin, CHAIN.upper - margin, (n, CHAIN.joint_count()))


def reachable_from_above(rng: np.random.Generator, n: int) -> np.ndarray:
    """Tool poses over the table, pointing down within 25 degrees, at any yaw that the task draws."""
    position = rng.uniform([0.35, -0.25, 0.02], [0.65, 0.25, 0.40], (n, 3))
    tilt = rng.normal(0, 0.12, (n, 3))
    half = np.concatenate([np.ones((n, 1)), tilt / 2], axis=1)
    quat = quat_multiply(quat_about_z(rng.uniform(-1, 1, n)), [0.0, 1.0, 0.0, 0.0])
    quat = quat_multiply(half / np.linalg.norm(half, axis=1, keepdims=True), quat)
    return np.concatenate([position, quat], axis=1)


def mujoco_tool(model: mujoco.MjModel, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, rotation matrix and Jacobian (6, J) of the tool site at one configuration."""
    data = mujoco.MjData(model)
    columns, dofs = PANDA.joint_addresses(model)
    data.qpos[columns] = q
    mujoco.mj_fwdPosition(model, data)
    site = model.site(PANDA.tool_site).id
    jacp, jacr = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jacSite(model, data, jacp, jacr, site)
    jacobian = np.concatenate([jacp, jacr])[:, dofs]
    return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy(), jacobian


def test_forward_gives_the_published_pose() -> None:
    # Joints are published to a milliradian, which is 0.4 mm at the tool.
    q = np.array([0.026, -0.178, -0.126, -2.508, 0.006, 2.406, 0.730])
    np.testing.assert_allclose(CHAIN.forward(q)[:3], [0.46218, -0.04341, 0.25042], atol=4e-4)


def test_forward_agrees_with_the_model(rng: np.random.Generator, model: mujoco.MjModel) -> None:
    for q in configurations(rng, 20):
        position, rotation, _ = mujoco_tool(model, q)
        pose = CHAIN.forward(q)
        np.testing.assert_allclose(pose[:3], position, atol=1e-9)
        np.testing.assert_allclose(quat_rotate(pose[3:], np.eye(3)), rotation.T, atol=1e-9)


def test_jacobian_agrees_with_the_model(rng: np.random.Generator, model: mujoco.MjModel) -> None:
    q = configurations(rng, 20)
    ours = CHAIN.jacobian(q)
    for row, jacobian in zip(q, ours, strict=True):
        np.testing.assert_allclose(jacobian, mujoco_tool(model, row)[2], atol=1e-9)


def test_jacobian_is_the_derivative_of_forward(rng: np.random.Generator) -> None:
    q, step = configurations(rng, 10), 1e-6
    jacobian = CHAIN.jacobian(q)
    for j in range(CHAIN.joint_count()):
        nudge = step * np.eye(CHAIN.joint_count())[j]
        slope = (CHAIN.forward(q + nudge)[:, :3] - CHAIN.forward(q - nudge)[:, :3]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, :3, j], slope, atol=1e-8)


def test_forward_takes_any_leading_dimensions(rng: np.random.Generator) -> None:
    q = configurations(rng, 6).reshape(2, 3, 7)
    assert CHAIN.forward(q).shape == (2, 3, 7)
    np.testing.assert_allclose(CHAIN.forward(q)[1, 2], CHAIN.forward(q[1, 2]), atol=1e-12)


def test_inverse_reaches_nearly_every_pose_over_the_table(rng: np.random.Generator) -> None:
    target = reachable_from_above(rng, 500)
    start = np.tile(PANDA.home, (500, 1))
    result = solve_inverse(CHAIN, target, start, PANDA.home, iterations=20)
    assert result.reached().mean() >= 0.98
    # What it says it reached, it did reach.
    pose = CHAIN.forward(result.q[result.reached()])
    assert np.linalg.norm(pose[:, :3] - target[result.reached(), :3], axis=1).max() < 1e-3
    assert angle_between(pose[:, 3:], target[result.reached(), 3:]).max() < 1e-2


def test_inverse_finds_its_way_back_from_a_nearby_start(rng: np.random.Generator) -> None:
    q = configurations(rng, 500, margin=0.3)
    start = np.clip(q + rng.normal(0, 0.1, q.shape), CHAIN.lower, CHAIN.upper)
    result = solve_inverse(CHAIN, CHAIN.forward(q), start, start)
    assert result.reached().mean() >= 0.98


def test_inverse_respects_joint_limits(rng: np.random.Generator) -> None:
    # Most of these are out of reach, so that the limits are met.
    target = np.concatenate([rng.uniform(-1, 1, (200, 3)), np.tile([0.0, 1.0, 0.0, 0.0], (200, 1))], axis=1)
    result = solve_inverse(CHAIN, target, np.tile(PANDA.home, (200, 1)), PANDA.home)
    assert (result.q >= CHAIN.lower).all()
    assert (result.q <= CHAIN.upper).all()
    margin = np.minimum(result.q - CHAIN.lower, CHAIN.upper - result.q).min(axis=1)
    np.testing.assert_array_equal(result.limit_margin, margin)


def test_a_target_out_of_reach_is_reported_as_an_error_of_its_size() -> None:
    far = np.array([[2.0, 0.0, 0.3, 0.0, 1.0, 0.0, 0.0]])
    result = solve_inverse(CHAIN, far, PANDA.home[None], PANDA.home, iterations=40)
    assert not result.reached()[0]
    assert result.position_error[0] > 2.0 - 1.2  # the arm is less than 1.2 m long


def test_rows_do_not_depend_on_their_company(rng: np.random.Generator) -> None:
    target, start = reachable_from_above(rng, 1500), configurations(rng, 1500, margin=0.5)
    whole = solve_inverse(CHAIN, target, start, PANDA.home).q
    for rows in (slice(0, 1), slice(3, 4), slice(5, 17), slice(1499, 1500)):
        alone = solve_inverse(CHAIN, target[rows], start[rows], PANDA.home).q
        np.testing.assert_array_equal(alone, whole[rows])


def test_the_posture_is_kept_where_the_task_leaves_freedom(rng: np.random.Generator) -> None:
    q = np.tile(PANDA.home, (50, 1))
    target = CHAIN.forward(q)
    start = q + rng.normal(0, 0.2, q.shape)
    loose = solve_inverse(CHAIN, target, start, start, iterations=40, posture_gain=0.0)
    kept = solve_inverse(CHAIN, target, start, PANDA.home, iterations=40, posture_gain=0.3)
    assert kept.reached().all()
    assert np.abs(kept.q - q).max() < 0.02 < np.abs(loose.q - q).max()


def test_a_planar_chain_has_its_textbook_kinematics() -> None:
    at = [1.0, 0.0, 0.0, 0.0]
    flat = Chain(
        frames=np.array([[0.0, 0, 0, *at], [0.5, 0, 0, *at]]),
        tool=np.array([0.3, 0, 0, *at]),
        lower=np.full(2, -3.0),
        upper=np.full(2, 3.0),
        max_speed=np.ones(2),
    )
    a, b = 0.4, 0.7
    want = [0.5 * np.cos(a) + 0.3 * np.cos(a + b), 0.5 * np.sin(a) + 0.3 * np.sin(a + b), 0.0]
    np.testing.assert_allclose(flat.forward(np.array([a, b]))[:3], want, atol=1e-12)
