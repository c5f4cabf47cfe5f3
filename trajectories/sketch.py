"""Quantiles of any amount of numbers in bounded memory: how often each value occurred, to eleven bits.

Every number is rounded to float32's sign, exponent and the first 10 bits of its mantissa, and the rounded values are
counted. So a quantile has the exact rank, and is off by at most 2^-11 of its size. Unlike sketches that sample or
cluster, this one depends on nothing but what was counted: parts can be counted in any order and grouping, and merging
them gives the same table. A column has at most 2^19 rounded values; a joint's recording has some thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from handful import InputError

# Largest distance of a quantile from the value that has its rank, as a share of that value.
RELATIVE_ERROR = 2.0**-11

# Bits of float32's mantissa that rounding drops.
_DROPPED = 13
# A rounded value's key lies between -_HALF and _HALF.
_HALF = 1 << (31 - _DROPPED)
_BITS = 32 - _DROPPED


@dataclass(frozen=True)
class Sketch:
    """How much weight each rounded value of each of D columns has; mergeable."""

    # Number of columns D.
    columns: int
    # Column and rounded value of each entry, ascending: column * 2^19 + key of the value, (K,) int64.
    keys: np.ndarray
    # Weight of each entry, (K,) float64: exact sums for whole-number weights, otherwise to rounding.
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weight: float = 1.0) -> "Sketch":
        """Count rows (N, D), each `weight` times.

        Raises:
            InputError: a value is not finite, or beyond float32's range.
        """
        values = np.asarray(values)
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        if not np.isfinite(single).all():
            row, column = np.argwhere(~np.isfinite(single))[0]
            raise InputError(
                f"statistics need finite numbers below 3.4e38; row {row}, column {column} is {values[row, column]}"
            )
        columns = values.shape[1]
        entries = _keys(single) + _HALF + (np.arange(columns, dtype=np.int64) << _BITS)
        keys, counts = np.unique(entries, return_counts=True)
        return cls(columns, keys, counts * float(weight))

    def merge(self, other: "Sketch") -> "Sketch":
        """The counts of both together.

        Raises:
            InputError: they count different numbers of columns.
        """
        if self.columns != other.columns:
            raise InputError(f"statistics of {self.columns} and of {other.columns} columns cannot be merged")
        keys, places = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        counts = np.bincount(places, weights=np.concatenate([self.counts, other.counts]), minlength=len(keys))
        return Sketch(self.columns, keys, counts)

    def quantiles(self, levels: Sequence[float]) -> np.ndarray:
        """For each level and column, the smallest value that at least that share of the weight does not exceed.

        Args:
            levels: in [0, 1].

        Returns:
            (len(levels), D) float64, each within RELATIVE_ERROR of the value that has the rank.

        Raises:
            InputError: a level is not in [0, 1], or nothing was counted.
        """
        wrong = [level for level in levels if not 0 <= level <= 1]
        if wrong:
            raise InputError(f"a quantile's level must be in [0, 1], got {wrong[0]}")
        result = np.empty((len(levels), self.columns))
        bounds = np.searchsorted(self.keys, np.arange(self.columns + 1, dtype=np.int64) << _BITS)
        for column, (first, last) in enumerate(pairwise(bounds)):
            if first == last:
                raise InputError("quantiles need at least one row of numbers; there is none")
            reached = np.cumsum(self.counts[first:last])
            # The margin keeps a level that falls between two values, but for rounding, on the lower one.
            places = np.searchsorted(reached, np.asarray(levels) * reached[-1] * (1 - 1e-12))
            chosen = self.keys[first + np.minimum(places, last - first - 1)]
            result[:, column] = _values((chosen & ((1 << _BITS) - 1)) - _HALF)
        return result


def _keys(single: np.ndarray) -> np.ndarray:
    """Rounded values of float32 numbers as integers of the same order, int64; 0.0 and -0.0 are one."""
    bits = single.view(np.int32) if single.flags.c_contiguous else np.ascontiguousarray(single).view(np.int32)
    magnitude = (bits & np.int32(0x7FFFFFFF)).astype(np.int64)
    # To nearest, ties to even; what would round up to infinity stays at the largest finite value.
    magnitude = (magnitude + (1 << (_DROPPED - 1)) - 1 + ((magnitude >> _DROPPED) & 1)) >> _DROPPED
    magnitude = np.minimum(magnitude, (0x7F800000 >> _DROPPED) - 1)
    return np.where(bits < 0, -magnitude, magnitude)


def _values(keys: np.ndarray) -> np.ndarray:
    """The inverse of `_keys`, float64."""
    magnitude = (np.abs(keys) << _DROPPED).astype(np.int32).view(np.float32).astype(np.float64)
    return np.where(keys < 0, -magnitude, magnitude)
