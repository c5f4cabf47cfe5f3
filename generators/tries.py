"""The tries at one scene: from which saved state each began, how it ended, and which state is next to try from."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from generators.options import PlanOptions
from scenes.outcome import Outcome

State = TypeVar("State")


@dataclass
class Mark(Generic[State]):
    """A state in which a subtask began.

    Attributes:
        subtask: which.
        state: the lane's saved state.
        length: control steps on the tape.
        failures: tries from here that failed, here or later on.
        demo: the one that served the subtask last.
        blamed: demo -> how often it failed here, or what followed from it did.
    """

    subtask: int
    state: State
    length: int
    failures: int = 0
    demo: int | None = None
    blamed: Counter[int] = field(default_factory=Counter)

    def blame(self) -> None:
        """Hold the last failure against the demo that served."""
        if self.demo is not None:
            self.blamed[self.demo] += 1


@dataclass
class Try:
    """One try: a stretch from a mark to a failure, or to the end."""

    start: int
    demos: list[int | None] = field(default_factory=list)
    outcome: Outcome | None = None
    latched: bool = False

    def record(self) -> dict[str, Any]:
        """As stored."""
        assert self.outcome is not None  # tries are recorded once they have ended
        return {
            "start": self.start,
            "subtask": self.start + max(0, len(self.demos) - 1),
            "outcome": self.outcome.label,
            "demos": self.demos,
            "latched": self.latched,
        }


class Tries(Generic[State]):
    """The account of one scene.

    Args:
        options: how often, and from where, to try.

    Attributes:
        tries: so far; the last is under way until it has an outcome.
        marks: where one can go back to; the scene's beginning is the first.
        parts: (number of a try, step at which its part of the tape begins), for what is on the tape.
    """

    def __init__(self, options: PlanOptions) -> None:
        self._options = options
        self.tries: list[Try] = []
        self.marks: list[Mark[State]] = []
        self.parts: list[tuple[int, int]] = []

    @property
    def mark(self) -> Mark[State]:
        """The last state that was saved."""
        return self.marks[-1]

    def save(self, subtask: int, state: State, length: int) -> None:
        """Note the state in which a subtask begins."""
        self.marks.append(Mark(subtask, state, length))

    def begin(self, subtask: int, length: int) -> int:
        """Begin the next try, with so many steps on the tape; returns its number, from 0."""
        self.tries.append(Try(subtask))
        self.parts = [part for part in self.parts if part[1] < length]
        self.parts.append((len(self.tries) - 1, length))
        return len(self.tries) - 1

    def follow(self, demo: int | None) -> None:
        """Note which demo serves the next subtask of the try under way; None: none could be followed."""
        self.tries[-1].demos.append(demo)
        self.mark.demo = demo

    def end(self, outcome: Outcome, latched: bool) -> None:
        """Settle the try under way."""
        last = self.tries[-1]
        last.outcome, last.latched = outcome, latched
        if outcome is not Outcome.SUCCESS:
            self.mark.failures += 1
            self.mark.blame()

    def exhausted(self) -> bool:
        """Whether there is no further try, after one that has failed."""
        # What cannot be followed from the very beginning is looked at again, but not for ever.
        blocked = sum(t.outcome is Outcome.UNREACHABLE and t.start == 0 and len(t.demos) == 1 for t in self.tries)
        return len(self.tries) >= self._options.max_attempts or blocked >= self._options.retries

    def back(self) -> Mark[State]:
        """The mark to try from next, after a try that failed; those behind it are forgotten."""
        restart = self._options.on_failure == "restart"
        further = restart or self.tries[-1].outcome is Outcome.UNREACHABLE
        while len(self.marks) > 1 and (further or self.mark.failures >= self._options.retries):
            self.marks.pop()
            self.mark.failures += 1
            self.mark.blame()
            further = restart
        return self.mark
