"""A Universal Robots UR5e arm with a two-finger gripper, built from published figures and primitive shapes.

Kinematics, masses and centres of mass: the manufacturer's Denavit-Hartenberg table. Inertias: the manufacturer's robot
description. Joint, speed and torque limits: the data sheet. What the robot looks like is in `ur5e_shell`, its hand in
`gripper2f`; here are the shapes it collides with, its servos and its limits.

It stands at the world's origin, turned half a turn, so that it reaches forward over the table with its first joint near
zero. Poses stay in the frame of the table's set-up, whose x points forward and whose z is 0 at the robot's mounting
face: `Chain.frames[0]` holds the turn. The elbow points up; home is in the middle of that branch.
"""

import math

import mujoco
import numpy as np

from sim import gripper2f, ur5e_shell
from sim.embodiment import ARM_BIT, Embodiment
from sim.kinematics import Chain
from sim.parts import Inertial, add_collider, add_joint, add_link, add_servo, rotated_inertial
from sim.shell import add_materials, add_shell
from sim.transforms import Array, compose, matrix_from_quat, quat_about_z, quat_from_rotvec

_TURN = math.pi / 2
# Standard Denavit-Hartenberg table: offset along x [m], offset along z [m], turn about x [rad].
_TABLE = (
    (0.0, 0.1625, _TURN),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.0),
    (0.0, 0.1333, _TURN),
    (0.0, 0.0997, -_TURN),
    (0.0, 0.0996, 0.0),
)
_HAND_TURN = -_TURN  # the hand sits turned on the flange, so that its x points forward at home [rad]
_BASE = (0.0, 0.0, 0.0, *quat_about_z(math.pi))

_UPPER = (2 * math.pi, 2 * math.pi, math.pi, 2 * math.pi, 2 * math.pi, 2 * math.pi)  # [rad]
_SPEED = (math.pi,) * 6  # [rad/s]
_TORQUE = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)  # [N m]

_BASE_INERTIAL = Inertial(4.0, (0.0, 0.0, 0.04), (8.0e-3, 8.0e-3, 9.0e-3, 0.0, 0.0, 0.0))
# In the table's frames, each of which sits at its link's far end.
_INERTIALS = (
    Inertial(3.761, (0.0, -0.02561, 0.00193), (7.00210e-3, 6.48091e-3, 6.57286e-3, 7.3e-7, -1.053e-5, 4.9994e-4)),
    Inertial(8.058, (0.2125, 0.0, 0.11336), (1.505885e-2, 0.33388086, 0.33247207, -5.4e-5, 5.63e-6, -1.81e-6)),
    Inertial(2.846, (0.15, 0.0, 0.0265), (3.99632e-3, 7.879254e-2, 7.848510e-2, -1.365e-5, 1.37272e-3, -6.6e-6)),
    Inertial(1.37, (0.0, -0.0018, 0.01634), (1.65491e-3, 1.35962e-3, 1.26279e-3, -2.82e-6, -4.38e-6, 1.0157e-4)),
    Inertial(1.3, (0.0, 0.0018, 0.01634), (1.35617e-3, 1.27827e-3, 9.6614e-4, -2.74e-6, 4.44e-6, -5.048e-5)),
    Inertial(0.365, (0.0, 0.0, -0.001159), (1.8694e-4, 1.8908e-4, 2.5756e-4, 6.0e-8, -1.7e-7, -9.2e-7)),
)

# Servo stiffness [N m/rad] and damping [N m s/rad].
_STIFFNESS = (5000.0, 5000.0, 4000.0, 2000.0, 2000.0, 2000.0)
_DAMPING = (200.0, 200.0, 130.0, 40.0, 40.0, 40.0)
_ARMATURE = 0.1  # reflected motor inertia [kg m^2]

_JOINTS, _SERVOS = tuple(f"joint{i}" for i in range(1, 7)), tuple(f"servo{i}" for i in range(1, 7))

# Collision capsules: link, radius, half length, position, turn about x [m], [rad].
_COLLIDERS = (
    ("link3", 0.045, 0.16, (-0.196, 0.0, 0.007), "x"),
    ("link4", 0.045, 0.05, (0.0, 0.0, 0.1333), "y"),
    ("link5", 0.045, 0.05, (0.0, 0.0, 0.0997), "y"),
    ("link6", 0.040, 0.02, (0.0, 0.0, 0.07), "z"),
)
_ALONG = {"x": (0.0, _TURN, 0.0), "y": (_TURN, 0.0, 0.0), "z": (0.0, 0.0, 0.0)}


def _steps() -> Array:
    """The table's transforms (6, 7) without the joints' turns."""
    return np.array([[a, 0.0, d, *quat_from_rotvec([turn, 0.0, 0.0])] for a, d, turn in _TABLE])


def _flange() -> Array:
    """Pose (7,) of the hand in the last joint's frame."""
    return compose(_steps()[-1], [0.0, 0.0, 0.0, *quat_about_z(_HAND_TURN)])


def _chain() -> Chain:
    steps = _steps()
    tool = compose(_flange(), [0.0, 0.0, gripper2f.TOOL_CENTRE, 1.0, 0.0, 0.0, 0.0])
    frames = np.concatenate([[_BASE], steps[:-1]])
    return Chain(frames, tool, -np.array(_UPPER), np.array(_UPPER), np.array(_SPEED))


def add_ur5e(spec: mujoco.MjSpec) -> None:
    """Add the robot to a spec, its base at the world's origin: bodies link0 to link6, hand, two fingers.

    Args:
        spec: the model under construction; option and asset names beginning with `ur5e_` and `gripper_` are taken.
    """
    spec.compiler.degree = False
    add_materials(spec, ur5e_shell.MATERIALS)
    base = np.array(_BASE)
    body = add_link(spec.worldbody, "link0", _BASE_INERTIAL, base[:3], base[3:])
    add_shell(body, "link0", ur5e_shell.SHELL["link0"])
    # The base is turned once, by its body.
    frames = np.concatenate([[[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]], _chain().frames[1:]])
    for i, (frame, step) in enumerate(zip(frames, _steps(), strict=True)):
        name = f"link{i + 1}"
        inertial = rotated_inertial(_INERTIALS[i], step[:3], matrix_from_quat(step[3:]))
        body = add_link(body, name, inertial, frame[:3], frame[3:])
        add_shell(body, name, ur5e_shell.SHELL[name])
        add_joint(body, _JOINTS[i], -_UPPER[i], _UPPER[i], _TORQUE[i], _ARMATURE)
        add_servo(spec, _SERVOS[i], _JOINTS[i], _STIFFNESS[i], _DAMPING[i], _TORQUE[i])
    for link, radius, half, pos, axis in _COLLIDERS:
        name = f"{link}_collider"
        add_collider(spec.body(link), name, "capsule", [radius, half, 0.0], list(pos), ARM_BIT)
        spec.geom(name).quat = quat_from_rotvec(_ALONG[axis])
    gripper2f.add_gripper(spec, body, _flange())


UR5E = Embodiment(
    name="ur5e",
    add=add_ur5e,
    chain=_chain(),
    home=np.array([-0.294, -1.682, 1.831, -1.72, -1.571, -0.294]),
    joints=_JOINTS,
    actuators=_SERVOS,
    fingers=gripper2f.FINGER_JOINTS,
    finger_closed=0.0,
    finger_open=gripper2f.TRAVEL,
    gripper_actuator=gripper2f.SERVO,
    finger_speed=gripper2f.FINGER_SPEED,
    tool_site=gripper2f.TOOL_SITE,
    moving_root="link1",
    hand_body=gripper2f.HAND,
    finger_geoms=gripper2f.FINGER_GEOMS,
    hand=gripper2f.HAND_SHAPE,
    wrist_camera=gripper2f.WRIST_CAMERA,
    paint={**{name: paint.rgba for name, paint in ur5e_shell.MATERIALS.items()}, **gripper2f.PAINT},
)
