"""The order that a source's windows are learnt from: endless epochs, known at any place at once.

A frame read from a disk comes with its whole chunk, so frames drawn one by one waste nearly all that is read. Here a
source's frames are cut into blocks of whole chunks; each epoch permutes the blocks, takes a pool of them at a time, and
permutes the windows of the pool. Every frame comes once per epoch, every chunk is read once per pool, and memory holds
a few pools however large the data is. The order depends on the data's shape and the seed, never on the machine, and is
the same whether the data is streamed or resident.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from trajectories.blocks import Blocks

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
