"""Which subtask is under way, told while it happens.

The rules are those by which a finished demonstration is cut (see `segmentation`): a grasp is over once its object is
in the air with the gripper closed, a placement once the gripper has let go and moved away. Here a placement must also
be over where it belongs, so that a dropped object is not taken for a placed one.
"""

from dataclasses import dataclass

import numpy as np

from generators.cuts import AIR
from generators.segmentation import AWAY
from scenes.scene import Scene
from scenes.task import Task, World
from sim.transforms import Array


@dataclass(frozen=True)
class Place:
    """Where a follower stands: subtask under way, gripper, and the object's height when the gripper last closed [m]."""

    subtask: int = 0
    closed: bool = False
    height: float = 0.0


class Follower:
    """Follows one attempt through its task's subtasks.

    Args:
        task: the task.
        scene: which object plays which role.

    Attributes:
        place: where the attempt stands; may be set back to an earlier one.
    """

    def __init__(self, task: Task, scene: Scene) -> None:
        self._task, self._roles = task, scene.roles
        # A released object counts as placed while its centre is over the object that it belongs on [m].
        self._reach = {prop.name: float(np.hypot(*prop.half[:2])) for prop in task.props}
        self.place = Place()

    @property
    def subtask(self) -> int:
        """Index of the subtask under way; the last one's after it is done."""
        return min(self.place.subtask, len(self._task.subtasks) - 1)

    def update(self, world: World, target: Array, closed: bool) -> bool:
        """Look at what a control step has brought.

        Args:
            world: what is where, a batch of one.
            target: (7,) tool pose aimed at.
            closed: whether the gripper is told to be closed.

        Returns:
            Whether a subtask was finished by it.
        """
        before = self.place
        if before.subtask >= len(self._task.subtasks):
            return False
        subtask = self._task.subtasks[before.subtask]
        reference = world.objects[self._roles[subtask.reference]][0]
        height = before.height
        if subtask.kind == "grasp":
            if closed and not before.closed:
                height = float(reference[2])
            done = closed and before.closed and float(reference[2]) > height + AIR
        else:
            prop = self._task.prop(self._roles[subtask.held or subtask.reference])
            held = world.objects[prop.name][0]
            away = bool(prop.hold_distance(held, target[:3]) > AWAY)
            reach = self._reach[self._roles[subtask.reference]]
            done = not closed and away and float(np.linalg.norm(held[:2] - reference[:2])) < reach
        self.place = Place(before.subtask + done, closed, height)
        return bool(done)
