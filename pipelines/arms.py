"""What the arms of a batch of rollouts are sent: each follows its own chunks, on the simulation's own clock.

A decision is computed at the look, and handed over once it would have been there: `delay` control steps later. So what
latency costs is measured, and comes out the same on any machine.
"""

from collections.abc import Callable

import numpy as np

from pipelines.episodes import HELD
from policies.execution import REASONS, Execution, Pace
from policies.limits import JointLimits, Limiter

# Lanes -> their chunks (n, horizon, J + 1).
Decide = Callable[[np.ndarray], np.ndarray]


class Arms:
    """The arms of N lanes.

    Args:
        pace: how chunks follow each other.
        delay: what a decision takes [control steps].
        command: (N, J + 1) what is in force at the start: joint targets [rad], gripper opening.
        limits: of the joints; None: whatever is asked for is sent.
        period: of control [s].

    Attributes:
        command: (N, J + 1) what each arm was sent last.
        clipped: (N,) control steps in which a limit changed the command.
    """

    def __init__(self, pace: Pace, delay: int, command: np.ndarray, limits: JointLimits | None, period: float) -> None:
        self.delay, self.command = delay, command.copy()
        self.clipped = np.zeros(len(command), int)
        self._executions = [Execution(pace) for _ in command]
        self._limiter = None if limits is None else Limiter(limits, period, command[:, :-1])
        # Lane -> when its decision is there, and the decision.
        self._deciding: dict[int, tuple[int, np.ndarray]] = {}

    def step(self, ids: np.ndarray, now: int, decide: Decide) -> np.ndarray:
        """What is sent to some of the arms, (n, J + 1), after looking where it is time to.

        Args:
            ids: lanes.
            now: control steps since the start.
            decide: told which lanes look.
        """
        self._hand_over(ids, now)
        looking = np.array([i for i in ids if self._executions[i].due(now)], int)
        if len(looking):
            for i in looking:
                self._executions[i].look(now, self.command[i])
            for i, chunk in zip(looking, decide(looking), strict=True):
                self._deciding[int(i)] = (now + self.delay, chunk)
            self._hand_over(looking, now)
        asked = [self._executions[i].command(now) for i in ids]
        moving = np.array([command is not None for command in asked])
        if moving.any():
            self._move(ids[moving], np.array([command for command in asked if command is not None]))
        if self._limiter is not None and not moving.all():
            held = ids[~moving]
            self.command[held, :-1] = self._limiter.brake(held)
        return self.command[ids]

    def row(self, lane: int) -> dict[str, int]:
        """What the table of episodes says of a lane."""
        held = self._executions[lane].held
        return {
            "clipped": int(self.clipped[lane]),
            **{name: held[reason] for name, reason in zip(HELD, REASONS, strict=True)},
        }

    def _move(self, ids: np.ndarray, asked: np.ndarray) -> None:
        self.command[ids] = asked
        if self._limiter is not None:
            self.command[ids, :-1], clipped = self._limiter.follow(ids, asked[:, :-1])
            self.clipped[ids] += clipped

    def _hand_over(self, ids: np.ndarray, now: int) -> None:
        for i in ids.tolist():
            if i in self._deciding and self._deciding[i][0] <= now:
                self._executions[i].decide(now, self._deciding.pop(i)[1])
