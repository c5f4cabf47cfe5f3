"""What makes a hand on a keyboard or a stick good enough to demonstrate with.

A hand asks for velocities as shares of full speed; these become a command within limits. Everything that was switched
on while an episode was recorded is stored with it.
"""

from dataclasses import dataclass

import numpy as np

from generators.teleoperation import Limits
from handful import InputError
from scenes.cubes import nearest_quarter, upright_yaw
from scenes.scene import Scene
from scenes.task import Subtask, World
from sim.transforms import Array, quat_about_z, quat_conjugate, quat_multiply, rotvec_from_quat

# Share of the limits' speeds at each level, slowest first.
SPEEDS = (0.1, 0.25, 0.5, 1.0)

# Guidance begins at this distance across the table [m], and never adds more than this share of the hand's own speed.
REACH, PULL = 0.10, 0.5
# The hand is followed, not corrected, where the rest is less than this [m], [rad].
_CLOSE, _STRAIGHT = 0.001, 0.01
_DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # the tool pointing at the table


@dataclass(frozen=True)
class Assistance:
    """What helps the operator. The defaults leave the hand alone, apart from its tremor."""

    # Speed level, 1 (slowest) to 4 (the limits themselves).
    speed: int = 3
    # Deflections of a stick below this share of its range are none.
    deadband: float = 0.1
    # Whether the tool is drawn gently over the object to grasp, and its fingers along the object's sides.
    guidance: bool = False
    # Whether time stands still while nothing is asked for and nothing moves: hesitation is not demonstrated.
    skip_pauses: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.speed <= len(SPEEDS):
            raise InputError(f"speed level {self.speed} does not exist; levels are 1 to {len(SPEEDS)}")
        if not 0.0 <= self.deadband <= 0.5:
            raise InputError(f"a deadband of {self.deadband} is outside 0 to 0.5")

    def speeds(self, limits: Limits) -> tuple[float, float]:
        """Speeds of full deflection at this level [m/s], [rad/s]."""
        share = SPEEDS[self.speed - 1]
        return share * limits.speed, share * limits.turn_speed

    def twist(self, axes: Array, limits: Limits) -> Array:
        """The velocity (6,) in the base frame that a hand asks for.

        Args:
            axes: (6,) deflections in [-1, 1]: along x, y, z, then about them.
            limits: what full deflection is at the highest level.
        """
        size = np.abs(axes)
        freed = np.sign(axes) * np.clip(size - self.deadband, 0.0, None) / (1.0 - self.deadband)
        linear, angular = freed[:3], freed[3:]
        # A diagonal is no faster than an axis.
        linear = linear / max(1.0, float(np.linalg.norm(linear)))
        angular = angular / max(1.0, float(np.linalg.norm(angular)))
        speed, turn_speed = self.speeds(limits)
        return np.concatenate([speed * linear, turn_speed * angular])


def guide(twist: Array, target: Array, world: World, scene: Scene, subtask: Subtask) -> Array:
    """Draw a moving hand towards the grasp of the object that it is near; a hand at rest stays at rest.

    The pull is across the table and about the vertical alone, at most half of the hand's own speed, and none against
    a hand that moves away.

    Args:
        twist: (6,) what the hand asks for.
        target: (7,) tool pose last aimed at.
        world: what is where, a batch of one.
        scene: which object plays which role.
        subtask: the subtask under way; guidance is for grasps.

    Returns:
        The twist (6,) to follow instead.
    """
    speed = float(np.linalg.norm(twist[:3]))
    if subtask.kind != "grasp" or speed == 0.0:
        return twist
    pose = world.objects[scene.roles[subtask.reference]][0]
    way = pose[:2] - target[:2]
    distance = float(np.linalg.norm(way))
    if distance > REACH or float(twist[:2] @ way) < 0.0:
        return twist
    guided = twist.copy()
    if distance > _CLOSE:
        guided[:2] += way / distance * min(PULL * speed, 2.0 * distance)
    turn = _turn_to_grasp(pose, target[3:])
    angle = float(np.linalg.norm(turn))
    if angle > _STRAIGHT:
        # As much of the turn per metre moved as brings it to an end within the pull's reach.
        guided[3:] += turn / angle * min(PULL * speed / REACH, 2.0 * angle)
    return guided


def _turn_to_grasp(pose: Array, quat: Array) -> Array:
    """Rotation vector (3,) from a tool orientation to the nearest one that grasps a cube across two of its sides."""
    yaw = upright_yaw(pose)
    wanted = quat_multiply(quat_about_z(yaw), _DOWN)
    turn = rotvec_from_quat(quat_multiply(wanted, quat_conjugate(quat)))
    # Of the four ways round, the one that needs the smallest turn about the vertical.
    nearest = nearest_quarter(float(turn[2]))
    wanted = quat_multiply(quat_about_z(nearest - float(turn[2])), wanted)
    return rotvec_from_quat(quat_multiply(wanted, quat_conjugate(quat)))
