"""What robots are built from: links with published inertia, collision shapes, position servos, paired fingers."""

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.embodiment import OBJECT_BIT, TABLE_BIT
from sim.transforms import Array


@dataclass(frozen=True)
class Inertial:
    """Mass, centre of mass and inertia of a link."""

    mass: float  # [kg]
    centre: tuple[float, float, float]  # [m]
    inertia: tuple[float, float, float, float, float, float]  # xx yy zz xy xz yz about the centre [kg m^2]


def add_link(parent: mujoco.MjsBody, name: str, inertial: Inertial, pos: Array, quat: Array) -> mujoco.MjsBody:
    """Add a body of given inertia, whose weight the robot compensates itself."""
    body = parent.add_body(name=name, pos=pos, quat=quat, gravcomp=1.0)
    body.mass, body.ipos, body.fullinertia = inertial.mass, inertial.centre, inertial.inertia
    body.explicitinertial = True
    return body


def add_joint(body: mujoco.MjsBody, name: str, lower: float, upper: float, torque: float, armature: float) -> None:
    """Add a motor's hinge about a body's z axis; its torque limit [N m] holds for gravity compensation as well."""
    joint = body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=[0, 0, 1],
        range=[lower, upper],
        limited=True,
        armature=armature,
        damping=0.5,
    )
    joint.actgravcomp = True
    joint.actfrclimited = True
    joint.actfrcrange = [-torque, torque]


def add_collider(body: mujoco.MjsBody, name: str, shape: str, size: list[float], pos: list[float], bit: int) -> None:
    """Add a shape that collides with the table and with objects, and is not drawn.

    Args:
        body: the body that carries it.
        name: the geom's name.
        shape: MuJoCo's geom type, such as "box".
        size: MuJoCo's geom size [m].
        pos: its centre in the body's frame [m].
        bit: HAND_BIT or ARM_BIT.
    """
    body.add_geom(
        name=name,
        type=getattr(mujoco.mjtGeom, f"mjGEOM_{shape.upper()}"),
        size=size,
        pos=pos,
        contype=bit,
        conaffinity=TABLE_BIT | OBJECT_BIT,
        condim=4,
        friction=[1.0, 0.005, 0.0001],
        solref=[0.005, 1.0],
        solimp=[0.95, 0.99, 0.001, 0.5, 2.0],
        group=3,
        mass=0.0,
    )


def add_servo(
    spec: mujoco.MjSpec, name: str, target: str, stiffness: float, damping: float, limit: float, tendon: bool = False
) -> None:
    """Add a position servo to a joint or a tendon.

    Args:
        spec: the model under construction.
        name: the actuator's name.
        target: name of the joint or tendon.
        stiffness: [N m/rad] or [N/m].
        damping: [N m s/rad] or [N s/m].
        limit: largest torque [N m] or force [N].
        tendon: whether `target` is a tendon.
    """
    servo = spec.add_actuator(name=name, target=target)
    servo.trntype = mujoco.mjtTrn.mjTRN_TENDON if tendon else mujoco.mjtTrn.mjTRN_JOINT
    servo.gaintype, servo.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    servo.gainprm[0] = stiffness
    servo.biasprm[1], servo.biasprm[2] = -stiffness, -damping
    servo.forcelimited, servo.forcerange = True, [-limit, limit]


def add_finger_joint(finger: mujoco.MjsBody, name: str, travel: float, armature: float) -> None:
    """Let a finger slide along its own y, by `travel` [m]; `armature` is the drive's share of mass [kg]."""
    finger.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0, 1, 0],
        range=[0.0, travel],
        limited=True,
        armature=armature,
        damping=2.0,
    )


def couple_fingers(
    spec: mujoco.MjSpec, joints: tuple[str, ...], servo: str, stiffness: float, damping: float, limit: float
) -> None:
    """Make finger joints move alike, driven by one servo on the mean of their positions.

    Args:
        spec: the model under construction.
        joints: names of the joints.
        servo: name of the servo.
        stiffness: [N/m] or [N m/rad] on the mean.
        damping: [N s/m] or [N m s/rad].
        limit: force [N] or torque [N m] of all fingers together.
    """
    tendon = spec.add_tendon(name="fingers")
    for joint in joints:
        tendon.wrap_joint(joint, 1.0 / len(joints))
    for i, joint in enumerate(joints[1:]):
        name = "fingers" if i == 0 else f"fingers_{i + 1}"
        coupling = spec.add_equality(name=name, type=mujoco.mjtEq.mjEQ_JOINT, name1=joints[0], name2=joint)
        coupling.objtype = mujoco.mjtObj.mjOBJ_JOINT
        coupling.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]
        coupling.solref = [0.005, 1.0]
    add_servo(spec, servo, "fingers", stiffness, damping, limit, tendon=True)


def rotated_inertial(inertial: Inertial, pos: Array, matrix: Array) -> Inertial:
    """An inertial given in one frame, in another in which that frame is at `pos` (3,), turned by `matrix` (3, 3)."""
    xx, yy, zz, xy, xz, yz = inertial.inertia
    full = matrix @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ matrix.T
    centre = pos + matrix @ np.array(inertial.centre)
    upper = (full[0, 0], full[1, 1], full[2, 2], full[0, 1], full[0, 2], full[1, 2])
    return Inertial(inertial.mass, (float(centre[0]), float(centre[1]), float(centre[2])), tuple(map(float, upper)))  # type: ignore[arg-type]
