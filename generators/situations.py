"""Where a scene stands when a subtask begins: all that planning is told of it."""

from dataclasses import dataclass

from scenes.props import Prop
from sim.embodiment import HandShape
from sim.transforms import Array


@dataclass(frozen=True)
class Situation:
    """Where one scene stands when a subtask begins.

    Attributes:
        tool: (7,) tool pose in the base frame.
        before: (7,) the one that was aimed at a control step earlier.
        command: (J,) last joint targets [rad].
        gripper: last commanded opening.
        since: control steps since what the gripper did last; None: it did nothing yet.
        reference: (7,) pose of the subtask's reference object.
        held: (7,) pose that the object in the gripper will have once the arm is at `tool`, where there is one.
        reference_prop: the reference object.
        held_prop: the object in the gripper, where the subtask has one.
        obstacles: the other objects.
        poses: (K, 7) their poses.
        load: height of the object in the gripper [m]; 0 while it is empty.
        table_height: [m].
        hand: the hand's outline.
    """

    tool: Array
    before: Array
    command: Array
    gripper: float
    since: int | None
    reference: Array
    held: Array | None
    reference_prop: Prop
    held_prop: Prop | None
    obstacles: tuple[Prop, ...]
    poses: Array
    load: float
    table_height: float
    hand: HandShape
