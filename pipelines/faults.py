"""What may befall a task that is no fault of the run: its process dies, hangs or runs out of memory; or it raises.

A lost try costs that task one try. A task that is lost every time is given up with its reason, and the run goes on
without it: an executor hands back a `Failure` instead of a result, and whoever runs the tasks decides what it means.
"""

import statistics
from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

from handful import InputError

# Tasks that wait, each with its key. Whoever runs them may add some while others are under way.
Queue = deque[tuple[Any, Any]]

Cause = Literal["died", "hung", "memory", "node", "raised"]

_SENTENCES: dict[Cause, str] = {
    "died": "its process died",
    "hung": "its process hung and was stopped",
    "memory": "it ran out of memory",
    "node": "its Ray worker or node was lost",
    "raised": "it failed",
}
# A task may take so many times as long as the median of those that are done.
SLOWER = 20
# How many finished tasks the median is taken of, and how many it takes to be trusted.
_REMEMBERED = 101
_KNOWN = 5
# A machine that goes is not the task's fault, but somewhere an end must be.
MACHINES = 10
_LONGEST_PAUSE = 60.0  # [s]


@dataclass(frozen=True)
class Limits:
    """When a task, or a worker, has had enough."""

    # How often a task is started before it, not luck, is blamed.
    tries: int = 3
    # A task that takes longer than this, and than 20 times the median of those that are done, hangs [s]. While few are
    # done, each further try has twice the time. None: tasks take as long as they take.
    patience: float | None = None
    # A worker is replaced by a fresh one after so many tasks; None: never.
    tasks: int | None = None
    # And where it holds so much more memory than after its first task [bytes]; None: never.
    growth: int | None = None

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise InputError(f"a task must be tried at least once, got tries={self.tries}")
        if self.patience is not None and not self.patience > 0:
            raise InputError(f"patience must be above 0 s, got {self.patience:g}")


@dataclass(frozen=True)
class Loss:
    """How one try of a task was lost."""

    cause: Cause
    # What is known besides: "by signal SIGKILL", "ValueError: ...".
    how: str = ""
    # Where it was, in lines of a traceback.
    trace: str = ""

    def __str__(self) -> str:
        separator = ": " if self.cause == "raised" else " "
        return f"{_SENTENCES[self.cause]}{separator if self.how else ''}{self.how}"


@dataclass(frozen=True)
class Failure:
    """A task that was given up, after its last loss."""

    tries: int
    last: Loss

    def __str__(self) -> str:
        return str(self.last) if self.last.cause == "raised" else f"{self.last}, {self.tries} times of {self.tries}"


@dataclass
class Strikes:
    """Counts the lost tries of tasks, and knows how long the next try may take."""

    limits: Limits
    _lost: dict[Hashable, Counter[Cause]] = field(default_factory=dict)
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def patience(self, task: Hashable) -> float | None:
        """How long the next try of a task may take [s]; None: for ever."""
        if self.limits.patience is None:
            return None
        usual = SLOWER * statistics.median(self._seconds) if self._seconds else 0.0
        hung = self._lost[task]["hung"] if task in self._lost and len(self._seconds) < _KNOWN else 0
        return max(self.limits.patience, usual) * 2.0**hung

    def within(self, seconds: float) -> int:
        """How many tasks usually take so long [s] together, 1 at the least; 1 while their pace is not known."""
        if len(self._seconds) < _KNOWN:
            return 1
        return max(1, int(seconds / max(statistics.median(self._seconds), 1e-6)))

    def pause(self, task: Hashable) -> float:
        """How long to wait before a task that was lost with its machine is started again [s]."""
        return min(_LONGEST_PAUSE, 2.0 ** self._lost[task]["node"])

    def done(self, task: Hashable, seconds: float) -> None:
        """Note that a task is done, and how long it took [s]."""
        self._seconds.append(seconds)
        self._lost.pop(task, None)

    def lost(self, task: Hashable, loss: Loss) -> Failure | None:
        """Note a lost try.

        Returns:
            What to give the task up with, or None where it is to be tried again. What it raised it would raise again.
        """
        lost = self._lost.setdefault(task, Counter())
        lost[loss.cause] += 1
        own = lost.total() - lost["node"]
        if loss.cause != "raised" and own < self.limits.tries and lost["node"] < MACHINES:
            return None
        del self._lost[task]
        return Failure(lost.total(), loss)
