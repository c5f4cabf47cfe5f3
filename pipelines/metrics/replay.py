"""Replay divergence: how far the same commands lead two systems apart, in millimetres after a second.

It needs no policy and no success, and tells control gaps of any cause (latency, gains, backlash, friction) on one
scale. Whole episodes will not do: after a contact the smallest difference grows without bound, so replays start anew
from the recorded state every so often, and the error is that at a given time after the start.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from handful import InputError


@dataclass(frozen=True)
class Divergence:
    """Distances between a recording and its replay, `horizon` after each common start."""

    # Time after the start [s].
    horizon: float
    # (S,) distance of each segment [mm].
    millimetres: np.ndarray

    @property
    def median(self) -> float:
        """Of the segments [mm]."""
        return float(np.median(self.millimetres))

    @property
    def mean(self) -> float:
        """Of the segments [mm]."""
        return float(self.millimetres.mean())

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of the median, from order statistics: no law of the distances is assumed; wide, with few segments [mm]."""
        from scipy.stats import binom

        n = len(self.millimetres)
        ordered = np.concatenate([[0.0], np.sort(self.millimetres), [np.inf]])
        low = int(binom.ppf((1 - confidence) / 2, n, 0.5))
        return float(ordered[low]), float(ordered[n + 1 - low])


def replay_divergence(recorded: ArrayLike, replayed: ArrayLike, *, rate: float, horizon: float = 1.0) -> Divergence:
    """Distance of two systems under the same commands.

    Args:
        recorded: (S, T, 3) positions of the tool [m] in S segments, row 0 at the common start.
        replayed: (S, T, 3) the same of the other system, set to the recorded state at the start of each segment.
        rate: rows per second [Hz].
        horizon: how long after the start [s].

    Raises:
        InputError: shapes differ, the segments are shorter than the horizon, or do not start together (1 mm).
    """
    a, b = np.asarray(recorded, float), np.asarray(replayed, float)
    if a.shape != b.shape or a.ndim != 3 or a.shape[-1] != 3 or not len(a):
        raise InputError(f"positions must be two arrays (segments, rows, 3), got {a.shape} and {b.shape}")
    row = round(horizon * rate)
    if row < 1 or row >= a.shape[1]:
        raise InputError(
            f"{horizon:g} s at {rate:g} Hz is row {row}; segments here have rows 0 (the start) to {a.shape[1] - 1}"
        )
    apart = 1000 * np.linalg.norm(a[:, 0] - b[:, 0], axis=-1)
    if apart.max() > 1:
        raise InputError(
            f"segment {int(apart.argmax())} starts {apart.max():.1f} mm apart; set the recorded state first"
        )
    return Divergence(horizon, 1000 * np.linalg.norm(a[:, row] - b[:, row], axis=-1))


def segments(values: ArrayLike, length: int) -> np.ndarray:
    """Cut (T, ...) rows of an episode into (S, length + 1, ...): each starts where the one before ended."""
    rows = np.asarray(values)
    if length < 1 or len(rows) <= length:
        raise InputError(f"an episode of {len(rows)} rows has no segment of {length} steps")
    starts = np.arange((len(rows) - 1) // length) * length
    return rows[starts[:, None] + np.arange(length + 1)]


def rotation_angles(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Geodesic angles between unit quaternions (..., 4), w x y z [rad], in [0, pi].

    arcsin(|R - R'| / (2 sqrt 2)), as published code has it, is half of this.
    """
    p, q = np.asarray(a, float), np.asarray(b, float)
    dot = np.abs((p * q).sum(axis=-1)) / (np.linalg.norm(p, axis=-1) * np.linalg.norm(q, axis=-1))
    # The cosine of a small angle has lost its digits; the sine, from the difference, has not.
    nearer = np.where(((p * q).sum(axis=-1) < 0)[..., None], -q, q)
    sine = np.linalg.norm(p - nearer, axis=-1) / 2
    return np.asarray(np.where(dot > 0.9, 4 * np.arcsin(np.clip(sine, 0, 1)), 2 * np.arccos(np.clip(dot, 0, 1))))
