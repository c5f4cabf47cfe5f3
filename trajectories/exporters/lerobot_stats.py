"""Statistics as LeRobot's format keeps them: of every feature, of each episode and of all.

Numbers per column; images per channel in 0..1, of every pixel of every frame: a byte has 256 values, so counting them
is exact.
"""

from typing import Any

import numpy as np

from trajectories.statistics import Summary

STATISTICS = ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99")
_LEVELS = (0.01, 0.1, 0.5, 0.9, 0.99)

Record = dict[str, Any]


def _record(least: Any, most: Any, mean: Any, std: Any, count: int, quantiles: np.ndarray, image: bool) -> Record:
    def spell(values: Any) -> list[Any]:
        column = np.asarray(values, np.float64)
        return list((column / 255).reshape(3, 1, 1).tolist() if image else column.tolist())

    names = STATISTICS[:4] + STATISTICS[5:]
    values = (least, most, mean, std, *quantiles)
    record = {name: spell(value) for name, value in zip(names, values, strict=True)} | {"count": [count]}
    return {name: record[name] for name in STATISTICS}


class NumberStatistics:
    """Statistics of a feature of numbers."""

    def __init__(self) -> None:
        self._all: Summary | None = None

    def add(self, rows: np.ndarray) -> Record:
        """Take in an episode's rows (T, D), and give their own statistics."""
        rows = rows.astype(np.float64)
        part = Summary.of(rows)
        self._all = part if self._all is None else self._all.merge(part)
        return _record(
            rows.min(axis=0),
            rows.max(axis=0),
            rows.mean(axis=0),
            rows.std(axis=0),
            len(rows),
            np.quantile(rows, _LEVELS, axis=0),
            False,
        )

    def total(self) -> Record:
        """Statistics of all episodes together; quantiles within 2^-11 of the size of the value."""
        assert self._all is not None  # an export has episodes
        moments = self._all.moments
        std = np.sqrt(moments.deviations / moments.count)
        quantiles = self._all.quantile(_LEVELS)
        return _record(moments.minimum, moments.maximum, moments.mean, std, self._all.count, quantiles, False)


class ImageStatistics:
    """Statistics of a feature of images."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), np.int64)
        self._frames = 0

    def add(self, frames: np.ndarray) -> Record:
        """Take in an episode's frames (T, H, W, 3) uint8, and give their own statistics."""
        counts = np.stack([np.bincount(frames[..., channel].ravel(), minlength=256) for channel in range(3)])
        self._counts += counts
        self._frames += len(frames)
        return _of_counts(counts, len(frames))

    def total(self) -> Record:
        """Statistics of all episodes together."""
        return _of_counts(self._counts, self._frames)


def _of_counts(counts: np.ndarray, frames: int) -> Record:
    """Statistics of bytes of which each value was counted, (3, 256)."""
    values = np.arange(256)
    pixels = counts.sum(axis=1)
    mean = counts @ values / pixels
    std = np.sqrt(np.maximum(counts @ values**2 / pixels - mean**2, 0))
    seen = counts > 0
    least, most = seen.argmax(axis=1), 255 - seen[:, ::-1].argmax(axis=1)
    ranks = np.cumsum(counts, axis=1)
    quantiles = np.array([(ranks >= level * pixels[:, None]).argmax(axis=1) for level in _LEVELS])
    return _record(least, most, mean, std, frames, quantiles, True)
