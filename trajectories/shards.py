"""One array of a part: Zarr v3 metadata, and one shard file of checksummed chunks, each a run of rows.

    zarr.json    shape, dtype, rows of a chunk, codecs
    c.0.0        chunk 0, chunk 1, ... ; then the index: offset and length of each chunk (uint64), CRC-32C of these

Every Zarr v3 reader can open it. Here it is read and written directly: Zarr's own path costs about a millisecond per
access, more than decompressing the chunk that is wanted, and would read a lost shard or chunk as zeros.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np

from handful import JobError
from trajectories.canonical import canonical_json, file_entry
from trajectories.codecs import ChunkCodec, codec_of
from trajectories.jpeg import squared_error

_MISSING = 2**64 - 1
# A shard up to this size is hashed when it is first read [bytes].
_SMALL = 1 << 18


@dataclass(frozen=True)
class Layout:
    """How an array lies in its shard."""

    # (rows, ...) of the whole array.
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    # Rows of one chunk.
    rows: int
    codec: ChunkCodec
    # Between the numbers in the shard's name.
    separator: str = "."

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return -(-self.shape[0] // self.rows) if prod(self.shape) else 0

    @property
    def file(self) -> str:
        """Name of the shard beside zarr.json."""
        return self.separator.join(["c", *"0" * len(self.shape)])

    def to_bytes(self, attributes: Mapping[str, Any]) -> bytes:
        """The array's zarr.json."""
        # Chunks and shards of no extent are not allowed, arrays are.
        row = [max(size, 1) for size in self.shape[1:]]
        shard = max(-(-self.shape[0] // self.rows), 1) * self.rows
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        sharding = {
            "chunk_shape": [self.rows, *row],
            "codecs": self.codec.to_json(self.dtype),
            "index_codecs": index,
            "index_location": "end",
        }
        return canonical_json(
            {
                "attributes": dict(attributes),
                "chunk_grid": {
                    "name": "regular",
                    "configuration": {"chunk_shape": [shard, *row]},
                },
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": self.separator}},
                "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
                "data_type": self.dtype.name,
                "fill_value": False if self.dtype == np.bool_ else 0,
                "node_type": "array",
                "shape": list(self.shape),
                "storage_transformers": [],
                "zarr_format": 3,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Layout":
        """The layout that an array's zarr.json describes.

        Raises:
            JobError: it is no array of one shard with checksummed chunks of whole rows, or its codecs are not known.
        """
        try:
            record = json.loads(data)
            shape = tuple(int(size) for size in record["shape"])
            (sharding,) = record["codecs"]
            inner = sharding["configuration"]
            row = tuple(max(size, 1) for size in shape[1:])
            shard = tuple(record["chunk_grid"]["configuration"]["chunk_shape"])
            rows, *rest = inner["chunk_shape"]
            encoding = record["chunk_key_encoding"]
            fits = (
                (record["zarr_format"], record["node_type"], sharding["name"]) == (3, "array", "sharding_indexed")
                and [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]
                and inner.get("index_location", "end") == "end"
                and encoding["name"] == "default"
                and shard[1:] == tuple(rest) == row
                and shard[0] >= shape[0]
                and rows > 0
            )
            if not fits:
                raise ValueError("it is not one shard of chunks of whole rows with a checksummed index at its end")
            dtype = np.dtype(record["data_type"])
            separator = encoding["configuration"]["separator"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JobError(f"its zarr.json cannot be read: {error}") from error
        # A shard may have room for more chunks than the array fills; those would be missing ones.
        if prod(shape) and shard[0] != -(-shape[0] // rows) * rows:
            raise JobError(f"its shard has room for {shard[0]} rows; {shape[0]} are stored")
        return cls(shape, dtype, rows, codec_of(inner["codecs"]), separator)


def write_array(
    folder: Path, key: str, pieces: Sequence[np.ndarray], layout: Layout, attributes: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write an array into a new folder `folder/key`.

    Args:
        folder: the part's.
        key: path of the array in it.
        pieces: the array's rows, one after another.
        layout: what it is to look like.
        attributes: for its zarr.json.

    Returns:
        Path inside the part -> {"bytes", "sha256"} of each file written. What a lossy codec has cost is among the
        attributes, as "mean_squared_error" over all numbers.
    """
    home = folder / key
    home.mkdir(parents=True)
    files = {}
    if layout.chunks:
        with open(home / layout.file, "wb") as file:
            files[f"{key}/{layout.file}"], error = _write_shard(file, pieces, layout)
        if layout.codec.lossy:
            attributes = {**attributes, "mean_squared_error": error / prod(layout.shape)}
    metadata = layout.to_bytes(attributes)
    (home / "zarr.json").write_bytes(metadata)
    files[f"{key}/zarr.json"] = file_entry(metadata)
    return files


def _write_shard(file: BinaryIO, pieces: Sequence[np.ndarray], layout: Layout) -> tuple[dict[str, Any], int]:
    """Write the shard; returns its entry, and the squared error that a lossy codec made over all numbers."""
    digest = hashlib.sha256()
    index = np.zeros((layout.chunks, 2), "<u8")
    end = error = 0
    for number, chunk in enumerate(_chunks(pieces, layout)):
        data = layout.codec.encode(chunk)
        file.write(data)
        digest.update(data)
        index[number] = end, len(data)
        end += len(data)
        if layout.codec.lossy:
            # Its last rows may be filling.
            real = chunk[: layout.shape[0] - number * layout.rows]
            found = np.empty_like(real)
            layout.codec.decode_rows(data, layout.rows, 0, found)
            error += squared_error(real, found)
    tail = index.tobytes()
    tail += int(google_crc32c.value(tail)).to_bytes(4, "little")
    file.write(tail)
    digest.update(tail)
    return {"bytes": end + len(tail), "sha256": digest.hexdigest()}, error


def _chunks(pieces: Sequence[np.ndarray], layout: Layout) -> Iterator[np.ndarray]:
    """The rows of all pieces, cut into chunks; the last is filled up with zeros."""
    buffer = np.zeros((layout.rows, *layout.shape[1:]), layout.dtype)
    filled = 0
    for piece in pieces:
        piece = np.asarray(piece)  # one that is read only now is read once
        start = 0
        while start < len(piece):
            count = min(layout.rows - filled, len(piece) - start)
            if count == layout.rows:
                yield np.ascontiguousarray(piece[start : start + count])
            else:
                buffer[filled : filled + count] = piece[start : start + count]
                filled += count
                if filled == layout.rows:
                    yield buffer
                    filled = 0
            start += count
    if filled:
        buffer[filled:] = 0
        yield buffer


class ShardReader:
    """Reads runs of rows of one array. Holds no open file, so threads may share it, and it survives a fork."""

    def __init__(self, path: Path, layout: Layout, entry: Mapping[str, Any]) -> None:
        self.path = path
        self.layout = layout
        self._size = int(entry["bytes"])
        self._sha256 = str(entry["sha256"])
        self._index: list[tuple[int, int]] | None = None

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), 0 <= start <= stop <= rows of the array.

        Raises:
            OSError: the file cannot be read.
            ValueError: it has not the size, the index or the checksums it should have.
        """
        layout = self.layout
        out = np.empty((stop - start, *layout.shape[1:]), layout.dtype)
        if not out.size:
            return out
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size != self._size:
                raise ValueError(f"it is {size} bytes long instead of {self._size}")
            if self._index is None:
                self._index = self._load_index(descriptor)
            for chunk in range(start // layout.rows, -(-stop // layout.rows)):
                offset, length = self._index[chunk]
                data = _pread(descriptor, length, offset)
                begin = chunk * layout.rows
                low, high = max(start, begin), min(stop, begin + layout.rows)
                try:
                    layout.codec.decode_rows(data, layout.rows, low - begin, out[low - start : high - start])
                except ValueError as error:
                    raise ValueError(f"chunk {chunk}: {error}") from error
        finally:
            os.close(descriptor)
        return out

    def _load_index(self, descriptor: int) -> list[tuple[int, int]]:
        """Offset and length of each chunk, checked."""
        # Damage inside a chunk is found by its own checksum. What that cannot find, a sound shard of something else,
        # is found by the size, or, where sizes may well agree by chance, by the digest.
        if self._size <= _SMALL:
            whole = _pread(descriptor, self._size, 0)
            if hashlib.sha256(whole).hexdigest() != self._sha256:
                raise ValueError("its content has changed")
        length = 16 * self.layout.chunks + 4
        tail = _pread(descriptor, length, self._size - length) if length <= self._size else b""
        if not tail or google_crc32c.value(tail[:-4]) != int.from_bytes(tail[-4:], "little"):
            raise ValueError("its index of chunks is damaged")
        index = [(int(offset), int(size)) for offset, size in np.frombuffer(tail[:-4], "<u8").reshape(-1, 2)]
        for chunk, (offset, size) in enumerate(index):
            if offset == _MISSING or offset + size > self._size - length:
                raise ValueError(f"chunk {chunk} is missing")
        return index


def _pread(descriptor: int, length: int, offset: int) -> bytes:
    """Exactly so many bytes of a file."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            raise ValueError(f"it ends {length - len(data)} bytes early")
        data += more
    return data
