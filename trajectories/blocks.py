"""A source's frames on one line of addresses, cut into blocks of whole chunks: what is read together.

Rows of one part follow each other on the line as they do in its files, so a run of addresses is a run of rows, whatever
episodes it spans.
"""

from dataclasses import dataclass, field

import numpy as np


def addresses(place: np.ndarray, first: np.ndarray, length: np.ndarray, rows: int, room: int) -> np.ndarray:
    """Lay the parts of a source out on one line: the address of each episode's first step, (N,) int64.

    Args:
        place: which part holds each episode, (N,); parts are told apart by it and laid out in its order.
        first: row of the episode's first step in its part, (N,).
        length: steps of each episode, (N,).
        rows: every part begins at a multiple of it.
        room: least distance between the last address of a part and the first of the next.
    """
    _, part = np.unique(place, return_inverse=True)
    size = np.zeros(part.max(initial=-1) + 1, np.int64)
    np.maximum.at(size, part, first + length)
    spans = (size + room + rows) // rows * rows
    return np.asarray((np.cumsum(spans) - spans)[part] + first, np.int64)


@dataclass(frozen=True)
class Blocks:
    """The frames of one split of a source, cut at multiples of `rows` on its line of addresses.

    A frame's address is its episode's first address plus its step. Addresses of one part follow each other as its rows
    do, and parts begin at multiples of `rows`, so a block never spans two parts and covers whole chunks.
    """

    rows: int
    # The split's episodes in order of address, with the addresses of their first step and after their last, (E,) each.
    episode: np.ndarray = field(repr=False)
    start: np.ndarray = field(repr=False)
    stop: np.ndarray = field(repr=False)
    # Blocks that hold a frame of the split: address / rows, ascending, and the frames of the split in each, (B,) each.
    number: np.ndarray = field(repr=False)
    windows: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.number)

    @property
    def frames(self) -> int:
        """Number of frames of the split."""
        return int(self.windows.sum())

    @classmethod
    def cut(cls, address: np.ndarray, length: np.ndarray, chosen: np.ndarray, rows: int) -> "Blocks":
        """Cut the chosen episodes.

        Args:
            address: of each episode's first step, (N,) int64.
            length: steps of each episode, (N,).
            chosen: whether an episode is of the split, (N,) bool.
            rows: frames of a block.
        """
        episode = np.flatnonzero(chosen)
        episode = episode[np.argsort(address[episode], kind="stable")]
        start = address[episode]
        stop = start + length[episode]
        _, number, begin, end = _fragments(start, stop, rows)
        blocks, inverse = np.unique(number, return_inverse=True)
        windows = np.bincount(inverse, weights=end - begin, minlength=len(blocks)).astype(np.int64)
        return cls(rows, episode, start, stop, blocks, windows)

    def fragments(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The split's runs of frames in some blocks, by address.

        Args:
            chosen: indices of blocks, ascending.

        Returns:
            Episode, first step and step after the last of each run, (F,) int64 each.
        """
        low = self.number[chosen] * self.rows
        first = np.searchsorted(self.stop, low, side="right")
        last = np.searchsorted(self.start, low + self.rows, side="left")
        count = last - first
        which = np.repeat(np.arange(len(chosen)), count)
        row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[which]
        begin = np.maximum(self.start[row], low[which]) - self.start[row]
        end = np.minimum(self.stop[row], low[which] + self.rows) - self.start[row]
        return self.episode[row], begin, end


def _fragments(start: np.ndarray, stop: np.ndarray, rows: int) -> tuple[np.ndarray, ...]:
    """Intervals cut at multiples of `rows`: interval, block number, start and stop of each piece."""
    first, last = start // rows, (stop - 1) // rows
    count = last - first + 1
    interval = np.repeat(np.arange(len(start)), count)
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[interval]
    begin = np.maximum(start[interval], number * rows)
    end = np.minimum(stop[interval], (number + 1) * rows)
    return interval, number, begin, end
