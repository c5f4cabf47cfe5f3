"""What a controller, a planner and a judge need to know about a robot, whatever its model looks like."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np

from handful import InputError
from sim.kinematics import Chain
from sim.transforms import Array, quat_from_matrix

# Contact bits: what may touch what. The robot meets the table and objects, not itself.
TABLE_BIT, OBJECT_BIT, HAND_BIT, ARM_BIT = 1, 2, 4, 8

Rgba = tuple[float, float, float, float]


@dataclass(frozen=True)
class CameraView:
    """Where a camera is on its body and what it looks at, before any jitter."""

    # Name of the body that carries it.
    body: str
    # Position in that body's frame [m].
    pos: tuple[float, float, float]
    # Point in that body's frame that is in the middle of the image [m].
    target: tuple[float, float, float]
    # Direction in that body's frame that points up in the image.
    up: tuple[float, float, float]
    # Vertical field of view [degrees].
    fovy: float

    def __post_init__(self) -> None:
        if not 0.0 < self.fovy < 180.0:
            raise InputError(f"a camera's fovy is more than 0 and less than 180 degrees, got {self.fovy}")
        gaze = np.subtract(self.target, self.pos)
        if np.linalg.norm(np.cross(self.up, gaze)) < 1e-6:
            raise InputError(
                f"a camera at {self.pos} that looks at {self.target} has no upward direction {self.up}; give one "
                "across its line of sight, and a target away from it"
            )

    @property
    def quat(self) -> Array:
        """Orientation (4,) in the body's frame: MuJoCo's cameras look along -z with +y up."""
        backward = np.subtract(self.pos, self.target)
        backward /= np.linalg.norm(backward)
        right = np.cross(self.up, backward)
        right /= np.linalg.norm(right)
        return quat_from_matrix(np.column_stack([right, np.cross(backward, right), backward]))


@dataclass(frozen=True)
class HandShape:
    """The hand as a planner sees it, in the tool's frame: z points out of the hand, the fingers close along y.

    Attributes:
        palm_centre: (x, y, z) middle of a box round the palm [m].
        palm_half: half the box's edges [m].
        tip_half_width: half the width of a fingertip along x [m].
        tip_depth: depth of a fingertip along y, away from the pad [m].
        tip_length: how far the fingertips reach beyond the tool's centre along z [m].
        reach: distance of each open finger's pad from the tool's centre along y [m].
    """

    palm_centre: tuple[float, float, float]
    palm_half: tuple[float, float, float]
    tip_half_width: float
    tip_depth: float
    tip_length: float
    reach: float


@dataclass(frozen=True)
class Embodiment:
    """A robot arm with a gripper, standing at the origin of the world.

    Attributes:
        name: the name stored with every episode.
        add: puts the robot into a spec, its base at the world's origin.
        chain: kinematics and joint limits of the arm's J joints.
        home: (J,) angles in which an episode starts [rad].
        joints: names of the arm's joints, base to tip.
        actuators: names of their position servos, in the same order.
        fingers: names of the finger joints; all move alike.
        finger_closed, finger_open: position of each finger joint at an opening of 0 and of 1 [m] or [rad].
        gripper_actuator: name of the gripper's position servo, whose input is a finger joint's position.
        finger_speed: how fast the gripper's setpoint moves [m/s] or [rad/s].
        tool_site: name of the site at the tool's centre.
        moving_root: first body that moves; it and all it carries must not touch the table.
        hand_body: body that carries the fingers and the wrist camera; it must touch nothing.
        finger_geoms: names of collision geoms that may touch objects.
        hand: the hand's outline, for planning.
        wrist_camera: where the camera on the hand is.
        paint: the robot's own materials and their colours, which a scene may tint.
    """

    name: str
    add: Callable[[mujoco.MjSpec], None] = field(repr=False, compare=False)
    chain: Chain = field(repr=False)
    home: Array
    joints: tuple[str, ...]
    actuators: tuple[str, ...]
    fingers: tuple[str, ...]
    finger_closed: float
    finger_open: float
    gripper_actuator: str
    finger_speed: float
    tool_site: str
    moving_root: str
    hand_body: str
    finger_geoms: tuple[str, ...]
    hand: HandShape
    wrist_camera: CameraView
    paint: Mapping[str, Rgba] = field(repr=False)

    def action_size(self) -> int:
        """Length of an action: joint targets, then the gripper's opening."""
        return len(self.joints) + 1

    def joint_addresses(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Columns of the arm's joints in qpos and in qvel."""
        ids = [model.joint(name).id for name in self.joints]
        return model.jnt_qposadr[ids], model.jnt_dofadr[ids]

    def finger_addresses(self, model: mujoco.MjModel) -> np.ndarray:
        """Columns of the finger joints in qpos."""
        return model.jnt_qposadr[[model.joint(name).id for name in self.fingers]]

    def opening(self, fingers: Array) -> Array:
        """The gripper's opening (n,) for positions of the finger joints (n, F); 0 closed, 1 open, not clipped."""
        return (fingers.mean(axis=1) - self.finger_closed) / (self.finger_open - self.finger_closed)

    def finger_position(self, opening: Array) -> Array:
        """The finger joints' position for an opening in [0, 1]."""
        return self.finger_closed + opening * (self.finger_open - self.finger_closed)
