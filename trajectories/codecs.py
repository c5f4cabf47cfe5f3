"""How one chunk of an array becomes bytes and back: a checksummed pipeline of Zarr codecs, chosen by the plan.

Each pipeline is named by its Zarr v3 codecs, so any Zarr reader that knows them reads the arrays. Only pipelines that
notice damaged bytes are accepted: a flipped bit has to be an error, never another number.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numcodecs import zstd

from handful import InputError, JobError
from trajectories.jpeg import check_frames, decode_frames, encode_frames, parse_quality

DEFAULT_LEVEL = 3
_LEVELS = (1, 19)

Json = dict[str, Any]


class ChunkCodec(ABC):
    """Encodes and decodes one chunk."""

    # Whether decoding gives other numbers than were encoded.
    lossy: ClassVar[bool] = False

    def check(self, dtype: np.dtype[Any], row: tuple[int, ...]) -> None:
        """Refuse arrays that it cannot encode, before anything is written.

        Raises:
            InputError: naming the dtype or the shape of a row, and what it takes.
        """
        return

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

    def decode_rows(self, data: bytes, rows: int, first: int, out: np.ndarray) -> None:
        """Fill `out` with rows `first` to `first + len(out) - 1` of a chunk of `rows` rows; the others are dropped.

        Raises:
            ValueError: the bytes are damaged.
        """
        if len(out) == rows:
            self.decode(data, out)
            return
        chunk = np.empty((rows, *out.shape[1:]), out.dtype)
        self.decode(data, chunk)
        out[:] = chunk[first : first + len(out)]


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


@dataclass(frozen=True)
class Jpeg(ChunkCodec):
    """Frames as JPEGs, with Zstandard around them for the checksum and for what their headers have in common."""

    lossy: ClassVar[bool] = True

    # 50 to 100.
    quality: int
    # Zstandard's.
    level: int = DEFAULT_LEVEL

    def check(self, dtype: np.dtype[Any], row: tuple[int, ...]) -> None:
        """Only frames of (H, W, 3) uint8."""
        check_frames(dtype, row)

    def to_json(self, dtype: np.dtype[Any]) -> list[Json]:
        """`handful.jpeg`, then `zstd` with its checksum."""
        frames: Json = {"name": "handful.jpeg", "configuration": {"quality": self.quality}}
        return [frames, Zstd(self.level).to_json(dtype)[1]]

    def encode(self, chunk: np.ndarray) -> bytes:
        """One Zstandard frame."""
        data: bytes = zstd.compress(encode_frames(chunk, self.quality), self.level, True)
        return data

    def decode(self, data: bytes, out: np.ndarray) -> None:
        """Decompress, which checks the checksum, and decode every frame."""
        self.decode_rows(data, len(out), 0, out)

    def decode_rows(self, data: bytes, rows: int, first: int, out: np.ndarray) -> None:
        """Decompress, which checks the checksum, and decode the frames wanted alone."""
        # No JPEG of a frame is much larger than the frame: a header that promises more is not believed.
        most = rows * (2 * out[:1].nbytes + 4096)
        if _content_size(data) > most:
            raise ValueError(f"Zstandard: {_content_size(data)} bytes of JPEGs; at most {most} are likely")
        try:
            frames = zstd.decompress(data)
        except RuntimeError as error:
            raise ValueError(f"Zstandard: {error}") from error
        decode_frames(frames, rows, first, out)


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
    return Zstd(_level(compressor))


def _jpeg(codecs: list[Json]) -> Jpeg:
    frames, compressor = codecs
    return Jpeg(int(frames["configuration"]["quality"]), _level(compressor))


def _level(compressor: Json) -> int:
    configuration = compressor["configuration"]
    if configuration.get("checksum") is not True:
        raise ValueError("zstd must write checksums")
    return int(configuration["level"])


# Names of a pipeline's Zarr codecs -> what makes it from their JSON; a ValueError says what it cannot do.
PIPELINES: dict[tuple[str, ...], Callable[[list[Json]], ChunkCodec]] = {
    ("bytes", "zstd"): _zstd,
    ("handful.jpeg", "zstd"): _jpeg,
}


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
    """How a plan wants its arrays written.

    Args:
        plan: "compression_level" is Zstandard's, 3 unless told otherwise; "image_codec" is "jpeg:Q" with a quality Q of
            50 to 100, or absent for images that come back bit for bit.

    Raises:
        InputError: a level or codec that there is not.
    """
    level = plan.get("compression_level", DEFAULT_LEVEL)
    if not isinstance(level, int) or isinstance(level, bool) or not _LEVELS[0] <= level <= _LEVELS[1]:
        raise InputError(f"compression_level must be a whole number from {_LEVELS[0]} to {_LEVELS[1]}, got {level!r}")
    codec = plan.get("image_codec")
    images = Zstd(level) if codec is None else Jpeg(parse_quality(codec), level)
    return Encoding(images=images, numbers=Zstd(level))
