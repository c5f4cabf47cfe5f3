"""From a subtask in a new scene to a path of joint targets: which demo segment, how to get to it, can the arm follow.

A segment is moved rigidly so that it stands to the new object as it stood to the old one, under whichever of the
object's symmetries turns the wrist least. While placing, what must repeat is the held object's motion rather than the
tool's: the grasp in the new scene is never quite the demo's, so the difference is taken out. A bridge leads from where
the robot is to the segment, over whatever stands between. Nothing is executed that the arm cannot follow.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from generators.segmentation import Segment
from handful import InputError
from scenes.props import Prop
from scenes.task import Subtask, Task
from sim.embodiment import HandShape
from sim.kinematics import Chain, solve_inverse
from sim.transforms import (
    IDENTITY_POSE,
    Array,
    angle_between,
    compose,
    interpolate,
    inverse,
    quat_multiply,
    quat_rotate,
)

BRIDGE = -1

_UNTURNED = IDENTITY_POSE[None, 3:]


@dataclass(frozen=True)
class PlanOptions:
    """How segments are chosen and joined. The defaults are the product's; `PLAIN` is the published baseline."""

    # Choose among symmetric object frames, and take the grasp's difference out while placing.
    object_symmetry: bool = True
    # Refuse paths that the arm cannot follow, and try the next best segment.
    screening: bool = True
    # Enter a segment where that is quickest, no later than `approach` [m] before its event; False: at its start.
    late_entry: bool = True
    approach: float = 0.08
    # Lead bridges over what stands in the way, at this speed [m/s], [rad/s]; False: a straight line of `plain_steps`.
    clearance: bool = True
    speed: float = 0.25
    turn_speed: float = 1.8
    plain_steps: int = 5
    # Draw among this many best segments.
    choices: int = 3
    # Height kept above what stands in the way [m].
    headroom: float = 0.03
    # With screening: how close the fingertips may come to the table, and the palm to other objects [m].
    table_clearance: float = 0.002
    palm_clearance: float = 0.004
    # Tries at a scene, each from its beginning.
    max_attempts: int = 3

    def __post_init__(self) -> None:
        for name in ("choices", "plain_steps", "max_attempts"):
            if getattr(self, name) < 1:
                raise InputError(f"plan.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("speed", "turn_speed"):
            if not getattr(self, name) > 0:
                raise InputError(f"plan.{name} must be more than 0, got {getattr(self, name)}")
        for name in ("approach", "headroom"):
            if not getattr(self, name) >= 0:
                raise InputError(f"plan.{name} must be at least 0 m, got {getattr(self, name)}")


PLAIN = PlanOptions(object_symmetry=False, screening=False, late_entry=False, clearance=False, max_attempts=1)


@dataclass(frozen=True)
class Path:
    """Joint targets for a stretch of control steps, and where each came from.

    Attributes:
        joints: (T, J) targets [rad].
        tool: (T, 7) tool poses in the base frame that they aim at.
        gripper: (T,) openings [0, 1].
        demo: (T,) index of the demo, BRIDGE on bridges.
        step: (T,) step of that demo, BRIDGE on bridges.
        away: (T,) control steps of the demo to or from the segment's gripper event; None while waiting, when nothing
            should move.
    """

    joints: Array
    tool: Array
    gripper: Array
    demo: np.ndarray
    step: np.ndarray
    away: np.ndarray | None

    def __len__(self) -> int:
        return len(self.gripper)


@dataclass(frozen=True)
class Situation:
    """Where one scene stands when a subtask begins.

    Attributes:
        tool: (7,) tool pose in the base frame.
        command: (J,) last joint targets [rad].
        gripper: last commanded opening.
        reference: (7,) pose of the subtask's reference object.
        held: (7,) pose of the object in the gripper, where the subtask has one.
        obstacles: the other objects.
        poses: (K, 7) their poses.
        load: height of the object in the gripper [m]; 0 while it is empty.
        table_height: [m].
        hand: the hand's outline.
    """

    tool: Array
    command: Array
    gripper: float
    reference: Array
    held: Array | None
    obstacles: tuple[Prop, ...]
    poses: Array
    load: float
    table_height: float
    hand: HandShape


@dataclass(frozen=True)
class Candidate:
    """A demo's segment, under one symmetry of the reference object, as a way to do a subtask in a scene.

    Its tool poses in the scene are move * demo's tool * correction.
    """

    segment: Segment
    move: Array  # (7,)
    correction: Array  # (7,)
    cost: float  # lower is better

    def tool(self) -> Array:
        """The segment's tool poses (n, 7) in the scene."""
        path = self.segment.demo.target[self.segment.start : self.segment.end]
        return compose(compose(self.move, path), self.correction)


class Repertoire:
    """Segments that serve one subtask alike, with what choosing among them needs as arrays over demos.

    Args:
        segments: this subtask's segment of each demo; the objects they handle are of one make.
        task: the task.
        subtask: the subtask.
    """

    def __init__(self, segments: list[Segment], task: Task, subtask: Subtask) -> None:
        self.segments, self.subtask = segments, subtask
        # (S, 4): turns of the reference, and of the held object, after which it is the same.
        roles = segments[0].demo.roles
        self.turns = task.prop(roles[subtask.reference]).turns
        self.held_turns = task.prop(roles[subtask.held]).turns if subtask.held else _UNTURNED
        # (D, 7): the reference object as the segment begins, and the tool at the gripper's event.
        self.reference = np.stack([s.demo.objects[s.demo.roles[subtask.reference]][s.start] for s in segments])
        self.key = np.stack([s.demo.target[s.event] for s in segments])
        # (D, 7): the held object in the tool once it is firmly held, halfway to the release.
        self.held_in_tool = None
        if subtask.held is not None:
            firm = [(s.start + s.event) // 2 for s in segments]
            tool = np.stack([s.demo.target[max(t - 1, 0)] for s, t in zip(segments, firm, strict=True)])
            held = [s.demo.objects[s.demo.roles[subtask.held]][t] for s, t in zip(segments, firm, strict=True)]
            self.held_in_tool = compose(inverse(tool), np.stack(held))


class Library:
    """Every demo's segments by subtask, and by the make of what they handle: no can is taken like a carton.

    Args:
        cut: each demo's segments, one per subtask.
        task: the task.

    Raises:
        InputError: the task asks for objects whose handling no demo shows.
    """

    def __init__(self, cut: list[list[Segment]], task: Task) -> None:
        self._task = task
        alike: dict[Hashable, list[Segment]] = {}
        for part in (part for parts in cut for part in parts):
            alike.setdefault(self._key(part.subtask, part.demo.roles), []).append(part)
        self._repertoires = {key: Repertoire(found, task, _subtask(task, found)) for key, found in alike.items()}
        for k, subtask in enumerate(task.subtasks):
            roles = [role for role in (subtask.held, subtask.reference) if role]
            lacking = {
                " with ".join(f"'{cast[role]}'" for role in roles): None
                for cast in task.casts()
                if self._key(k, cast) not in self._repertoires
            }
            if lacking:
                raise InputError(
                    f"no demo shows subtask '{subtask.name}' of '{task.name}' for {', '.join(lacking)}; "
                    "add demos of that, since one object's grasp does not fit another's shape"
                )

    def of(self, subtask: int, roles: Mapping[str, str]) -> Repertoire:
        """The segments that serve a subtask in a scene.

        Args:
            subtask: its index.
            roles: role -> object.
        """
        return self._repertoires[self._key(subtask, roles)]

    def _key(self, k: int, roles: Mapping[str, str]) -> Hashable:
        subtask = self._task.subtasks[k]
        used = (subtask.reference, subtask.held)
        return k, *(self._task.prop(roles[role]).make if role else None for role in used)


def _subtask(task: Task, segments: list[Segment]) -> Subtask:
    return task.subtasks[segments[0].subtask]


def candidates(
    repertoire: Repertoire, situation: Situation, options: PlanOptions, rng: np.random.Generator
) -> list[Candidate]:
    """Ways to do a subtask: every demo under every symmetry, best first, the best few demos in random order.

    The cost grows with how far the object stands from where the demo's stood and with how far the wrist must turn.

    Args:
        repertoire: the subtask's segments.
        situation: the scene.
        options: how to choose.
        rng: the scene's source stream.
    """
    turns = repertoire.turns if options.object_symmetry else _UNTURNED
    frames = np.tile(situation.reference, (len(turns), 1))
    frames[:, 3:] = quat_multiply(situation.reference[3:], turns)
    moves = compose(frames, inverse(repertoire.reference)[:, None])  # (D, turns, 7)
    corrections = _grasp_corrections(repertoire, situation, options)  # (D, k, 7)
    moved = compose(compose(moves, repertoire.key[:, None])[:, :, None], corrections[:, None])
    angles = angle_between(moved[..., 3:], repertoire.key[:, None, None, 3:])  # (D, turns, k)
    best = angles.argmin(axis=2)
    distance = np.linalg.norm(repertoire.reference[:, :2] - situation.reference[:2], axis=1)
    cost = distance[:, None] / 0.1 + angles.min(axis=2) / 0.5  # (D, turns)
    leaders = np.argsort(cost.min(axis=1), kind="stable")[: options.choices]
    first = [(d, int(cost[d].argmin())) for d in rng.permutation(leaders)]
    order = np.argsort(cost, axis=None, kind="stable")
    rest = [(int(d), int(t)) for d, t in zip(*np.unravel_index(order, cost.shape), strict=True) if (d, t) not in first]
    return [
        Candidate(repertoire.segments[d], moves[d, t], corrections[d, best[d, t]], float(cost[d, t]))
        for d, t in first + rest
    ]


def _grasp_corrections(repertoire: Repertoire, situation: Situation, options: PlanOptions) -> Array:
    """Transforms D (demos, k, 7) such that tool(t) D moves the held object as the demo moved its own.

    With the held object in the tool H_demo then and H_now in the scene, D = H_demo H_now^-1, once per symmetry.
    """
    if repertoire.held_in_tool is None or situation.held is None or not options.object_symmetry:
        return np.tile(IDENTITY_POSE, (len(repertoire.segments), 1, 1))
    held = np.tile(compose(inverse(situation.tool), situation.held), (len(repertoire.held_turns), 1))
    held[:, 3:] = quat_multiply(held[:, 3:], repertoire.held_turns)
    return compose(repertoire.held_in_tool[:, None], inverse(held))


def entry(candidate: Candidate, tool: Array, situation: Situation, options: PlanOptions) -> int:
    """The step of the segment at which to enter it: the one that gets the subtask done soonest."""
    if not options.late_entry:
        return 0
    event = candidate.segment.event - candidate.segment.start
    away = np.linalg.norm(tool[: event + 1, :3] - tool[event, :3], axis=1)
    outside = np.flatnonzero(away >= options.approach)
    last = int(outside[-1]) if len(outside) else 0
    # Once inside the approach the demo is followed to the end, even if it left again before its event.
    steps = _bridge_steps(situation.tool, tool[: last + 1], options)
    return int(np.argmin(steps + len(tool) - np.arange(last + 1)))


def _bridge_steps(start: Array, end: Array, options: PlanOptions, rate: float = 20.0) -> np.ndarray:
    """Control steps that a bridge from `start` (7,) to each `end` (n, 7) takes."""
    seconds = np.maximum(
        np.linalg.norm(end[:, :3] - start[:3], axis=1) / options.speed,
        angle_between(start[3:], end[:, 3:]) / options.turn_speed,
    )
    return np.ceil(seconds * rate).astype(int) + 3


def bridge(start: Array, end: Array, situation: Situation, options: PlanOptions) -> Array:
    """Tool poses (n, 7) from after `start` to before `end`, over what stands in the way.

    Sideways motion begins late and ends early, so that the tool leaves and arrives from above.
    """
    if not options.clearance:
        s = np.arange(1, options.plain_steps) / options.plain_steps
        return interpolate(start, end, s)
    top = _clear_height(start, end, situation, options)
    rise = max(0.0, top - min(start[2], end[2]))
    straight = float(_bridge_steps(start, end[None], options)[0])
    steps = int(np.ceil(straight + 20.0 * rise / options.speed * 0.7)) if rise > 0 else int(straight)
    s = np.arange(1, steps) / steps
    poses = interpolate(start, end, _smooth(s))
    if rise > 0:
        across = _smooth((s - 0.2) / 0.6)[:, None]
        poses[:, :2] = start[:2] + across * (end[:2] - start[:2])
        middle = max(top, start[2], end[2])
        up = start[2] + _smooth(s / 0.45) * (middle - start[2])
        down = end[2] + _smooth((1.0 - s) / 0.45) * (middle - end[2])
        poses[:, 2] = np.minimum(up, down)
    return poses


def _smooth(s: Array) -> Array:
    """Minimum-jerk progress of s in [0, 1]."""
    s = np.clip(s, 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def _clear_height(start: Array, end: Array, situation: Situation, options: PlanOptions) -> float:
    """Height at which the tool passes over everything within reach of the straight way (0 below the table if none)."""
    way = end[:2] - start[:2]
    length = max(float(np.linalg.norm(way)), 1e-6)
    below = situation.load or 0.015  # how far the hand, or what it holds, reaches below the tool
    top = -np.inf
    if length > 0.03:
        top = situation.table_height + below + options.headroom / 2
    for prop, pose in zip(situation.obstacles, situation.poses, strict=True):
        centre, half = pose[:3], prop.half
        along = np.clip(np.dot(centre[:2] - start[:2], way) / length**2, 0.0, 1.0)
        off = np.linalg.norm(centre[:2] - start[:2] - along * way)
        # Something right under the start is what the hand just left; something under the end, what it goes to.
        if off < 2 * max(half[:2]) + 0.03 and 0.02 < along * length < length - 0.02:
            top = max(top, centre[2] + half[2] + below + options.headroom)
    return float(top)


@dataclass(frozen=True)
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


def lay_out(candidate: Candidate, situation: Situation, options: PlanOptions) -> Layout:
    """Put a bridge before a candidate's segment."""
    segment, demo = candidate.segment, candidate.segment.demo
    tool = candidate.tool()
    join = entry(candidate, tool, situation, options)
    across = bridge(situation.tool, tool[join], situation, options)
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
    return Layout(poses, gripper, from_demo, from_step, guess, np.abs(np.arange(len(poses)) - event), event)


def is_clear(layout: Layout, situation: Situation, options: PlanOptions) -> bool:
    """Whether the fingertips stay off the table and the palm off other objects along a layout."""
    above = fingertip_clearance(layout.tool, layout.gripper, situation.table_height, situation.hand)
    if above < options.table_clearance:
        return False
    points = outlines(situation.obstacles, situation.poses)
    return palm_is_clear(layout.tool, points, options.palm_clearance, situation.hand)


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


def follow(
    chain: Chain, poses: list[Array], guesses: list[Array], commands: Array, rate: float
) -> tuple[list[Array], np.ndarray]:
    """Joint paths along tool paths for many scenes at once.

    Args:
        chain: the arm.
        poses: per scene, (T_i, 7) tool poses.
        guesses: per scene, (T_i, J) angles to start the search from and to stay near.
        commands: (n, J) joint targets just before each path begins.
        rate: control rate [Hz].

    Returns:
        Per scene the (T_i, J) joint targets, and (n,) whether the arm can follow: every pose reached to 1 mm and 0.6
        degrees within the joint limits, no step faster than the joints' speed limits.
    """
    lengths = [len(p) for p in poses]
    start = np.concatenate(guesses)
    result = solve_inverse(chain, np.concatenate(poses), start, start, iterations=14, posture_gain=0.3)
    reached = result.reached()
    paths, feasible = [], np.zeros(len(poses), bool)
    begin = 0
    for i, length in enumerate(lengths):
        rows = slice(begin, begin + length)
        path = result.q[rows]
        steps = np.abs(np.diff(np.concatenate([commands[i : i + 1], path]), axis=0)) * rate
        feasible[i] = bool(reached[rows].all() and (steps <= chain.max_speed).all())
        paths.append(path)
        begin += length
    return paths, feasible
