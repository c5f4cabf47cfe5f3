"""Frames of a video by their times: what LeRobot's format keeps of a camera.

Episodes lie in a video one after another, so it is decoded once, from front to back; only a request for an earlier
time opens it again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from handful import InputError

# A frame may be off by this share of the time between two; a frame too many or too few is off by a whole one.
_TOLERANCE = 0.1


class VideoReader:
    """One video, read forward.

    Args:
        path: the file.
        shape: what its frames must be: height, width, 3.
        rate: frames per second.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], rate: float) -> None:
        self.path = path
        self._shape, self._rate = shape, rate
        self._frames: Iterator[tuple[float, Any]] | None = None
        # The last frame decoded and its time [s].
        self._last: tuple[float, Any] | None = None

    def read(self, start: float, count: int) -> np.ndarray:
        """Frames (count, H, W, 3) uint8 at times start, start + 1 / rate, ... [s], at least one.

        Raises:
            InputError: there is no frame at one of these times, or it has another size.
        """
        if self._frames is None or (self._last is not None and start < self._last[0] - _TOLERANCE / self._rate):
            self.close()
            self._frames = self._decode()
        # The first frame shows whether the size is true before the memory for all is asked for.
        first = self._at(start)
        found = np.empty((count, *first.shape), np.uint8)
        found[0] = first
        for index in range(1, count):
            found[index] = self._at(start + index / self._rate)
        return found

    def close(self) -> None:
        """Close the file."""
        if self._frames is not None:
            self._frames.close()  # type: ignore[attr-defined]
        self._frames, self._last = None, None

    def _at(self, time: float) -> np.ndarray:
        slack = _TOLERANCE / self._rate
        while self._last is None or self._last[0] < time - slack:
            assert self._frames is not None  # `read` has opened it
            found = next(self._frames, None)
            if found is None:
                raise InputError(f"video '{self.path}' ends before {time:.3f} s, where a frame should be")
            self._last = found
        if self._last[0] > time + slack:
            raise InputError(f"video '{self.path}' has no frame at {time:.3f} s; the next is at {self._last[0]:.3f} s")
        frame = self._last[1]
        if (frame.height, frame.width) != self._shape[:2]:
            raise InputError(
                f"video '{self.path}' has frames of {frame.height}x{frame.width}; "
                f"{self._shape[0]}x{self._shape[1]} are promised"
            )
        image: np.ndarray = frame.to_ndarray(format="rgb24")
        return image

    def _decode(self) -> Iterator[tuple[float, Any]]:
        with av.open(str(self.path)) as container:
            if not container.streams.video:
                raise InputError(f"'{self.path}' holds no video")
            stream = container.streams.video[0]
            size = stream.codec_context.height, stream.codec_context.width
            # Before any frame is decoded: a size that is only claimed would be allocated.
            if size != self._shape[:2]:
                raise InputError(
                    f"video '{self.path}' is {size[0]}x{size[1]}; {self._shape[0]}x{self._shape[1]} are promised"
                )
            for frame in container.decode(stream):
                if frame.time is not None:
                    yield float(frame.time), frame
