"""What a task is: where things start, which motions relative to which object make it up, and when it is done.

Objects appear in a task under roles ("target", "bottom"); which named object plays a role is drawn per scene, so a demo
that lifted the red cube serves a scene that asks for the blue one.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from handful import unknown_name
from sim.transforms import Array


@dataclass(frozen=True)
class Subtask:
    """A stretch of motion relative to one reference object.

    Attributes:
        name: what it is called in data and reports.
        kind: "grasp" ends with the reference in the air in the gripper; "place" ends with `held` released on it.
        reference: role of the object that the motion is relative to.
        held: role of the object in the gripper while placing; None while grasping.
        signal: name of the recorded signal that rises when it is done, where a source has one.
    """

    name: str
    kind: Literal["grasp", "place"]
    reference: str
    held: str | None = None
    signal: str | None = None


@dataclass(frozen=True)
class World:
    """What is where in n scenes, in the robot's base frame.

    Attributes:
        objects: name -> (n, 7) poses.
        speeds: name -> (n,) largest of linear speed [m/s] and 0.05 m times angular speed [rad/s].
        tool: (n, 7) tool poses.
        opening: (n,) gripper openings [0, 1].
        table_height: (n,) height of the table's surface [m].
    """

    objects: dict[str, Array]
    speeds: dict[str, Array]
    tool: Array
    opening: Array
    table_height: Array


class Task(ABC):
    """A family of scenes with one goal."""

    # Name, as in commands and stores.
    name: str
    # Objects in every scene.
    objects: tuple[str, ...]
    # The subtasks in order.
    subtasks: tuple[Subtask, ...]
    # Whether the task ends with an object let go.
    ends_in_release: bool
    # Control steps after which a rollout has failed.
    horizon: int
    # Sentences; {role} stands for the colour of the object in that role. The first is the canonical one.
    sentences: tuple[str, ...]
    # The colour of each object.
    colours: dict[str, str]

    @abstractmethod
    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        """Draw which object plays which role: role -> object name."""

    @abstractmethod
    def draw_poses(self, rng: np.random.Generator) -> dict[str, Array]:
        """Draw where the objects stand: name -> (7,) pose relative to the table's surface."""

    @abstractmethod
    def goal(self, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """Whether objects are where the task wants them, (n,); motion and the gripper are judged elsewhere.

        Args:
            world: n scenes.
            roles: role -> (n,) index into `objects` of the object that plays it.
        """

    def fixed_roles(self) -> dict[str, str] | None:
        """Role -> object where every scene has the same; None where it is drawn."""
        return None

    def instructions(self, roles: dict[str, str]) -> tuple[str, ...]:
        """The task's sentences for a scene, the canonical one first."""
        return tuple(s.format(**{role: self.colours[name] for role, name in roles.items()}) for s in self.sentences)


def pick(poses: dict[str, Array], objects: tuple[str, ...], index: np.ndarray) -> Array:
    """Rows of the object that plays a role: result[i] = poses[objects[index[i]]][i].

    Args:
        poses: object -> (n, ...).
        objects: the names that `index` counts.
        index: (n,).
    """
    stacked = np.stack([poses[name] for name in objects])
    return stacked[index, np.arange(len(index))]


def get_task(name: str) -> Task:
    """Look a task up by name.

    Raises:
        InputError: no such task; the message lists them.
    """
    from scenes.cubes import Lift, StackThree

    tasks: dict[str, type[Task]] = {task.name: task for task in (Lift, StackThree)}
    if name not in tasks:
        raise unknown_name("task", name, tasks)
    return tasks[name]()
