"""Tests of an arm's outline."""

import mujoco
import numpy as np
import pytest

from scenes.workspace import build_workspace

ROBOTS = ("panda", "ur5e", "jaco")


def angles(robot: str, count: int) -> np.ndarray:
    chain = build_workspace("lift", robot).embodiment.chain
    rng = np.random.default_rng(1)
    return rng.uniform(np.maximum(chain.lower, -np.pi), np.minimum(chain.upper, np.pi), (count, len(chain.lower)))


def placed(robot: str, q: np.ndarray) -> tuple[mujoco.MjModel, mujoco.MjData]:
    workspace = build_workspace("lift", robot)
    data = mujoco.MjData(workspace.model)
    data.qpos[workspace.embodiment.joint_addresses(workspace.model)[0]] = q
    mujoco.mj_kinematics(workspace.model, data)
    return workspace.model, data


@pytest.mark.parametrize("robot", ROBOTS)
def test_links_are_where_the_engine_has_them(robot):
    embodiment = build_workspace("lift", robot).embodiment
    for q in angles(robot, 5):
        model, data = placed(robot, q)
        positions, axes = embodiment.chain.links(q[None])
        for k, name in enumerate(embodiment.joints):
            joint = model.joint(name).id
            np.testing.assert_allclose(positions[k + 1, :, 0], data.xanchor[joint], atol=1e-5)
            np.testing.assert_allclose(axes[k + 1, 2, :, 0], data.xaxis[joint], atol=1e-5)


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_outline_follows_what_the_robot_looks_like(robot):
    """Each sphere has the robot's surface, or the row it stands for, within a few centimetres of its own."""
    workspace = build_workspace("lift", robot)
    limbs = workspace.limbs
    for q in angles(robot, 3):
        model, data = placed(robot, q)
        for joint, at, radius in zip(limbs.joint, limbs.at(q[None])[..., 0], limbs.radius, strict=True):
            own = [
                geom
                for geom in range(model.ngeom)
                if _moved_by(model, workspace.embodiment.joints, int(model.geom_bodyid[geom])) == joint
                and model.geom_bodyid[geom] not in (0, model.body("table").id)
            ]
            gaps = [np.linalg.norm(data.geom_xpos[geom] - at) - model.geom_rbound[geom] for geom in own]
            assert min(gaps) < radius


def _moved_by(model: mujoco.MjModel, joints: tuple[str, ...], body: int) -> int:
    bodies = {int(model.jnt_bodyid[model.joint(name).id]) for name in joints}
    count = 0
    while body:
        count += body in bodies
        body = int(model.body_parentid[body])
    return count


def test_where_an_arm_meets_itself_agrees_with_the_engine():
    """The engine measures between all shapes of links three joints apart or more; the outline follows them roughly."""
    workspace = build_workspace("lift")
    model, limbs, joints = workspace.model, workspace.limbs, workspace.embodiment.joints
    hand = {model.body(name).id for name in ("left_finger", "right_finger")}
    # The rest of the hand is there; fingers are boxes for which the engine takes much longer.
    geoms = {
        geom: _moved_by(model, joints, int(model.geom_bodyid[geom]))
        for geom in range(model.ngeom)
        if model.body(model.geom_bodyid[geom]).name.startswith(("link", "hand")) and model.geom_bodyid[geom] not in hand
    }
    pairs = [(a, b) for a in geoms for b in geoms if geoms[b] - geoms[a] >= 3]
    met = 0
    for q in angles("panda", 40):
        model, data = placed("panda", q)
        engine = min(mujoco.mj_geomDistance(model, data, a, b, 0.2, None) for a, b in pairs)
        room = limbs.room(q[None], -10.0)[0]
        met += engine <= 0.0
        assert min(engine, 0.15) - 0.06 < room
        assert engine > min(room, 0.15) - 0.03
    assert met


def test_at_home_an_arm_meets_nothing_and_folded_down_the_table():
    workspace = build_workspace("lift")
    home = workspace.embodiment.home
    low = home.copy()
    low[[1, 3, 5]] = 1.6, -1.0, 1.5  # stretched out, forward and down
    rooms = workspace.limbs.room(np.stack([home, low]), 0.0)
    assert rooms[0] > 0.05
    assert rooms[1] < 0.0


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_configuration_has_the_same_room_in_any_company(robot):
    limbs, q = build_workspace("lift", robot).limbs, angles(robot, 9)
    np.testing.assert_array_equal(limbs.room(q, 0.0), [limbs.room(one[None], 0.0)[0] for one in q])
