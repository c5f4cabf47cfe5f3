"""What the numbers of a key are like, per dimension: needed to normalise them, and to notice that they changed.

Everything is counted as it streams by, in bounded memory, and what was counted apart can be merged: the statistics of
two stores together are those of their rows. A policy is only valid with the statistics it was trained with, so they
have a hash.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import InputError
from trajectories.canonical import canonical_json, sha256
from trajectories.dataset import Dataset
from trajectories.sketch import Sketch

# A dimension that hardly moves would be blown up to noise if divided by its own spread [the dimension's unit].
STD_FLOOR = 1e-2
# Numbers that are counted at once. Rows are regrouped to this size, so that how they arrive changes no bit.
_BLOCK = 1 << 20

# Rows (N, D), or rows and how often each of them counts.
Group = np.ndarray | tuple[np.ndarray, float]


@dataclass(frozen=True)
class Moments:
    """Count, mean, summed squared deviations and extremes per dimension; mergeable, so parts can be read one by one."""

    count: float
    mean: np.ndarray
    deviations: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weight: float = 1.0) -> "Moments":
        """Moments of rows (N, D), N >= 1, each counting `weight` times."""
        values = np.asarray(values, dtype=np.float64)
        mean = values.mean(axis=0)
        deviations = ((values - mean) ** 2).sum(axis=0)
        return cls(weight * len(values), mean, weight * deviations, values.min(axis=0), values.max(axis=0))

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both together (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        shift = other.mean - self.mean
        return Moments(
            count,
            self.mean + shift * (other.count / count),
            self.deviations + other.deviations + shift**2 * (self.count * other.count / count),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )


@dataclass(frozen=True)
class Statistics:
    """Per dimension, each (D,) float64: moments, extremes and quantiles."""

    # Rows seen.
    count: int
    mean: np.ndarray
    # Population standard deviation, at least the floor: STD_FLOOR unless another was asked for.
    std: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    # Quantiles, within 2^-11 of the size of the value that has the rank.
    q01: np.ndarray
    median: np.ndarray
    q99: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        names = ("mean", "std", "minimum", "maximum", "q01", "median", "q99")
        return {"count": self.count, **{name: getattr(self, name).tolist() for name in names}}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Statistics":
        """The inverse of `to_json`."""
        arrays = {name: np.array(value, dtype=np.float64) for name, value in record.items() if name != "count"}
        return cls(count=record["count"], **arrays)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return sha256(canonical_json(self.to_json(), "statistics"))


@dataclass(frozen=True)
class Summary:
    """All that is kept of rows of D numbers while they stream by; mergeable."""

    # Rows seen, whatever they weigh.
    count: int
    moments: Moments
    sketch: Sketch

    @classmethod
    def of(cls, rows: np.ndarray, weight: float = 1.0) -> "Summary":
        """Summary of rows (N, D), N >= 1, each counting `weight` times."""
        return cls(len(rows), Moments.of(rows, weight), Sketch.of(rows, weight))

    def merge(self, other: "Summary") -> "Summary":
        """Summary of both together: counts and quantiles exactly, moments to rounding.

        Raises:
            InputError: their numbers of columns differ.
        """
        sketch = self.sketch.merge(other.sketch)
        return Summary(self.count + other.count, self.moments.merge(other.moments), sketch)

    def quantile(self, levels: Sequence[float]) -> np.ndarray:
        """Quantiles (len(levels), D) at levels in [0, 1]: see `Sketch.quantiles`; never outside what was seen."""
        return np.clip(self.sketch.quantiles(levels), self.moments.minimum, self.moments.maximum)

    def statistics(self, floor: float = STD_FLOOR) -> Statistics:
        """What users of the numbers need, the standard deviation being at least `floor`."""
        low, middle, high = self.quantile((0.01, 0.5, 0.99))
        moments = self.moments
        std = np.maximum(np.sqrt(moments.deviations / moments.count), floor)
        return Statistics(self.count, moments.mean, std, moments.minimum, moments.maximum, low, middle, high)


def summarise(groups: Iterable[Group]) -> Summary | None:
    """Summary of rows that arrive in groups, in memory for about a million numbers; None if there are no rows.

    The same rows in the same order give the same bits, however they are cut into groups.

    Args:
        groups: rows (N_i, D) that count once each, or (rows, how often each of them counts).

    Raises:
        InputError: numbers of columns differ, a weight is not positive, or a value is not finite.
    """
    stream = _Stream(_BLOCK)
    for group in groups:
        stream.add(*(group if isinstance(group, tuple) else (group, 1.0)))
    return stream.finish()


def summarise_chunks(windows: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[Summary | None, ...]:
    """Summary at each position of a chunk of H steps; None where no window reaches.

    Args:
        windows: groups of windows: values (N_i, H, D), and which of them count, (N_i, H) bool.

    Raises:
        InputError: lengths of chunks differ, or see `summarise`.
    """
    streams: list[_Stream] = []
    for values, mask in windows:
        streams = streams or [_Stream(_BLOCK // values.shape[1]) for _ in range(values.shape[1])]
        if values.shape[:2] != mask.shape or len(streams) != mask.shape[1]:
            raise InputError(
                f"windows of {len(streams)} steps need values (N, {len(streams)}, D) and a mask (N, {len(streams)}), "
                f"got {values.shape} and {mask.shape}"
            )
        for position, stream in enumerate(streams):
            stream.add(values[mask[:, position], position])
    return tuple(stream.finish() for stream in streams)


def describe_stream(groups: Iterable[Group], floor: float = STD_FLOOR) -> Statistics:
    """Statistics of rows that arrive in groups (see `summarise`), the standard deviation being at least `floor`.

    Raises:
        InputError: there are no rows, or see `summarise`.
    """
    summary = summarise(groups)
    if summary is None:
        raise InputError("statistics need at least one row of numbers; there is none")
    return summary.statistics(floor)


def chunk_statistics(
    windows: Iterable[tuple[np.ndarray, np.ndarray]], floor: float = STD_FLOOR
) -> tuple[Statistics, ...]:
    """Statistics at each position of a chunk of H steps.

    The first step of a chunk of relative actions hardly moves and the last moves far; both should count alike.

    Args:
        windows: see `summarise_chunks`; they are read once.
        floor: least standard deviation.

    Returns:
        H statistics. A position that no window reaches is like the last one before it that some window does.

    Raises:
        InputError: no window reaches the first position, or see `summarise_chunks`.
    """
    result: list[Statistics] = []
    for summary in summarise_chunks(windows):
        if summary is not None:
            result.append(summary.statistics(floor))
        elif result:
            result.append(result[-1])
    if not result:
        raise InputError("statistics of chunks need at least one window of data; there is none")
    return tuple(result)


def store_statistics(store: Dataset, key: str) -> Statistics:
    """Statistics of one key over all episodes of a store or view; rows of more than one dimension are flattened."""
    return describe_stream(_flat(store.read(index, key)) for index in range(len(store)))


def _flat(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(len(rows), -1)


class _Stream:
    """Summarises rows as they come, in blocks of a fixed number of rows of one weight each."""

    def __init__(self, numbers: int) -> None:
        """Start a stream that holds about `numbers` numbers at a time."""
        self._numbers = numbers
        self._held: list[np.ndarray] = []
        self._rows = 0
        self._weight = 1.0
        self._columns: int | None = None
        self._summary: Summary | None = None

    def add(self, rows: np.ndarray, weight: float = 1.0) -> None:
        rows = np.asarray(rows)
        if rows.ndim != 2:
            raise InputError(f"statistics need rows of numbers (N, D), got an array of shape {rows.shape}")
        if self._columns not in (None, rows.shape[1]):
            raise InputError(f"statistics of {self._columns} and of {rows.shape[1]} columns cannot be merged")
        self._columns = rows.shape[1]
        if len(rows) == 0:
            return
        if not (np.isfinite(weight) and weight > 0):
            raise InputError(f"a weight must be a positive number, got {weight}")
        if weight != self._weight:
            self._summarise()
        self._weight, size = weight, max(1, self._numbers // max(1, self._columns))
        while len(rows):
            # A copy, because the caller may use its array again for the next group.
            taken = rows[: size - self._rows].copy()
            self._held.append(taken)
            self._rows += len(taken)
            rows = rows[len(taken) :]
            if self._rows == size:
                self._summarise()

    def finish(self) -> Summary | None:
        self._summarise()
        return self._summary

    def _summarise(self) -> None:
        if self._rows:
            part = Summary.of(np.concatenate(self._held), self._weight)
            self._summary = part if self._summary is None else self._summary.merge(part)
            self._held, self._rows = [], 0
