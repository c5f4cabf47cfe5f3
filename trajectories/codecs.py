"""How one chunk of an array becomes bytes and back: a checksummed pipeline of Zarr codecs, chosen by the plan.

Each pipeline is named by its Zarr v3 codecs, so any Zarr reader that knows them reads the arrays. Only pipelines that
notice damaged bytes are accepted: a flipped bit has to be an error, never another number.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs import zstd

from handful import InputError, JobError

DEFAULT_LEVEL = 3
_LEVELS = (1, 19)

Json = dict[str, Any]


class ChunkCodec(ABC):
    """Encodes and decodes one chunk."""

    @abstractmethod
    def to_json(self, dtype: np.dtype[Any]) -> list[Json]:
        """The Zarr codecs that do the same to chunks of a dtype."""

    @abstractmethod
    def encode(self, chunk: np.ndarray) -> bytes:
        """A C-contiguous chunk as bytes that depend on its content alone."""

    @abstractmethod
    def decode(self, data: bytes, out: np.ndarray) -> None:
        """Fill `out`, C-contiguous and of the chunk's shape, from a chunk's bytes.

        Raises:
            ValueError: the bytes are damaged.
        """


@dataclass(frozen=True)
class Zstd(ChunkCodec):
    """Lossless: the numbers' own bytes, compressed with Zstandard, whose frames carry a checksum of their content."""

    level: int = DEFAULT_LEVEL

    def to_json(self, dtype: np.dtype[Any]) -> list[Json]:
        """`bytes`, then `zstd` with its checksum."""
        raw: Json = {"name": "bytes"}
        if dtype.itemsize > 1:
            raw["configuration"] = {"endian": "little"}
        return [raw, {"name": "zstd", "configuration": {"checksum": True, "level": self.level}}]

    def encode(self, chunk: np.ndarray) -> bytes:
        """One Zstandard frame."""
        data: bytes = zstd.compress(chunk, self.level, True)
        return data

    def decode(self, data: bytes, out: np.ndarray) -> None:
        """Decompress, which checks the checksum; other threads run meanwhile."""
        # A frame of fewer bytes would leave the rest of `out` as it is, without an error.
        if _content_size(data) != out.nbytes:
            raise ValueError(f"Zstandard: {_content_size(data)} bytes instead of {out.nbytes}")
        try:
            zstd.decompress(data, out)
        except RuntimeError as error:
            raise ValueError(f"Zstandard: {error}") from error


def _content_size(frame: bytes) -> int:
    """The size of what a Zstandard frame holds, as its header has it (RFC 8878, 3.1.1.1)."""
    if frame[:4] != b"\x28\xb5\x2f\xfd" or len(frame) < 14:
        raise ValueError("Zstandard: not a frame")
    descriptor = frame[4]
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    if not checksum:
        raise ValueError("Zstandard: the frame has no checksum")
    width = (single, 2, 4, 8)[descriptor >> 6]
    start = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(frame[start : start + width], "little") + (256 if width == 2 else 0)


def _zstd(codecs: list[Json]) -> Zstd:
    raw, compressor = codecs
    if raw.get("configuration", {}).get("endian", "little") != "little":
        raise ValueError("bytes must be little-endian")
    configuration = compressor["configuration"]
    if configuration.get("checksum") is not True:
        raise ValueError("zstd must write checksums")
    return Zstd(int(configuration["level"]))


# Names of a pipeline's Zarr codecs -> what makes it from their JSON; a ValueError says what it cannot do.
PIPELINES: dict[tuple[str, ...], Callable[[list[Json]], ChunkCodec]] = {("bytes", "zstd"): _zstd}


def codec_of(codecs: list[Json]) -> ChunkCodec:
    """The pipeline that an array's metadata names.

    Raises:
        JobError: naming codecs that are not known here.
    """
    try:
        names = tuple(str(codec["name"]) for codec in codecs)
        if names in PIPELINES:
            return PIPELINES[names](codecs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(f"its codecs {codecs} cannot be read: {error}") from error
    known = "; ".join(" + ".join(pipeline) for pipeline in PIPELINES)
    raise JobError(f"its codecs '{' + '.join(names)}' are not known; known are: {known}")


@dataclass(frozen=True)
class Encoding:
    """How a store's arrays are written."""

    images: ChunkCodec
    numbers: ChunkCodec

    def of(self, key: str) -> ChunkCodec:
        """The pipeline of one key."""
        return self.images if key.startswith("images/") else self.numbers


def encoding_of(plan: Mapping[str, Any]) -> Encoding:
    """How a plan wants its arrays written: "compression_level" is Zstandard's, 3 unless told otherwise.

    Raises:
        InputError: a level that there is not.
    """
    level = plan.get("compression_level", DEFAULT_LEVEL)
    if not isinstance(level, int) or isinstance(level, bool) or not _LEVELS[0] <= level <= _LEVELS[1]:
        raise InputError(f"compression_level must be a whole number from {_LEVELS[0]} to {_LEVELS[1]}, got {level!r}")
    return Encoding(images=Zstd(level), numbers=Zstd(level))
