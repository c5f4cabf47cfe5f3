"""What a task is: where things start, which motions relative to which object make it up, and when it is done.

Objects appear in a task under roles ("target", "bottom"); which named object plays a role is drawn per scene, so a demo
that lifted the red cube serves a scene that asks for the blue one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from handful import unknown_name
from scenes.placement import Range, Region, check_room, place
from scenes.props import Prop
from sim.transforms import Array

# An object held this near the tool's centre is in the hand [m].
IN_HAND = 0.04

# Which of a task's sentences are meant; see `Task`.
Sentences = Literal["sentences", "held_out", "unseen"]


@dataclass(frozen=True)
class Subtask:
    """A stretch of motion relative to one reference object.

    Attributes:
        name: what it is called in data and reports.
        kind: "grasp" ends with the reference in the air in the gripper; "place" ends with `held` released on it.
        reference: role of the object that the motion is relative to.
        held: role of the object in the gripper while placing; None while grasping.
        signal: name of the recorded signal that rises when it is done, where a source has one.
        sentence: what is done, as an instruction; roles as in the task's sentences.
    """

    name: str
    kind: Literal["grasp", "place"]
    reference: str
    held: str | None = None
    signal: str | None = None
    sentence: str = ""


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

    def rows(self, rows: np.ndarray) -> "World":
        """Some of the scenes."""
        return World(
            {name: pose[rows] for name, pose in self.objects.items()},
            {name: speed[rows] for name, speed in self.speeds.items()},
            *(part[rows] for part in (self.tool, self.opening, self.table_height)),
        )


@dataclass(frozen=True)
class Reset:
    """How far a level's scenes lie apart.

    Attributes:
        region: where objects start.
        table_height: what is added to the height that the domain draws for the table [m].
        distractors: objects that the task is not about.
        elsewhere: object -> where it starts, for those that do not start in `region`.
    """

    region: Region
    table_height: Range = (0.0, 0.0)
    distractors: tuple[Prop, ...] = ()
    elsewhere: Mapping[str, Region] = field(default_factory=dict)


class Task(ABC):
    """A family of scenes with one goal."""

    # Name, as in commands and stores.
    name: str
    # What is in every scene; the same as names and as colour words are worked out from it.
    props: tuple[Prop, ...]
    objects: tuple[str, ...]
    colours: dict[str, str]
    # The subtasks in order.
    subtasks: tuple[Subtask, ...]
    # Whether the task ends with an object let go.
    ends_in_release: bool
    # Control steps after which a rollout has failed.
    horizon: int
    # Reset distributions by level, from narrow to wide. D0 is where the seed demos are from.
    levels: Mapping[str, Reset]
    # Least distance between the centres of two objects as they start [m].
    apart: float = 0.0
    # How far the scripted operator's hand is off, one standard deviation along each axis, as it lets go [m].
    placing_error: float = 0.002
    # Sentences that mean the same and are never in training data: made of the same words, and with words besides.
    held_out: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    # Sentences; {role} stands for the colour of the object in that role. The first is the canonical one.
    sentences: tuple[str, ...]

    def __init_subclass__(cls) -> None:
        if "props" in vars(cls):
            cls.objects = tuple(prop.name for prop in cls.props)
            cls.colours = {prop.name: prop.colour for prop in cls.props if prop.colour is not None}

    def __init__(self, level: str = "D0") -> None:
        if level not in self.levels:
            raise unknown_name(f"level of task '{self.name}'", level, self.levels)
        self.level = level
        # What the task is about comes first, then what only stands in the way.
        self.own = type(self).objects
        self.props = type(self).props + self.levels[level].distractors
        self.objects = tuple(prop.name for prop in self.props)
        check_room(self.props, self.regions(), self.apart)

    @property
    def reset(self) -> Reset:
        """How this level's scenes are drawn."""
        return self.levels[self.level]

    def regions(self) -> dict[str, Region]:
        """Where each object may start."""
        return {name: self.reset.elsewhere.get(name, self.reset.region) for name in self.objects}

    def draw_poses(self, rng: np.random.Generator) -> dict[str, Array]:
        """Draw where the objects stand at this level: name -> (7,) pose relative to the table's surface."""
        return place(self.props, self.regions(), rng, self.apart)

    def placement(self, subtask: Subtask, roles: dict[str, str]) -> Array:
        """Where a placement puts the held object, (7,) in the reference object's frame; by default on top of it."""
        below, held = self.prop(roles[subtask.reference]), self.prop(roles[subtask.held or subtask.reference])
        return np.array([0.0, 0.0, below.half[2] + held.half[2], 1.0, 0.0, 0.0, 0.0])

    def prop(self, name: str) -> Prop:
        """The object of a name."""
        return self.props[self.objects.index(name)]

    @abstractmethod
    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        """Draw which object plays which role: role -> object name."""

    @abstractmethod
    def goal(self, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """Whether objects are where the task wants them, (n,); motion and the gripper are judged elsewhere.

        Args:
            world: n scenes.
            roles: role -> (n,) index into `objects` of the object that plays it.
        """

    def placed(self, k: int, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """Whether the object that subtask k, a placement, has let go is where it belongs, (n,); see `goal`.

        By default only the last subtask is a placement, and then the goal is reached.
        """
        if k != len(self.subtasks) - 1:
            raise NotImplementedError(f"{type(self).__name__} must say in placed() when subtask {k} is done")
        return self.goal(world, roles)

    def done(self, k: int, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """Whether everything up to subtask k is done, (n,): what was placed is in place, what was grasped in the hand.

        How an object got there, and whether it stays, is judged elsewhere.

        Args:
            k: the subtask.
            world: n scenes at its end.
            roles: role -> (n,) index into `objects` of the object that plays it.
        """
        last = self.subtasks[k]
        here = self.held(world, roles[last.reference]) if last.kind == "grasp" else self.placed(k, world, roles)
        return here & self.intact(k, world, roles)

    def intact(self, k: int, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """Whether what was placed before subtask k is still in its place, (n,); see `done`."""
        intact = np.ones(len(world.opening), bool)
        for j, subtask in enumerate(self.subtasks[:k]):
            if subtask.kind == "place":
                intact &= self.placed(j, world, roles)
        return intact

    def resume(self, world: World, roles: dict[str, np.ndarray]) -> int:
        """The subtask with which to carry on in one scene: the grasp of the first object that is not in its place."""
        for k, subtask in enumerate(self.subtasks):
            if subtask.kind == "place" and not self.placed(k, world, roles)[0]:
                grasps = [j for j in range(k) if self.subtasks[j].reference == subtask.held]
                return grasps[-1]
        return len(self.subtasks) - 1 if self.subtasks[-1].kind == "grasp" else len(self.subtasks)

    def held(self, world: World, index: np.ndarray) -> np.ndarray:
        """Whether object index[i] is within the hand's reach in scene i, (n,)."""
        near = np.stack([prop.hold_distance(world.objects[prop.name], world.tool[:, :3]) for prop in self.props])
        return near[index, np.arange(len(index))] < IN_HAND

    def casts(self) -> tuple[dict[str, str], ...]:
        """Every way in which the roles can be given out, so that what demos lack is known before any work."""
        fixed = self.fixed_roles()
        if fixed is None:
            raise NotImplementedError(f"{type(self).__name__} draws its roles, so it must say in casts() how they fall")
        return (fixed,)

    def fixed_roles(self) -> dict[str, str] | None:
        """Role -> object where every scene has the same; None where it is drawn."""
        return None

    def words(self, roles: dict[str, str]) -> dict[str, str]:
        """What sentences say for each role that they name: role -> words; by default the colours of the objects."""
        return {role: self.colours[name] for role, name in roles.items() if name in self.colours}

    def instructions(self, roles: dict[str, str], which: Sentences = "sentences") -> tuple[str, ...]:
        """The task's sentences for a scene, the canonical one first; or those that training never shows."""
        words = self.words(roles)
        return tuple(sentence.format(**words) for sentence in getattr(self, which))

    def steps(self, roles: dict[str, str]) -> tuple[str, ...]:
        """What is done in each subtask of a scene, as a sentence."""
        words = self.words(roles)
        return tuple(subtask.sentence.format(**words) for subtask in self.subtasks)


def pick(poses: dict[str, Array], objects: tuple[str, ...], index: np.ndarray) -> Array:
    """Rows of the object that plays a role: result[i] = poses[objects[index[i]]][i].

    Args:
        poses: object -> (n, ...).
        objects: the names that `index` counts.
        index: (n,).
    """
    stacked = np.stack([poses[name] for name in objects])
    return stacked[index, np.arange(len(index))]


def split_task(name: str) -> tuple[str, str]:
    """A task's name and level from "stack_three" (level D0) or "stack_three:D1"."""
    base, _, level = name.partition(":")
    return base, level or "D0"


def get_task(name: str) -> Task:
    """Look a task up by name, with its level after a colon: "lift", "stack_three:D1".

    Raises:
        InputError: no such task or level; the message lists them.
    """
    from scenes.bins import PickPlace
    from scenes.cubes import Lift, Stack, StackThree
    from scenes.nut import Square

    tasks: dict[str, type[Task]] = {task.name: task for task in (Lift, Stack, StackThree, Square, PickPlace)}
    base, level = split_task(name)
    if base not in tasks:
        raise unknown_name("task", base, tasks)
    return tasks[base](level)
