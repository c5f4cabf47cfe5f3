"""Screening of tool paths without physics: how near the hand and what it holds come to the table and to objects."""

from functools import lru_cache

import numpy as np

from generators.boxes import Boxes, around, gap
from generators.options import PlanOptions
from generators.situations import Situation
from scenes.props import Prop
from sim.embodiment import HandShape
from sim.transforms import IDENTITY_POSE, Array, compose, inverse, quat_rotate

# Every so many control steps of a path are looked at.
_STRIDE = 2
# Fingers reach their opening within so many control steps of the command.
_TRAIL = 6


def room(
    tool: Array, gripper: Array, event: int, met: int, sway: Array, situation: Situation, options: PlanOptions
) -> tuple[float, float]:
    """How much room a path leaves, [m]: less than 0 is too little.

    Args:
        tool: (T, 7) tool poses.
        gripper: (T,) openings.
        event: step of the gripper's event.
        met: first step at which what is held is at what it goes to; the event while grasping.
        sway: (T,) by how much the executed motion may be off [m].
        situation: the scene; the path begins at its tool.
        options: the clearances that are asked for.

    Returns:
        Whether it can be done: what the fingertips have over the table, and the palm to objects, beyond what is asked
        for. And whether it can be done with ease: the least of that and of what fingers and the held object have to
        other objects, with the sway on top. Nothing is asked to be further away than it is to begin with.
    """
    hand, gripper = situation.hand, trailing(gripper)
    over = fingertip_clearance(tool, gripper, situation.table_height, hand) - options.table_clearance
    steps = np.unique(np.append(np.arange(0, len(tool), _STRIDE), len(tool) - 1))
    poses = np.concatenate([situation.tool[None], tool[steps]])
    palm, fingers = _hand(hand, np.concatenate([[situation.gripper], gripper[steps]]))
    wide = np.concatenate([[0.0], sway[steps]])[:, None, None]
    hard = ease = over
    if situation.obstacles:
        others = _placed(situation.obstacles, situation.poses)
        palms = gap(_each(palm.at(poses)), others) - options.palm_clearance
        hard = min(hard, float(palms[1:].min()))
        ease = min(ease, _least(palms, wide), _least(gap(_each(fingers.at(poses)), others), wide))
        if situation.held is not None:
            load = _load(situation)
            before = np.concatenate([[True], steps < event])
            ease = min(ease, _least(gap(_each(load.at(poses[before])), others), wide[before]))
    if situation.held is not None:
        before = np.concatenate([[True], steps < met])
        onto = around(situation.reference_prop).at(situation.reference)
        ease = min(ease, _least(gap(_each(_load(situation).at(poses[before])), onto), wide[before]))
    return hard, ease


def trailing(gripper: Array) -> Array:
    """How far open fingers may be that are told to open (T,): as far as a little earlier, if that was further."""
    padded = np.concatenate([np.full(_TRAIL, gripper[0]), gripper])
    return np.lib.stride_tricks.sliding_window_view(padded, _TRAIL + 1).max(axis=1)


def _least(gaps: Array, sway: Array) -> float:
    """The least room of pairs (T, A, B), the first row of which is where they begin."""
    asked = np.minimum(sway, gaps[:1])
    return float((gaps - asked)[1:].min(initial=np.inf))


def _each(boxes: Boxes) -> Boxes:
    """Boxes (..., A) to be paired with others (B,): (..., A, 1)."""
    return Boxes(boxes.pose[..., None, :], boxes.half[..., None, :])


def _placed(props: tuple[Prop, ...], poses: Array) -> Boxes:
    """The boxes of all props at poses (K, 7), (B,)."""
    found = [around(prop).at(pose) for prop, pose in zip(props, poses, strict=True)]
    return Boxes(np.concatenate([boxes.pose for boxes in found]), np.concatenate([boxes.half for boxes in found]))


def _load(situation: Situation) -> Boxes:
    """The boxes of what is held, in the tool's frame."""
    assert situation.held is not None  # asked only while placing
    assert situation.held_prop is not None
    return around(situation.held_prop).at(compose(inverse(situation.tool), situation.held))


@lru_cache(maxsize=8)
def _palm(hand: HandShape) -> Boxes:
    return Boxes(np.array([[*hand.palm_centre, 1.0, 0.0, 0.0, 0.0]]), np.array([hand.palm_half]))


def _hand(hand: HandShape, opening: Array) -> tuple[Boxes, Boxes]:
    """The palm's box (1,), and those of both fingers at openings (T,), (T, 2); in the tool's frame."""
    top = hand.palm_centre[2] + hand.palm_half[2]
    pose = np.zeros((len(opening), 2, 7))
    pose[..., 1] = np.multiply.outer(hand.reach * opening + hand.tip_depth / 2, [-1.0, 1.0])
    pose[..., 2] = (top + hand.tip_length) / 2
    pose[..., 3] = 1.0
    half = np.array([hand.tip_half_width, hand.tip_depth / 2, (hand.tip_length - top) / 2])
    return _palm(hand), Boxes(pose, np.broadcast_to(half, (1, 2, 3)))


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
