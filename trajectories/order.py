"""The order that windows are learnt from: endless epochs over each source, mixed by weight, known at any step at once.

A frame read from a disk comes with its whole chunk, so frames drawn one by one waste nearly all that is read. Here a
source's frames are cut into blocks of whole chunks; each epoch permutes the blocks, takes a pool of them at a time, and
permutes the windows of the pool. Every frame comes once per epoch, every chunk is read once per pool, and memory holds
a few pools however large the data is. The order depends on the data's shape and the seed, never on the machine, and is
the same whether the data is streamed or resident.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from handful import InputError

# Windows after which the mix of sources repeats; every source gives its exact share of them.
PERIOD = 1 << 16
# Bytes of a pool's windows, all sources together.
POOL_BYTES = 256_000_000
# A source of small weight still draws from so many blocks at a time.
POOL_BLOCKS = 16
# However small a window is, a pool holds no more of them.
POOL_WINDOWS = 1 << 17
K = TypeVar("K")
V = TypeVar("V")

# Epochs whose order is kept: the current one, and its neighbour while windows of both are asked for.
_EPOCHS = 2
# Pools of a source whose windows are kept.
_POOLS = 4


def pool_windows(window_bytes: int, share: float, block_rows: int) -> int:
    """How many windows of a source to draw from at a time.

    Args:
        window_bytes: what a frame of it takes in memory.
        share: the source's share of the samples.
        block_rows: frames of a block.
    """
    wanted = int(POOL_BYTES * share / max(window_bytes, 1))
    return min(max(wanted, POOL_BLOCKS * block_rows), max(POOL_WINDOWS, POOL_BLOCKS * block_rows))


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


@dataclass(frozen=True)
class Pool:
    """The windows of some blocks, in the order they are drawn."""

    # Indices of the blocks, ascending.
    blocks: np.ndarray
    # Episode and step of each window, (P,) int64.
    episode: np.ndarray
    step: np.ndarray


class Draw(NamedTuple):
    """Some windows of one pool."""

    epoch: int
    pool: int
    # Which of the positions asked for these are, (K,).
    rows: np.ndarray
    # Their places in the pool, (K,).
    places: np.ndarray


class Order:
    """The endless sequence of one source's windows. Safe to use from several threads."""

    def __init__(self, blocks: Blocks, windows: int, seed: int, stream: tuple[int, ...]) -> None:
        """Args:
        blocks: what is drawn from; at least one frame.
        windows: windows of a pool, about.
        seed: of the order.
        stream: sets the order apart from every other use of the seed.
        """
        self.blocks = blocks
        self.frames = blocks.frames
        self.pools = max(1, -(-self.frames // max(windows, 1)))
        self._seed, self._stream = seed, stream
        self._lock = threading.Lock()
        self._epochs: OrderedDict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = OrderedDict()
        self._drawn: OrderedDict[tuple[int, int], Pool] = OrderedDict()

    def locate(self, positions: np.ndarray) -> Iterator[Draw]:
        """Where in the epochs and pools the windows at some positions of the sequence, ascending, are."""
        epochs = positions // self.frames
        for epoch in np.unique(epochs).tolist():
            of_epoch = np.flatnonzero(epochs == epoch)
            offsets = positions[of_epoch] - epoch * self.frames
            begins = self._epoch(epoch)[2]
            pools = np.searchsorted(begins, offsets, side="right") - 1
            for pool in np.unique(pools).tolist():
                chosen = pools == pool
                yield Draw(epoch, pool, of_epoch[chosen], offsets[chosen] - begins[pool])

    def pool(self, epoch: int, pool: int) -> Pool:
        """The windows of one pool."""
        with self._lock:
            if (epoch, pool) in self._drawn:
                self._drawn.move_to_end((epoch, pool))
                return self._drawn[epoch, pool]
        order, cuts, _ = self._epoch(epoch)
        blocks = np.sort(order[cuts[pool] : cuts[pool + 1]])
        episode, begin, end = self.blocks.fragments(blocks)
        count = end - begin
        which = np.repeat(np.arange(len(count)), count)
        step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + begin[which]
        shuffled = self._generator(epoch, 1 + pool).permutation(len(step))
        drawn = Pool(blocks, episode[which][shuffled], step[shuffled])
        with self._lock:
            return _keep(self._drawn, (epoch, pool), drawn, _POOLS)

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Blocks in the order of an epoch (B,), where each pool begins among them and the last ends (pools + 1,), and
        the windows before each pool (pools,)."""
        with self._lock:
            if epoch in self._epochs:
                self._epochs.move_to_end(epoch)
                return self._epochs[epoch]
        order = self._generator(epoch, 0).permutation(len(self.blocks))
        ends = np.cumsum(self.blocks.windows[order])
        # Pools of about the same number of windows: each begins with the first block past its share.
        targets = np.arange(1, self.pools) * (self.frames / self.pools)
        cuts = np.concatenate([[0], np.searchsorted(ends, targets, side="left") + 1, [len(order)]])
        # Where blocks are larger than pools, some of these are empty.
        cuts = np.unique(np.minimum(cuts, len(order)))
        begins = np.concatenate([[0], ends])[cuts[:-1]]
        with self._lock:
            return _keep(self._epochs, epoch, (order.astype(np.int32), cuts, begins), _EPOCHS)

    def following(self, epoch: int, pool: int) -> tuple[int, int]:
        """Epoch and pool that come after these."""
        return (epoch, pool + 1) if pool + 2 < len(self._epoch(epoch)[1]) else (epoch + 1, 0)

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(*self._stream, *key))))


def _keep(kept: OrderedDict[K, V], key: K, value: V, most: int) -> V:
    value = kept.setdefault(key, value)
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
    return value


class Mix:
    """Which source each window of a blend comes from, and how many it gave before.

    The bits of a window's number within a period, reversed, are compared with the cumulated shares (van der Corput's
    sequence): over a period every source gives its exact share, rounded to 1 / PERIOD, and over any run of windows
    nearly that.
    """

    def __init__(self, shares: Sequence[float], seed: int, stream: tuple[int, ...]) -> None:
        """Args:
        shares: of each source, adding up to 1.
        seed: shifts the sequence.
        stream: sets the shift apart from every other use of the seed.
        """
        if len(shares) > PERIOD:
            raise InputError(f"a blend takes at most {PERIOD} sources, got {len(shares)}; merge some of them first")
        self._counts = _apportion(np.asarray(shares, np.float64))
        shift = np.random.SeedSequence(seed, spawn_key=stream).generate_state(1)[0] % PERIOD
        turned = np.zeros(PERIOD, np.int64)
        for bit in range(PERIOD.bit_length() - 1):
            turned |= ((np.arange(PERIOD) >> bit) & 1) << (PERIOD.bit_length() - 2 - bit)
        self._source = np.searchsorted(np.cumsum(self._counts), turned ^ int(shift), side="right")
        by_source = np.argsort(self._source, kind="stable")
        self._before = np.empty(PERIOD, np.int64)
        self._before[by_source] = np.arange(PERIOD) - np.repeat(np.cumsum(self._counts) - self._counts, self._counts)

    def locate(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Source of each of `count` windows from the `first` on, and its place among that source's, (count,) each."""
        period, place = np.divmod(np.arange(first, first + count), PERIOD)
        source = self._source[place]
        return source, period * self._counts[source] + self._before[place]


def _apportion(shares: np.ndarray) -> np.ndarray:
    """Windows of each source in a period: its share by largest remainder, at least one."""
    exact = shares / shares.sum() * PERIOD
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    while counts.sum() < PERIOD:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > PERIOD:
        counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
    return counts
