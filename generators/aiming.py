"""Where a demo's hand was off, put right: grasps in the middle of the fingers, placements in that of their place.

A person's demo works with the cube half a finger off, or let go tilted and a centimetre from the middle. Moved to
scenes whose friction, weight and timing differ, that margin is used up. What is put right is where the motion leads,
within a limit; its course stays the demo's.
"""

import numpy as np

from generators.segmentation import Segment
from scenes.props import Prop
from scenes.task import Subtask, Task
from sim.transforms import IDENTITY_POSE, Array, compose, cross, inverse, quat_from_rotvec, quat_multiply, quat_rotate

_UP = np.array([0.0, 0.0, 1.0])
# What is let go more tilted than this was meant to be [rad].
_MEANT = 0.35
# The fingers close along this axis of the tool.
_CLOSING = 1


def grasp_offset(segment: Segment, prop: Prop) -> Array:
    """By how much a grasp's tool poses are to move, in the tool's frame, for the object to be between the fingers (7,).

    Only along the way that the fingers close: there they bring the object to their middle in any case, but by pushing
    it.

    Args:
        segment: the grasp.
        prop: what is grasped.
    """
    demo = segment.demo
    grasps = compose(demo.objects[prop.name][segment.event], prop.grasp_poses())
    in_tool = compose(inverse(demo.target[segment.event]), grasps)
    nearest = in_tool[np.argmin(np.linalg.norm(in_tool[:, :3], axis=1))]
    offset = IDENTITY_POSE.copy()
    offset[_CLOSING] = nearest[_CLOSING]
    return offset


def placed(segment: Segment, task: Task, subtask: Subtask) -> tuple[Array, Array, float]:
    """Where a demo lets go of what it holds, and where it should, in the reference object's frame.

    The latter is upright and in the middle of where the task wants it, at the height and with the turn about the
    vertical of the former.

    Args:
        segment: the placement.
        task: the task.
        subtask: what the segment shows.

    Returns:
        The pose (7,) as shown, as it should be (7,), and how far apart these are sideways [m]; infinite for what was
        let go so tilted that it was meant to be.
    """
    demo = segment.demo
    assert subtask.held is not None  # of a placement
    reference = demo.objects[demo.roles[subtask.reference]][segment.event]
    shown = compose(inverse(reference), demo.objects[demo.roles[subtask.held]][segment.event])
    wanted = task.placement(subtask, demo.roles)
    upright = quat_rotate(wanted[3:], _UP)
    axis = cross(quat_rotate(shown[3:], _UP), upright)
    tilt = float(np.arctan2(np.linalg.norm(axis), quat_rotate(shown[3:], _UP) @ upright))
    if tilt > _MEANT:
        return shown, shown, np.inf
    righted = shown.copy()
    righted[:2] = wanted[:2]
    unit = axis / np.maximum(np.linalg.norm(axis), 1e-12)
    righted[3:] = quat_multiply(quat_from_rotvec(unit * tilt), shown[3:])
    return shown, righted, float(np.linalg.norm(shown[:2] - wanted[:2]))
