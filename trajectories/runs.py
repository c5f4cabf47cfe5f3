"""Runs of addresses that are held together, and where each address of them is found."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Runs:
    """Runs of addresses, ascending and apart, laid end to end."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def cover(cls, low: np.ndarray, high: np.ndarray, gap: int) -> "Runs":
        """The runs that cover intervals [low, high); those at most `gap` apart become one."""
        order = np.argsort(low, kind="stable")
        low, reached = low[order], np.maximum.accumulate(high[order])
        begins = np.flatnonzero(np.concatenate([[True], low[1:] > reached[:-1] + gap])) if len(low) else low
        ends = np.concatenate([begins[1:], [len(low)]])[: len(begins)] - 1
        return cls(low[begins], reached[ends])

    @property
    def rows(self) -> int:
        """Addresses covered."""
        return int((self.high - self.low).sum())

    @property
    def offset(self) -> np.ndarray:
        """Position of each run's first address, end to end."""
        return np.cumsum(self.high - self.low) - (self.high - self.low)

    def positions(self, address: np.ndarray) -> np.ndarray:
        """Positions of addresses that are covered."""
        run = np.searchsorted(self.low, address, side="right") - 1
        return address - self.low[run] + self.offset[run]

    def pieces(self, multiple: int) -> list[tuple[int, int, int]]:
        """The runs cut at multiples of a number: low, high and position of each piece."""
        found = []
        for low, high, offset in zip(self.low.tolist(), self.high.tolist(), self.offset.tolist(), strict=True):
            begin = low
            while begin < high:
                end = min(high, (begin // multiple + 1) * multiple)
                found.append((begin, end, offset + begin - low))
                begin = end
        return found
