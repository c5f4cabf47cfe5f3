"""Which demo segments serve a subtask in a scene, best first.

Segments are kept by subtask and by the make of what they handle. A segment is moved rigidly so that it stands to the
new object as it stood to the old one, under whichever of the object's symmetries turns the wrist least. While placing,
what must repeat is the held object's motion rather than the tool's: the grasp in the new scene is never quite the
demo's, so the difference is taken out.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from generators.aiming import grasp_offset, placed
from generators.demos import Demo
from generators.fitting import meets
from generators.options import PlanOptions
from generators.pilot import Pilot
from generators.segmentation import Segment
from generators.situations import Situation
from handful import InputError
from scenes.task import Subtask, Task
from sim.kinematics import Chain
from sim.transforms import IDENTITY_POSE, Array, angle_between, compose, inverse, quat_multiply

_UNTURNED = IDENTITY_POSE[None, 3:]
# What it costs a segment that its demo served badly in the pilot: more than any place and turn can.
_BAD = 1000.0


@dataclass(frozen=True)
class Candidate:
    """A demo's segment, under one symmetry of the reference object, as a way to do a subtask in a scene.

    Its tool poses in the scene are move * demo's tool * correction.
    """

    segment: Segment
    move: Array  # (7,)
    correction: Array  # (7,)
    cost: float  # lower is better
    meets: int  # step of the demo from which on what is held is at what it goes to; the event while grasping

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
        chain: the arm.
        bad: (D,) whether each served badly in the pilot; None: none did.
    """

    def __init__(
        self, segments: list[Segment], task: Task, subtask: Subtask, chain: Chain, bad: np.ndarray | None = None
    ) -> None:
        self.segments, self.subtask = segments, subtask
        self.bad = np.zeros(len(segments), bool) if bad is None else bad
        self.meets = [meets(segment, task, subtask) for segment in segments]
        # (S, 4): turns of the reference, and of the held object, after which it is the same.
        roles = segments[0].demo.roles
        self.turns = task.prop(roles[subtask.reference]).turns
        self.held_turns = task.prop(roles[subtask.held]).turns if subtask.held else _UNTURNED
        # (D, 7): the reference object as the segment begins, and the tool at the gripper's event.
        self.reference = np.stack([s.demo.objects[s.demo.roles[subtask.reference]][s.start] for s in segments])
        self.from_reference = inverse(self.reference)
        self.key = np.stack([s.demo.target[s.event] for s in segments])
        if subtask.held is None:
            # (D, 7): what brings the object between the fingers, in the tool's frame. Each demo has its own object.
            self.offset = np.stack([grasp_offset(s, task.prop(s.demo.roles[subtask.reference])) for s in segments])
            self.off = np.linalg.norm(self.offset[:, :3], axis=1)
        else:
            # (D, 7): the held object in the tool as it is let go, in two ways: as shown, and as it should have been.
            places = [placed(s, task, subtask) for s in segments]
            tool = inverse(np.stack([_tool_at(s.demo, s.event, chain) for s in segments]))
            self.shown = compose(tool, compose(self.reference, np.stack([shown for shown, _, _ in places])))
            self.aimed = compose(tool, compose(self.reference, np.stack([aimed for _, aimed, _ in places])))
            self.off = np.array([off for _, _, off in places])  # (D,) [m]


def _tool_at(demo: Demo, step: int, chain: Chain) -> Array:
    """The tool's pose (7,) at a step: where the demo's arm was, where that is known, and else where it was to be."""
    if demo.joints is not None:
        return chain.forward(demo.joints[step])
    return demo.target[max(step - 1, 0)]


class Library:
    """Every demo's segments by subtask, and by the make of what they handle: no can is taken like a carton.

    Args:
        cut: each demo's segments, one per subtask.
        task: the task.
        chain: the arm.
        pilot: how well each demo served in the pilot; None: there was none.

    Raises:
        InputError: the task asks for objects whose handling no demo shows.
    """

    def __init__(self, cut: list[list[Segment]], task: Task, chain: Chain, pilot: Pilot | None = None) -> None:
        self._task = task
        alike: dict[Hashable, list[Segment]] = {}
        for part in (part for parts in cut for part in parts):
            alike.setdefault(self._key(part.subtask, part.demo.roles), []).append(part)
        self._repertoires: dict[Hashable, Repertoire] = {}
        self._reserves: dict[Hashable, Repertoire] = {}
        for key, found in alike.items():
            subtask = _subtask(task, found)
            bad, dead = np.zeros((2, len(found)), bool)
            if pilot is not None:
                bad, dead = pilot.judge(found[0].subtask, [part.demo.index for part in found])
            for repertoires, rows in ((self._repertoires, ~dead), (self._reserves, dead)):
                if rows.any():
                    parts = [part for part, row in zip(found, rows, strict=True) if row]
                    repertoires[key] = Repertoire(parts, task, subtask, chain, bad[rows])
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

    def reserve(self, subtask: int, roles: Mapping[str, str]) -> Repertoire | None:
        """Segments of demos that never served in the pilot, for where no other can be followed; None: none."""
        return self._reserves.get(self._key(subtask, roles))

    def judged(self) -> list[tuple[int, int, bool]]:
        """What served badly in the pilot, in order: (subtask, demo, whether it is kept in reserve alone)."""
        return sorted(
            (part.subtask, part.demo.index, repertoires is self._reserves)
            for repertoires in (self._repertoires, self._reserves)
            for repertoire in repertoires.values()
            for part, bad in zip(repertoire.segments, repertoire.bad, strict=True)
            if bad
        )

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

    The cost grows with how far the object stands from where the demo's stood and with how far the wrist must turn; what
    served badly in the pilot comes after all that did not.

    Args:
        repertoire: the subtask's segments.
        situation: the scene.
        options: how to choose.
        rng: the scene's source stream.
    """
    turns = repertoire.turns if options.object_symmetry else _UNTURNED
    frames = np.tile(situation.reference, (len(turns), 1))
    frames[:, 3:] = quat_multiply(situation.reference[3:], turns)
    moves = compose(frames, repertoire.from_reference[:, None])  # (D, turns, 7)
    corrections = _corrections(repertoire, situation, options)  # (D, k, 7)
    key = repertoire.key[:, 3:]
    moved = quat_multiply(quat_multiply(moves[..., 3:], key[:, None])[:, :, None], corrections[:, None, :, 3:])
    angles = angle_between(moved, key[:, None, None])  # (D, turns, k)
    best = angles.argmin(axis=2)
    distance = np.linalg.norm(repertoire.reference[:, :2] - situation.reference[:2], axis=1)
    cost = distance[:, None] / 0.1 + angles.min(axis=2) / 0.5 + _BAD * repertoire.bad[:, None]  # (D, turns)
    leaders = np.argsort(cost.min(axis=1), kind="stable")[: options.choices]
    if not repertoire.bad.all():
        leaders = leaders[~repertoire.bad[leaders]]
    first = [(d, int(cost[d].argmin())) for d in rng.permutation(leaders)]
    order = np.argsort(cost, axis=None, kind="stable")
    rest = [(int(d), int(t)) for d, t in zip(*np.unravel_index(order, cost.shape), strict=True) if (d, t) not in first]
    return [
        Candidate(
            repertoire.segments[d], moves[d, t], corrections[d, best[d, t]], float(cost[d, t]), repertoire.meets[d]
        )
        for d, t in first + rest
    ]


def _corrections(repertoire: Repertoire, situation: Situation, options: PlanOptions) -> Array:
    """Transforms D (demos, k, 7) of the tool's poses, in its frame.

    While placing, tool(t) D moves the held object as the demo moved its own: with the object in the tool H_demo then
    and H_now in the scene, D = H_demo H_now^-1, once per symmetry. While grasping, D brings the object between the
    fingers.
    """
    near = repertoire.off <= options.centre if options.centre > 0 else np.zeros(len(repertoire.segments), bool)
    none = np.tile(IDENTITY_POSE, (len(repertoire.segments), 1, 1))
    if repertoire.subtask.held is None:
        return np.where(near[:, None, None], repertoire.offset[:, None], none)
    if situation.held is None or not options.object_symmetry:
        return none
    held = np.tile(compose(inverse(situation.tool), situation.held), (len(repertoire.held_turns), 1))
    held[:, 3:] = quat_multiply(held[:, 3:], repertoire.held_turns)
    then = np.where(near[:, None], repertoire.aimed, repertoire.shown)
    return compose(then[:, None], inverse(held))
