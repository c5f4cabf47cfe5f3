"""From a candidate segment to a path of joint targets: where to enter it, how to get there, can the arm follow.

Nothing is executed that the arm cannot follow.
"""

from dataclasses import dataclass

import numpy as np

from generators.bridges import bridge, bridge_steps
from generators.library import Candidate
from generators.options import PlanOptions
from generators.screening import fingertip_clearance, trailing
from generators.situations import Situation
from sim.kinematics import Chain, solve_inverse
from sim.transforms import Array

BRIDGE = -1
# Control steps between key poses.
_STRIDE = 5
# Grasps are raised until the fingertips pass the table this far above it [m].
_OFF_TABLE = 0.006


@dataclass(frozen=True)
class Path:
    """Joint targets for a stretch of control steps, and where each came from.

    Attributes:
        joints: (T, J) targets [rad].
        tool: (T, 7) tool poses in the base frame that they aim at.
        gripper: (T,) openings [0, 1].
        demo: (T,) index of the demo, BRIDGE on bridges.
        step: (T,) step of that demo, BRIDGE on bridges.
        away: (T,) control steps of the demo to or from where room is scarce: the segment's gripper event, while placing
            all from where what is held meets what it goes to; None while waiting, when nothing should move.
    """

    joints: Array
    tool: Array
    gripper: Array
    demo: np.ndarray
    step: np.ndarray
    away: np.ndarray | None

    def __len__(self) -> int:
        return len(self.gripper)


@dataclass(frozen=True, eq=False)
class Layout:
    """A bridge and a segment in one, before the arm was asked: per control step, as in `Path`.

    `guess` are the angles near which to search; None where the demo is another robot's.
    """

    tool: Array  # (T, 7)
    gripper: Array  # (T,)
    demo: np.ndarray  # (T,)
    step: np.ndarray  # (T,)
    guess: Array | None  # (T, J)
    away: np.ndarray  # (T,)
    event: int
    met: int  # from this step on what is held is at what it goes to; the event while grasping


def entry(candidate: Candidate, tool: Array, situation: Situation, options: PlanOptions) -> int:
    """The step of the segment at which to enter it: the one that gets the subtask done soonest."""
    if not options.late_entry:
        return 0
    event = candidate.segment.event - candidate.segment.start
    away = np.linalg.norm(tool[: event + 1, :3] - tool[event, :3], axis=1)
    outside = np.flatnonzero(away >= options.approach)
    last = int(outside[-1]) if len(outside) else 0
    # Once inside the approach the demo is followed to the end, even if it left again before its event.
    steps = bridge_steps(situation.tool, tool[: last + 1], options)
    return int(np.argmin(steps + len(tool) - np.arange(last + 1)))


def lay_out(candidate: Candidate, situation: Situation, options: PlanOptions) -> Layout:
    """Put a bridge before a candidate's segment."""
    segment, demo = candidate.segment, candidate.segment.demo
    tool = _off_the_table(candidate.tool(), candidate, situation, options)
    join = entry(candidate, tool, situation, options)
    across = bridge(situation.tool, tool[join], situation, options, tool[min(join + 1, len(tool) - 1)])
    count = len(across)
    first, last = segment.start + join, segment.end
    poses = np.concatenate([across, tool[join:]])
    gripper = np.concatenate([np.full(count, situation.gripper), demo.gripper[first:last]])
    bridge_mark = np.full(count, BRIDGE)
    from_demo = np.concatenate([bridge_mark, np.full(last - first, demo.index)])
    from_step = np.concatenate([bridge_mark, np.arange(first, last)])
    guess = None
    if demo.joints is not None:
        fade = (np.arange(1, count + 1) / (count + 1))[:, None]
        across_joints = situation.command + fade * (demo.joints[first] - situation.command)
        guess = np.concatenate([across_joints, demo.joints[first:last]])
    event = segment.event - segment.start - join + count
    steps, met = np.arange(len(poses)), event - (segment.event - candidate.meets)
    away = np.maximum(0, np.maximum(met - steps, steps - event))
    if situation.since is not None:
        away = np.minimum(away, situation.since + steps)
    return Layout(poses, gripper, from_demo, from_step, guess, away, event, met)


def _off_the_table(tool: Array, candidate: Candidate, situation: Situation, options: PlanOptions) -> Array:
    """A grasp's tool poses (n, 7), no lower than leaves the fingertips a margin over the table."""
    if options.centre == 0.0 or situation.held is not None:
        return tool
    segment = candidate.segment
    gripper = trailing(segment.demo.gripper[segment.start : segment.end])
    low = fingertip_clearance(tool, gripper, situation.table_height, situation.hand)
    higher = tool.copy()
    higher[:, 2] += np.clip(_OFF_TABLE - low, 0.0, _OFF_TABLE)
    return higher


def follow(
    chain: Chain,
    poses: list[Array],
    guesses: list[Array],
    commands: Array,
    rate: float,
    glances: list[Array] | None = None,
) -> tuple[list[Array], np.ndarray]:
    """Joint paths along tool paths for many scenes at once.

    Key poses are solved first; what they needed beside their guesses is where the search for all the others begins.

    Args:
        chain: the arm.
        poses: per scene, (T_i, 7) tool poses.
        guesses: per scene, (T_i, J) angles to start the search from and to stay near.
        commands: (n, J) joint targets just before each path begins.
        rate: control rate [Hz].
        glances: per scene the angles at key poses that `glance` found for the same; None: they are to be found.

    Returns:
        Per scene the (T_i, J) joint targets, and (n,) whether the arm can follow: every pose reached to 1 mm and 0.6
        degrees within the joint limits, no step faster than the joints' speed limits.
    """
    keys = [_keys(len(p)) for p in poses]
    rough = _solve_keys(chain, keys, poses, guesses)[0] if glances is None else glances
    starts = [
        guess + _between(key, found - guess[key], len(guess))
        for guess, key, found in zip(guesses, keys, rough, strict=True)
    ]
    whole = np.concatenate(guesses)
    result = solve_inverse(chain, np.concatenate(poses), np.concatenate(starts), whole, posture_gain=1.0)
    ends = np.cumsum([len(p) for p in poses])[:-1]
    paths, reached = np.split(result.q, ends), np.split(result.reached(), ends)
    feasible = np.zeros(len(poses), bool)
    for i, (path, ok) in enumerate(zip(paths, reached, strict=True)):
        steps = np.abs(np.diff(np.concatenate([commands[i : i + 1], path]), axis=0)) * rate
        feasible[i] = bool(ok.all() and (steps <= chain.max_speed).all())
    return paths, feasible


def glance(
    chain: Chain, poses: list[Array], guesses: list[Array], commands: Array, rate: float
) -> tuple[Array, list[Array]]:
    """A first look at tool paths, at their key poses alone.

    Args:
        chain, poses, guesses, commands, rate: as for `follow`.

    Returns:
        (n,) how many times faster than a joint can the arm would have to be at the least; infinite where a key pose is
        out of its reach. More than 1 says that `follow` will fail, less does not say that it will not. And per scene
        the angles (K_i, J) at its key poses.
    """
    keys = [_keys(len(p)) for p in poses]
    rough, reached = _solve_keys(chain, keys, poses, guesses)
    excess = np.full(len(poses), np.inf)
    for i, (key, found, ok) in enumerate(zip(keys, rough, reached, strict=True)):
        if ok.all():
            way = np.abs(np.diff(np.concatenate([commands[i : i + 1], found]), axis=0))
            steps = np.diff(np.concatenate([[-1], key]))
            excess[i] = (way * rate / steps[:, None] / chain.max_speed).max()
    return excess, rough


def _keys(length: int) -> np.ndarray:
    """The key steps (K,) of a path: every few, and its last."""
    return np.append(np.arange(0, length - 1, _STRIDE), length - 1)


def _solve_keys(
    chain: Chain, keys: list[np.ndarray], poses: list[Array], guesses: list[Array]
) -> tuple[list[Array], list[np.ndarray]]:
    """Per path angles (K, J) that reach the poses at its key steps, and whether they do (K,)."""
    near = np.concatenate([guess[key] for guess, key in zip(guesses, keys, strict=True)])
    target = np.concatenate([path[key] for path, key in zip(poses, keys, strict=True)])
    result = solve_inverse(chain, target, near, near, iterations=14, posture_gain=1.0)
    ends = np.cumsum([len(key) for key in keys])[:-1]
    return np.split(result.q, ends), np.split(result.reached(), ends)


def _between(key: np.ndarray, values: Array, length: int) -> Array:
    """Values (K, J) at key steps (K,), and in straight lines between them: (length, J)."""
    step = np.arange(length)
    left = np.minimum(step // _STRIDE, max(len(key) - 2, 0))
    right = np.minimum(left + 1, len(key) - 1)
    share = (step - key[left]) / np.maximum(key[right] - key[left], 1)
    return values[left] + share[:, None] * (values[right] - values[left])
