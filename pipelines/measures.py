"""What is measured of a rollout while it runs, apart from how it ends: how far it got, and how the robot moved."""

from typing import Any

import numpy as np

from scenes.monitor import Strictness
from scenes.task import IN_HAND, Task, World, pick
from scenes.workspace import Workspace
from sim.batch import BatchSim

# The last stage of every task: everything done, and judged so.
SUCCESS_STAGE = "success"
# Positions that a third difference takes.
_JERK_SPAN = 4


def asked_role(task: Task) -> str:
    """The role of the object that a task asks for: the one that is picked up first."""
    return next(subtask.reference for subtask in task.subtasks if subtask.kind == "grasp")


def stage_names(task: Task) -> tuple[str, ...]:
    """The stages of a rollout: the subtasks in order, then success as the judge has it."""
    return (*(subtask.name for subtask in task.subtasks), SUCCESS_STAGE)


class Measures:
    """Measures the scenes of a batch, control step by control step.

    A stage counts as reached once it and all before it were done at one moment, even if they are undone later: what was
    placed is in its place, what was grasped is in the hand and in the air. The last stage is the judge's success.

    Args:
        workspace: the task's world.
        sim: the batch.
        roles: role -> (N,) index of the object that plays it, as the judge has them.

    Attributes:
        stage: (N,) subtasks done.
        contacts: (N,) control steps in which the robot touched what it must not: the table, or anything with its palm.
        taken: (N,) index of the object that was picked up first, in the hand and in the air; -1 while there is none.
    """

    def __init__(self, workspace: Workspace, sim: BatchSim, roles: dict[str, np.ndarray]) -> None:
        self.workspace, self.sim, self.roles = workspace, sim, roles
        self.raised = Strictness().raised
        self.stage, self.contacts = np.zeros(len(sim), int), np.zeros(len(sim), int)
        self.taken = np.full(len(sim), -1)
        self._tool: list[list[np.ndarray]] = [[] for _ in range(len(sim))]
        self._start = np.zeros((len(sim), len(workspace.task.objects)))

    def begin(self, ids: np.ndarray) -> None:
        """Start measuring scenes, from their present state."""
        world = self.workspace.observe(self.sim, ids)
        self._start[ids] = np.stack([world.objects[name][:, 2] for name in self.workspace.task.objects], axis=1)
        self._follow(ids, world)

    def update(self, ids: np.ndarray, world: World) -> None:
        """Measure scenes after a control step, in which `world` was seen."""
        self._follow(ids, world)
        self.contacts[ids] += self.workspace.forbidden_contact(self.sim, ids)
        task = self.workspace.task
        self._note_taken(ids, world)
        for k, subtask in enumerate(task.subtasks):
            rows = np.flatnonzero(self.stage[ids] == k)
            if not len(rows):
                continue
            lanes, seen = ids[rows], world.rows(rows)
            roles = {role: index[lanes] for role, index in self.roles.items()}
            done = task.done(k, seen, roles)
            if subtask.kind == "grasp":
                index = roles[subtask.reference]
                height = pick(seen.objects, task.objects, index)[:, 2]
                done &= height - self._start[lanes, index] > self.raised
            self.stage[lanes] += done

    def _note_taken(self, ids: np.ndarray, world: World) -> None:
        props = self.workspace.task.props
        raised = np.stack([world.objects[prop.name][:, 2] for prop in props], axis=1) - self._start[ids] > self.raised
        for row in np.flatnonzero(raised.any(axis=1) & (self.taken[ids] < 0)):
            for k in np.flatnonzero(raised[row]):
                pose = world.objects[props[k].name][[row]]
                if props[k].hold_distance(pose, world.tool[[row], :3])[0] < IN_HAND:
                    self.taken[ids[row]] = k
                    break

    def _follow(self, ids: np.ndarray, world: World) -> None:
        for i, tool in zip(ids, world.tool[:, :3], strict=True):
            self._tool[i].append(tool.copy())

    def row(self, lane: int, success: bool) -> dict[str, Any]:
        """What the table says of a scene: stage, taken, time [s], path_length [m], jerk [m/s^3], contacts."""
        rate, path = self.sim.timing.rate, np.stack(self._tool[lane])
        return {
            "stage": len(self.workspace.task.subtasks) + 1 if success else int(self.stage[lane]),
            # Empty where nothing was picked up.
            "taken": self.workspace.task.objects[self.taken[lane]] if self.taken[lane] >= 0 else "",
            "time": (len(path) - 1) / rate,
            "path_length": round(float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()), 6),
            "jerk": rms_jerk(path, rate),
            "contacts": int(self.contacts[lane]),
        }


def rms_jerk(path: np.ndarray, rate: float) -> float | None:
    """Root mean square of the third derivative of positions (T, 3) [m], by differences [m/s^3].

    None of fewer than four positions. It is that of motion sampled at `rate` [Hz]: what is faster is not seen.
    """
    if len(path) < _JERK_SPAN:
        return None
    third = np.diff(path, n=3, axis=0) * rate**3
    return round(float(np.sqrt((third**2).sum(axis=1).mean())), 6)
