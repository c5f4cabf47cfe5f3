"""Cutting a demonstration into the task's subtasks, without marks set by hand.

A grasp is over once its object is in the air and rigid in the hand, a placement once the gripper has let go and moved
away. Both follow from when the demo holds which object (`holds`). Of several tries at an object the last one before the
next object is taken up is the one that worked; the others are left out. A source's own signals, where it has them, only
say which try is meant: at the moment of grasp the object still stands on the table, and cutting there would drag it.
"""

from dataclasses import dataclass, replace

import numpy as np

from generators.cuts import cut_after_grasp
from generators.demos import Demo
from generators.gripper import closed_gripper
from generators.holds import Handling, Hold, Motion, handling_of, motion_of
from handful import InputError
from scenes.props import Prop
from scenes.task import Subtask, Task
from sim.transforms import Array

GRIPPER_STEPS = 8  # control steps in which a gripper has opened or closed
AWAY = 0.05  # the tool is clear of an object at this distance [m]
_STILL = 0.002  # what moves less than this per step stands still [m]


@dataclass(frozen=True)
class Segment:
    """The steps of one demo that belong to one subtask.

    Attributes:
        demo: the demo, its gripper's commands without chatter and without delay, its objects' poses without noise.
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


def segment(demo: Demo, task: Task, signals: bool = True, search: bool = True) -> list[Segment]:
    """Cut a demo into one segment per subtask of the task, in order; tries that failed are in none.

    Args:
        demo: the demo.
        task: the task that it shows.
        signals: heed the source's own signals of what is done, where it has them.
        search: search for the step at which to cut after a grasp; otherwise at the first that has the object 2 cm up.

    Raises:
        InputError: the demo does not show a subtask; names it, and what came of trying.
    """
    closed = closed_gripper(demo)
    motions = {name: motion_of(demo, task.prop(name)) for name in demo.objects}
    handled = {name: handling_of(demo, motion, name, closed) for name, motion in motions.items()}
    holds = _choose(demo, task, handled, signals)
    cleaned = _cleaned(demo, closed, holds, {name: motion.poses for name, motion in motions.items()})
    segments: list[Segment] = []
    start = 0
    for k, subtask in enumerate(task.subtasks):
        name, hold = _object(demo, subtask), holds[k]
        if subtask.kind == "grasp":
            event = hold.event
            start = _after_failures(closed, motions[name], start, event)
            end = cut_after_grasp(motions[name], hold) if search else hold.lifted + 1
            if end is None:
                held = f"it holds {name} from step {hold.event} to step {hold.release}, and is never firm"
                raise _refusal(demo, task, subtask, held)
        else:
            event = hold.release
            end = _left(demo, task.prop(name), motions[name].poses, event) or len(demo)
        if k == len(task.subtasks) - 1:
            end = _last_motion(demo, event)
        segments.append(Segment(cleaned, k, start, event, end))
        start = end
    return segments


def _object(demo: Demo, subtask: Subtask) -> str:
    """The object that is in the hand at the event of a subtask."""
    return demo.roles[subtask.held or subtask.reference]


def _choose(demo: Demo, task: Task, handled: dict[str, Handling], signals: bool) -> list[Hold]:
    """For each subtask, the stretch in which its object is held: the last that ends before the next one's begins."""
    chosen: list[Hold] = []
    before = len(demo)
    for k in reversed(range(len(task.subtasks))):
        subtask = task.subtasks[k]
        name = _object(demo, subtask)
        found = [hold for hold in handled[name].holds if hold.event < before]
        following = task.subtasks[k + 1] if k + 1 < len(task.subtasks) else None
        own = k > 0 and task.subtasks[k - 1].reference == subtask.held  # its grasp is a subtask as well
        if subtask.kind == "grasp" and following is not None and following.held == subtask.reference:
            hold = chosen[0]  # the grasp of what is placed next
        else:
            if subtask.kind == "place":
                poses = handled[name].motion.poses
                ends = {hold: _left(demo, task.prop(name), poses, hold.release, before) for hold in found}
                found = [hold for hold in found if hold.release < before and ends[hold] is not None]
            if not found:
                lacking = task.subtasks[k - 1] if own and not handled[name].holds else subtask
                raise _refusal(demo, task, lacking, _why(handled[name], name, lacking))
            hold = (_marked(demo, task, k, found) if signals else found)[-1]
        chosen.insert(0, hold)
        if subtask.kind == "grasp":
            before = hold.event
    return chosen


def _marked(demo: Demo, task: Task, k: int, holds: list[Hold]) -> list[Hold]:
    """Of some holds those that begin before the source's own signals say that they have; all, if it does not say."""
    subtask = task.subtasks[k]
    placed = subtask.kind == "place"
    before = task.subtasks[k - 1].signal if placed and k and task.subtasks[k - 1].reference == subtask.held else None
    grasped = before if placed else subtask.signal
    for signal, when in ((grasped, "event"), (subtask.signal if placed else None, "release")):
        rises = np.flatnonzero(demo.signals[signal]) if signal in demo.signals else np.zeros(0, int)
        if len(rises):
            holds = [hold for hold in holds if getattr(hold, when) <= rises[0]] or holds
    return holds


def _why(handling: Handling, name: str, subtask: Subtask) -> str:
    """What keeps a demo from showing a subtask."""
    if handling.failures:
        return "; ".join(f"the gripper {failure}" for failure in handling.failures)
    if handling.holds and subtask.kind == "place":
        return f"the gripper never releases and leaves {name}"
    return f"the gripper never closes on and lifts {name}"


def _refusal(demo: Demo, task: Task, subtask: Subtask, why: str) -> InputError:
    return InputError(f"demo {demo.index} does not show subtask '{subtask.name}' of '{task.name}': {why}")


def _left(demo: Demo, prop: Prop, poses: Array, release: int, before: int | None = None) -> int | None:
    """One past the first step after a release at which the tool has left the object; the last one if the demo ends.

    None where another object is taken up first.
    """
    away = np.flatnonzero(prop.hold_distance(poses[release:before], demo.target[release:before, :3]) > AWAY)
    if len(away):
        return release + int(away[0]) + 1
    return None if before is not None and before < len(demo) else len(demo)


def _after_failures(closed: np.ndarray, motion: Motion, start: int, event: int) -> int:
    """Where a grasp begins: at `start`, or once a try in vain before `event` is over and the object rests again."""
    tries = np.flatnonzero(closed[start:event])
    if not len(tries):
        return start
    opened = start + int(tries[-1]) + 1
    speed = np.linalg.norm(np.diff(motion.poses[opened:event, :3], axis=0), axis=1)
    moving = np.flatnonzero(speed > _STILL + 4.0 * motion.noise)
    return opened + (int(moving[-1]) + 1 if len(moving) else 0)


def _cleaned(demo: Demo, closed: np.ndarray, holds: list[Hold], objects: dict[str, Array]) -> Demo:
    """The demo with the gripper told what it was meant to do, and objects where they were."""
    meant = closed.copy()
    for hold in holds:
        meant[hold.event : hold.release] = True
    told = demo.gripper.copy()
    for t in np.flatnonzero(meant != (demo.gripper < 0.5)):
        told[t] = 0.0 if meant[t] else 1.0
    return replace(demo, gripper=told, objects=objects)


def _last_motion(demo: Demo, event: int) -> int:
    """One past the last step that moves the tool by more than a millimetre: idling at the end is not copied.

    The gripper is given time to move after `event` in any case.
    """
    moved = np.linalg.norm(np.diff(demo.target[event:, :3], axis=0), axis=1) > 0.001
    last = int(np.flatnonzero(moved)[-1]) + 2 if moved.any() else 1
    return min(event + max(last, GRIPPER_STEPS), len(demo))
