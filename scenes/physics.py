"""What a scene's drawn physics does to its model: friction, masses, sizes, servos, gravity, the table.

The model fields follow from the ledger alone. What a model field cannot hold (latency, timing, encoders, the fingers'
speed, play and dry friction of the joints) is the controller's and is read from the ledger by `scenes.scene`.
"""

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from scenes.slots import Slots
from scenes.task import Task
from sim.batch import model_field
from sim.transforms import Array

# The model fields that physical axes may change.
FIELDS = (
    *("geom_friction", "geom_size", "geom_pos", "geom_rbound", "geom_aabb", "bvh_aabb"),
    *("body_mass", "body_inertia", "body_ipos", "body_pos", "dof_damping"),
    *("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "jnt_actfrcrange", "opt.gravity"),
)
# Drag on a turning object is that on its surface, so far from its axis [m].
_DRAG_ARM = 0.02
# Axis -> the engine's option that it sets, and what its names stand for there.
_OPTIONS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "solver_cone": (
        "cone",
        {"elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC.value, "pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL.value},
    ),
    "solver_impratio": ("impratio", {}),
    "solver_iterations": ("iterations", {}),
    "solver_tolerance": ("tolerance", {}),
    "solver_integrator": (
        "integrator",
        {
            "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST.value,
            "implicit": mujoco.mjtIntegrator.mjINT_IMPLICIT.value,
            "euler": mujoco.mjtIntegrator.mjINT_EULER.value,
        },
    ),
}


def fields_from_ledger(
    ledger: Mapping[str, Any], model: mujoco.MjModel, slots: Slots, task: Task
) -> dict[str, np.ndarray]:
    """The model fields that a ledger's physics stands for: field name -> the scene's whole array.

    Args:
        ledger: the values of the group "physics".
        model: the task's nominal model; it is not changed.
        slots: where things are in it.
        task: the task.
    """
    fields = {name: model_field(model, name).copy() for name in FIELDS}
    _set_friction(ledger, fields["geom_friction"], slots)
    for prop in task.props:
        factor = ledger["object_size"].get(prop.name) or ledger["distractor_size"].get(prop.name) or 1.0
        if factor != 1.0:
            _resize(factor, fields, prop.name, slots)
        if not prop.fixed:
            _set_inertia(ledger, fields, prop.name, np.multiply(prop.half, factor), slots)
    fields["dof_damping"][slots.arm_dofs] *= ledger["joint_damping"]
    fields["actuator_gainprm"][slots.servos, 0] *= ledger["servo_gain_factor"]
    fields["actuator_biasprm"][slots.servos, 1:3] *= ledger["servo_gain_factor"]
    fields["actuator_forcerange"][slots.servos] *= ledger["torque_limit"]
    fields["jnt_actfrcrange"][slots.arm_joints] *= ledger["torque_limit"]
    fields["actuator_forcerange"][slots.gripper] *= ledger["grip_force"]
    fields["body_pos"][slots.table_body, 2] += ledger["table_height"]
    tilt = np.tan(np.radians([ledger["gravity_tilt_x"], ledger["gravity_tilt_y"]]))
    down = np.array([*tilt, -1.0])
    fields["opt.gravity"][:] = np.linalg.norm(model.opt.gravity) * down / np.linalg.norm(down)
    if "contact_softness" in ledger:
        fields["geom_solref"] = model.geom_solref.copy()
        fields["geom_solref"][:, 0] *= ledger["contact_softness"]
    return fields


def options_from_ledger(ledger: Mapping[str, Any]) -> dict[str, float]:
    """The settings of the engine that a ledger's physics asks for: field of MjOption -> value.

    Args:
        ledger: the values of the group "physics"; what it does not name stays as the world was compiled.
    """
    options: dict[str, float] = {}
    for axis, (name, meaning) in _OPTIONS.items():
        if axis in ledger:
            value = ledger[axis]
            options[name] = meaning[value] if meaning else round(value) if name == "iterations" else value
    return options


def _set_friction(ledger: Mapping[str, Any], friction: Array, slots: Slots) -> None:
    # Fixed objects as well: a contact has the larger friction of both surfaces.
    friction[slots.objects, 0] = ledger["object_friction"]
    friction[slots.pads, 0] = ledger["pad_friction"]
    friction[slots.table, 0] = ledger["table_friction"]
    friction[slots.objects, 1] = friction[slots.pads, 1] = ledger["spin_friction"]


def _resize(factor: float, fields: dict[str, np.ndarray], name: str, slots: Slots) -> None:
    """Scale an object about its frame, with the volumes by which the engine looks for contacts."""
    geoms = slots.geoms[name]
    for field in ("geom_size", "geom_pos", "geom_rbound", "geom_aabb"):
        fields[field][geoms] *= factor
    fields["bvh_aabb"][slots.boxes[name]] *= factor
    if name in slots.bodies:
        fields["body_inertia"][slots.bodies[name]] *= factor**2
        fields["body_ipos"][slots.bodies[name]] *= factor


def _set_inertia(
    ledger: Mapping[str, Any],
    fields: dict[str, np.ndarray],
    name: str,
    half: Array,
    slots: Slots,
) -> None:
    body, drag = slots.bodies[name], ledger["object_damping"]
    fields["body_mass"][body] *= ledger["mass_factor"][name]
    fields["body_inertia"][body] *= ledger["mass_factor"][name]
    shift = half * [ledger[f"mass_offset_{axis}"][name] for axis in "xyz"]
    fields["body_ipos"][body] += shift
    # The bounding volumes of a body are kept in the frame of its mass, and the body stays where it is.
    fields["bvh_aabb"][slots.boxes[name], :3] -= slots.upright[name] @ shift
    dof = slots.drags[name]
    fields["dof_damping"][dof : dof + 3] = drag
    fields["dof_damping"][dof + 3 : dof + 6] = drag * _DRAG_ARM**2
