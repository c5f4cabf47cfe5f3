"""Screening of tool paths without physics: how near the hand and what it holds come to the table and to objects."""

import numpy as np

from generators.boxes import Boxes, around, gap
from generators.options import PlanOptions
from generators.situations import Situation
from scenes.props import Prop
from sim.embodiment import HandShape
from sim.limbs import Limbs
from sim.transforms import IDENTITY_POSE, Array, compose, inverse, quat_rotate

# Every so many control steps of a path are looked at.
_STRIDE = 2
# The arm itself moves less: it is looked at every so many, and is to keep this far from itself and the table [m].
_KEY, _SURE = 5, 0.02
# Fingers reach their opening within so many control steps of the command.
_TRAIL = 6
# Boxes of a hand: its palm, two fingers.
_HAND = 3


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
    steps = np.append(np.arange(0, len(tool) - 1, _STRIDE), len(tool) - 1)
    moving = _moving(situation, np.concatenate([[situation.gripper], gripper[steps]]))
    others = _standing(situation)
    if len(others.half) == 0:
        return over, over
    poses = np.concatenate([situation.tool[None], tool[steps]])
    at = moving.at(poses)
    # Steps last: they are the most, and short rows are slow.
    mine = Boxes(at.pose.transpose(1, 0, 2)[:, None], at.half.transpose(1, 0, 2)[:, None])
    gaps = gap(mine, Boxes(others.pose[:, None], others.half[:, None]))  # (A, B, T)
    if situation.held is not None:
        goal = len(others.half) - len(around(situation.reference_prop).half)
        # The hand may be near what it puts something on, and that may be near all else once it is let go.
        gaps[:_HAND, goal:] = np.inf
        gaps[_HAND:, :, 1:][..., steps >= event] = np.inf
        gaps[_HAND:, goal:, 1:][..., steps >= met] = np.inf
    gaps[0] -= options.palm_clearance
    asked = np.minimum(sway[steps], gaps[..., :1])
    return min(over, float(gaps[0, :, 1:].min())), min(over, float((gaps[..., 1:] - asked).min()))


def elbow_room(joints: Array, situation: Situation, limbs: Limbs) -> bool:
    """Whether an arm that follows joint targets (T, J) meets neither itself nor, with a link, the table.

    It may come no nearer than the outline is sure of, unless it stands nearer to begin with.
    """
    poses = np.concatenate([situation.command[None], joints[::_KEY], joints[-1:]])
    rooms = limbs.room(poses, situation.table_height)
    return bool(rooms[1:].min() >= min(_SURE, rooms[0]))


def trailing(gripper: Array) -> Array:
    """How far open fingers may be that are told to open (T,): as far as a little earlier, if that was further."""
    padded = np.concatenate([np.full(_TRAIL, gripper[0]), gripper])
    return np.lib.stride_tricks.sliding_window_view(padded, _TRAIL + 1).max(axis=1)


def _moving(situation: Situation, opening: Array) -> Boxes:
    """What moves with the tool, in its frame, at openings (T,): palm, both fingers, what is held; (T, A)."""
    hand = situation.hand
    top = hand.palm_centre[2] + hand.palm_half[2]
    load = Boxes(np.zeros((0, 7)), np.zeros((0, 3)))
    if situation.held is not None:
        assert situation.held_prop is not None  # it is in the gripper
        load = around(situation.held_prop).at(compose(inverse(situation.tool), situation.held))
    pose = np.zeros((len(opening), _HAND + len(load.half), 7))
    pose[:, :_HAND, 3] = 1.0
    pose[:, 0, :3] = hand.palm_centre
    pose[:, 1:_HAND, 1] = np.multiply.outer(hand.reach * opening + hand.tip_depth / 2, [-1.0, 1.0])
    pose[:, 1:_HAND, 2] = (top + hand.tip_length) / 2
    pose[:, _HAND:] = load.pose
    finger = [hand.tip_half_width, hand.tip_depth / 2, (hand.tip_length - top) / 2]
    return Boxes(pose, np.concatenate([[hand.palm_half, finger, finger], load.half]))


def _standing(situation: Situation) -> Boxes:
    """What stands about, (B,): the boxes of the obstacles and then, while placing, those of the reference object."""
    things = list(zip(situation.obstacles, situation.poses, strict=True))
    if situation.held is not None:
        things.append((situation.reference_prop, situation.reference))
    found = [around(prop) for prop, _ in things]
    none = np.zeros((0, 7))
    own = np.concatenate([none, *(boxes.pose for boxes in found)])
    half = np.concatenate([none[:, :3], *(boxes.half for boxes in found)])
    count = np.array([len(boxes.half) for boxes in found], int)
    return Boxes(compose(np.repeat(np.reshape([pose for _, pose in things], (-1, 7)), count, axis=0), own), half)


def fingertip_clearance(poses: Array, gripper: Array, table_height: float, hand: HandShape) -> float:
    """Least height of the fingertips over the table along a path of tool poses (T, 7) with openings (T,) [m]."""
    # The tips' outer corners in the tool's frame, whose z points out of the hand.
    half_width = hand.reach * gripper + hand.tip_depth
    corners = np.empty((2, 2, len(gripper), 3))
    corners[0, ..., 0], corners[1, ..., 0] = -hand.tip_half_width, hand.tip_half_width
    corners[:, 0, :, 1], corners[:, 1, :, 1] = -half_width, half_width
    corners[..., 2] = hand.tip_length
    heights = poses[:, 2] + quat_rotate(poses[:, 3:], corners)[..., 2]
    return float(heights.min()) - table_height


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
