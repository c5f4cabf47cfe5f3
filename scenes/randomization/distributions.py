"""What a randomised value is drawn from: a fixed value, a range, a range in the logarithm, or one of several."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from handful import InputError

# Something that an axis may have: a number, a name, or whether something is so.
Value = float | str | bool


class Distribution(ABC):
    """A distribution of one value; compared by content, printed in words."""

    @abstractmethod
    def at(self, shares: np.ndarray) -> np.ndarray:
        """The values (n,) below which shares (n,) in [0, 1) of the draws lie: uniform numbers become draws."""

    @abstractmethod
    def share_below(self, values: np.ndarray) -> np.ndarray:
        """The share of draws that lie below each value (n,), in [0, 1]; of names: that come before it in order."""

    @abstractmethod
    def contains(self, value: Any) -> bool:
        """Whether it may draw this value."""

    @abstractmethod
    def to_plain(self) -> Any:
        """As JSON and YAML have it; `from_plain` of an axis reads it back."""

    @property
    @abstractmethod
    def support(self) -> tuple[float, float] | tuple[Value, ...]:
        """The two ends of a range; of anything else the values it draws."""

    @property
    def varies(self) -> bool:
        """Whether it draws more than one value."""
        return True

    def overlaps(self, other: "Distribution") -> bool:
        """Whether some value could be drawn from both."""
        if isinstance(self, _Range) and isinstance(other, _Range):
            return self.low <= other.high and other.low <= self.high
        drawn, against = (other, self) if isinstance(self, _Range) else (self, other)
        return any(against.contains(value) for value in drawn.support)


@dataclass(frozen=True)
class Fixed(Distribution):
    """Always the same value."""

    value: Value

    def __post_init__(self) -> None:
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise InputError(f"a fixed value must be finite, got {self.value}")

    def at(self, shares: np.ndarray) -> np.ndarray:
        return np.full(len(shares), self.value)

    def share_below(self, values: np.ndarray) -> np.ndarray:
        return np.array([0.0 if value == self.value else float(value > self.value) for value in values])

    def contains(self, value: Any) -> bool:
        return bool(value == self.value)

    def to_plain(self) -> Any:
        return self.value

    @property
    def support(self) -> tuple[Value, ...]:
        return (self.value,)

    @property
    def varies(self) -> bool:
        return False

    def __str__(self) -> str:
        return _spelled(self.value)


@dataclass(frozen=True)
class _Range(Distribution):
    """Between two ends, `low` < `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        kind = type(self).__name__
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InputError(f"{kind}'s {name} must be a finite number, got {value!r}")
        if self.low == self.high:
            raise InputError(f"{kind} from {self.low:g} to {self.high:g} is empty; for one value use Fixed")
        if self.low > self.high:
            raise InputError(f"{kind} from {self.low:g} to {self.high:g} is inverted; low must be below high")

    def contains(self, value: Any) -> bool:
        return not isinstance(value, str) and self.low <= value <= self.high

    @property
    def support(self) -> tuple[float, float]:
        return (self.low, self.high)


@dataclass(frozen=True)
class Uniform(_Range):
    """Anything from `low` to `high`, equally likely."""

    def at(self, shares: np.ndarray) -> np.ndarray:
        return np.clip(self.low + shares * (self.high - self.low), self.low, self.high)

    def share_below(self, values: np.ndarray) -> np.ndarray:
        return np.clip((np.asarray(values, float) - self.low) / (self.high - self.low), 0.0, 1.0)

    def to_plain(self) -> Any:
        return {"uniform": [self.low, self.high]}

    def __str__(self) -> str:
        return f"uniform {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class LogUniform(_Range):
    """Anything from `low` to `high`, equally likely in the logarithm: a factor of 1/2 as likely as one of 2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise InputError(f"LogUniform's low must be more than 0, got {self.low:g}")

    def at(self, shares: np.ndarray) -> np.ndarray:
        drawn = np.exp(math.log(self.low) + shares * (math.log(self.high) - math.log(self.low)))
        return np.clip(drawn, self.low, self.high)

    def share_below(self, values: np.ndarray) -> np.ndarray:
        inside = np.log(np.clip(np.asarray(values, float), self.low, self.high))
        return (inside - math.log(self.low)) / (math.log(self.high) - math.log(self.low))

    def to_plain(self) -> Any:
        return {"log_uniform": [self.low, self.high]}

    def __str__(self) -> str:
        return f"log-uniform {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice(Distribution):
    """One of several values, equally likely unless weights say otherwise."""

    values: tuple[Value, ...]
    # How likely each is, relative to the others; none: all alike.
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("Choice has no values; give at least one")
        if len(set(self.values)) != len(self.values):
            raise InputError(f"Choice has a value twice in {self.values}; use weights to make one likelier")
        if self.weights and (len(self.weights) != len(self.values) or min(self.weights) <= 0):
            raise InputError(f"Choice of {len(self.values)} values needs as many weights above 0, got {self.weights}")

    @cached_property
    def ends(self) -> list[float]:
        """The share of draws up to and with each value."""
        weights = np.array(self.weights or [1.0] * len(self.values))
        return (np.cumsum(weights) / weights.sum()).tolist()

    def pick(self, share: float) -> Value:
        """The value of one share in [0, 1)."""
        return self.values[min(bisect_right(self.ends, share), len(self.values) - 1)]

    def at(self, shares: np.ndarray) -> np.ndarray:
        return np.array([self.pick(share) for share in shares.tolist()], dtype=object)

    def share_below(self, values: np.ndarray) -> np.ndarray:
        starts = np.concatenate([[0.0], self.ends[:-1]])
        return np.array([starts[self.values.index(value)] for value in values])

    def contains(self, value: Any) -> bool:
        return value in self.values

    def to_plain(self) -> Any:
        plain: dict[str, Any] = {"choice": list(self.values)}
        return {**plain, "weights": list(self.weights)} if self.weights else plain

    @property
    def support(self) -> tuple[Value, ...]:
        return self.values

    @property
    def varies(self) -> bool:
        return len(self.values) > 1

    def __str__(self) -> str:
        named = [_spelled(value) for value in self.values]
        if self.weights:
            total = sum(self.weights)
            named = [f"{name} ({w / total:.0%})" for name, w in zip(named, self.weights, strict=True)]
        return "one of " + ", ".join(named)


def _spelled(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"
