"""How far back the camera in front of the table must stand for a task: all that the task is about is in its picture.

It always looks the same way through the same lens. Where objects start within what it takes in from its usual place, it
stands there; else just so far back that every place where an object's centre may start is in the picture, with room for
a camera that a scene displaces a little.
"""

import math
from dataclasses import replace
from itertools import product

import numpy as np

from scenes.room import FRONT_CAMERA
from scenes.task import Task
from sim.embodiment import CameraView
from sim.transforms import quat_conjugate, quat_rotate

# What a displaced and turned camera may cut off a picture, as a factor on how far from its middle things may be.
_ROOM = 1.2
_STEP = 0.05  # distances are multiples of this [m]


def front_view(task: Task, table_top: float) -> CameraView:
    """The camera in front of the table, as far back as a task needs.

    Args:
        task: the task, at its level.
        table_top: nominal height of the table's surface in the base frame [m].
    """
    view, regions = FRONT_CAMERA, task.regions()
    centres = [
        (x, y, table_top + shift + prop.half[2])
        for prop in task.props
        if prop.name in task.own
        for x, y, shift in product(regions[prop.name].x, regions[prop.name].y, task.reset.table_height)
    ]
    seen = quat_rotate(quat_conjugate(view.quat), np.array(centres) - view.pos)  # the camera looks along -z
    reach = np.abs(seen[:, :2]).max(axis=1) * _ROOM / math.tan(math.radians(view.fovy) / 2.0)
    back = _STEP * max(0, math.ceil(float((reach + seen[:, 2]).max()) / _STEP))
    away = np.subtract(view.pos, view.target)
    placed = np.array(view.pos) + back * away / np.linalg.norm(away)
    return replace(view, pos=(float(placed[0]), float(placed[1]), float(placed[2])))
