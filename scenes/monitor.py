"""The judge: follows attempts step by step and says when they have succeeded or cannot any more.

Success is strict and judged at the end: the goal has held for a second with the objects at rest, the gripper open and
away where the task ends in a release, and nothing forbidden was touched on the way. Generation, evaluation, recording
and the Gymnasium environment all ask this one judge.
"""

from dataclasses import dataclass

import numpy as np

from scenes.outcome import Outcome
from scenes.props import hold_distances
from scenes.scene import Scene
from scenes.task import IN_HAND, World, pick
from scenes.workspace import Workspace
from sim.batch import BatchSim
from sim.transforms import Array


@dataclass(frozen=True)
class Strictness:
    """What counts as done."""

    # How long the goal must hold [s].
    hold: float = 1.0
    # Objects move slower than this [m/s].
    rest_speed: float = 0.01
    # After a release, the tool's distance from every object [m], and the gripper's opening.
    clearance: float = 0.05
    open_gripper: float = 0.9
    # An object that should stay put may move this far [m].
    push: float = 0.03
    # A bystander this far above where it stood, in the hand, was picked up [m].
    raised: float = 0.02


@dataclass(frozen=True)
class Memory:
    """What the judge remembers of an undecided scene: whether it met the goal, and for how many steps it holds now."""

    met: bool
    held: int


class Monitor:
    """Judges the scenes of one batch.

    Args:
        workspace: the task's world.
        sim: the batch.
        strictness: what counts as done.

    Attributes:
        met: (N,) whether the goal was ever met, if only for a moment: the "any step" rule that this judge does not use.
        held: (N,) for how many control steps the goal has held until now.
        outcome: (N,) list of each scene's Outcome, None while undecided.
    """

    def __init__(self, workspace: Workspace, sim: BatchSim, strictness: Strictness | None = None) -> None:
        self.workspace, self.sim, self.rules = workspace, sim, strictness or Strictness()
        # So many observations in a row span the hold from the first to the last.
        self.need = round(self.rules.hold * sim.timing.rate) + 1
        n = len(sim)
        self.met, self.held = np.zeros(n, bool), np.zeros(n, int)
        self.outcome: list[Outcome | None] = [None] * n
        self.roles: dict[str, np.ndarray] = {
            role: np.zeros(n, int)
            for subtask in workspace.task.subtasks
            for role in (subtask.reference, subtask.held)
            if role
        }
        self._bystander = np.zeros((n, len(workspace.task.objects)), bool)
        self._start = np.zeros((n, len(workspace.task.objects), 3))
        self._hold_points = _equally_many([prop.hold_points for prop in workspace.task.props])

    def begin(self, ids: np.ndarray, scenes: list[Scene]) -> None:
        """Start judging scenes anew, from their present state."""
        objects = self.workspace.task.objects
        for i, scene in zip(ids, scenes, strict=True):
            for role, name in scene.roles.items():
                self.roles[role][i] = objects.index(name)
            self._bystander[i] = [name not in scene.roles.values() for name in objects]
            self.outcome[i] = None
        self.met[ids], self.held[ids] = False, 0
        world = self.workspace.observe(self.sim, ids)
        self._start[ids] = np.stack([world.objects[name][:, :3] for name in objects], axis=1)
        # While coming to rest, before anything was done.
        self._decide(np.asarray(ids), self.sim.diverged[ids], Outcome.DIVERGED)

    def update(self, ids: np.ndarray) -> World:
        """Judge scenes after a control step; returns what was seen, so that it need not be read twice."""
        task, rules = self.workspace.task, self.rules
        world = self.workspace.observe(self.sim, ids)
        reached = task.goal(world, {role: index[ids] for role, index in self.roles.items()})
        self.met[ids] |= reached
        poses = np.stack([world.objects[name] for name in task.objects], axis=1)
        way, bystander = poses[..., :3] - self._start[ids], self._bystander[ids]
        raised = (way[..., 2] > rules.raised) & bystander
        # In most steps nothing is reached and nothing raised, and where the hand is does not matter.
        if reached.any() or raised.any():
            distance = hold_distances(poses, self._hold_points, world.tool[:, None, :3])
            reached = reached & self._calm(world, distance)
            raised &= distance < IN_HAND
        self.held[ids] = np.where(reached, self.held[ids] + 1, 0)
        self._decide(ids, self.sim.diverged[ids], Outcome.DIVERGED)
        self._decide(ids, self.workspace.forbidden_contact(self.sim, ids), Outcome.COLLIDED)
        if bystander.any():
            pushed = np.linalg.norm(way, axis=2) > rules.push
            self._decide(ids, raised.any(axis=1), Outcome.WRONG_OBJECT)
            self._decide(ids, (pushed & bystander).any(axis=1), Outcome.DISTURBED)
        self._decide(ids, self.held[ids] >= self.need, Outcome.SUCCESS)
        return world

    def _calm(self, world: World, distance: Array) -> np.ndarray:
        """Whether everything is at rest and, after a release, the hand open and away from all it could hold, (n,)."""
        task, rules = self.workspace.task, self.rules
        speeds = np.stack([world.speeds[name] for name in task.objects])
        calm = np.asarray((speeds < rules.rest_speed).all(axis=0))
        if task.ends_in_release:
            calm &= (distance >= rules.clearance).all(axis=1) & (world.opening >= rules.open_gripper)
        return calm

    def _decide(self, ids: np.ndarray, where: np.ndarray, outcome: Outcome) -> None:
        for i in ids[where]:
            if self.outcome[i] is None:
                self.outcome[i] = outcome

    def memory(self, lane: int) -> Memory:
        """What is remembered of an undecided scene, apart from where it started."""
        return Memory(bool(self.met[lane]), int(self.held[lane]))

    def recall(self, lane: int, memory: Memory) -> None:
        """Go back to what was remembered of a scene, when it was undecided."""
        self.met[lane], self.held[lane], self.outcome[lane] = memory.met, memory.held, None

    def carry_on(self, lane: int) -> None:
        """Judge a scene further after a failure of which nothing forbidden remains."""
        self.met[lane], self.held[lane], self.outcome[lane] = False, 0, None

    def give_up(self, ids: np.ndarray) -> None:
        """Settle the outcome of scenes whose time is over, by what was reached."""
        world = self.workspace.observe(self.sim, ids)
        for row, i in enumerate(ids):
            if self.outcome[i] is None:
                self.outcome[i] = self._shortfall(int(i), row, world)

    def _shortfall(self, i: int, row: int, world: World) -> Outcome:
        task = self.workspace.task
        one = World(
            {name: pose[row : row + 1] for name, pose in world.objects.items()},
            {name: speed[row : row + 1] for name, speed in world.speeds.items()},
            *(part[row : row + 1] for part in (world.tool, world.opening, world.table_height)),
        )
        roles = {role: index[i : i + 1] for role, index in self.roles.items()}
        if task.goal(one, roles)[0]:
            return Outcome.NOT_SETTLED
        if self.met[i]:
            return Outcome.MISPLACED if task.ends_in_release else Outcome.OBJECT_DROPPED
        last = roles[task.subtasks[-1].held or task.subtasks[-1].reference]
        position = pick(one.objects, task.objects, last)[0, :3]
        moved = np.linalg.norm(position - self._start[i, last[0]]) > self.rules.push
        held = task.props[last[0]]
        in_hand = held.hold_distance(one.objects[held.name], one.tool[:, :3])[0] < IN_HAND
        return Outcome.MISPLACED if task.ends_in_release and moved and not in_hand else Outcome.TIMED_OUT


def _equally_many(points: list[Array]) -> Array:
    """Sets of points (G_i, 3) as one array (O, G, 3); the smaller sets repeat their first."""
    most = max(map(len, points))
    return np.stack([np.concatenate([p, np.repeat(p[:1], most - len(p), axis=0)]) for p in points])
