"""Demos of one robot for another: what must change before a demo's motion can be another arm's.

Tool frames are defined alike for every robot, so a demo's tool poses carry over; its joint angles do not. The search
for joint angles starts from where the arm is and goes ahead along the path, key pose by key pose, so that it stays on
one branch. Where the arm or its fingers are slower than the demo's, the path takes longer.
"""

from dataclasses import dataclass, replace

import numpy as np

from generators.demos import Demo
from generators.planning import BRIDGE, Layout, follow
from sim.embodiment import Embodiment
from sim.kinematics import Chain, solve_inverse
from sim.robots import ROBOTS
from sim.transforms import Array, compose, interpolate

# Control steps between key poses.
_STRIDE = 5
# A step that is so many times too fast is no motion to slow down, but a jump to another branch.
SLOWEST = 8
# Share of the speed limits that slowed motion uses: finer steps are solved anew, and may differ a little.
_PACE = 0.9
# An opening of this much means "open", however wide that is.
_OPEN = 0.9


def fitted(demo: Demo, robot: Embodiment) -> Demo:
    """A demo as one of `robot`'s: itself where it is; else without joint angles, with the gripper's widths kept.

    A hand that reaches further beyond its tool's centre than the demo's takes hold that much higher.

    Args:
        demo: the demo.
        robot: the robot that is to do the same.
    """
    if demo.embodiment == robot.name:
        return demo
    source = ROBOTS.get(demo.embodiment)
    if source is None:
        return replace(demo, joints=None)
    share = source.hand.reach / robot.hand.reach
    gripper = np.where(demo.gripper >= _OPEN, demo.gripper, np.clip(demo.gripper * share, 0.0, 1.0))
    higher = max(0.0, robot.hand.tip_length - source.hand.tip_length)
    target = compose(demo.target, [0.0, 0.0, -higher, 1.0, 0.0, 0.0, 0.0])
    return replace(demo, joints=None, gripper=gripper, target=target)


def extra_wait(demo: Demo, robot: Embodiment, rate: float) -> int:
    """Control steps by which the robot's fingers take longer over their whole travel than the demo's."""
    source = ROBOTS.get(demo.embodiment)
    seconds = _travel_time(robot) - (_travel_time(source) if source else 0.0)
    return max(0, int(np.ceil(seconds * rate - 1e-9)))


def _travel_time(robot: Embodiment) -> float:
    return abs(robot.finger_open - robot.finger_closed) / robot.finger_speed


def seek(chain: Chain, home: Array, poses: list[Array], commands: Array) -> list[Array]:
    """Joint angles near which to search along tool paths, found without a demo's.

    Args:
        chain: the arm.
        home: (J,) angles that a redundant arm stays near [rad].
        poses: per scene, (T_i, 7) tool poses.
        commands: (n, J) joint targets just before each path begins.

    Returns:
        Per scene (T_i, J) angles, each key pose solved from the one before, and in straight lines between them.
    """
    keys = [np.append(np.arange(_STRIDE - 1, len(p) - 1, _STRIDE), len(p) - 1) for p in poses]
    knots = [[command] for command in commands]
    current = np.array(commands, float)
    for k in range(max(len(key) for key in keys)):
        rows = [i for i, key in enumerate(keys) if k < len(key)]
        target = np.stack([poses[i][keys[i][k]] for i in rows])
        current[rows] = solve_inverse(chain, target, current[rows], home, iterations=14, posture_gain=0.05).q
        for i in rows:
            knots[i].append(current[i].copy())
    guesses = []
    for path, key, knot in zip(poses, keys, knots, strict=True):
        at, steps = np.concatenate([[-1], key]), np.arange(len(path))
        angles = np.stack(knot)
        guesses.append(np.stack([np.interp(steps, at, angles[:, j]) for j in range(angles.shape[1])], axis=1))
    return guesses


@dataclass(frozen=True)
class Pace:
    """How many control steps each step of a path becomes: (T,) counts of 1 or more."""

    counts: np.ndarray

    def index(self) -> np.ndarray:
        """For each new step, the step that it is a part of."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def part(self) -> np.ndarray:
        """For each new step, how many of its step's are done with it: 1 or more."""
        index = self.index()
        return np.arange(len(index)) - (np.cumsum(self.counts) - self.counts)[index] + 1

    def poses(self, start: Array, tool: Array) -> Array:
        """A path of tool poses (T, 7) that began at `start` (7,), with the new steps evenly spaced in the old."""
        before = np.concatenate([start[None], tool[:-1]])
        index = self.index()
        return interpolate(before[index], tool[index], self.part() / self.counts[index])

    def layout(self, start: Array, layout: Layout) -> Layout:
        """A layout that began at `start` (7,), at this pace; what leads up to a demo's step counts as a bridge."""
        index = self.index()
        arrived = self.part() == self.counts[index]
        return Layout(
            self.poses(start, layout.tool),
            layout.gripper[index],
            np.where(arrived, layout.demo[index], BRIDGE),
            np.where(arrived, layout.step[index], BRIDGE),
            None if layout.guess is None else layout.guess[index],
            layout.away[index],
            int(self.counts[: layout.event].sum()),
            int(self.counts[: layout.met].sum()),
        )


def slower(chain: Chain, joints: Array, command: Array, rate: float) -> Pace | None:
    """The pace at which an arm can follow a path that is too fast for it; None where speed is not the reason.

    Args:
        chain: the arm.
        joints: (T, J) joint targets [rad].
        command: (J,) joint targets just before the path begins.
        rate: control rate [Hz].
    """
    steps = np.abs(np.diff(np.concatenate([command[None], joints]), axis=0)) * rate
    excess = (steps / chain.max_speed).max(axis=1)
    counts = np.where(excess > 1.0, np.ceil(excess / _PACE), 1.0)
    return None if counts.max() > SLOWEST or counts.max() == 1 else Pace(counts.astype(int))


def crossed(
    robot: Embodiment, layouts: list[Layout], starts: list[Array], waits: list[int], commands: Array, rate: float
) -> tuple[list[Layout], list[Array], np.ndarray]:
    """Make layouts of another robot's demos this one's: where to search, time for its fingers, a pace it can keep.

    Args:
        robot: the robot that is to follow them.
        layouts: n layouts without `guess`.
        starts: n tool poses (7,) just before each begins.
        waits: n numbers of further control steps that the gripper needs at its event.
        commands: (n, J) joint targets just before each begins.
        rate: control rate [Hz].

    Returns:
        The n layouts as they are to be followed, and what `follow` says of them.
    """
    chain, changed = robot.chain, []
    for layout, start, wait in zip(layouts, starts, waits, strict=True):
        counts = np.ones(len(layout.gripper), int)
        counts[layout.event] += wait
        changed.append(Pace(counts).layout(start, layout))
    guesses = seek(chain, robot.home, [layout.tool for layout in changed], commands)
    return paced(chain, changed, guesses, starts, commands, rate)


def paced(
    chain: Chain, layouts: list[Layout], guesses: list[Array], starts: list[Array], commands: Array, rate: float
) -> tuple[list[Layout], list[Array], np.ndarray]:
    """Follow layouts as `follow` does, those that are too fast for the arm at a pace it can keep.

    Args:
        chain: the arm.
        layouts: n layouts.
        guesses: per layout, (T_i, J) angles near which to search [rad].
        starts: n tool poses (7,) just before each begins.
        commands: (n, J) joint targets just before each begins.
        rate: control rate [Hz].

    Returns:
        The n layouts as they are to be followed, and what `follow` says of them.
    """
    changed, guesses = list(layouts), list(guesses)
    joints, feasible = follow(chain, [layout.tool for layout in changed], guesses, commands, rate)
    paces = {i: slower(chain, joints[i], commands[i], rate) for i in np.flatnonzero(~feasible)}
    again = [i for i, pace in paces.items() if pace is not None]
    if not again:
        return changed, joints, feasible
    for i in again:
        pace = paces[i]
        assert pace is not None  # those without were left out
        guesses[i] = joints[i][pace.index()]
        changed[i] = pace.layout(starts[i], changed[i])
    anew = follow(chain, [changed[i].tool for i in again], [guesses[i] for i in again], commands[again], rate)
    for i, path, ok in zip(again, *anew, strict=True):
        joints[i], feasible[i] = path, ok
    return changed, joints, feasible
