"""A person's hand on a keyboard, a mouse or a stick, as a device: what it last asked for, with assistance."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from generators.assistance import Assistance, guide, nearest_grasp
from generators.following import Follower, Place
from generators.teleoperation import Command, Limits
from scenes.scene import Scene
from scenes.task import World
from scenes.workspace import Workspace
from sim.transforms import Array


@dataclass(frozen=True)
class Grip:
    """What a hand must know to go on from a moment of an attempt: its gripper and the subtask under way."""

    closed: bool
    place: Place


@dataclass(frozen=True)
class Way:
    """What is left to go.

    Attributes:
        to: the object that it leads to.
        position: (3,) along the base's axes [m].
        turn: about the vertical [rad]; None where it is not known.
    """

    to: str
    position: Array
    turn: float | None


class Hand:
    """A device that a person holds. Whoever listens to the person writes `axes`, `clutch` and `closed`.

    Args:
        name: of the device, as in `--device`.
        limits: what full deflection is at the highest speed level.

    Attributes:
        axes: (6,) deflections in [-1, 1]: along x, y, z of the base, then about them.
        clutch: while held, the hand moves nothing.
        closed: whether the gripper is told to be closed.
        assistance: what helps; may be changed at any time.
    """

    operator = "human"

    def __init__(self, name: str, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.axes: Array = np.zeros(6)
        self.clutch = self.closed = False
        self.assistance = Assistance()

    def begin(self, scene: Scene, workspace: Workspace, rng: np.random.Generator) -> None:
        """Prepare for a scene, with an open gripper; a person brings their own randomness."""
        self._scene, self._task = scene, workspace.task
        self._follower = Follower(workspace.task, scene)
        self.closed = False

    @property
    def subtask(self) -> int:
        """Index of the subtask under way."""
        return self._follower.subtask

    @property
    def done(self) -> int:
        """How many subtasks are done."""
        return self._follower.place.subtask

    def moves(self) -> bool:
        """Whether the hand asks for any motion."""
        return bool(self._twist().any())

    def read(self, world: World, target: Array) -> Command:
        """What the hand asks for now; see `Device`."""
        twist = self._twist()
        subtask = self._task.subtasks[self.subtask]
        if self.assistance.guidance and not self.closed and subtask.kind == "grasp":
            name = self._scene.roles[subtask.reference]
            twist = guide(twist, target, world.objects[name][0], self._task.prop(name))
        return Command(twist, 0.0 if self.closed else 1.0)

    def way(self, world: World) -> Way:
        """How far it still is: from the tool to the grasp, or from what is held to where it belongs."""
        subtask = self._task.subtasks[self.subtask]
        name = self._scene.roles[subtask.reference]
        pose = world.objects[name][0]
        if subtask.kind == "grasp" or subtask.held is None:
            grasp, turn = nearest_grasp(pose, self._task.prop(name), world.tool[0])
            return Way(name, grasp[:3] - world.tool[0, :3], float(turn[2]))
        return Way(name, pose[:3] - world.objects[self._scene.roles[subtask.held]][0, :3], None)

    def look(self, world: World, target: Array) -> bool:
        """See what the last control step has brought; returns whether it finished a subtask."""
        return self._follower.update(world, target, self.closed)

    def grip(self) -> Grip:
        """What to remember of this moment."""
        return Grip(self.closed, self._follower.place)

    def take(self, grip: Grip) -> None:
        """Go on from a moment."""
        self.closed, self._follower.place = grip.closed, grip.place

    def settings(self) -> dict[str, Any]:
        """The assistance in use, as stored with an episode."""
        return asdict(self.assistance)

    def _twist(self) -> Array:
        return np.zeros(6) if self.clutch else self.assistance.twist(self.axes, self.limits)
