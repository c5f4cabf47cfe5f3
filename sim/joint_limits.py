"""Limits of a described arm's joints: from its description, or else from its MJCF file."""

from collections.abc import Iterable
from dataclasses import dataclass

import mujoco
import numpy as np

from handful import InputError
from sim.description import Arm
from sim.transforms import Array

# The range of a joint that turns without end [rad].
_ENDLESS = 2 * np.pi


@dataclass(frozen=True)
class Limits:
    """Limits of an arm's joints, each (J,)."""

    lower: Array  # [rad]
    upper: Array  # [rad]
    speed: Array  # [rad/s]
    torque: Array  # [N m]


def arm_limits(spec: mujoco.MjSpec, arm: Arm) -> Limits:
    """The limits of an arm, from its description or else from its model.

    Raises:
        InputError: they are missing, too few or too many, the wrong way round, or do not hold the home pose.
    """
    count = len(arm.joints)
    if arm.range is not None:
        if len(arm.range) != count:
            raise InputError(f"arm.range has {len(arm.range)} ranges for {count} joints; give one for each")
        ranges = np.array(arm.range)
    else:
        joints = [spec.joint(name) for name in arm.joints]
        limited = [is_limited(joint.limited, joint.range) for joint in joints]
        ranges = np.array([j.range if yes else (-_ENDLESS, _ENDLESS) for j, yes in zip(joints, limited, strict=True)])
    for name, (low, high), home in zip(arm.joints, ranges, exactly(arm.home, count, "arm.home"), strict=True):
        if not low < high:
            raise InputError(f"arm.range of '{name}' goes from {low:g} to {high:g} rad; give the smaller end first")
        if not low < home < high:
            raise InputError(f"arm.home puts '{name}' at {home:g} rad, which is not within {low:.3f} to {high:.3f}")
    if arm.torque is None:
        own = [spec.joint(name) for name in arm.joints]
        without = [j.name for j in own if not is_limited(j.actfrclimited, j.actfrcrange)]
        if without:
            raise InputError(f"arm.torque is missing, and the MJCF limits no force of {', '.join(without)}")
        torque = np.array([min(abs(j.actfrcrange[0]), abs(j.actfrcrange[1])) for j in own])
    else:
        torque = per_joint(arm.torque, count, "arm.torque")
    found = Limits(ranges[:, 0], ranges[:, 1], per_joint(arm.speed, count, "arm.speed"), torque)
    positive: dict[str, Iterable[float]] = {
        "speed": found.speed,
        "torque": torque,
        "stiffness": arm.stiffness,
        "damping": arm.damping,
    }
    for field, values in positive.items():
        if min(values) <= 0:
            raise InputError(f"arm.{field} has a value of {min(values):g}; it must be more than 0")
    return found


def is_limited(said: int, limits: Array) -> bool:
    """Whether a range is a limit: as said, or where nothing is, if there is one."""
    if said == mujoco.mjtLimited.mjLIMITED_AUTO:
        return bool(limits[0] < limits[1])
    return bool(said == mujoco.mjtLimited.mjLIMITED_TRUE)


def per_joint(values: tuple[float, ...], count: int, field: str) -> Array:
    """One value per joint, of as many or of one for all."""
    if len(values) not in (1, count):
        raise InputError(f"{field} has {len(values)} values for {count} joints; give one for each, or one for all")
    return np.broadcast_to(np.array(values, float), (count,)).copy()


def exactly(values: tuple[float, ...], count: int, field: str) -> tuple[float, ...]:
    """One value per joint, of as many."""
    if len(values) != count:
        raise InputError(f"{field} has {len(values)} values for {count} joints; give one for each")
    return values
