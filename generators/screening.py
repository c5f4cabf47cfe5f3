"""Screening of tool paths without physics: what may not come near what."""

import numpy as np

from generators.options import PlanOptions
from generators.situations import Situation
from scenes.props import Prop
from sim.embodiment import HandShape
from sim.transforms import IDENTITY_POSE, Array, compose, inverse, quat_rotate


def is_clear(tool: Array, gripper: Array, situation: Situation, options: PlanOptions) -> bool:
    """Whether the fingertips stay off the table and the palm off other objects along tool poses (T, 7)."""
    above = fingertip_clearance(tool, gripper, situation.table_height, situation.hand)
    if above < options.table_clearance:
        return False
    points = outlines(situation.obstacles, situation.poses)
    return palm_is_clear(tool, points, options.palm_clearance, situation.hand)


def fingertip_clearance(poses: Array, gripper: Array, table_height: float, hand: HandShape) -> float:
    """Least height of the fingertips over the table along a path of tool poses (T, 7) with openings (T,) [m]."""
    # The tips' outer corners in the tool's frame, whose z points out of the hand.
    half_width = hand.reach * gripper + hand.tip_depth
    lowest = np.inf
    for x in (-hand.tip_half_width, hand.tip_half_width):
        for side in (-1.0, 1.0):
            corner = np.stack(
                [np.full_like(half_width, x), side * half_width, np.full_like(half_width, hand.tip_length)], axis=1
            )
            heights = poses[:, 2] + quat_rotate(poses[:, 3:], corner)[:, 2]
            lowest = min(lowest, float(heights.min()))
    return lowest - table_height


def palm_is_clear(poses: Array, points: Array, margin: float, hand: HandShape) -> bool:
    """Whether no point (P, 3) comes within `margin` [m] of the palm along tool poses (T, 7)."""
    if len(points) == 0:
        return True
    as_poses = np.concatenate([points, np.tile(IDENTITY_POSE[3:], (len(points), 1))], axis=1)
    in_tool = compose(inverse(poses)[:, None], as_poses[None])[..., :3]
    inside = np.abs(in_tool - np.array(hand.palm_centre)) < np.array(hand.palm_half) + margin
    return not inside.all(axis=-1).any()


def outlines(props: tuple[Prop, ...], poses: Array) -> Array:
    """Points (P, 3) on the boxes round objects at poses (K, 7), in the base frame."""
    found = [pose[:3] + quat_rotate(pose[3:], prop.outline()) for prop, pose in zip(props, poses, strict=True)]
    return np.concatenate(found) if found else np.zeros((0, 3))
