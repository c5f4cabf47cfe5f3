"""A policy beside a robot's control loop: decisions are made in another thread or process, and control never waits.

The loop calls `step` at its own rate, 50 Hz say, while the policy decides chunks at 20 Hz. A call looks whether a
decision has come, starts the next one where it is due, and gives the command to send; nothing in it blocks. What can go
wrong ends in the same way: the arm brakes and is held where it is, and the reason is recorded. It moves on by itself as
soon as there is a fresh chunk, except after an exception, which somebody should read first.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import InputError
from policies.execution import Execution, Pace, Reason
from policies.limits import JointLimits, Limiter

# Latencies that are remembered: the latest ones.
_REMEMBERED = 1000


@dataclass(frozen=True)
class Event:
    """Something that the person beside the robot should know.

    Attributes:
        time: since the controller was made [s].
        reason: why the arm is held; "moving" once it no longer is.
        detail: an exception's text; else empty.
    """

    time: float
    reason: Reason | str
    detail: str = ""


class Controller:
    """Gives a robot's loop its commands while a policy decides. Use it as a context manager, or `close` it.

    Args:
        decide: (observation, command in force) -> (H, A) commands: joint targets [rad], then the gripper's opening. It
            runs in `executor`; what it is given must not be written to any more.
        pace: how chunks follow each other, in control steps of the policy.
        rate: the policy's control steps per second [Hz].
        period: of the loop that calls `step` [s].
        start: (A,) the command in force; the arm is at rest there.
        limits: of the joints; None: commands are sent as they are.
        executor: where decisions are made, one at a time; None: a thread.
        clock: seconds, rising.

    Attributes:
        events: each change between moving and being held.
        clipped: turns of the loop in which a limit changed the command.
        latencies: seconds from look to decision, of the latest decisions.
        longest: the longest that a turn has kept the loop [s].
    """

    def __init__(
        self,
        decide: Callable[[Any, np.ndarray], np.ndarray],
        pace: Pace,
        rate: float,
        period: float,
        start: np.ndarray,
        limits: JointLimits | None = None,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (rate > 0 and period > 0):
            raise InputError(f"rate and period must be positive, got {rate} Hz and {period} s")
        self._decide, self.pace, self.rate, self.period = decide, pace, rate, period
        self.execution = Execution(pace)
        self._last = np.array(start, float)
        self._limiter = None if limits is None else Limiter(limits, period, self._last[None, :-1])
        self._own = ThreadPoolExecutor(1, "policy") if executor is None else None
        self._executor = executor or self._own
        self._clock, self._begun = clock, clock()
        self._future: Future[np.ndarray] | None = None
        self._looked = 0.0
        self._state: str = "moving"
        self._error = ""
        self.events: list[Event] = []
        self.clipped = 0
        self.latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self.longest = 0.0

    def __enter__(self) -> "Controller":
        """The controller."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop deciding."""
        self.close()

    def close(self) -> None:
        """Stop deciding; a decision under way is not waited for."""
        if self._own is not None:
            self._own.shutdown(wait=False, cancel_futures=True)

    def step(self, observe: Callable[[], Any]) -> np.ndarray:
        """The command (A,) to send now; it is to be reached one period later.

        Args:
            observe: gives the newest observation; it is called when a look is due, in the loop's own thread.
        """
        began = self._clock()
        seconds = began - self._begun
        now = seconds * self.rate
        self._collect(now, seconds)
        if self.execution.due(now):
            assert self._executor is not None
            self._looked = seconds
            self.execution.look(now, self._last)
            try:
                self._future = self._executor.submit(self._decide, observe(), self._last.copy())
            except Exception as error:  # a camera that is gone must not leave the arm without commands
                self._failed(error)
        held_before = dict(self.execution.held)
        command = self.execution.command(now, self.period * self.rate)
        reasons = [reason for reason, count in self.execution.held.items() if count > held_before.get(reason, 0)]
        self._note(seconds, reasons[0] if reasons else "moving")
        self._last = self._limited(command)
        self.longest = max(self.longest, self._clock() - began)
        return self._last.copy()

    def resume(self) -> None:
        """Go on deciding after an exception."""
        self.execution.resume((self._clock() - self._begun) * self.rate)

    def _collect(self, now: float, seconds: float) -> None:
        """Take the decision that has come, if one has."""
        if self._future is None or not self._future.done():
            return
        future, self._future = self._future, None
        error = future.exception()
        if error is None:
            self.latencies.append(seconds - self._looked)
            try:
                self.execution.decide(now, future.result())
            except InputError as wrong:
                error = wrong
        if error is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._error = f"{type(error).__name__}: {error}"
        self.execution.fail()

    def _note(self, seconds: float, state: str) -> None:
        if state != self._state:
            self._state = state
            self.events.append(Event(seconds, state, self._error if state == "failed" else ""))

    def _limited(self, command: np.ndarray | None) -> np.ndarray:
        if self._limiter is None:
            return self._last if command is None else command
        row = np.zeros(1, int)
        if command is None:
            return np.append(self._limiter.brake(row)[0], self._last[-1])
        joints, clipped = self._limiter.follow(row, command[None, :-1])
        self.clipped += int(clipped[0])
        return np.append(joints[0], np.clip(command[-1], 0, 1))
