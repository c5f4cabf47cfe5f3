"""What the numbers of a key are like, per dimension: needed to normalise them, and to notice that they changed.

A policy is only valid with the statistics it was trained with, so they have a hash that goes into its checkpoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import InputError
from trajectories.canonical import canonical_json, sha256
from trajectories.store import Store

# A dimension that hardly moves would be blown up to noise if divided by its own spread [the dimension's unit].
STD_FLOOR = 1e-2


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
    """Per dimension, each (D,) float64: moments, extremes and the 1 % and 99 % quantiles."""

    # Rows seen.
    count: int
    mean: np.ndarray
    # Population standard deviation, at least STD_FLOOR.
    std: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    q01: np.ndarray
    q99: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        names = ("mean", "std", "minimum", "maximum", "q01", "q99")
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


def describe(groups: Iterable[np.ndarray], weights: Iterable[float] | None = None) -> Statistics:
    """Statistics of groups of rows, each (N_i, D).

    Args:
        groups: for example one array per episode or per source; in a fixed order, or the last bits change.
        weights: total weight of each group, shared by its rows; None: all rows count alike.

    Raises:
        InputError: there are no rows.
    """
    filled = [np.asarray(group, dtype=np.float64) for group in groups]
    shares = [float(len(g)) for g in filled] if weights is None else list(weights)
    pairs = [(group, share / len(group)) for group, share in zip(filled, shares, strict=True) if len(group)]
    if not pairs:
        raise InputError("statistics need at least one row of numbers; there is none")
    moments = Moments.of(*pairs[0])
    for group, weight in pairs[1:]:
        moments = moments.merge(Moments.of(group, weight))
    rows = np.concatenate([group for group, _ in pairs])
    row_weights = np.repeat([weight for _, weight in pairs], [len(group) for group, _ in pairs])
    low, high = _quantiles(rows, row_weights, (0.01, 0.99))
    return Statistics(
        count=len(rows),
        mean=moments.mean,
        std=np.maximum(np.sqrt(moments.deviations / moments.count), STD_FLOOR),
        minimum=moments.minimum,
        maximum=moments.maximum,
        q01=low,
        q99=high,
    )


def _quantiles(rows: np.ndarray, weights: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """For each level and dimension, the smallest value that at least that share of the weight does not exceed."""
    order = np.argsort(rows, axis=0, kind="stable")
    reached = np.cumsum(weights[order], axis=0)
    result = np.empty((len(levels), rows.shape[1]))
    for column in range(rows.shape[1]):
        targets = np.array(levels) * reached[-1, column]
        positions = np.minimum(np.searchsorted(reached[:, column], targets * (1 - 1e-12)), len(rows) - 1)
        result[:, column] = rows[order[positions, column], column]
    return result


def store_statistics(store: Store, key: str) -> Statistics:
    """Statistics of one key over all episodes of a store; rows of more than one dimension are flattened."""
    return describe([rows.reshape(len(rows), -1) for rows in (store.read(index, key) for index in range(len(store)))])
