"""An attempt that a person drives: the session, their hand, and the moments they can go back to."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from generators.hand import Grip, Hand
from generators.teleoperation import Checkpoint, Session
from handful import InputError
from scenes.outcome import Outcome
from scenes.scene import Scene
from scenes.workspace import Workspace
from trajectories import Episode

# Control steps after which nothing has been asked for long enough that time may stand still.
IDLE_STEPS = 10
# Objects slower than this are at rest [m/s].
_REST = 0.01


@dataclass(frozen=True)
class Mark:
    """A moment to go back to, and why it was remembered."""

    checkpoint: Checkpoint
    grip: Grip
    why: str


class Attempt:
    """One attempt at a scene by a hand.

    Args:
        workspace: the task's world.
        scene: where.
        hand: who moves the tool; of this attempt alone, and told here that its scene begins.
        attempt: 0 for the first try at this scene.

    Attributes:
        session: what is recorded.
        marks: moments to go back to; the first is the start.
        begun: whether time runs at all; an attempt begins with the first thing asked for.
    """

    def __init__(self, workspace: Workspace, scene: Scene, hand: Hand, attempt: int = 0) -> None:
        self.scene, self.number, self.hand, self.begun = scene, attempt, hand, False
        self.session = Session(workspace, scene, hand.limits, attempt)
        # A person brings their own randomness: the stream is there because every device is given one.
        hand.begin(scene, workspace, np.random.default_rng(0))
        self.model = self.session.sim.batch.get_model(0)
        self.marks = [Mark(self.session.checkpoint(), hand.grip(), "start")]
        self._settings: list[dict[str, Any]] = []
        self._rewinds = 0
        self._unasked = 0

    def asked(self) -> None:
        """Something was asked for: time runs."""
        self.begun, self._unasked = True, 0

    def rests(self) -> bool:
        """Whether nothing was asked for in a while, nothing moves, and the goal is not being held."""
        quiet = all(float(speed[0]) < _REST for speed in self.session.world.speeds.values())
        return self._unasked >= IDLE_STEPS and quiet and self.session.hold == 0.0

    def step(self) -> None:
        """One control step of what the hand asks for."""
        session, hand = self.session, self.hand
        settings = hand.settings()
        if not self._settings or any(self._settings[-1][name] != value for name, value in settings.items()):
            self._settings.append({"step": len(session), **settings})
        self._unasked = 0 if hand.moves() else self._unasked + 1
        session.step(hand.read(session.world, session.target), hand.subtask)
        if hand.look(session.world, session.target) and session.outcome is None:
            self.mark("subtask done")

    def mark(self, why: str) -> None:
        """Remember this moment.

        Raises:
            InputError: the attempt has ended, or this very moment is remembered already.
        """
        if self.session.outcome is not None:
            raise InputError("the attempt has ended; go back to a checkpoint, or redo it")
        if self.marks[-1].checkpoint.steps == len(self.session):
            raise InputError("this moment is a checkpoint already")
        self.marks.append(Mark(self.session.checkpoint(), self.hand.grip(), why))

    def back(self) -> Mark:
        """Go back to the last checkpoint; from a checkpoint to the one before it.

        Raises:
            InputError: nothing lies behind.
        """
        if len(self.session) == 0:
            raise InputError("this is the start; nothing lies behind it")
        if len(self.marks) > 1 and self.marks[-1].checkpoint.steps == len(self.session):
            self.marks.pop()
        mark = self.marks[-1]
        self.session.rewind(mark.checkpoint)
        self.hand.take(mark.grip)
        self._settings = [entry for entry in self._settings if entry["step"] < len(self.session)]
        self.begun, self._rewinds = False, self._rewinds + 1
        return mark

    def finish(self) -> tuple[Episode, Outcome]:
        """The attempt as an episode, with what helped the operator."""
        extra = {
            "assistance": self._settings,
            "rewinds": self._rewinds,
            "checkpoints": [mark.checkpoint.steps for mark in self.marks[1:]],
        }
        return self.session.finish(self.hand.operator, self.hand.name, extra)
