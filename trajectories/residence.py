"""Where a blend's frames are while they are learnt from: all in memory, all on a device, or a few pools at a time.

Whatever holds frames is a `Shelf`: runs of rows, read in small units by however many threads need them. A resident
blend has one shelf with everything; a streamed one has a shelf for the pool that is drawn from and fills the next
meanwhile, each batch reading its share, so that neither a thread of its own nor a long pause is needed.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from handful import InputError, unknown_name
from trajectories.device import device_memory
from trajectories.memory import available_memory
from trajectories.order import Order, pool_windows
from trajectories.shelf import Frames, Shelf
from trajectories.sources import OpenSource, WindowSpec

Residence = Literal["memory", "stream", "device"]
RESIDENCES: tuple[Residence, ...] = ("memory", "stream", "device")

# Share of the free memory that the data may take.
_MEMORY_SHARE = 0.6
# Bytes per episode of what is known of it without reading it.
_EPISODE_BYTES = 100
# Bytes per block of the order of windows.
_BLOCK_BYTES = 32
# Pools of a source in memory: the one drawn from, the next, and one more while windows of three are in the making.
SHELVES = 3
# Threads that read what is to be resident, where there are as many cores.
_LOADING_THREADS = 8


def source_pool(source: OpenSource, spec: WindowSpec) -> int:
    """How many windows of a source are drawn from at a time."""
    return pool_windows(source.window_bytes(spec.cameras), source.share, source.block_rows)


def whole_shelf(sources: Sequence[OpenSource], spec: WindowSpec, device: str | None) -> Shelf:
    """A shelf with every frame of every source, complete."""
    everything = [Frames.of(s, np.arange(s.episodes), np.zeros(s.episodes, np.int64)) for s in sources]
    frames = Frames(
        *(np.concatenate([getattr(f, name) for f in everything]) for name in ("address", "before", "after"))
    )
    shelf = Shelf(sources, spec, spec.cameras, frames, frames.address + frames.after + 1, bridge=False, device=device)
    # Decompressing lets other threads run.
    threads = min(_LOADING_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(shelf.complete) for _ in range(threads)]:
            done.result()
    return shelf


class Stream:
    """The shelves of the pools that are being drawn from. Safe to use from several threads."""

    def __init__(self, sources: Sequence[OpenSource], spec: WindowSpec) -> None:
        self._sources, self._spec = sources, spec
        self._lock = threading.Lock()
        self._shelves: dict[tuple[str, int], OrderedDict[tuple[int, int], Shelf]] = {}

    def shelf(self, split: str, source: int, order: Order, epoch: int, pool: int) -> Shelf:
        """The shelf of one pool; complete or not."""
        # A source of one pool has the same frames in all epochs.
        key = (epoch, pool) if order.pools > 1 else (0, 0)
        with self._lock:
            shelves = self._shelves.setdefault((split, source), OrderedDict())
            if key not in shelves or shelves[key].failed:
                shelves[key] = self._lay_out(source, order, epoch, pool)
            shelves.move_to_end(key)
            while len(shelves) > SHELVES:
                shelves.popitem(last=False)
            return shelves[key]

    def read_ahead(self, split: str, source: int, order: Order, epoch: int, pool: int, drawn: int, last: int) -> None:
        """Fill the shelf after a pool's, as far as the pool itself is used up.

        Args:
            drawn: windows that this batch drew from the pool.
            last: place of the last of them in it.
        """
        if order.pools == 1:
            return
        total = len(order.pool(epoch, pool).step)
        shelf = self.shelf(split, source, order, *order.following(epoch, pool))
        # No more than twice what keeps pace, so that a batch drawn on its own does not read a pool that nobody needs.
        shelf.read_ahead((last + 1 + drawn) / total, 1 + 2 * shelf.units * drawn // total)

    def _lay_out(self, source: int, order: Order, epoch: int, pool: int) -> Shelf:
        opened = self._sources[source]
        episode, begin, end = order.blocks.fragments(order.pool(epoch, pool).blocks)
        frames = Frames.of(opened, episode, begin)
        return Shelf(self._sources, self._spec, self._spec.cameras, frames, frames.address + end - begin, bridge=True)


def require_residence(name: str) -> None:
    """Refuse a residence that there is none of by name."""
    if name not in RESIDENCES:
        raise unknown_name("residence", name, RESIDENCES)


def require_memory(sources: Sequence[OpenSource], spec: WindowSpec, residence: Residence, device: str) -> None:
    """Refuse a residence that the free memory does not suffice for, before anything is read.

    Raises:
        InputError: naming what is needed, what is free, and what would fit; or there is no such device.
    """
    frames = sum(source.frames for source in sources)
    numbers = max(source.window_bytes(()) for source in sources)
    pixels = sources[0].window_bytes(spec.cameras) - sources[0].window_bytes(())
    known = sum(_EPISODE_BYTES * s.episodes + _BLOCK_BYTES * s.frames // s.block_rows for s in sources)
    if residence == "stream":
        need = known
        for source in sources:
            windows = source_pool(source, spec)
            shelves = min(SHELVES, -(-source.frames // windows))
            # A pool ends with a whole block.
            need += shelves * min(windows + source.block_rows, source.frames) * (numbers + pixels)
        _require("streaming the data", need, available_memory(), "memory", "blend fewer stores, or smaller images")
        return
    need = known + frames * (numbers + (pixels if residence == "memory" else 0))
    what = f"keeping {frames} frames resident"
    _require(what, need, available_memory(), "memory", 'load with resident="stream"')
    if residence == "device":
        what = f"keeping {frames} frames on {device}"
        _require(what, frames * pixels, device_memory(device), "its memory", 'load with resident="memory"')


def _require(what: str, need: int, free: int | None, where: str, advice: str) -> None:
    if free is not None and need > _MEMORY_SHARE * free:
        raise InputError(f"{what} takes {need / 1e9:.1f} GB of {where}, and {free / 1e9:.1f} GB are free; {advice}")
