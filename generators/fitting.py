"""Where what is held meets what it goes onto, into or round: from there on, room is scarce.

A nut comes down round a peg a full second before it is let go. Motion noise near the gripper's event alone would catch
it on the peg's edge.
"""

import numpy as np

from generators.segmentation import Segment
from scenes.placement import radius
from scenes.props import Prop
from scenes.task import Subtask, Task
from sim.transforms import Array, quat_rotate

# What is held counts as there once it is no more than this above the top of what it goes to [m].
_ABOVE = 0.01


def meets(segment: Segment, task: Task, subtask: Subtask) -> int:
    """The first step from which on, up to the gripper's event, the held object is at the reference object.

    At it: over it, as boxes go, with its lowest point no more than a centimetre above the reference's highest.

    Args:
        segment: a demo's segment.
        task: the task.
        subtask: what the segment shows.

    Returns:
        A step of the demo, from `segment.start` to `segment.event`; the event itself for a grasp.
    """
    if subtask.held is None:
        return segment.event
    demo, rows = segment.demo, slice(segment.start, segment.event)
    held, onto = task.prop(demo.roles[subtask.held]), task.prop(demo.roles[subtask.reference])
    moved, still = demo.objects[held.name][rows], demo.objects[onto.name][rows]
    down = moved[:, 2] - _reach_up(held, moved) < still[:, 2] + _reach_up(onto, still) + _ABOVE
    over = np.linalg.norm(moved[:, :2] - still[:, :2], axis=1) < radius(held) + radius(onto)
    apart = np.flatnonzero(~(down & over))
    return segment.start + (int(apart[-1]) + 1 if len(apart) else 0)


def _reach_up(prop: Prop, poses: Array) -> Array:
    """How far the box round a prop reaches above, and below, its middle at poses (T, 7) [m]."""
    axes = np.stack([quat_rotate(poses[:, 3:], axis) for axis in np.eye(3)], axis=1)  # (T, 3, 3), rows
    return np.abs(axes[:, :, 2]) @ np.array(prop.half)
