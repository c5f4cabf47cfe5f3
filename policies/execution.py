"""When a policy looks, and which of its actions is due: one logic for simulation and for a robot's loop.

Deciding takes time. *Synchronous*: the arm carries out `execute` actions of a chunk, then waits where it is until the
next one has been decided. *Asynchronous*: it looks `execute` steps after the last look, and goes on with the chunk it
has; the new one, once there, is entered at the action that is due by then, since chunk and clock both count from the
look. So control never waits, and what latency costs is only that the first actions of a chunk are never used.

The prefix is computed once per look and cached over the steps of integration. It is not kept from one look to the next
with fresh proprioception: proprioception is one of its tokens, and its actions are relative to it, so that a newer one
beside an older image is an input that training never shows.

Time is counted in control steps. It is a whole number in simulation, and any number in a loop that runs at another rate
than the policy: between two actions, a command is interpolated.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from handful import InputError, unknown_name

Mode = Literal["synchronous", "asynchronous"]
MODES: tuple[Mode, ...] = ("synchronous", "asynchronous")

# Why an arm was held: it waits for a decision as planned; what it has is too old or carried out; the newest decision
# held numbers that are not finite; or it failed.
Reason = Literal["waiting", "stale", "not_finite", "failed"]
REASONS: tuple[Reason, ...] = ("waiting", "stale", "not_finite", "failed")


@dataclass(frozen=True)
class Pace:
    """How chunks follow each other.

    Attributes:
        mode: whether the arm waits for decisions.
        horizon: actions per chunk.
        execute: actions from one look to the next; in asynchronous execution at least what a decision takes.
        blend: over so many actions after a switch, motion passes from the old chunk to the new one.
        stale: actions of a chunk are carried out for so many steps after its look; 0: as far as it reaches.
    """

    mode: Mode
    horizon: int
    execute: int
    blend: int = 0
    stale: float = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown_name("execution", self.mode, MODES)
        if not 1 <= self.execute <= self.horizon:
            raise InputError(
                f"execute must be at least 1 and at most the chunk's {self.horizon} actions, got {self.execute}"
            )
        for name in ("blend", "stale"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.blend and self.mode == "synchronous":
            raise InputError("blend needs execution=asynchronous: an arm that waits has no old chunk to pass over from")

    def require(self, delay: float) -> None:
        """Refuse decisions that take so long that chunks run out before the next one is there.

        Args:
            delay: what a decision takes [control steps].

        Raises:
            InputError: asynchronous execution cannot go on without a pause.
        """
        if self.mode == "asynchronous" and max(self.execute, delay) + delay > self.horizon:
            raise InputError(
                f"a chunk of {self.horizon} actions runs out when the arm looks every {self.execute} actions and "
                f"a decision takes {delay:g}; lower execute, or decide faster"
            )


@dataclass(frozen=True)
class Chunk:
    """Actions decided from one look.

    Attributes:
        looked: when it was looked [control steps].
        begin: when its first action is due.
        start: (A,) the command in force at the look.
        actions: (H, A) commands; action k is to be reached at `begin` + k + 1.
    """

    looked: float
    begin: float
    start: np.ndarray
    actions: np.ndarray

    def reach(self, time: float) -> np.ndarray:
        """The command to be reached at a time after `begin`, (A,): on straight lines from one action to the next."""
        place = min(time - self.begin, float(len(self.actions)))
        before = int(np.ceil(place)) - 1
        after = self.actions[max(before, 0)]
        share = place - before
        if share >= 1:
            return after
        first = self.actions[before - 1] if before > 0 else self.start
        return (1 - share) * first + share * after


class Execution:
    """What one arm carries out.

    Attributes:
        held: control steps, or turns of a loop, in which the arm was held, by reason.
        refused: decisions that held numbers that are not finite.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.held: Counter[Reason] = Counter()
        self.refused = 0
        self._deciding: tuple[float, np.ndarray] | None = None
        self._chunk: Chunk | None = None
        self._before: Chunk | None = None
        self._switched = 0.0
        self._next = -np.inf
        self._trouble: Reason | None = None

    def due(self, now: float) -> bool:
        """Whether it is time to look."""
        return self._deciding is None and now >= self._next

    def look(self, now: float, command: np.ndarray) -> None:
        """A look has been taken, and is being decided on. `command` (A,): the one in force."""
        self._deciding = (now, np.array(command, float))
        self._next = now + self.pace.execute

    def decide(self, now: float, actions: np.ndarray) -> bool:
        """The decision of the look under way: (H, A) commands. False where they are of no use.

        Raises:
            InputError: there is no look under way, or the chunk has another length.
        """
        if self._deciding is None:
            raise InputError("a decision came without a look")
        if len(actions) != self.pace.horizon:
            raise InputError(f"a chunk has {self.pace.horizon} actions, got {len(actions)}")
        (looked, start), self._deciding = self._deciding, None
        if not np.isfinite(actions).all():
            self._trouble, self._next = "not_finite", now
            self.refused += 1
            return False
        waits = self.pace.mode == "synchronous"
        begin = now if waits else looked
        if waits:
            self._next = now + self.pace.execute
        self._before, self._chunk, self._switched = self._chunk, Chunk(looked, begin, start, np.array(actions)), now
        self._trouble = None
        return True

    def fail(self) -> None:
        """The decision under way failed: nothing more is decided until `resume`; what there is is carried out."""
        self._deciding, self._next, self._trouble = None, np.inf, "failed"

    def resume(self, now: float) -> None:
        """Look again after a failure."""
        self._next, self._trouble = now, None

    def command(self, now: float, period: float = 1.0) -> np.ndarray | None:
        """The command (A,) to be reached at `now` + `period`; None: the arm is to be held.

        Args:
            now: the time [control steps].
            period: of the loop [control steps].
        """
        time = now + period
        chunk = self._usable(now)
        if chunk is None:
            self.held[self._reason()] += 1
            return None
        new = chunk.reach(time)
        passed = now - self._switched
        old = self._before
        if old is None or passed >= self.pace.blend or now >= old.begin + len(old.actions):
            return new
        weight = (passed + period) / (self.pace.blend + 1)
        mixed = (1 - weight) * old.reach(time) + weight * new
        # A gripper half open is neither.
        mixed[-1] = new[-1]
        return mixed

    def _usable(self, now: float) -> Chunk | None:
        chunk, pace = self._chunk, self.pace
        if chunk is None:
            return None
        until = chunk.begin + (pace.execute if pace.mode == "synchronous" else pace.horizon)
        if pace.stale:
            until = min(until, chunk.looked + pace.stale)
        # Times of a clock are rounded.
        return chunk if now < until - 1e-9 else None

    def _reason(self) -> Reason:
        if self._trouble is not None:
            return self._trouble
        waits = self.pace.mode == "synchronous" and self._deciding is not None
        return "waiting" if self._chunk is None or waits else "stale"
