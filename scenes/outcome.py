"""How an attempt at a task can end: exactly one of these, each with a sentence for a person."""

from enum import Enum


class Outcome(Enum):
    """The end of an attempt. The value is the sentence that reports print."""

    SUCCESS = "the goal held for a second, everything at rest, nothing forbidden touched"
    UNREACHABLE = "no demonstration segment fits this scene within the arm's joint and speed limits"
    COLLIDED = "the robot touched the table, or its palm touched an object"
    GRASP_MISSED = "the gripper closed and the object was not lifted with it"
    OBJECT_DROPPED = "the object was held, then lost before it was placed"
    MISPLACED = "the object was released, and not where it belongs"
    WRONG_OBJECT = "another object than the one asked for was picked up"
    DISTURBED = "an object that should stay put was pushed away"
    NOT_SETTLED = "the goal was met, but did not hold for a second at rest with the gripper open and away"
    DIVERGED = "the physics engine reported an unstable simulation"
    TIMED_OUT = "the time limit passed before the goal was met"
    QUARANTINED = "its process hung, crashed or failed at every try, so the scene was left out"

    @property
    def label(self) -> str:
        """Lower-case name, as stored with episodes and printed in tables."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> "Outcome":
        """The inverse of `label`."""
        return cls[label.upper()]
