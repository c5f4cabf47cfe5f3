"""An MJCF file and a short YAML file become a robot like any other.

The file's robot is cut out of its world and driven by our position servos; its contact bits, torque limits and gravity
compensation are set as for the built-in robots. The arm's kinematics are measured on the compiled model, joint by
joint, and held against the engine's own. Every name in the model gets the robot's name in front, so that nothing
collides.
"""

import re
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path

import mujoco
import numpy as np

from handful import InputError, unknown_name
from sim import mjcf
from sim.description import Arm, Description, read_description
from sim.embodiment import ARM_BIT, HAND_BIT, OBJECT_BIT, TABLE_BIT, CameraView, Embodiment, HandShape, Rgba
from sim.joint_limits import Limits, arm_limits, is_limited, per_joint
from sim.measuring import measure_chain
from sim.mjcf import Source
from sim.parts import add_servo, couple_fingers
from sim.transforms import Array, compose, inverse

_TOOL, _GRIPPER = "handful_tool", "handful_gripper"
_HINGE, _SLIDE = mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE


def load_robot(path: str | Path) -> Embodiment:
    """The robot that a YAML file describes.

    Raises:
        InputError: the file, the MJCF file or what they say of each other is wrong; the message names the field.
    """
    whole = Path(path).resolve()
    return _load(whole, whole.stat().st_mtime_ns if whole.exists() else 0)


@lru_cache(maxsize=16)
def _load(path: Path, changed: int) -> Embodiment:
    try:
        return describe(read_description(path), path.parent)
    except InputError as error:
        raise error if str(error).startswith(str(path)) else InputError(f"{path}: {error}") from None


def describe(description: Description, folder: Path) -> Embodiment:
    """Build the robot of a description.

    Args:
        description: what is what.
        folder: where relative paths begin.

    Raises:
        InputError: it does not fit the MJCF file; the message names the field, what was found and what there is.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", description.name):
        raise InputError(f"name '{description.name}' must be of small letters, digits and _, beginning with a letter")
    spec = mjcf.load(mjcf.locate(description.mjcf, folder, "mjcf")).spec()
    if description.attach is not None:
        put = description.attach
        hand = mjcf.load(mjcf.locate(put.mjcf, folder, "attach.mjcf"))
        mjcf.attach(spec, hand, put.to, put.root, put.prefix, "attach")
    root = mjcf.choose_root(spec, description.root, "root")
    mjcf.keep_only(spec, root)
    _check_names(spec, description)
    _lock(spec, description.locked or {})
    arm = arm_limits(spec, description.arm)
    _drive_arm(spec, description.arm, arm)
    _drive_gripper(spec, description)
    fingers = _set_contacts(spec, description, root)
    _add_tool(spec, description)
    model = spec.compile()
    _check_structure(model, description)
    standing = compose([*description.base.pos, *_unit(description.base.quat, "base.quat")], inverse(_pose(model, root)))
    source, prefix = Source.of(spec), f"{description.name}_"
    return _embodiment(description, partial(add_source, source, prefix, standing), fingers, arm)


def add_source(source: Source, prefix: str, pose: Array, spec: mujoco.MjSpec) -> None:
    """Put a prepared robot into a spec.

    Args:
        source: the robot.
        prefix: put before each of its names.
        pose: (7,) where the frame of its file's world goes.
        spec: the model under construction.
    """
    spec.compiler.degree = False
    spec.attach(source.spec(), prefix=prefix, frame=spec.worldbody.add_frame(pos=pose[:3], quat=pose[3:]))


def _check_names(spec: mujoco.MjSpec, description: Description) -> None:
    """Refuse names that the model does not have, and joints that the description says nothing about."""
    bodies = [body.name for body in spec.bodies if body.name and body.name != "world"]
    joints = {joint.name: joint for joint in spec.joints}
    sites = [site.name for site in spec.sites if site.name]
    held, tool = description.locked or {}, description.tool
    for field, names, there in (
        ("joint in arm.joints", description.arm.joints, joints),
        ("joint in gripper.joints", description.gripper.joints, joints),
        ("joint in locked", held, joints),
        ("body in gripper.bodies", description.gripper.bodies, bodies),
        ("body in gripper.pads", [pad.body for pad in description.gripper.pads], bodies),
        ("body in hand.body", [description.hand.body], bodies),
        ("body in wrist_camera.body", [description.wrist_camera.body], bodies),
        ("site in tool.site", [tool.site] if tool.site else [], sites),
        ("body in tool.body", [tool.body] if tool.body else [], bodies),
    ):
        _all_known(field, names, there)
    if (tool.site is None) == (tool.body is None):
        raise InputError("tool needs a site or a body, and not both")
    listed = [*description.arm.joints, *description.gripper.joints, *held]
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise InputError(f"joint '{twice[0]}' is listed twice among arm.joints, gripper.joints and locked")
    for field, names in (("arm.joints", description.arm.joints), ("gripper.joints", description.gripper.joints)):
        for name in names:
            allowed = (_HINGE,) if field == "arm.joints" else (_HINGE, _SLIDE)
            if joints[name].type not in allowed:
                kinds = " or ".join(_kind(kind) for kind in allowed)
                raise InputError(f"{field}: '{name}' is a {_kind(joints[name].type)}; it must be a {kinds}")
    hand = {joint.name for body in mjcf.bodies_below(spec.body(description.hand.body)) for joint in body.joints}
    for name, joint in joints.items():
        if name not in listed and name not in hand:
            raise InputError(
                f"joint '{name}' (a {_kind(joint.type)}) is in neither arm.joints nor gripper.joints; list it under "
                "locked with the position that it is to keep"
            )
        if name in held and joint.type not in (_HINGE, _SLIDE):
            raise InputError(f"locked: '{name}' is a {_kind(joint.type)}; only hinges and slides can be locked")


def _all_known(field: str, names: Iterable[str], there: Iterable[str]) -> None:
    known = list(there)
    for name in names:
        if name not in known:
            raise unknown_name(field, name, known)


def _kind(joint: mujoco.mjtJoint) -> str:
    return str(mujoco.mjtJoint(joint).name).removeprefix("mjJNT_").lower() + " joint"


def _unit(quat: Iterable[float], field: str) -> Array:
    found = np.array(tuple(quat))
    length = float(np.linalg.norm(found))
    if abs(length - 1.0) > 1e-3:
        raise InputError(f"{field} {found.tolist()} (w, x, y, z) has length {length:.3f}; it must be 1")
    return found / length


def _pose(model: mujoco.MjModel, body: str) -> Array:
    """Pose (7,) of a body in its parent, as compiled."""
    i = model.body(body).id
    return np.concatenate([model.body_pos[i], model.body_quat[i]])


def _lock(spec: mujoco.MjSpec, held: dict[str, float]) -> None:
    """Take joints out, their bodies where they are at the given positions."""
    if not held:
        return
    model = spec.compile()
    data = mujoco.MjData(model)
    for name, position in held.items():
        data.qpos[model.joint(name).qposadr[0]] = position
    mujoco.mj_kinematics(model, data)
    for body in spec.bodies:
        mine = [joint for joint in body.joints if joint.name in held]
        if not mine:
            continue
        if len(mine) < len(body.joints):
            raise InputError(f"locked: body '{body.name}' has further joints; lock all of one body's joints or none")
        i = model.body(body.name).id
        parent = model.body_parentid[i]
        there = [np.concatenate([data.xpos[k], data.xquat[k]]) for k in (parent, i)]
        moved = compose(inverse(_pose(model, body.name)), compose(inverse(there[0]), there[1]))
        new = compose([*body.pos, *body.quat], moved)
        body.pos, body.quat = new[:3], new[3:]
        for joint in mine:
            spec.delete(joint)


def _drive_arm(spec: mujoco.MjSpec, arm: Arm, limits: Limits) -> None:
    count = len(arm.joints)
    stiffness = per_joint(arm.stiffness, count, "arm.stiffness")
    damping = per_joint(arm.damping, count, "arm.damping")
    replaced = {"armature": arm.armature, "damping": arm.joint_damping, "frictionloss": arm.joint_friction}
    for i, name in enumerate(arm.joints):
        joint = spec.joint(name)
        joint.range, joint.limited = [limits.lower[i], limits.upper[i]], mujoco.mjtLimited.mjLIMITED_TRUE
        joint.actgravcomp, joint.actfrclimited = True, mujoco.mjtLimited.mjLIMITED_TRUE
        joint.actfrcrange = [-limits.torque[i], limits.torque[i]]
        # Springs that pull a simulated arm to some pose are no part of a robot.
        _relax(joint)
        for field, values in replaced.items():
            if values is not None:
                _set_first(joint, field, float(per_joint(values, count, f"arm.{field}")[i]))
        add_servo(spec, _servo(name), name, stiffness[i], damping[i], limits.torque[i])


def _relax(joint: mujoco.MjsJoint) -> None:
    _set_first(joint, "stiffness", 0.0)


def _set_first(joint: mujoco.MjsJoint, field: str, value: float) -> None:
    """Set a joint's coefficient; damping and stiffness are polynomials, of which only the linear term is kept."""
    if np.ndim(getattr(joint, field)):
        terms = np.zeros_like(getattr(joint, field))
        terms[0] = value
        setattr(joint, field, terms)
    else:
        setattr(joint, field, value)


def _servo(joint: str) -> str:
    return f"servo_{joint}"


def _drive_gripper(spec: mujoco.MjSpec, description: Description) -> None:
    gripper = description.gripper
    if gripper.closed == gripper.open:
        raise InputError(f"gripper.closed and gripper.open are both {gripper.open:g}; they must differ")
    for field in ("speed", "force", "stiffness", "damping", "friction"):
        if getattr(gripper, field) <= 0:
            raise InputError(f"gripper.{field} is {getattr(gripper, field):g}; it must be more than 0")
    for name in gripper.joints:
        joint = spec.joint(name)
        _relax(joint)
        if gripper.armature is not None:
            joint.armature = gripper.armature
        if gripper.joint_damping is not None:
            _set_first(joint, "damping", gripper.joint_damping)
        low, high = joint.range
        if not is_limited(joint.limited, joint.range):
            ends = sorted((gripper.closed, gripper.open))
            joint.range, joint.limited = ends, mujoco.mjtLimited.mjLIMITED_TRUE
            continue
        for field in ("closed", "open"):
            if not low - 1e-6 <= getattr(gripper, field) <= high + 1e-6:
                raise InputError(
                    f"gripper.{field} is {getattr(gripper, field):g}, but '{name}' moves from {low:g} to {high:g} only"
                )
    # The model's own coupling of these joints would be a second one.
    for equality in list(spec.equalities):
        if {equality.name1, equality.name2} <= {*gripper.joints, ""}:
            spec.delete(equality)
    couple_fingers(spec, gripper.joints, _GRIPPER, gripper.stiffness, gripper.damping, gripper.force)


def _set_contacts(spec: mujoco.MjSpec, description: Description, root: str) -> tuple[str, ...]:
    """Set what may touch what, and what carries its own weight; returns the names of the fingers' geoms."""
    gripper = description.gripper
    fingers: list[str] = []
    hand = {body.name for body in mjcf.bodies_below(spec.body(description.hand.body))}
    for body in mjcf.bodies_below(spec.body(root)):
        body.gravcomp = 1.0
        finger = body.name in gripper.bodies
        for geom in body.geoms:
            geom.group = 2 if geom.group <= 2 else 3
            if not (geom.contype or geom.conaffinity) or (finger and gripper.only_pads):
                geom.contype = geom.conaffinity = 0
                continue
            _make_solid(geom, HAND_BIT if body.name in hand or finger else ARM_BIT, gripper.friction if finger else 1.0)
            if finger:
                geom.name = geom.name or f"handful_finger_{len(fingers)}"
                fingers.append(geom.name)
    for i, pad in enumerate(gripper.pads):
        kind = getattr(mujoco.mjtGeom, f"mjGEOM_{pad.type.upper()}")
        size = [*pad.size, *[0.0] * (3 - len(pad.size))]
        # The finger's own defaults could make it a mesh.
        geom = spec.body(pad.body).add_geom(default=spec.default, name=f"handful_pad_{i}", type=kind, meshname="")
        geom.size, geom.pos, geom.quat = size, pad.pos, _unit(pad.quat, f"gripper.pads[{i}].quat")
        geom.group, geom.mass = 3, 0.0
        _make_solid(geom, HAND_BIT, gripper.friction)
        fingers.append(geom.name)
    if not fingers:
        raise InputError("gripper.bodies have no geom that collides; describe shapes for them in gripper.pads")
    return tuple(fingers)


def _make_solid(geom: mujoco.MjsGeom, bit: int, friction: float) -> None:
    geom.contype, geom.conaffinity, geom.condim, geom.priority = bit, TABLE_BIT | OBJECT_BIT, 4, 0
    geom.friction, geom.margin, geom.gap, geom.solmix = [friction, 0.005, 0.0001], 0.0, 0.0, 1.0
    geom.solref, geom.solimp = [0.005, 1.0], [0.95, 0.99, 0.001, 0.5, 2.0]


def _add_tool(spec: mujoco.MjSpec, description: Description) -> None:
    tool = description.tool
    pose = np.array([*tool.pos, *_unit(tool.quat, "tool.quat")])
    if tool.site is not None:
        model = spec.compile()
        site = model.site(tool.site)
        body = spec.body(model.body(int(site.bodyid[0])).name)
        pose = compose(np.concatenate([site.pos, site.quat]), pose)
    else:
        body = spec.body(tool.body)
    body.add_site(name=_TOOL, pos=pose[:3], quat=pose[3:], size=[0.004, 0, 0], group=4)


def _check_structure(model: mujoco.MjModel, description: Description) -> None:
    """Refuse joints that are no chain from base to tool, and a tool or hand that they do not carry."""
    above: set[int] = set()
    body = int(model.site(_TOOL).bodyid[0])
    while body:
        start, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        above |= set(range(start, start + count))
        body = int(model.body_parentid[body])
    order = [model.joint(i).name for i in sorted(above)]
    if order != list(description.arm.joints):
        raise InputError(
            f"arm.joints are {', '.join(description.arm.joints)}; from the base to the tool there are "
            f"{', '.join(order) or 'none'}, in this order"
        )
    last = int(model.joint(order[-1]).bodyid[0])
    hand = int(model.body(description.hand.body).id)
    while hand and hand != last:
        hand = int(model.body_parentid[hand])
    if hand != last:
        raise InputError(f"hand.body '{description.hand.body}' is not carried by the arm's last joint, '{order[-1]}'")


def _embodiment(
    description: Description, add: partial[None], finger_geoms: tuple[str, ...], limits: Limits
) -> Embodiment:
    prefix, gripper, hand = f"{description.name}_", description.gripper, description.hand
    spec = mujoco.MjSpec()
    add(spec)
    model = spec.compile()
    joints = tuple(prefix + name for name in description.arm.joints)
    # As compiled: text rounds.
    lower, upper = model.jnt_range[[model.joint(name).id for name in joints]].T
    chain = measure_chain(model, joints, prefix + _TOOL, lower, upper, limits.speed)
    camera = description.wrist_camera
    return Embodiment(
        name=description.name,
        add=add,
        chain=chain,
        home=np.array(description.arm.home),
        joints=joints,
        actuators=tuple(prefix + _servo(name) for name in description.arm.joints),
        fingers=tuple(prefix + name for name in gripper.joints),
        finger_closed=gripper.closed,
        finger_open=gripper.open,
        gripper_actuator=prefix + _GRIPPER,
        finger_speed=gripper.speed,
        tool_site=prefix + _TOOL,
        moving_root=model.body(int(model.joint(joints[0]).bodyid[0])).name,
        hand_body=prefix + hand.body,
        finger_geoms=tuple(prefix + name for name in finger_geoms),
        hand=HandShape(
            hand.palm_centre, hand.palm_half, hand.tip_half_width, hand.tip_depth, hand.tip_length, hand.reach
        ),
        wrist_camera=CameraView(prefix + camera.body, camera.pos, camera.target, camera.up, camera.fovy),
        paint=_paint(model),
    )


def _paint(model: mujoco.MjModel) -> dict[str, Rgba]:
    used = sorted({int(i) for i in model.geom_matid if i >= 0})
    return {model.material(i).name: tuple(map(float, model.mat_rgba[i])) for i in used}  # type: ignore[misc]
