"""The JPEG option as a Zarr v3 codec, so that plain Zarr reads and writes such arrays where handful is installed.

Zarr finds it by its entry point, `handful.jpeg`. The project's own reader and writer do without Zarr and share
`trajectories.jpeg` with this one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.registry import register_codec

from trajectories.jpeg import check_frames, check_quality, decode_frames, encode_frames

NAME = "handful.jpeg"


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """Chunks of frames, (n, H, W, 3) uint8, as JPEGs of one quality."""

    # 50 to 100.
    quality: int

    is_fixed_size = False

    def __post_init__(self) -> None:
        check_quality(self.quality)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "JpegCodec":
        """The codec that an array's metadata names."""
        return cls(**data["configuration"])

    def to_dict(self) -> dict[str, Any]:
        """The inverse of `from_dict`."""
        return {"name": NAME, "configuration": {"quality": self.quality}}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Refuse arrays that are no frames, when one is made."""
        check_frames(np.dtype(dtype.to_native_dtype()), shape[1:])

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        frames = np.ascontiguousarray(chunk_data.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(encode_frames(frames, self.quality))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        frames = np.empty(chunk_spec.shape, np.uint8)
        decode_frames(chunk_data.to_bytes(), len(frames), 0, frames)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(frames)


# Known in this process even where the package's entry points are not installed.
register_codec(NAME, JpegCodec)
