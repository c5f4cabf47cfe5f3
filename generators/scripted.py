"""A scripted operator: moves the teleoperation device by looking at where the objects are, as a person would.

It stands in where no person is at hand, and what it records is labelled "script", never "human". Augmentation never
imports it.
"""

from dataclasses import dataclass

import numpy as np

from generators.teleoperation import Command
from scenes.cubes import nearest_quarter, upright_yaw
from scenes.scene import Scene
from scenes.task import Subtask, World
from scenes.workspace import Workspace
from sim.transforms import (
    Array,
    compose,
    inverse,
    quat_about_z,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    rotvec_from_quat,
)

_DOWN = np.array([0.0, 1.0, 0.0, 0.0])  # the tool pointing at the table
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
                self._stages = self._plan(self._task.subtasks[self.subtask], world)
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

    def _object(self, world: World, role: str | None) -> Array:
        assert role is not None
        return world.objects[self._scene.roles[role]][0]

    def _plan(self, subtask: Subtask, world: World) -> list[_Stage]:
        if subtask.kind == "grasp":
            return self._grasp(self._object(world, subtask.reference))
        below, held = (self._task.prop(self._scene.roles[role]) for role in (subtask.reference, subtask.held) if role)
        height = below.half[2] + held.half[2]
        return self._place(self._object(world, subtask.reference), self._object(world, subtask.held), height, world)

    def _grasp(self, cube: Array) -> list[_Stage]:
        offset = self._rng.normal(0.0, [0.003, 0.002, 0.003])
        yaw = upright_yaw(cube)
        quat = quat_multiply(quat_about_z(yaw), _DOWN)
        grasp = np.concatenate([cube[:3] + quat_rotate(quat_about_z(yaw), offset), quat])
        grasp[2] = cube[2] + self._rng.uniform(-0.002, 0.006)
        k = self.subtask
        return [
            _Stage(k, _raised(grasp, _HOVER), 1.0),
            _Stage(k, grasp, 1.0, precise=True, fast=False),
            _Stage(k, None, 0.0, wait=_CLOSE_STEPS),
            _Stage(k, _raised(grasp, self._rng.uniform(0.11, 0.14)), 0.0),
        ]

    def _place(self, below: Array, held: Array, height: float, world: World) -> list[_Stage]:
        in_tool = compose(inverse(world.tool[0]), held)
        # Of the four ways to turn the held cube onto the one below, the one nearest to how it is held now.
        turn = nearest_quarter(upright_yaw(below) - upright_yaw(held))
        upright = np.concatenate([held[:3], quat_multiply(quat_about_z(turn), held[3:])])
        upright[:3] = below[:3] + np.array([*self._rng.normal(0.0, 0.002, 2), height + 0.004])
        place = compose(upright, inverse(in_tool))
        k = self.subtask
        return [
            _Stage(k, _raised(place, _HOVER), 0.0),
            _Stage(k, place, 0.0, wait=2, precise=True, fast=False),
            _Stage(k, None, 1.0, wait=_OPEN_STEPS),
            _Stage(k, _raised(place, 0.10), 1.0),
        ]


def _raised(pose: Array, height: float) -> Array:
    up = pose.copy()
    up[2] += height
    return up
