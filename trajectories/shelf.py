"""Frames in memory, or on a device: runs of rows of a blend's sources, and the windows that are cut from them.

A shelf is read in small units by however many threads need it, each chunk once, so that reading can be spread over the
batches before it is needed.
"""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from mmap import mmap
from typing import Any, Protocol

import numpy as np

from handful import JobError
from trajectories.device import DeviceImages
from trajectories.runs import Runs
from trajectories.sources import SOURCE_SPAN, OpenSource, WindowSpec, features, widest

NUMBERS = ("proprio", "action", "action_tool")
# Rows of numbers that are read at once.
_NUMBER_ROWS = 1 << 14


class Images(Protocol):
    """The images of one camera."""

    def put(self, at: int, rows: np.ndarray) -> None:
        """Fill some rows, from the row `at` on."""

    def take(self, rows: np.ndarray) -> Any:
        """A copy of some rows, with the shape of `rows` in front."""


class HostImages:
    """Images as a NumPy array."""

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        # Mapped by itself, so that it goes back to the system as a whole: training keeps freed blocks of the heap, and
        # buffers of slightly different sizes would tear holes into that.
        self._array = np.frombuffer(mmap(-1, max(count * prod(shape), 1)), np.uint8)[: count * prod(shape)]
        self._array = self._array.reshape(count, *shape)

    def put(self, at: int, rows: np.ndarray) -> None:
        """See `Images`."""
        self._array[at : at + len(rows)] = rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See `Images`."""
        return self._array.take(rows, axis=0)


@dataclass(frozen=True)
class Frames:
    """Some frames of a blend, (B,) int64 each."""

    # Address on the blend's line.
    address: np.ndarray
    # Steps since the episode's first, and to its last.
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def of(cls, source: OpenSource, episode: np.ndarray, step: np.ndarray) -> "Frames":
        """The frames at some steps of some episodes of one source."""
        return cls(source.address[episode] + step, step, source.lengths[episode] - 1 - step)

    def take(self, rows: np.ndarray) -> "Frames":
        """Some of them."""
        return Frames(self.address[rows], self.before[rows], self.after[rows])


class Shelf:
    """The images and numbers around some frames. Safe to fill and use from several threads."""

    def __init__(
        self,
        sources: Sequence[OpenSource],
        spec: WindowSpec,
        cameras: Sequence[str],
        frames: Frames,
        end: np.ndarray,
        bridge: bool,
        device: str | None = None,
    ) -> None:
        """Lay out a shelf; nothing is read yet.

        Args:
            sources: all sources of the blend.
            spec: what a window is.
            cameras: whose images are held; others are not read.
            frames: first frame of each run of frames that windows are wanted of.
            end: address after the last frame of each of these runs.
            bridge: read rows between runs, too, where they lie in the same chunks.
            device: where images are held; None: in a NumPy array.
        """
        self._sources, self._spec, self._cameras = sources, spec, tuple(cameras)
        first = sources[int(frames.address[0] // SOURCE_SPAN)] if len(frames.address) else sources[0]
        low = frames.address - np.minimum(frames.before, spec.reach)
        last = np.minimum(end + spec.horizon - 1, frames.address + frames.after + 1)
        image_gap = max((first.store.chunk_rows(f"images/{camera}") for camera in cameras), default=1) - 1
        number_gap = first.store.chunk_rows(f"action/{spec.action}") - 1
        self._image_runs = Runs.cover(low, end, image_gap if bridge else 0)
        self._number_runs = Runs.cover(low, last, number_gap if bridge else 0)
        self._units: list[tuple[str | None, int, int, int]] = []
        self._units += [(None, *piece) for piece in self._number_runs.pieces(_NUMBER_ROWS)]
        # Where one camera's chunk is read, the others' are read next: they are needed at the same time.
        for piece in self._image_runs.pieces(first.block_rows) if cameras else ():
            self._units += [(camera, *piece) for camera in cameras]
        rows = self._number_runs.rows
        joints = widest(sources)
        # Columns that an arm of fewer joints does not have stay 0.
        self._numbers: dict[str, np.ndarray] = {
            "proprio": np.zeros((rows, joints + 10), np.float32),
            "action": np.zeros((rows, joints + 1), np.float32),
            "action_tool": np.zeros((rows, 10), np.float32),
            "subtask": np.zeros(rows, np.int8),
        }
        shapes = {camera: first.store.row_shape(f"images/{camera}") for camera in cameras}
        self._images: dict[str, Images] = {
            camera: HostImages(self._image_runs.rows, shape)
            if device is None
            else DeviceImages(self._image_runs.rows, shape, device)
            for camera, shape in shapes.items()
        }
        self._changed = threading.Condition()
        self._taken = self._read = 0
        self._finished = False
        self._failure: BaseException | None = None

    @property
    def units(self) -> int:
        """Number of pieces that it is read in."""
        return len(self._units)

    @property
    def failed(self) -> bool:
        """Whether reading it failed, so that it will never be complete."""
        return self._failure is not None

    def read_ahead(self, share: float, most: int) -> None:
        """Read on until a share of everything is read, at most so many units.

        Damage is not told yet: the shelf has then failed, and reading it again says so where its windows are due.
        """
        target = min(len(self._units) * min(share, 1.0), self._taken + most)
        with contextlib.suppress(JobError):
            self._read_on(int(np.ceil(target)))

    def complete(self) -> None:
        """Read what is not read yet, together with other threads that ask for the same.

        Raises:
            JobError: data is missing or damaged.
        """
        if not self._finished:
            self._read_on(len(self._units))
            with self._changed:
                self._changed.wait_for(lambda: self._read == len(self._units) or self._failure is not None)
                if self._failure is not None:
                    raise self._failure
                self._finished = True

    def windows(self, frames: Frames, images: bool = True) -> dict[str, Any]:
        """The windows at some frames that the shelf was made for: numbers, masks and images (see `Blend`)."""
        self.complete()
        spec = self._spec
        number = self._number_runs.positions(frames.address)
        ahead = np.arange(spec.horizon)
        chunk = number[:, None] + np.minimum(ahead, frames.after[:, None])
        batch: dict[str, Any] = {}
        if images and self._cameras:
            image = self._past(self._image_runs.positions(frames.address), frames)
            batch |= {f"images/{camera}": self._images[camera].take(image) for camera in self._cameras}
        batch |= {
            "proprio": self._numbers["proprio"][self._past(number, frames)],
            "action": self._numbers["action"][chunk],
            "action_tool": self._numbers["action_tool"][chunk],
            "action_mask": ahead <= frames.after[:, None],
            "subtask": self._numbers["subtask"][number].astype(np.int64),
        }
        if spec.history > 1:
            batch["history_mask"] = self._back() <= frames.before[:, None]
        return batch

    def numbers(self, name: str, address: np.ndarray) -> np.ndarray:
        """Rows of `proprio`, `action` or `action_tool` at some addresses."""
        self.complete()
        return self._numbers[name][self._number_runs.positions(address)]

    def _past(self, position: np.ndarray, frames: Frames) -> np.ndarray:
        """Positions of a window's observations, the oldest first; before the episode's start its first is repeated."""
        if self._spec.history == 1:
            return position
        return position[:, None] - np.minimum(self._back(), frames.before[:, None])

    def _back(self) -> np.ndarray:
        return np.arange(self._spec.history - 1, -1, -1) * self._spec.history_stride

    def _read_on(self, target: int) -> None:
        while True:
            with self._changed:
                if self._taken >= target or self._failure is not None:
                    return
                unit = self._units[self._taken]
                self._taken += 1
            try:
                self._read_unit(*unit)
            except BaseException as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                raise
            with self._changed:
                self._read += 1
                if self._read == len(self._units):
                    self._changed.notify_all()

    def _read_unit(self, camera: str | None, low: int, high: int, position: int) -> None:
        source = self._sources[low // SOURCE_SPAN]
        # Any episode of the part will do to find it; the rows may lie in its neighbours.
        place = np.searchsorted(source.address, low, side="right", sorter=source.by_address) - 1
        episode = int(source.by_address[place])
        start, stop = low - int(source.address[episode]), high - int(source.address[episode])
        if camera is not None:
            self._images[camera].put(position, source.store.read_run(episode, f"images/{camera}", start, stop))
            return
        raw = {key: source.store.read_run(episode, key, start, stop) for key in source.number_keys}
        for key, rows in raw.items():
            if not np.isfinite(rows).all():
                raise _not_finite(source, key, low + int(np.argmin(np.isfinite(rows).reshape(len(rows), -1).all(1))))
        for name, values in features(raw).items():
            held = self._numbers[name][position : position + high - low]
            held[..., : values.shape[-1]] = values


def _not_finite(source: OpenSource, key: str, address: int) -> JobError:
    """What to say of a number that is none."""
    place = np.searchsorted(source.address, address, side="right", sorter=source.by_address) - 1
    episode = int(source.by_address[place])
    step = address - int(source.address[episode])
    return JobError(
        f"'{key}' of episode {episode} of '{source.path}' is not finite at step {step}; "
        f"leave that episode out, or make the data again (handful inspect {source.path} --verify looks for damage)"
    )
