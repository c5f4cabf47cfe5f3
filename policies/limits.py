"""What may be sent to an arm's joints: a command beyond a limit is brought back to it, and counted.

A chunk of a policy is no plan that anyone checked. Between it and the servos stand three bounds, on position, speed and
acceleration, kept in this order: an arm that must stop before the end of a joint brakes in time for it.
"""

from dataclasses import dataclass

import numpy as np

from handful import InputError

# Commands that differ by less count as the same [rad]; what differs by rounding alone is not changed at all.
_SAME, _ROUNDING = 1e-6, 1e-12


@dataclass(frozen=True)
class JointLimits:
    """Bounds of J joints.

    Attributes:
        lower, upper: (J,) positions [rad].
        speed: (J,) largest speed [rad/s].
        acceleration: (J,) largest acceleration [rad/s^2]; infinite where there is none.
    """

    lower: np.ndarray
    upper: np.ndarray
    speed: np.ndarray
    acceleration: np.ndarray

    def __post_init__(self) -> None:
        shapes = {np.shape(value) for value in (self.lower, self.upper, self.speed, self.acceleration)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise InputError(f"joint limits must be four arrays of one length, got shapes {sorted(shapes)}")
        if not (self.lower < self.upper).all():
            joint = int(np.flatnonzero(~(self.lower < self.upper))[0])
            raise InputError(f"joint {joint}: the lower limit must be below the upper one, got {self.lower[joint]}")
        for name in ("speed", "acceleration"):
            if not (getattr(self, name) > 0).all():
                raise InputError(f"the largest {name} of every joint must be positive, got {getattr(self, name)}")


class Limiter:
    """Follows the commands to n arms as closely as the limits allow.

    As long as all of them keep the limits, they pass unchanged. One that does not is followed at the largest speed that
    can still be braked, so that the arm neither overshoots for long nor swings: with e the distance to the command, dt
    the period and a the acceleration, v dt + v^2 / (2 a) <= e, that is v <= sqrt(a^2 dt^2 + 2 a e) - a dt.

    Args:
        limits: of the joints.
        period: from one command to the next [s].
        start: (n, J) the commands in force, at rest [rad].
    """

    def __init__(self, limits: JointLimits, period: float, start: np.ndarray) -> None:
        if not period > 0:
            raise InputError(f"the period of commands must be positive, got {period} s")
        self.limits, self.period = limits, period
        self.sent = np.array(start, float)
        self.asked = self.sent.copy()
        self.speed = np.zeros_like(self.sent)

    def follow(self, rows: np.ndarray, command: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next command of some arms.

        Args:
            rows: (m,) which of the n arms.
            command: (m, J) joint targets asked for [rad].

        Returns:
            (m, J) joint targets to send [rad], and (m,) whether they differ from what was asked for.
        """
        asked = np.asarray(command, float)
        behind = self.asked[rows] - self.sent[rows]
        wanted = (asked - self.asked[rows]) / self.period + self._closing(behind)
        sent = self._move(rows, wanted)
        # What passes does so to the bit.
        inside = (asked >= self.limits.lower) & (asked <= self.limits.upper)
        sent = np.where(inside & (np.abs(sent - asked) < _ROUNDING), asked, sent)
        self.asked[rows], self.sent[rows] = asked, sent
        return sent, (np.abs(sent - asked) > _SAME).any(axis=1)

    def brake(self, rows: np.ndarray) -> np.ndarray:
        """The next command of arms that are to stop where they are: at rest as soon as the limits allow, (m, J)."""
        sent = self._move(rows, np.zeros_like(self.sent[rows]))
        self.asked[rows] = sent
        return sent

    def _closing(self, distance: np.ndarray) -> np.ndarray:
        """The speed at which a distance is made up for: at once where a step's acceleration stops it again."""
        change = self.limits.acceleration * self.period
        at_once = np.abs(distance) / self.period
        return np.sign(distance) * np.where(at_once <= change, at_once, self._stoppable(np.abs(distance)))

    def _stoppable(self, distance: np.ndarray) -> np.ndarray:
        """The largest speed after which an arm still comes to rest within a distance."""
        a, dt = self.limits.acceleration, self.period
        with np.errstate(invalid="ignore"):
            speed = np.sqrt((a * dt) ** 2 + 2 * a * distance) - a * dt
        return np.where(np.isinf(a), distance / dt, speed)

    def _move(self, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        limits, before, here = self.limits, self.speed[rows], self.sent[rows]
        change = limits.acceleration * self.period
        speed = np.clip(wanted, before - change, before + change)
        speed = np.clip(speed, -limits.speed, limits.speed)
        up, down = np.maximum(limits.upper - here, 0), np.maximum(here - limits.lower, 0)
        speed = np.clip(speed, -self._stoppable(down), self._stoppable(up))
        # Rounding of the line above must not leave the range.
        sent = np.clip(here + speed * self.period, limits.lower, limits.upper)
        self.speed[rows], self.sent[rows] = speed, sent
        return sent
