"""A scripted operator: moves the teleoperation device by looking at where the objects are, as a person would.

It stands in where no person is at hand, and what it records is labelled "script", never "human". Augmentation never
imports it.
"""

from dataclasses import dataclass

import numpy as np

from generators.teleoperation import Command
from scenes.props import Prop
from scenes.scene import Scene
from scenes.task import Subtask, World
from scenes.workspace import Workspace
from sim.transforms import (
    Array,
    angle_between,
    compose,
    inverse,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)

_HOVER = 0.10  # above an object before going down to it [m]
_CLOSE_STEPS, _OPEN_STEPS = 7, 6


@dataclass
class _Stage:
    """A pose to reach, or steps to wait, with the gripper as given."""

    subtask: int
    target: Array | None  # (7,)
    gripper: float
    wait: int = 0
    precise: bool = False
    fast: bool = True


class ScriptedOperator:
    """Picks and places with hover, descent, a closing pause and a lift; speeds and grasps vary like a person's."""

    operator = "script"
    name = "script"
    subtask = 0

    def begin(self, scene: Scene, workspace: Workspace, rng: np.random.Generator) -> None:
        """Prepare for a scene: draw this episode's habits."""
        self._scene, self._task, self._rng = scene, workspace.task, rng
        self._speed = rng.uniform(0.18, 0.28)
        self._stages: list[_Stage] = []
        self.subtask = -1
        self._gripper, self._waited = 1.0, 0

    def read(self, world: World, target: Array) -> Command:
        """Move towards the present stage's pose; plan the next subtask's stages when this one's are done."""
        while True:
            if not self._stages:
                if self.subtask + 1 >= len(self._task.subtasks):
                    return Command(np.zeros(6), self._gripper)
                self.subtask += 1
                self._stages = self._plan(self._task.subtasks[self.subtask], world, target)
            stage = self._stages[0]
            self._gripper = stage.gripper
            twist, done = self._approach(stage, target)
            if not done:
                return Command(twist, stage.gripper)
            if self._waited < stage.wait:
                self._waited += 1
                return Command(np.zeros(6), stage.gripper)
            self._stages.pop(0)
            self._waited = 0

    def _approach(self, stage: _Stage, target: Array) -> tuple[Array, bool]:
        if stage.target is None:
            return np.zeros(6), True
        way = stage.target[:3] - target[:3]
        turn = rotvec_from_quat(quat_multiply(stage.target[3:], quat_conjugate(target[3:])))
        distance, angle = float(np.linalg.norm(way)), float(np.linalg.norm(turn))
        if distance < (0.001 if stage.precise else 0.012) and angle < (0.01 if stage.precise else 0.1):
            return np.zeros(6), True
        speed = self._speed * (1.0 if stage.fast else 0.5)
        linear = way / max(distance, 1e-9) * min(speed, 6.0 * distance)
        angular = turn / max(angle, 1e-9) * min(1.4, 6.0 * angle)
        wobble = self._rng.normal(0.0, 0.01, 3) if distance > 0.03 else np.zeros(3)
        return np.concatenate([linear + wobble, angular]), False

    def _plan(self, subtask: Subtask, world: World, target: Array) -> list[_Stage]:
        reference = self._task.prop(self._scene.roles[subtask.reference])
        if subtask.held is None:
            return self._grasp(reference, world, target)
        return self._place(subtask, reference, self._task.prop(self._scene.roles[subtask.held]), world)

    def _grasp(self, prop: Prop, world: World, target: Array) -> list[_Stage]:
        ways = compose(world.objects[prop.name][0], prop.grasp_poses())
        grasp = _nearest(ways, target)
        grasp[:3] += quat_rotate(grasp[3:], self._rng.normal(0.0, [0.003, 0.002, 0.0]))
        grasp[2] += self._rng.uniform(-0.002, 0.006)
        k = self.subtask
        return [
            _Stage(k, _raised(grasp, _HOVER), 1.0),
            _Stage(k, grasp, 1.0, precise=True, fast=False),
            _Stage(k, None, 0.0, wait=_CLOSE_STEPS),
            _Stage(k, _raised(grasp, self._rng.uniform(0.11, 0.14)), 0.0),
        ]

    def _place(self, subtask: Subtask, reference: Prop, held: Prop, world: World) -> list[_Stage]:
        in_tool = compose(inverse(world.tool[0]), world.objects[held.name][0])
        goal = compose(_turned(reference), self._task.placement(subtask, self._scene.roles))
        goals = compose(world.objects[reference.name][0], compose(goal[:, None], _turned(held)[None]).reshape(-1, 7))
        # Of all ways to turn what is held, the one nearest to how the tool is turned now.
        place = _nearest(compose(goals, inverse(in_tool)), world.tool[0])
        place[:3] += [*self._rng.normal(0.0, 0.002, 2), 0.004]
        k = self.subtask
        return [
            _Stage(k, _raised(place, _HOVER), 0.0),
            _Stage(k, place, 0.0, wait=2, precise=True, fast=False),
            _Stage(k, None, 1.0, wait=_OPEN_STEPS),
            _Stage(k, _raised(place, 0.10), 1.0),
        ]


def _turned(prop: Prop) -> Array:
    """A prop's symmetries as poses (S, 7) in its frame."""
    return np.concatenate([np.zeros((len(prop.symmetries), 3)), prop.turns], axis=1)


def _nearest(poses: Array, target: Array) -> Array:
    """Of poses (n, 7), the one that needs the smallest turn from `target`."""
    return poses[int(angle_between(poses[:, 3:], target[3:]).argmin())].copy()


def _raised(pose: Array, height: float) -> Array:
    up = pose.copy()
    up[2] += height
    return up
