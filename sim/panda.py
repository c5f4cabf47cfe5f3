"""A Franka Emika Panda arm with its hand, built from published figures and primitive shapes.

Kinematics: the manufacturer's modified Denavit-Hartenberg table. Masses and inertias: the dynamic identification of
Gaz et al., "Dynamic Identification of the Franka Emika Panda Robot With Retrieval of Feasible Parameters", IEEE RA-L
4(4), 2019. Joint, speed and torque limits and the 70 N grip: the manufacturer's data sheet. What the robot looks like
is in `panda_shell`; here are the shapes it collides with, its servos and its limits.

The robot compensates its own weight, as the real controller does; that torque counts towards the motors' limits.
"""

import math

import mujoco
import numpy as np

from sim import panda_shell
from sim.embodiment import ARM_BIT, HAND_BIT, CameraView, Embodiment, HandShape
from sim.kinematics import Chain
from sim.parts import Inertial, add_collider, add_finger_joint, add_joint, add_link, add_servo, couple_fingers
from sim.transforms import Array, quat_about_z, quat_from_rotvec

_TURN = math.pi / 2
# Each joint's frame in the one before: position [m], rotation about x [rad].
_FRAMES = (
    ((0.0, 0.0, 0.333), 0.0),
    ((0.0, 0.0, 0.0), -_TURN),
    ((0.0, -0.316, 0.0), _TURN),
    ((0.0825, 0.0, 0.0), _TURN),
    ((-0.0825, 0.384, 0.0), -_TURN),
    ((0.0, 0.0, 0.0), _TURN),
    ((0.088, 0.0, 0.0), _TURN),
)
_FLANGE = 0.107  # last joint's frame to the flange, along z [m]
_HAND_TURN = -math.pi / 4  # the hand sits turned on the flange [rad]
_FINGER_BASE = 0.0584  # hand's frame to the fingers' slides, along z [m]
_TOOL_CENTRE = 0.1034  # hand's frame to the point between the finger pads, along z [m]

# The palm's box in the hand's frame: half sizes, and its centre along z [m].
_PALM_HALF, _PALM_CENTRE = (0.032, 0.1, 0.03), 0.032

_LOWER = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
_UPPER = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
_SPEED = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)  # [rad/s]
_TORQUE = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)  # [N m]


_INERTIALS = {
    "link0": Inertial(
        0.629769, (-0.041018, -0.00014, 0.049974), (3.15e-3, 3.88e-3, 4.285e-3, 8.29e-7, 1.5e-4, 8.23e-6)
    ),
    "link1": Inertial(
        4.970684, (0.003875, 0.002081, -0.04762), (0.70337, 0.70661, 0.0091170, -1.39e-4, 6.772e-3, 1.9169e-2)
    ),
    "link2": Inertial(
        0.646926, (-0.003141, -0.02872, 0.003495), (7.962e-3, 2.811e-2, 2.5995e-2, -3.925e-3, 1.0254e-2, 7.04e-4)
    ),
    "link3": Inertial(
        3.228604, (0.027518, 0.039252, -0.066502), (3.7242e-2, 3.6155e-2, 1.083e-2, -4.761e-3, -1.1396e-2, -1.2805e-2)
    ),
    "link4": Inertial(
        3.587895, (-0.05317, 0.104419, 0.027454), (2.5853e-2, 1.9552e-2, 2.8323e-2, 7.796e-3, -1.332e-3, 8.641e-3)
    ),
    "link5": Inertial(
        1.225946, (-0.011953, 0.041065, -0.038437), (3.5549e-2, 2.9474e-2, 8.627e-3, -2.117e-3, -4.037e-3, 2.29e-4)
    ),
    "link6": Inertial(
        1.666555, (0.060149, -0.014117, -0.010517), (1.964e-3, 4.354e-3, 5.433e-3, 1.09e-4, -1.158e-3, 3.41e-4)
    ),
    "link7": Inertial(
        0.735522, (0.010517, -0.004252, 0.061597), (1.2516e-2, 1.0027e-2, 4.815e-3, -4.28e-4, -1.196e-3, -7.41e-4)
    ),
    "hand": Inertial(0.73, (-0.01, 0.0, 0.03), (1.0e-3, 2.5e-3, 1.7e-3, 0.0, 0.0, 0.0)),
    "finger": Inertial(0.015, (0.0, 0.0, 0.027), (2.375e-6, 2.375e-6, 7.5e-7, 0.0, 0.0, 0.0)),
}

# Servo stiffness [N m/rad] and damping [N m s/rad]: about 55 rad/s of bandwidth against each joint's inertia.
_STIFFNESS = (4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0)
_DAMPING = (180.0, 180.0, 120.0, 120.0, 40.0, 40.0, 40.0)
_ARMATURE = 0.1  # reflected motor inertia [kg m^2]

_FINGER_TRAVEL = 0.04  # [m]
_GRIP_FORCE = 70.0  # both fingers together [N]
_GRIP_STIFFNESS, _GRIP_DAMPING = 3000.0, 45.0  # [N/m], [N s/m] on the mean travel of the fingers
_FINGER_ARMATURE = 0.05  # [kg]

_JOINTS, _SERVOS = tuple(f"joint{i}" for i in range(1, 8)), tuple(f"servo{i}" for i in range(1, 8))
_GRIPPER, _TOOL = "gripper", "tool"


def _chain() -> Chain:
    frames = np.array([[*pos, *quat_from_rotvec([turn, 0.0, 0.0])] for pos, turn in _FRAMES])
    tool = np.array([0.0, 0.0, _FLANGE + _TOOL_CENTRE, *quat_about_z(_HAND_TURN)])
    return Chain(frames, tool, np.array(_LOWER), np.array(_UPPER), np.array(_SPEED))


def add_panda(spec: mujoco.MjSpec) -> None:
    """Add the robot to a spec, its base at the world's origin: bodies link0 to link7, hand, left_finger, right_finger.

    Args:
        spec: the model under construction; option and asset names beginning with `panda_` are taken.
    """
    spec.compiler.degree = False
    panda_shell.add_materials(spec)
    body = _add_body(spec.worldbody, "link0", "link0", np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]))
    for i, frame in enumerate(_chain().frames):
        body = _add_body(body, f"link{i + 1}", f"link{i + 1}", frame[:3], frame[3:])
        add_joint(body, _JOINTS[i], _LOWER[i], _UPPER[i], _TORQUE[i], _ARMATURE)
        add_servo(spec, _SERVOS[i], _JOINTS[i], _STIFFNESS[i], _DAMPING[i], _TORQUE[i])
    for i, half_length, z in ((5, 0.09, -0.12), (6, 0.02, 0.0), (7, 0.03, 0.05)):
        add_collider(spec.body(f"link{i}"), f"link{i}_collider", "capsule", [0.055, half_length, 0], [0, 0, z], ARM_BIT)
    _add_hand(spec, body)


def _add_body(parent: mujoco.MjsBody, name: str, inertial: str, pos: Array, quat: Array) -> mujoco.MjsBody:
    body = add_link(parent, name, _INERTIALS[inertial], pos, quat)
    panda_shell.add_shell(body, name)
    return body


def _add_hand(spec: mujoco.MjSpec, link7: mujoco.MjsBody) -> None:
    hand = _add_body(link7, "hand", "hand", np.array([0, 0, _FLANGE]), quat_about_z(_HAND_TURN))
    add_collider(hand, "hand_collider", "box", list(_PALM_HALF), [0, 0, _PALM_CENTRE], HAND_BIT)
    hand.add_site(name=_TOOL, pos=[0, 0, _TOOL_CENTRE], size=[0.004, 0, 0], group=4)
    for side, turn in (("left", 0.0), ("right", math.pi)):
        # Both fingers slide along their own +y; the right one's frame is the left one's turned half a turn.
        finger = _add_body(hand, f"{side}_finger", "finger", np.array([0, 0, _FINGER_BASE]), quat_about_z(turn))
        add_finger_joint(finger, f"finger_{side}", _FINGER_TRAVEL, _FINGER_ARMATURE)
        add_collider(finger, f"pad_{side}", "box", [0.0105, 0.004, 0.0105], [0, 0.004, 0.0435], HAND_BIT)
        add_collider(finger, f"finger_{side}_upper", "box", [0.0105, 0.007, 0.0165], [0, 0.015, 0.0165], HAND_BIT)
    joints = ("finger_left", "finger_right")
    couple_fingers(spec, joints, _GRIPPER, _GRIP_STIFFNESS, _GRIP_DAMPING, _GRIP_FORCE)


PANDA = Embodiment(
    name="panda",
    add=add_panda,
    chain=_chain(),
    home=np.array([0.0, -0.2, 0.0, -2.5, 0.0, 2.4, math.pi / 4]),
    joints=_JOINTS,
    actuators=_SERVOS,
    fingers=("finger_left", "finger_right"),
    finger_closed=0.0,
    finger_open=_FINGER_TRAVEL,
    gripper_actuator=_GRIPPER,
    finger_speed=0.2,
    tool_site=_TOOL,
    moving_root="link1",
    hand_body="hand",
    finger_geoms=("pad_left", "pad_right", "finger_left_upper", "finger_right_upper"),
    hand=HandShape(
        palm_centre=(0.0, 0.0, _PALM_CENTRE - _TOOL_CENTRE),
        palm_half=_PALM_HALF,
        tip_half_width=0.0105,
        tip_depth=0.008,
        tip_length=0.009,
        reach=_FINGER_TRAVEL,
    ),
    wrist_camera=CameraView("hand", (0.08, 0.0, 0.04), (0.035, 0.0, 0.151), (1.0, 0.0, 0.0), 75.0),
    paint={name: paint.rgba for name, paint in panda_shell.MATERIALS.items()},
)
