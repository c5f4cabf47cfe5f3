"""A parallel gripper with two sliding fingers and a stroke of 85 mm, for arms that come without a hand.

Its outline, weight, stroke and speed are those of common electric two-finger grippers of that stroke; the fingers slide
instead of swinging on linkages, so the pads stay parallel and at one height. The grip is limited to 80 N, the low end
of what such grippers are set to.

Frames: the hand's z points out of the flange; the fingers close along its y. Each finger slides along its own +y, away
from the middle, so the right finger's frame is the left one's turned half a turn about z.
"""

import math

import mujoco
import numpy as np

from sim.embodiment import HAND_BIT, CameraView, HandShape, Rgba
from sim.parts import Inertial, add_collider, add_finger_joint, add_link, couple_fingers
from sim.shell import Paint, add_materials, add_shell, box, cylinder
from sim.transforms import Array, quat_about_z

TRAVEL = 0.0425  # of each finger [m]
FORCE = 80.0  # both fingers together [N]
FINGER_SPEED = 0.075  # of each finger: 150 mm/s between them [m/s]
TOOL_CENTRE = 0.147  # hand's frame to the point between the finger pads, along z [m]

HAND = "hand"
TOOL_SITE, SERVO = "tool", "gripper"
FINGER_JOINTS = ("finger_left", "finger_right")
FINGER_GEOMS = ("pad_left", "pad_right", "finger_left_upper", "finger_right_upper")

_RAIL = 0.085  # hand's frame to the fingers' slides, along z [m]
_PALM_HALF = (0.0375, 0.075, _RAIL / 2)
_TIP_HALF_WIDTH, _TIP_DEPTH, _TIP_LENGTH = 0.011, 0.008, 0.012
_STIFFNESS, _DAMPING = 4000.0, 60.0  # [N/m], [N s/m] on the mean travel of the fingers
_FINGER_ARMATURE = 0.05  # [kg]

# Inertia of a box of the palm's size, and of a finger's.
_PALM = Inertial(0.78, (0.0, 0.0, 0.045), (1.93e-3, 8.3e-4, 1.83e-3, 0.0, 0.0, 0.0))
_FINGER = Inertial(0.07, (0.0, 0.012, 0.035), (3.5e-5, 3.5e-5, 5.0e-6, 0.0, 0.0, 0.0))

_MATERIALS = {
    "gripper_black": Paint((0.10, 0.11, 0.12, 1.0), 0.35, 0.5),
    "gripper_steel": Paint((0.62, 0.64, 0.66, 1.0), 0.5, 0.6),
    "gripper_rubber": Paint((0.22, 0.23, 0.24, 1.0), 0.1, 0.1),
}

_HAND_SHAPES = (
    cylinder((0, 0, 0), (0, 0, 0.013), 0.0375, "gripper_steel"),
    cylinder((0, 0, 0.013), (0, 0, 0.062), 0.036, "gripper_black"),
    box((0, 0, 0.054), (0.024, 0.050, 0.012), "gripper_black"),
    box((0, 0, 0.074), (0.019, 0.074, 0.010), "gripper_black"),
    box((0, 0, 0.0845), (0.007, 0.072, 0.002), "gripper_steel"),
)
_FINGER_SHAPES = (
    box((0, 0.014, 0.006), (0.014, 0.012, 0.007), "gripper_steel"),
    box((0, 0.0145, 0.038), (0.0105, 0.0055, 0.030), "gripper_black"),
    box((0, 0.005, 0.061), (0.011, 0.005, 0.0135), "gripper_rubber"),
)

HAND_SHAPE = HandShape(
    palm_centre=(0.0, 0.0, _PALM_HALF[2] - TOOL_CENTRE),
    palm_half=_PALM_HALF,
    tip_half_width=_TIP_HALF_WIDTH,
    tip_depth=_TIP_DEPTH,
    tip_length=_TIP_LENGTH,
    reach=TRAVEL,
)
WRIST_CAMERA = CameraView(HAND, (0.085, 0.0, 0.05), (0.035, 0.0, 0.19), (1.0, 0.0, 0.0), 75.0)
PAINT: dict[str, Rgba] = {name: paint.rgba for name, paint in _MATERIALS.items()}


def add_gripper(spec: mujoco.MjSpec, wrist: mujoco.MjsBody, flange: Array) -> None:
    """Put the gripper onto an arm: bodies `hand`, `left_finger`, `right_finger`.

    Args:
        spec: the model under construction.
        wrist: the arm's last body.
        flange: (7,) pose of the hand in that body's frame.
    """
    add_materials(spec, _MATERIALS)
    hand = add_link(wrist, HAND, _PALM, flange[:3], flange[3:])
    add_shell(hand, HAND, _HAND_SHAPES)
    add_collider(hand, "hand_collider", "box", list(_PALM_HALF), [0, 0, _PALM_HALF[2]], HAND_BIT)
    hand.add_site(name=TOOL_SITE, pos=[0, 0, TOOL_CENTRE], size=[0.004, 0, 0], group=4)
    for side, joint, turn in zip(("left", "right"), FINGER_JOINTS, (0.0, math.pi), strict=True):
        finger = add_link(hand, f"{side}_finger", _FINGER, np.array([0, 0, _RAIL]), quat_about_z(turn))
        add_shell(finger, f"{side}_finger", _FINGER_SHAPES)
        add_finger_joint(finger, joint, TRAVEL, _FINGER_ARMATURE)
        pad = [_TIP_HALF_WIDTH, _TIP_DEPTH / 2, _TIP_LENGTH]
        add_collider(finger, f"pad_{side}", "box", pad, [0, _TIP_DEPTH / 2, TOOL_CENTRE - _RAIL], HAND_BIT)
        add_collider(finger, f"finger_{side}_upper", "box", [0.0105, 0.006, 0.025], [0, 0.014, 0.025], HAND_BIT)
    couple_fingers(spec, FINGER_JOINTS, SERVO, _STIFFNESS, _DAMPING, FORCE)
