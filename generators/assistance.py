"""What makes a hand on a keyboard or a stick good enough to demonstrate with.

A hand asks for velocities as shares of full speed; these become a command within limits. Everything that was switched
on while an episode was recorded is stored with it.
"""

from dataclasses import dataclass

import numpy as np

from generators.teleoperation import Limits
from handful import InputError
from scenes.props import Prop
from sim.transforms import Array, compose, quat_conjugate, quat_multiply, quat_rotate, rotvec_from_quat

# Share of the limits' speeds at each level, slowest first.
SPEEDS = (0.1, 0.25, 0.5, 1.0)

# Guidance begins at this distance across the approach [m], and never adds more than this share of the hand's own speed.
REACH, PULL = 0.10, 0.5
# The hand is followed, not corrected, where the rest is less than this [m], [rad].
_CLOSE, _STRAIGHT = 0.001, 0.01
_NOTHING = 1e-9  # less is rounding
_AHEAD = np.array([0.0, 0.0, 1.0])  # out of the hand, in the tool's frame


@dataclass(frozen=True)
class Assistance:
    """What helps the operator. The defaults leave the hand alone, apart from its tremor."""

    # Speed level, 1 (slowest) to 4 (the limits themselves).
    speed: int = 3
    # Deflections of a stick below this share of its range are none.
    deadband: float = 0.1
    # Whether the tool is drawn gently over the object to grasp, and turned as it must be to grasp it.
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


def guide(twist: Array, target: Array, pose: Array, prop: Prop) -> Array:
    """Draw a moving hand towards the nearest grasp of an object; a hand at rest stays at rest.

    The pull is across the direction of approach alone, at most half of the hand's own speed, and none against a hand
    that moves away: the hand itself decides to go down and to close.

    Args:
        twist: (6,) what the hand asks for.
        target: (7,) tool pose last aimed at.
        pose: (7,) where the object is.
        prop: what it is, and from where it can be grasped.

    Returns:
        The twist (6,) to follow instead.
    """
    speed = float(np.linalg.norm(twist[:3]))
    if speed == 0.0:
        return twist
    grasp, turn = nearest_grasp(pose, prop, target)
    approach = quat_rotate(grasp[3:], _AHEAD)
    way = grasp[:3] - target[:3]
    way -= (way @ approach) * approach
    distance = float(np.linalg.norm(way))
    across = twist[:3] - (twist[:3] @ approach) * approach
    if distance > REACH or float(across @ way) < -_NOTHING:
        return twist
    guided = twist.copy()
    if distance > _CLOSE:
        guided[:3] += way / distance * min(PULL * speed, 2.0 * distance)
    angle = float(np.linalg.norm(turn))
    if angle > _STRAIGHT:
        # As much of the turn per metre moved as brings it to an end within the pull's reach.
        guided[3:] += turn / angle * min(PULL * speed / REACH, 2.0 * angle)
    return guided


def nearest_grasp(pose: Array, prop: Prop, target: Array) -> tuple[Array, Array]:
    """Of all grasps that an object's symmetries allow, the one that needs the smallest turn of the tool.

    Args:
        pose: (7,) where the object is.
        prop: what it is, and from where it can be grasped.
        target: (7,) where the tool is.

    Returns:
        The tool pose (7,) that grasps, and the turn to it as a rotation vector (3,).
    """
    turns = [np.concatenate([np.zeros(3), turn]) for turn in prop.turns]
    grasps = [compose(compose(pose, turn), np.array(grasp)) for turn in turns for grasp in prop.grasps]
    ways = [rotvec_from_quat(quat_multiply(grasp[3:], quat_conjugate(target[3:]))) for grasp in grasps]
    nearest = int(np.argmin([np.linalg.norm(way) for way in ways]))
    return grasps[nearest], ways[nearest]
