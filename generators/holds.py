"""When an object is in the hand, read off a demonstration: gripper, relative motion, and contact where it is known.

A closed gripper holds nothing yet. An object is held while it stays where it is in the hand's own frame, having been
lifted in it; and a gripper that opened and lost nothing was not let go of.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from generators.demos import Demo
from generators.gripper import stretches, without_pulses
from scenes.props import Prop
from sim.transforms import Array, quat_conjugate, quat_rotate

LIFTED = 0.02  # an object this far above where it stood is in the air [m]
_REACH = 0.04  # an object is held no further from the tool than this [m]
_SHIFT = 0.015  # what shifts further than this in the hand has been lost [m]
RIGID = 0.003  # what shifts no further than this does not shift [m]
_LEVER = 0.03  # turning in the hand is seen this far from where it is held [m]
_UNTOUCHED = 3  # contact is lost if there is none for so many steps
# Poses are smoothed where they are off by more than this at random [m], over so many steps.
_NOISY, _WINDOW = 0.0003, 5


@dataclass(frozen=True)
class Hold:
    """A stretch of a demo in which one object is in the hand.

    Attributes:
        event: step at which the gripper begins to close on it.
        lifted: first step at which it is in the air.
        release: step at which the gripper begins to open; the demo's length where it never does.
    """

    event: int
    lifted: int
    release: int


@dataclass(frozen=True)
class Motion:
    """How an object of a demo of T steps moves, in the world and in the hand.

    Attributes:
        poses: (T, 7) its poses, smoothed if they are noisy.
        distance: (T,) of where it is held from the measured tool [m].
        marks: (T, 3, 3) in the tool's frame: where it is held, and two points of it 3 cm beside that [m].
        noise: one standard deviation of its recorded positions [m].
        touched: (T,) whether a finger touches it, gaps of a step or two closed; None where that is not known.
    """

    poses: Array
    distance: Array
    marks: Array
    noise: float
    touched: np.ndarray | None

    def shift(self, first: int, last: int) -> Array:
        """How far its marks are in the hand from where they were at step `first`, (n, 3) until `last`, included [m]."""
        return np.linalg.norm(self.marks[first : last + 1] - self.marks[first], axis=2)

    def is_rigid(self, first: int, last: int) -> bool:
        """Whether it keeps its place in the hand from step `first` to step `last`, both included."""
        return bool(self.shift(first, last).max() <= RIGID + 4.0 * self.noise)

    def lost(self, first: int, last: int) -> int | None:
        """The first step before `last` at which an object that is in the hand at step `first` is so no more."""
        slack = 4.0 * self.noise
        away = self.shift(first, last - 1)[:, 0] > _SHIFT + slack
        away |= self.distance[first:last] > _REACH + slack
        if self.touched is not None:
            away |= ~self.touched[first:last]
        return first + int(np.argmax(away)) if away.any() else None


def motion_of(demo: Demo, prop: Prop) -> Motion:
    """How an object moves in a demo."""
    poses = demo.objects[prop.name]
    far = prop.hold_distance(poses, demo.tool[:, :3]) > 2 * _REACH
    noise = _noise(poses[:, :3], far)
    if noise > _NOISY:
        poses = np.concatenate([_medians(poses[:, :3]), poses[:, 3:]], axis=1)
    # Of its grasps, the one by which this demo comes nearest to holding it.
    grasps = np.unique(np.array(prop.grasps)[:, :3], axis=0)
    points = poses[:, None, :3] + quat_rotate(poses[:, None, 3:], grasps)
    distances = np.linalg.norm(points - demo.tool[:, None, :3], axis=2)
    held_by = int(distances.min(axis=0).argmin())
    beside = grasps[held_by] + np.array([[0.0, 0.0, 0.0], [_LEVER, 0.0, 0.0], [0.0, _LEVER, 0.0]])
    points = poses[:, None, :3] + quat_rotate(poses[:, None, 3:], beside)
    marks = quat_rotate(quat_conjugate(demo.tool[:, None, 3:]), points - demo.tool[:, None, :3])
    touched = None
    if demo.touched is not None:
        touched = without_pulses(demo.touched[prop.name], _UNTOUCHED)
    return Motion(poses, distances[:, held_by], marks, noise, touched)


def _noise(positions: Array, resting: np.ndarray) -> float:
    """One standard deviation of the noise on positions (T, 3) [m], where something rests (T,).

    From the median absolute second difference: second differences have a standard deviation of sqrt(6) times the
    noise's, and a median absolute value of 0.6745 of that.
    """
    second = np.abs(np.diff(positions, n=2, axis=0))
    still = resting[:-2] & resting[1:-1] & resting[2:]
    if still.sum() < _WINDOW:
        return 0.0
    return float(np.median(second[still])) / (0.6745 * np.sqrt(6.0))


@dataclass(frozen=True)
class Handling:
    """What a demo does with one object.

    Attributes:
        motion: how the object moves.
        holds: stretches in which it is in the hand, in order.
        failures: what came of closing the gripper on it in vain, in order.
    """

    motion: Motion
    holds: list[Hold]
    failures: list[str]


def _medians(positions: Array) -> Array:
    """Positions (T, 3), each component the median of the steps around it; the ends go on as they are."""
    padded = np.pad(positions, ((_WINDOW // 2, _WINDOW // 2), (0, 0)), mode="edge")
    return np.sort(sliding_window_view(padded, _WINDOW, axis=0), axis=-1)[..., _WINDOW // 2]


def handling_of(demo: Demo, motion: Motion, name: str, closed: np.ndarray) -> Handling:
    """Find when a demo has an object in the hand.

    Args:
        demo: the demo.
        motion: how the object moves.
        name: the object.
        closed: whether the gripper is meant to be closed, (T,).
    """
    holds, failures = [], []
    for start, end in _grips(motion, closed):
        near = motion.distance[start:end] <= _REACH + 4.0 * motion.noise
        up = near & (motion.poses[start:end, 2] > motion.poses[start, 2] + LIFTED)
        if not up.any():
            if near.any():
                failures.append(f"closes on {name} at step {start}, but does not lift it")
            continue
        lifted = start + int(np.argmax(up))
        lost = motion.lost(lifted, end)
        if lost is None:
            holds.append(Hold(start, lifted, end))
        else:
            failures.append(f"lifts {name} at step {lifted}, but loses it at step {lost}")
    return Handling(motion, holds, failures)


def _grips(motion: Motion, closed: np.ndarray) -> list[tuple[int, int]]:
    """Stretches [start, end) of a closed gripper; one goes on where it opened and lost nothing."""
    grips: list[tuple[int, int]] = []
    for start, end in stretches(closed):
        if grips and _kept(motion, grips[-1][1], start):
            grips[-1] = (grips[-1][0], end)
        else:
            grips.append((start, end))
    return grips


def _kept(motion: Motion, opened: int, closed: int) -> bool:
    """Whether an object stayed in the hand from the step at which it opened to that at which it closed again."""
    near = motion.distance[opened : closed + 1] <= _REACH
    touched = motion.touched is None or motion.touched[opened : closed + 1].all()
    return bool(near.all() and touched and motion.is_rigid(opened, closed))
