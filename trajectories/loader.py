"""Training samples from a blend of stores: batches as a pure function of (seed, step, size).

Nothing of a batch depends on what was drawn before it, nor on where the frames are kept, so a run resumes at any step,
batches can be made ahead by any number of threads, and none of that changes a sample.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from handful import InputError
from trajectories.blocks import Blocks
from trajectories.camera_errors import CameraErrors
from trajectories.mix import Mix, ScheduledMix
from trajectories.order import Order
from trajectories.photometric import Photometric
from trajectories.residence import Residence, Stream, require_memory, require_residence, source_pool, whole_shelf
from trajectories.shelf import NUMBERS, Frames, Shelf
from trajectories.sources import OpenSource, Source, WindowSpec, open_sources, widest
from trajectories.statistics import Statistics, Summary

Batch = dict[str, Any]
Split = Literal["train", "validation"]
_SPLITS: tuple[Split, ...] = ("train", "validation")
# Sets the loader's random streams apart from every other use of the same seed.
_STREAM = 0x10AD
_MIX, _ORDER, _TEXT, _SURVEY = range(4)
# Windows that statistics are measured on at a time.
_STATISTICS_WINDOWS = 1 << 16


class _Piece(NamedTuple):
    """Windows of a batch that come from one pool of one source."""

    source: int
    epoch: int
    pool: int
    # Their rows in the batch, and the place of the last of them in the pool.
    rows: np.ndarray
    last: int


class Blend:
    """Several stores or views, mixed by weight, as windows to learn from.

    A batch of B windows holds

        images/<camera>   (B, H, W, 3)        uint8    at the window's step
        proprio           (B, J + 10)         float32  joints [rad], gripper, tool position [m], 6-D rotation
        action            (B, horizon, J + 1) float32  absolute joint targets [rad], gripper opening
        action_tool       (B, horizon, 10)    float32  target tool position [m], 6-D rotation, gripper opening
        action_mask       (B, horizon)        bool     false past the episode's end, where the last action is repeated
        instruction, embodiment, domain       lists of B str
        source            (B,)                int64    index of the store
        joints            (B,)                int64    J of the row's own arm
        progress          (B,)                float32  t / T
        subtask           (B,)                int64    index of the subtask under way

    J is that of the widest arm in the blend; a narrower one uses the first `joints` + 10 columns of proprio and the
    first `joints` + 1 of action, and the others are 0. With `history` above 1, images are (B, history, H, W, 3) and
    proprio is (B, history, J + 10), the oldest first, and

        history_mask      (B, history)        bool     false before the episode's start, where its first is repeated

    Each source gives its windows in an order of its own, every frame of its training episodes once per epoch (`Order`);
    window k of the blend, which is row k - step * size of a batch, is the next one of the source that its weight says
    (`Mix`). Safe to use from several threads.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        spec: WindowSpec,
        seed: int,
        resident: Residence = "memory",
        photometric: Photometric | None = None,
        device: str = "cuda",
    ) -> None:
        """Open and check the stores, and read what is kept in memory.

        Args:
            sources: the stores or views with their weights.
            spec: what a sample is.
            seed: of the draws, >= 0.
            resident: "memory" keeps everything in it; "stream" keeps a few pools of windows, however large the data is;
                "device" keeps images on a device, where batches of them come as uint8 tensors.
            photometric: camera errors added to the images of episodes that recorded a sensor-noise stream; imported
                episodes have none and come with their own camera's errors.
            device: torch's name of that device.

        Raises:
            InputError: a store is missing, empty or does not fit; or memory does not suffice.
            JobError: a store is damaged.
        """
        if seed < 0:
            raise InputError(f"seed must be >= 0, got {seed}")
        require_residence(resident)
        if resident == "device" and photometric is not None:
            raise InputError("camera errors are added by the processor; keep the images in memory, or stream them")
        self.spec = spec
        self.seed = seed
        self.sources: list[OpenSource] = open_sources(sources, spec)
        self._camera_errors = None if photometric is None else CameraErrors(photometric, self.sources, spec)
        shares = [(source.first_share, source.last_share) for source in self.sources]
        # Whether the weights change in the course of the run.
        self.scheduled = any(first != last for first, last in shares)
        starts = [first for first, _ in shares]
        self._mix: Mix | ScheduledMix = Mix(starts, seed, (_STREAM, _MIX))
        if self.scheduled:
            self._mix = ScheduledMix(starts, starts, (0, 1), seed, (_STREAM, _MIX))
        self._orders: dict[tuple[Split, int], Order] = {}
        self._lock = threading.Lock()
        require_memory(self.sources, spec, resident, device)
        self._kept: Shelf | Stream
        if resident == "stream":
            self._kept = Stream(self.sources, spec)
        else:
            self._kept = whole_shelf(self.sources, spec, device if resident == "device" else None)

    def schedule(self, first: int, last: int) -> None:
        """Let the weights go from those at the start to those at the end between two windows of the blend.

        Without this, the weights at the start hold all along. Windows before `first` stay what they were.
        """
        if self.scheduled:
            starts, ends = [s.first_share for s in self.sources], [s.last_share for s in self.sources]
            self._mix = ScheduledMix(starts, ends, (first, last), self.seed, (_STREAM, _MIX))

    @property
    def proprio_size(self) -> int:
        """Number of columns of `proprio`."""
        return widest(self.sources) + 10

    @property
    def action_size(self) -> int:
        """Number of columns of `action`."""
        return widest(self.sources) + 1

    def image_size(self, camera: str) -> tuple[int, int]:
        """Height and width of a camera's images [pixels]."""
        height, width, _ = self.sources[0].store.row_shape(f"images/{camera}")
        return height, width

    def batch(self, step: int, size: int, split: Split = "train", part: slice = slice(None)) -> Batch:
        """The windows of one step: those number step * size to (step + 1) * size - 1 of the blend.

        Args:
            step: index of the batch, >= 0.
            size: number of windows, >= 1.
            split: the episodes to draw from.
            part: only these rows of them, for one of several processes that share the work.

        Raises:
            InputError: a store has no episode in the split.
            JobError: a store is damaged.
        """
        if split not in _SPLITS:
            raise InputError(f"unknown split '{split}'; there is: {', '.join(_SPLITS)}")
        if step < 0 or size < 1:
            raise InputError(f"a batch needs a step of at least 0 and a size of at least 1, got {step} and {size}")
        texts = self._generator(_TEXT, _SPLITS.index(split), step, size).random(size)[part]
        source, position = (drawn[part] for drawn in self._mix.locate(step * size, size))
        episode, moment = np.empty(len(source), np.int64), np.empty(len(source), np.int64)
        pieces = []
        for number in np.unique(source).tolist():
            rows = np.flatnonzero(source == number)
            order = self._order(split, number)
            for draw in order.locate(position[rows]):
                pool, mine = order.pool(draw.epoch, draw.pool), rows[draw.rows]
                episode[mine], moment[mine] = pool.episode[draw.places], pool.step[draw.places]
                pieces.append(_Piece(number, draw.epoch, draw.pool, mine, int(draw.places[-1])))
        frames = self._frames(source, episode, moment)
        kept = self._kept
        batch = kept.windows(frames) if isinstance(kept, Shelf) else self._streamed(kept, split, frames, pieces)
        return self._told(batch, source, episode, moment, texts)

    def validation(self, source: int, size: int = 64) -> Iterator[Batch]:
        """The held-out windows of one store, always the same: every half horizon of each held-out episode.

        Args:
            source: index of the store.
            size: windows per batch; the last batch may be smaller.
        """
        opened = self.sources[source]
        held_out = np.flatnonzero(opened.held_out)
        stride = max(1, self.spec.horizon // 2)
        count = -(-opened.lengths[held_out].astype(np.int64) // stride)
        episode = np.repeat(held_out, count)
        moment = (np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)) * stride
        for start in range(0, len(episode), size):
            yield self.windows(source, episode[start : start + size], moment[start : start + size])

    def windows(self, source: int, episode: np.ndarray, moment: np.ndarray) -> Batch:
        """The windows at some places of one store, whichever split they are in.

        Args:
            source: index of the store.
            episode: (n,) indices of episodes in it.
            moment: (n,) control steps.
        """
        opened = self.sources[source]
        shelf = self._shelf_of(source, episode, moment, moment + 1, self.spec.cameras)
        batch = shelf.windows(Frames.of(opened, episode, moment))
        return self._told(batch, np.full(len(episode), source), episode, moment, np.zeros(len(episode)))

    def survey(self, windows: int, size: int = 256) -> Iterator[Batch]:
        """Windows without images, spread evenly over the training episodes of each store, by weight: what the numbers
        of the blend are like, at little cost.

        Args:
            windows: how many in all, about.
            size: windows per batch; a store's last batch may be smaller.
        """
        for number, opened in enumerate(self.sources):
            blocks = self._order("train", number).blocks
            count = min(max(1, round(windows * opened.share)), blocks.frames)
            offset = self._generator(_SURVEY, number).random()
            place = ((np.arange(count) + offset) * (blocks.frames / count)).astype(np.int64)
            ends = np.cumsum(blocks.stop - blocks.start)
            which = np.searchsorted(ends, place, side="right")
            episode, moment = blocks.episode[which], place - (ends - (blocks.stop - blocks.start))[which]
            shelf = self._shelf_of(number, episode, moment, moment + 1, ())
            for start in range(0, count, size):
                mine, steps = episode[start : start + size], moment[start : start + size]
                batch = shelf.windows(Frames.of(opened, mine, steps), images=False)
                yield self._told(batch, np.full(len(mine), number), mine, steps, np.zeros(len(mine)))

    def source_statistics(self, source: int) -> dict[str, Statistics]:
        """Statistics of `proprio`, `action` and `action_tool` over the training episodes of one store."""
        return {name: summary.statistics() for name, summary in self._summaries(source, 1.0).items()}

    def statistics(self) -> dict[str, Statistics]:
        """The same over the whole blend, each store counting with its weight.

        Raises:
            InputError: arms differ in their joints, so that a column means different things.
        """
        if len({source.joints for source in self.sources}) > 1:
            raise InputError("arms of different joints have no statistics in common; ask for those of each source")
        total: dict[str, Summary] = {}
        for number, opened in enumerate(self.sources):
            weight = opened.share / self._order("train", number).frames
            found = self._summaries(number, weight)
            total = {name: total[name].merge(found[name]) if total else found[name] for name in NUMBERS}
        return {name: summary.statistics() for name, summary in total.items()}

    def _summaries(self, source: int, weight: float) -> dict[str, Summary]:
        """Summaries of the numbers of one store's training episodes, read a stretch at a time."""
        opened, blocks = self.sources[source], self._order("train", source).blocks
        stretch = max(1, _STATISTICS_WINDOWS // blocks.rows)
        total: dict[str, Summary] = {}
        for first in range(0, len(blocks), stretch):
            episode, begin, end = blocks.fragments(np.arange(first, min(first + stretch, len(blocks))))
            shelf = self._shelf_of(source, episode, begin, end, ())
            count = end - begin
            low = np.repeat(opened.address[episode] + begin, count)
            address = low + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            sizes = {"proprio": opened.joints + 10, "action": opened.joints + 1, "action_tool": 10}
            for name in NUMBERS:
                found = Summary.of(shelf.numbers(name, address)[:, : sizes[name]], weight)
                total[name] = total[name].merge(found) if name in total else found
        return total

    def _order(self, split: Split, source: int) -> Order:
        """The order of one source's windows."""
        with self._lock:
            if (split, source) not in self._orders:
                opened = self.sources[source]
                chosen = opened.held_out == (split == "validation")
                if not chosen.any():
                    raise InputError(f"store '{opened.path}' has no episode held out for {split}")
                blocks = Blocks.cut(opened.address, opened.lengths, chosen, opened.block_rows)
                stream = (_STREAM, _ORDER, _SPLITS.index(split), source)
                self._orders[split, source] = Order(blocks, source_pool(opened, self.spec), self.seed, stream)
            return self._orders[split, source]

    def _frames(self, source: np.ndarray, episode: np.ndarray, moment: np.ndarray) -> Frames:
        """Frames of several sources."""
        if len(self.sources) == 1:
            return Frames.of(self.sources[0], episode, moment)
        address, after = np.empty(len(source), np.int64), np.empty(len(source), np.int64)
        for number in np.unique(source).tolist():
            rows = source == number
            found = Frames.of(self.sources[number], episode[rows], moment[rows])
            address[rows], after[rows] = found.address, found.after
        return Frames(address, moment, after)

    def _streamed(self, stream: Stream, split: Split, frames: Frames, pieces: Sequence[_Piece]) -> Batch:
        """The windows at the frames of a batch, from the shelves of their pools."""
        batch: Batch = {}
        for piece in pieces:
            order = self._order(split, piece.source)
            shelf = stream.shelf(split, piece.source, order, piece.epoch, piece.pool)
            found = shelf.windows(frames.take(piece.rows))
            stream.read_ahead(split, piece.source, order, piece.epoch, piece.pool, len(piece.rows), piece.last)
            if len(pieces) == 1:
                return found
            for key, values in found.items():
                if key not in batch:
                    batch[key] = np.empty((len(frames.address), *values.shape[1:]), values.dtype)
                batch[key][piece.rows] = values
        return batch

    def _shelf_of(
        self, source: int, episode: np.ndarray, begin: np.ndarray, end: np.ndarray, cameras: Sequence[str]
    ) -> Shelf:
        """A shelf that holds steps [begin, end) of some episodes of one store."""
        if isinstance(self._kept, Shelf):
            return self._kept
        frames = Frames.of(self.sources[source], episode, begin)
        return Shelf(self.sources, self.spec, cameras, frames, frames.address + end - begin, bridge=True)

    def _told(
        self, batch: Batch, source: np.ndarray, episode: np.ndarray, moment: np.ndarray, texts: np.ndarray
    ) -> Batch:
        """A batch with what is known of its episodes, and with camera errors."""
        lengths, joints = np.empty(len(source), np.int64), np.empty(len(source), np.int64)
        told: dict[str, list] = {name: [None] * len(source) for name in ("text", "embodiment", "domain")}
        for number in np.unique(source).tolist():
            rows = np.flatnonzero(source == number)
            index = self.sources[number].index
            lengths[rows], joints[rows] = index.length[episode[rows]], self.sources[number].joints
            for name, values in told.items():
                category = index.categories[name]
                for row, code in zip(rows.tolist(), category.codes[episode[rows]].tolist(), strict=True):
                    values[row] = category.values[code]
        if self._camera_errors is not None:
            self._camera_errors.add(batch, source, episode, moment)
        return batch | {
            "instruction": [text[int(u * len(text))] for text, u in zip(told["text"], texts, strict=True)],
            "embodiment": told["embodiment"],
            "domain": told["domain"],
            "source": source.astype(np.int64),
            "joints": joints,
            "progress": (moment / lengths).astype(np.float32),
        }

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(_STREAM, *key))))
