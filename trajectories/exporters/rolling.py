"""Files of a numbered series, each closed when it is large enough: file-000, file-001, ... in chunk-000, chunk-001, ...

LeRobot's format keeps many episodes in one file and never splits one; a reader finds them by chunk and file number.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handful import InputError

_MIB = 1 << 20

# What LeRobot's own recorder takes: every second frame can be decoded alone.
VIDEO_CODEC = "libsvtav1"
VIDEO_OPTIONS = {"g": "2", "crf": "30", "preset": "12"}
VIDEO_FORMAT = "yuv420p"


class _Series:
    """Which file of a series is next; `path` is called with its chunk and number."""

    def __init__(self, path: Callable[[int, int], Path], limit_mb: float, files: int) -> None:
        self._path = path
        self._limit = limit_mb * _MIB
        self._files = files
        self.chunk, self.file = 0, 0
        self.rows = 0

    def make_room(self, size: int, rows: int) -> bool:
        """Whether `rows` more, each as large as those before, would be too many; if so the next file is due."""
        if self.rows == 0 or size + size / self.rows * rows < self._limit:
            return False
        self.file += 1
        if self.file == self._files:
            self.chunk, self.file = self.chunk + 1, 0
        self.rows = 0
        return True

    def path(self) -> Path:
        path = self._path(self.chunk, self.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class ParquetSeries:
    """Tables, each written as one row group.

    Args:
        schema: of all tables.
        path: the file of a chunk and a number.
        limit_mb: size above which the next file is begun [MiB].
        files: files per chunk.
    """

    def __init__(self, schema: pa.Schema, path: Callable[[int, int], Path], limit_mb: float, files: int) -> None:
        self._schema = schema
        self._series = _Series(path, limit_mb, files)
        self._writer: pq.ParquetWriter | None = None
        self._file: Path | None = None

    def place(self, rows: int) -> tuple[int, int]:
        """Chunk and number of the file that the next table, of so many rows, will be in."""
        size = 0 if self._file is None else self._file.stat().st_size
        if self._series.make_room(size, rows):
            self.close()
        return self._series.chunk, self._series.file

    def write(self, table: pa.Table) -> None:
        """Append a table to the file that `place` told."""
        if self._writer is None:
            self._file = self._series.path()
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="snappy", use_dictionary=True)
        self._writer.write_table(table, row_group_size=max(1, len(table)))
        self._series.rows += len(table)

    def close(self) -> None:
        """Finish the file; without this it cannot be read."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._file = None, None


class VideoSeries:
    """Runs of frames of one camera, one after another in videos.

    Args:
        shape: height, width, 3.
        rate: frames per second.
        path: the file of a chunk and a number.
        limit_mb: size above which the next file is begun [MiB].
        files: files per chunk.

    Raises:
        InputError: the frames cannot be a video.
    """

    def __init__(
        self, shape: tuple[int, ...], rate: int, path: Callable[[int, int], Path], limit_mb: float, files: int
    ) -> None:
        if shape[0] % 2 or shape[1] % 2:
            raise InputError(f"images of {shape[0]}x{shape[1]} cannot be a video, which needs even sizes; use PNG")
        self._shape, self._rate = shape, rate
        self._series = _Series(path, limit_mb, files)
        self._size = 0
        self._output: Any = None
        self._stream: Any = None

    def write(self, frames: np.ndarray) -> dict[str, Any]:
        """Append frames (N, H, W, 3) uint8.

        Returns:
            chunk_index, file_index, from_timestamp and to_timestamp [s].
        """
        if self._series.make_room(self._size, len(frames)):
            self.close()
        if self._output is None:
            self._open()
        start = self._series.rows
        for offset, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = start + offset, Fraction(1, self._rate)
            self._mux(self._stream.encode(frame))
        self._series.rows += len(frames)
        return {
            "chunk_index": self._series.chunk,
            "file_index": self._series.file,
            "from_timestamp": start / self._rate,
            "to_timestamp": self._series.rows / self._rate,
        }

    def close(self) -> None:
        """Finish the video; without this it cannot be read."""
        if self._output is not None:
            self._mux(self._stream.encode())
            self._output.close()
        self._output, self._stream, self._size = None, None, 0

    def _open(self) -> None:
        # The encoder prints its settings for every file; errors are news.
        os.environ.setdefault("SVT_LOG", "1")
        self._output = av.open(str(self._series.path()), "w", options={"movflags": "faststart"})
        self._stream = self._output.add_stream(VIDEO_CODEC, self._rate, options=VIDEO_OPTIONS)
        self._stream.height, self._stream.width = self._shape[:2]
        self._stream.pix_fmt = VIDEO_FORMAT

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            self._size += packet.size
            self._output.mux(packet)

    def info(self) -> dict[str, Any]:
        """What info.json says of such videos."""
        return {
            "video.height": self._shape[0],
            "video.width": self._shape[1],
            "video.codec": "av1",
            "video.pix_fmt": VIDEO_FORMAT,
            "video.fps": self._rate,
            "video.channels": 3,
            "has_audio": False,
            "video.g": int(VIDEO_OPTIONS["g"]),
            "video.crf": int(VIDEO_OPTIONS["crf"]),
            "video.preset": int(VIDEO_OPTIONS["preset"]),
            "is_depth_map": False,
        }
