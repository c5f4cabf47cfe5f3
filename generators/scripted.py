"""A scripted operator: moves the teleoperation device by looking at where the objects are, as a person would.

It stands in where no person is at hand, and what it records is labelled "script", never "human". Augmentation never
imports it.
"""

import math
from dataclasses import dataclass

import numpy as np

from generators.screening import outlines, palm_is_clear
from generators.teleoperation import Command
from scenes.placement import radius
from scenes.props import Prop
from scenes.scene import Scene
from scenes.task import Subtask, World
from scenes.workspace import Workspace
from sim.kinematics import solve_inverse
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
_LIFT = (0.11, 0.14)  # how far an object is lifted [m]
# Least control steps to wait for the fingers; slow ones get this many per second of their whole travel.
_CLOSE_STEPS, _OPEN_STEPS, _STEPS_PER_SECOND = 7, 6, 16.0
# Kept free below the hand and what it holds, and beside them, on the way across the table [m].
_HEADROOM, _ROOM_BESIDE, _TIP = 0.03, 0.05, 0.015
# Kept free between the palm and what stands beside a grasp [m].
_PALM_ROOM = 0.006
# A pose this near to a joint's limit is out of reach for a hand that wavers [rad].
_JOINT_ROOM = 0.03


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
        self._scene, self._task, self._robot, self._rng = scene, workspace.task, workspace.embodiment, rng
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
        return self._place(subtask, reference, self._task.prop(self._scene.roles[subtask.held]), world, target)

    def _patience(self, least: int) -> int:
        """Control steps to wait for the robot's fingers."""
        robot = self._robot
        seconds = abs(robot.finger_open - robot.finger_closed) / robot.finger_speed
        return max(least, math.ceil(seconds * _STEPS_PER_SECOND))

    def _grasp(self, prop: Prop, world: World, target: Array) -> list[_Stage]:
        ways = compose(world.objects[prop.name][0], prop.grasp_poses())
        grasp = self._choose(ways, [prop], world, target)
        grasp[:3] += quat_rotate(grasp[3:], self._rng.normal(0.0, [0.003, 0.002, 0.0]))
        grasp[2] += self._rng.uniform(-0.002, 0.006)
        hover = _raised(grasp, _HOVER)
        return [
            *self._across(target, hover, 1.0, [prop], world),
            _Stage(self.subtask, hover, 1.0),
            _Stage(self.subtask, grasp, 1.0, precise=True, fast=False),
            _Stage(self.subtask, None, 0.0, wait=self._patience(_CLOSE_STEPS)),
            _Stage(self.subtask, _raised(grasp, self._rng.uniform(*_LIFT)), 0.0),
        ]

    def _place(self, subtask: Subtask, reference: Prop, held: Prop, world: World, target: Array) -> list[_Stage]:
        in_tool = compose(inverse(world.tool[0]), world.objects[held.name][0])
        goal = compose(_turned(reference), self._task.placement(subtask, self._scene.roles))
        goals = compose(world.objects[reference.name][0], compose(goal[:, None], _turned(held)[None]).reshape(-1, 7))
        place = self._choose(compose(goals, inverse(in_tool)), [reference, held], world, world.tool[0])
        place[:3] += [*self._rng.normal(0.0, self._task.placing_error, 2), 0.004]
        # High enough for what is held to pass over what it is put on, or round.
        top = world.objects[reference.name][0, 2] + reference.half[2]
        lowest = place[2] - compose(place, in_tool)[2] + held.half[2]
        hover = place.copy()
        hover[2] = max(place[2] + _HOVER, top + lowest + _HEADROOM)
        return [
            *self._across(target, hover, 0.0, [held], world, held),
            _Stage(self.subtask, hover, 0.0, precise=True),
            _Stage(self.subtask, place, 0.0, wait=2, precise=True, fast=False),
            _Stage(self.subtask, None, 1.0, wait=self._patience(_OPEN_STEPS)),
            _Stage(self.subtask, _raised(place, 0.10), 1.0),
        ]

    def _choose(self, ways: Array, used: list[Prop], world: World, target: Array) -> Array:
        """Of tool poses (n, 7) that serve equally, the one that needs the smallest turn from `target`.

        Those that the arm cannot reach, or that bring the palm against an object, come last.
        """
        near = np.argsort(angle_between(ways[:, 3:], target[3:]), kind="stable")
        up = np.array([0.0, 0.0, _HOVER, 0.0, 0.0, 0.0, 0.0])
        poses = np.stack([ways, ways + up], axis=1)
        home = self._robot.home
        found = solve_inverse(
            self._robot.chain, poses.reshape(-1, 7), np.tile(home, (2 * len(ways), 1)), home, iterations=40
        )
        free = found.reached() & (found.limit_margin > _JOINT_ROOM)
        reached = free.reshape(-1, 2)
        others = tuple(prop for prop in self._task.props if prop not in used)
        points = outlines(others, np.array([world.objects[prop.name][0] for prop in others]).reshape(-1, 7))
        for i in near:
            if reached[i].all() and palm_is_clear(poses[i], points, _PALM_ROOM, self._robot.hand):
                return ways[i].copy()
        return ways[near[0]].copy()

    def _across(
        self, start: Array, end: Array, gripper: float, used: list[Prop], world: World, held: Prop | None = None
    ) -> list[_Stage]:
        """The way from one tool pose to over another: straight up and then across, over everything on the way."""
        way = end[:2] - start[:2]
        length = float(np.linalg.norm(way))
        if length < 0.02:
            return []
        below = _TIP if held is None else max(_TIP, start[2] - world.objects[held.name][0, 2] + held.half[2])
        beside = _ROOM_BESIDE if held is None else _ROOM_BESIDE + held.spread()
        top = -np.inf
        for prop in self._task.props:
            centre = world.objects[prop.name][0, :3]
            along = np.clip((centre[:2] - start[:2]) @ way / length**2, 0.0, 1.0)
            if prop not in used and np.linalg.norm(centre[:2] - start[:2] - along * way) < radius(prop) + beside:
                top = max(top, centre[2] + prop.half[2] + below + _HEADROOM)
        stages = []
        if top > min(start[2], end[2]):
            height = max(top, start[2])
            for pose in (start, end):
                over = pose.copy()
                over[2] = max(height, pose[2])
                stages.append(_Stage(self.subtask, over, gripper))
        return stages


def _turned(prop: Prop) -> Array:
    """A prop's symmetries as poses (S, 7) in its frame."""
    return np.concatenate([np.zeros((len(prop.symmetries), 3)), prop.turns], axis=1)


def _raised(pose: Array, height: float) -> Array:
    up = pose.copy()
    up[2] += height
    return up
