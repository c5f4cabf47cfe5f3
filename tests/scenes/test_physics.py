"""Drawn physics in the model: what the ledger says is where it belongs, and equals a model compiled that way."""

import json
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import pytest

from scenes.physics import FIELDS, fields_from_ledger
from scenes.props import Prop, Shape
from scenes.randomization import DEFAULT, NONE, TWIN_DEV_0, WIDE, Randomization
from scenes.randomization.drawing import draw
from scenes.workspace import Workspace, build_workspace
from sim.batch import model_field
from sim.panda import PANDA

PRESETS = {"none": NONE, "default": DEFAULT, "wide": WIDE, "twin": TWIN_DEV_0}
CUBES = ("cube_1", "cube_2", "cube_3")


def drawn(randomization: Randomization, workspace: Workspace, key: int = 0) -> dict[str, Any]:
    return draw(randomization, workspace.slots.elements, key, key + 1)["physics"]


def fields(ledger: dict[str, Any], workspace: Workspace) -> dict[str, np.ndarray]:
    return fields_from_ledger(ledger, workspace.model, workspace.slots, workspace.task)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_ledger_stored_as_json_rebuilds_identical_fields(preset: Randomization) -> None:
    workspace = build_workspace("lift:D1")
    for key in range(5):
        ledger = drawn(preset, workspace, key)
        first, again = fields(ledger, workspace), fields(json.loads(json.dumps(ledger)), workspace)
        # What few worlds change is a field only there.
        assert tuple(first) == tuple(again)
        assert tuple(first)[: len(FIELDS)] == FIELDS
        for name in first:
            np.testing.assert_array_equal(first[name], again[name])


def test_nothing_changes_without_randomisation() -> None:
    workspace = build_workspace("stack_three:D1")
    for name, value in fields(drawn(NONE, workspace), workspace).items():
        nominal = model_field(workspace.model, name).copy()
        if name == "geom_friction":
            # Contacts are made of what the ledger says of both surfaces; the model's own values are never used.
            slots = workspace.slots
            nominal[[*slots.objects, *slots.pads, slots.table], 0] = 0.8
        np.testing.assert_allclose(value, nominal, atol=1e-12, err_msg=name)


def test_fields_hold_what_the_ledger_says() -> None:
    workspace = build_workspace("lift")
    model, ledger = workspace.model, drawn(DEFAULT, workspace)
    got = fields(ledger, workspace)
    for name in CUBES:
        body, geom = model.body(name).id, model.geom(f"{name}_geom").id
        mass, edge = 0.08 * ledger["mass_factor"][name], 0.0468 * ledger["object_size"][name]
        assert got["geom_friction"][geom, 0] == ledger["object_friction"]
        assert got["geom_friction"][geom, 1] == ledger["spin_friction"]
        assert got["body_mass"][body] == pytest.approx(mass)
        # A solid cube's moment of inertia is m a^2 / 6.
        np.testing.assert_allclose(got["body_inertia"][body], mass * edge**2 / 6)
        np.testing.assert_allclose(got["geom_size"][geom], edge / 2)
        offset = [ledger[f"mass_offset_{axis}"][name] * edge / 2 for axis in "xyz"]
        np.testing.assert_allclose(got["body_ipos"][body], offset, atol=3e-6)
        dof = model.body_dofadr[body]
        np.testing.assert_allclose(got["dof_damping"][dof : dof + 3], ledger["object_damping"])
    for name in ("pad_left", "pad_right"):
        assert got["geom_friction"][model.geom(name).id, 0] == ledger["pad_friction"]
    assert got["geom_friction"][model.geom("table_top").id, 0] == ledger["table_friction"]
    shift = got["body_pos"] - model.body_pos
    assert shift[model.body("table").id, 2] == pytest.approx(ledger["table_height"])
    assert np.count_nonzero(shift) == 1


def test_gains_limits_and_damping_scale_together_and_only_where_they_should() -> None:
    workspace = build_workspace("lift")
    model = workspace.model
    factors = {"servo_gain_factor": 1.2, "torque_limit": 0.7, "grip_force": 0.6, "joint_damping": 3.0}
    got = fields(drawn(NONE.with_(factors), workspace), workspace)
    servos = [model.actuator(name).id for name in PANDA.actuators]
    np.testing.assert_allclose(got["actuator_gainprm"][servos, 0], 1.2 * model.actuator_gainprm[servos, 0])
    np.testing.assert_allclose(got["actuator_biasprm"][servos, 1:3], 1.2 * model.actuator_biasprm[servos, 1:3])
    np.testing.assert_allclose(got["actuator_forcerange"][servos], 0.7 * model.actuator_forcerange[servos])
    gripper = model.actuator(PANDA.gripper_actuator).id
    np.testing.assert_array_equal(got["actuator_gainprm"][gripper], model.actuator_gainprm[gripper])
    np.testing.assert_allclose(got["actuator_forcerange"][gripper], 0.6 * model.actuator_forcerange[gripper])
    joints = [model.joint(name).id for name in PANDA.joints]
    np.testing.assert_allclose(got["jnt_actfrcrange"][joints], 0.7 * model.jnt_actfrcrange[joints])
    dofs = model.jnt_dofadr[joints]
    np.testing.assert_allclose(got["dof_damping"][dofs], 3.0 * model.dof_damping[dofs])


def test_gravity_tilts_and_keeps_its_strength() -> None:
    workspace = build_workspace("lift")
    gravity = fields(drawn(NONE.with_({"gravity_tilt_x": 3.0, "gravity_tilt_y": -4.0}), workspace), workspace)[
        "opt.gravity"
    ]
    assert np.linalg.norm(gravity) == pytest.approx(9.81)
    assert np.degrees(np.arctan2(gravity[0], -gravity[2])) == pytest.approx(3.0)
    assert np.degrees(np.arctan2(gravity[1], -gravity[2])) == pytest.approx(-4.0)


def test_no_preset_has_more_friction_than_rubber_on_rubber() -> None:
    for preset in PRESETS.values():
        for name in ("object_friction", "pad_friction", "table_friction"):
            assert max(float(end) for end in preset[name].support) <= 1.0


# An L of two boxes, so that it has a frame of its mass other than its own, and several volumes.
ANGLE = Prop(
    "angle",
    "angle",
    "red",
    (
        Shape("box", (0.03, 0.008, 0.008), mass=0.05),
        Shape("box", (0.008, 0.02, 0.008), pos=(0.022, 0.028, 0.0), mass=0.03),
    ),
    (0.03, 0.048, 0.008),
    resizable=True,
)
CUBE = Prop("angle", "cube", "red", (Shape("box", (0.02, 0.02, 0.02), mass=0.08),), (0.02, 0.02, 0.02), resizable=True)


def one_prop(prop: Prop) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.5, 0.5, 0.02], pos=[0, 0, -0.02])
    prop.add(spec)
    return spec


def scaled(prop: Prop, factor: float) -> Prop:
    shapes = [
        replace(s, size=tuple(factor * np.array(s.size)), pos=tuple(factor * np.array(s.pos))) for s in prop.shapes
    ]
    return replace(prop, shapes=tuple(shapes))


@pytest.mark.parametrize("prop", [ANGLE, CUBE], ids=["angle", "cube"])
def test_a_resized_and_shifted_object_equals_one_compiled_so(prop: Prop) -> None:
    """Its fields are those of a model that was built with this size and this centre of mass."""
    from types import SimpleNamespace

    from scenes.physics import _resize, _set_inertia

    factor, offset, mass_factor = 1.1, np.array([0.2, -0.3, 0.4]), 1.7
    model = one_prop(prop).compile()
    body = model.body("angle").id
    spec = one_prop(scaled(prop, factor))
    shift = offset * factor * np.array(prop.half)
    spec.body("angle").ipos = spec.body("angle").ipos + shift
    spec.body("angle").mass *= mass_factor
    spec.body("angle").inertia = np.array(spec.body("angle").inertia) * mass_factor
    oracle = spec.compile()
    names = [name for name in FIELDS if "." not in name]
    got: dict[str, np.ndarray] = {name: getattr(model, name).copy() for name in names}
    start = int(model.body_bvhadr[body])
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.body_iquat[body])
    slots: Any = SimpleNamespace(
        bodies={"angle": body},
        drags={"angle": int(model.body_dofadr[body])},
        upright={"angle": turn.reshape(3, 3).T},
        geoms={"angle": [model.geom(name).id for name in prop.geoms]},
        boxes={"angle": slice(start, start + int(model.body_bvhnum[body]))},
    )
    ledger = {
        "mass_factor": {"angle": mass_factor},
        "object_damping": 0.0,
        **{f"mass_offset_{axis}": {"angle": value} for axis, value in zip("xyz", offset, strict=True)},
    }
    _resize(factor, got, "angle", slots)
    _set_inertia(ledger, got, "angle", factor * np.array(prop.half), slots)
    for name in names:
        np.testing.assert_allclose(got[name], getattr(oracle, name), atol=1e-6, rtol=1e-6, err_msg=name)
    assert oracle.body_simple[body] == model.body_simple[body] == 0
