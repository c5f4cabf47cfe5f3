"""Bridges: from where the robot is to where a segment is entered, over whatever stands between."""

import numpy as np

from generators.options import PlanOptions
from generators.situations import Situation
from sim.transforms import Array, angle_between, interpolate


def bridge_steps(start: Array, end: Array, options: PlanOptions, rate: float = 20.0) -> np.ndarray:
    """Control steps that a bridge from `start` (7,) to each `end` (n, 7) takes."""
    seconds = np.maximum(
        np.linalg.norm(end[:, :3] - start[:3], axis=1) / options.speed,
        angle_between(start[3:], end[:, 3:]) / options.turn_speed,
    )
    return np.ceil(seconds * rate).astype(int) + 3


def bridge(start: Array, end: Array, situation: Situation, options: PlanOptions) -> Array:
    """Tool poses (n, 7) from after `start` to before `end`, over what stands in the way.

    Sideways motion begins late and ends early, so that the tool leaves and arrives from above.
    """
    if not options.clearance:
        s = np.arange(1, options.plain_steps) / options.plain_steps
        return interpolate(start, end, s)
    top = _clear_height(start, end, situation, options)
    rise = max(0.0, top - min(start[2], end[2]))
    straight = float(bridge_steps(start, end[None], options)[0])
    steps = int(np.ceil(straight + 20.0 * rise / options.speed * 0.7)) if rise > 0 else int(straight)
    s = np.arange(1, steps) / steps
    poses = interpolate(start, end, _smooth(s))
    if rise > 0:
        across = _smooth((s - 0.2) / 0.6)[:, None]
        poses[:, :2] = start[:2] + across * (end[:2] - start[:2])
        middle = max(top, start[2], end[2])
        up = start[2] + _smooth(s / 0.45) * (middle - start[2])
        down = end[2] + _smooth((1.0 - s) / 0.45) * (middle - end[2])
        poses[:, 2] = np.minimum(up, down)
    return poses


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
    for prop, pose in zip(situation.obstacles, situation.poses, strict=True):
        centre, half = pose[:3], prop.half
        along = np.clip(np.dot(centre[:2] - start[:2], way) / length**2, 0.0, 1.0)
        off = np.linalg.norm(centre[:2] - start[:2] - along * way)
        # Something right under the start is what the hand just left; something under the end, what it goes to.
        if off < 2 * max(half[:2]) + 0.03 and 0.02 < along * length < length - 0.02:
            top = max(top, centre[2] + half[2] + below + options.headroom)
    return float(top)
