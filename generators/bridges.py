"""Bridges: from where the robot is to where a segment is entered, over whatever stands between."""

import numpy as np

from generators.options import PlanOptions
from generators.situations import Situation
from sim.transforms import (
    Array,
    angle_between,
    interpolate,
    quat_conjugate,
    quat_from_rotvec,
    quat_multiply,
    rotvec_from_quat,
)

# A motion comes to rest, or begins, within so many control steps.
_COAST = 6.0


def bridge_steps(start: Array, end: Array, options: PlanOptions, rate: float = 20.0) -> np.ndarray:
    """Control steps that a bridge from `start` (7,) to each `end` (n, 7) takes."""
    seconds = np.maximum(
        np.linalg.norm(end[:, :3] - start[:3], axis=1) / options.speed,
        angle_between(start[3:], end[:, 3:]) / options.turn_speed,
    )
    return np.ceil(seconds * rate).astype(int) + 3


def bridge(start: Array, end: Array, situation: Situation, options: PlanOptions, onward: Array | None = None) -> Array:
    """Tool poses (n, 7) from after `start` to before `end`, over what stands in the way.

    Sideways motion begins late and ends early, so that the tool leaves and arrives from above. The motion that the tool
    is in as it leaves fades out, and the one that it is to arrive in fades in, so that neither end is a jerk.

    Args:
        start: (7,) where the tool is.
        end: (7,) where it goes.
        situation: the scene.
        options: how.
        onward: (7,) where the tool is to be one control step after `end`; None: it comes to rest there.
    """
    if not options.clearance:
        s = np.arange(1, options.plain_steps) / options.plain_steps
        return interpolate(start, end, s)
    top = _clear_height(start, end, situation, options)
    rise = max(0.0, top - min(start[2], end[2]))
    straight = float(bridge_steps(start, end[None], options)[0])
    steps = int(np.ceil(straight + 20.0 * rise / options.speed * 0.7)) if rise > 0 else int(straight)
    t = np.arange(1, steps)
    s = t / steps
    leaving = _carried(start, situation.before, -_coast(t, steps))
    arriving = _carried(end, end if onward is None else onward, -_coast(steps - t, steps))
    poses = interpolate(leaving, arriving, _smooth(s))
    if rise > 0:
        across = _smooth((s - 0.2) / 0.6)[:, None]
        poses[:, :2] = leaving[:, :2] + across * (arriving[:, :2] - leaving[:, :2])
        middle = max(top, start[2], end[2])
        up = leaving[:, 2] + _smooth(s / 0.45) * (middle - leaving[:, 2])
        down = arriving[:, 2] + _smooth((1.0 - s) / 0.45) * (middle - arriving[:, 2])
        poses[:, 2] = np.minimum(up, down)
    return poses


def _coast(t: np.ndarray, steps: int) -> Array:
    """How far a motion carries on in t control steps as it comes to rest [control steps at its speed]."""
    span = min(_COAST, steps / 2)
    return span / 3.0 * (1.0 - (1.0 - np.minimum(t / span, 1.0)) ** 3)


def _carried(pose: Array, other: Array, count: Array) -> Array:
    """A pose (7,) carried on so many times (n,) by the motion from it to another: (n, 7)."""
    turn = rotvec_from_quat(quat_multiply(other[3:], quat_conjugate(pose[3:])))
    turned = quat_multiply(quat_from_rotvec(count[:, None] * turn), pose[3:])
    return np.concatenate([pose[:3] + count[:, None] * (other[:3] - pose[:3]), turned], axis=1)


def _smooth(s: Array) -> Array:
    """Minimum-jerk progress of s in [0, 1]."""
    s = np.clip(s, 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def _clear_height(start: Array, end: Array, situation: Situation, options: PlanOptions) -> float:
    """Height at which the tool passes over everything within reach of the straight way (0 below the table if none)."""
    way = end[:2] - start[:2]
    length = max(float(np.linalg.norm(way)), 1e-6)
    below = situation.load or 0.015  # how far the hand, or what it holds, reaches below the tool
    top = -np.inf
    if length > 0.03:
        top = situation.table_height + below + options.headroom / 2
    things = list(zip(situation.obstacles, situation.poses, strict=True))
    if situation.held is not None:
        things.append((situation.reference_prop, situation.reference))
    for prop, pose in things:
        centre, half = pose[:3], prop.half
        along = np.clip(np.dot(centre[:2] - start[:2], way) / length**2, 0.0, 1.0)
        off = np.linalg.norm(centre[:2] - start[:2] - along * way)
        if off < 2 * max(half[:2]) + 0.03:
            over = centre[2] + half[2] + below + options.headroom
            # What is under the end is what it goes to: no higher than that.
            if along * length >= length - 0.02:
                over = min(over, end[2])
            top = max(top, over)
    return float(top)
