"""Cutting a demonstration into the task's subtasks.

A grasp is over once its object is in the air with the gripper closed, a placement once the gripper has let go and moved
away. Both are read off the gripper's command and the objects' motion; a source's own signals, where it has them, only
say which closing or opening is meant. Cutting at the signal itself would be wrong: at the moment of grasp the object
still stands on the table, and the next segment would drag it.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from generators.demos import Demo
from handful import InputError
from scenes.props import Prop
from scenes.task import Subtask, Task

LIFTED = 0.02  # an object this far above where it stood is in the air [m]
GRIPPER_STEPS = 8  # control steps in which a gripper has opened or closed
AWAY = 0.05  # the tool is clear of an object at this distance [m]
SHORTEST_PULSE = 3  # the gripper's command changes for at least this many steps, or it is chatter


@dataclass(frozen=True)
class Segment:
    """The steps of one demo that belong to one subtask.

    Attributes:
        demo: the demo.
        subtask: index of the subtask.
        start: first step.
        event: step at which the gripper closes (grasp) or opens (place).
        end: one past the last step.
    """

    demo: Demo
    subtask: int
    start: int
    event: int
    end: int


def segment(demo: Demo, task: Task) -> list[Segment]:
    """Cut a demo into one segment per subtask of the task, in order.

    Raises:
        InputError: the demo does not show a subtask; names it.
    """
    segments: list[Segment] = []
    start = 0
    for k, subtask in enumerate(task.subtasks):
        event, end = _find(demo, subtask, start, task)
        if k == len(task.subtasks) - 1:
            end = _last_motion(demo, event)
        segments.append(Segment(demo, k, start, event, end))
        start = end
    return segments


def _last_motion(demo: Demo, event: int) -> int:
    """One past the last step that moves the tool by more than a millimetre: idling at the end is not copied.

    The gripper is given time to move after `event` in any case.
    """
    moved = np.linalg.norm(np.diff(demo.target[event:, :3], axis=0), axis=1) > 0.001
    last = int(np.flatnonzero(moved)[-1]) + 2 if moved.any() else 1
    return min(event + max(last, GRIPPER_STEPS), len(demo))


def _closed(demo: Demo) -> np.ndarray:
    """Whether the gripper is told to be closed, (T,), without pulses too short for the fingers to follow."""
    closed = demo.gripper < 0.5
    edges = np.concatenate([[0], np.flatnonzero(closed[1:] != closed[:-1]) + 1, [len(closed)]])
    for start, end in itertools.pairwise(edges[1:-1]):
        if end - start < SHORTEST_PULSE:
            closed[start:end] = closed[start - 1]
    return closed


def _find(demo: Demo, subtask: Subtask, start: int, task: Task) -> tuple[int, int]:
    closed = _closed(demo)
    wanted = closed if subtask.kind == "grasp" else ~closed
    events = np.flatnonzero(wanted[1:] & ~wanted[:-1]) + 1
    events = events[events >= start]
    if subtask.signal in demo.signals:
        rises = np.flatnonzero(demo.signals[subtask.signal])
        rises = rises[rises >= start]
        # A signal follows its event; of the events before it the last one is meant.
        if len(rises):
            events = events[events <= rises[0]][-1:]
    for event in events:
        if subtask.kind == "grasp":
            end = _lifted(demo, subtask, int(event), closed)
        else:
            end = _released(demo, task.prop(demo.roles[subtask.held or subtask.reference]), int(event), closed)
        if end is not None:
            return int(event), end
    what = "closes on and lifts" if subtask.kind == "grasp" else "releases and leaves"
    name = demo.roles[subtask.held or subtask.reference]
    raise InputError(
        f"demo {demo.index} does not show subtask '{subtask.name}' of '{task.name}': "
        f"from step {start} on the gripper never {what} {name}"
    )


def _lifted(demo: Demo, subtask: Subtask, event: int, closed: np.ndarray) -> int | None:
    """One past the first step after `event` at which the object is in the air, before the gripper opens again."""
    height = demo.objects[demo.roles[subtask.reference]][:, 2]
    opened = np.flatnonzero(~closed[event:])
    limit = event + opened[0] if len(opened) else len(demo)
    up = np.flatnonzero(height[event:limit] > height[event] + LIFTED)
    return event + int(up[0]) + 1 if len(up) else None


def _released(demo: Demo, prop: Prop, event: int, closed: np.ndarray) -> int | None:
    """One past the first step after `event` at which the tool has left the object; the last one if the demo ends.

    None where the gripper closes again without having left.
    """
    distance = prop.hold_distance(demo.objects[prop.name], demo.target[:, :3])
    again = np.flatnonzero(closed[event:])
    limit = event + again[0] if len(again) else len(demo)
    away = np.flatnonzero(distance[event:limit] > AWAY)
    if len(away):
        return event + int(away[0]) + 1
    return None if len(again) else limit
