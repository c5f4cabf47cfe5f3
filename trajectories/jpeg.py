"""Frames as JPEG: the lossy option for images, a few times smaller than lossless where pictures are large or noisy.

A chunk of frames is the length of each frame's JPEG (uint32, little-endian), then the JPEGs. Each stands alone, so a
single frame is decoded without the others. Colour is not subsampled (4:4:4): at the sizes that policies see, a chroma
sample for four pixels would smear small objects. JPEG notices hardly any damage, so what is stored needs a checksum
around it; `trajectories.codecs` puts Zstandard there, which also folds the frames' equal headers into one.
"""

import io
import math

import numpy as np
from PIL import Image

from handful import InputError

QUALITIES = (50, 100)
# JPEG's own limit, less what libjpeg keeps for itself [pixels].
_LARGEST_SIDE = 65500


def parse_quality(name: object) -> int:
    """The quality that a plan's "image_codec" asks for.

    Raises:
        InputError: it is not of the form "jpeg:Q" with Q in `QUALITIES`.
    """
    codec, _, quality = name.partition(":") if isinstance(name, str) else ("", "", "")
    if codec == "jpeg" and quality.isascii() and quality.isdigit() and quality == str(int(quality)):
        return check_quality(int(quality))
    raise InputError(
        f"unknown image_codec {name!r}; there is 'jpeg:Q' with a quality Q from {QUALITIES[0]} to {QUALITIES[1]}, "
        "as in 'jpeg:95'; without one, images are stored lossless"
    )


def check_quality(quality: object) -> int:
    """A quality that can be asked for.

    Raises:
        InputError: it is not a whole number in `QUALITIES`.
    """
    low, high = QUALITIES
    if not isinstance(quality, int) or isinstance(quality, bool) or not low <= quality <= high:
        raise InputError(f"the quality of a JPEG must be a whole number from {low} to {high}, got {quality!r}")
    return quality


def check_frames(dtype: np.dtype[np.generic], row: tuple[int, ...]) -> None:
    """Refuse frames that JPEG cannot hold.

    Args:
        dtype: of the frames.
        row: shape of one of them.

    Raises:
        InputError: they are not (H, W, 3) uint8 of 1 to 65,500 pixels a side.
    """
    fits = dtype == np.uint8 and len(row) == 3 and row[2] == 3 and all(0 < side <= _LARGEST_SIDE for side in row[:2])
    if not fits:
        raise InputError(f"JPEG holds frames of (H, W, 3) uint8, not {tuple(row)} {dtype}; store these lossless")


def encode_frames(frames: np.ndarray, quality: int) -> bytes:
    """A chunk of frames, (n, H, W, 3) uint8, as bytes that depend on it, the quality and the JPEG library alone."""
    encoded = []
    for frame in frames:
        file = io.BytesIO()
        # Standard Huffman tables: tuned ones make the frames' headers differ, and more bytes after Zstandard.
        Image.fromarray(frame).save(file, "JPEG", quality=quality, subsampling=0, optimize=False)
        encoded.append(file.getvalue())
    lengths = np.array([len(data) for data in encoded], "<u4")
    return b"".join([lengths.tobytes(), *encoded])


def decode_frames(data: bytes, rows: int, first: int, out: np.ndarray) -> None:
    """Decode some frames of a chunk.

    Args:
        data: what `encode_frames` made.
        rows: how many frames the chunk has.
        first: the first frame wanted.
        out: (n, H, W, 3) uint8, filled with frames `first` to `first + n - 1`.

    Raises:
        ValueError: the bytes hold something else.
    """
    lengths = np.frombuffer(data[: 4 * rows], "<u4").astype(np.int64)
    starts = 4 * rows + np.concatenate([[0], np.cumsum(lengths)])
    if len(lengths) != rows or starts[-1] != len(data):
        raise ValueError(f"{len(data)} bytes do not hold {rows} JPEGs of the lengths they name")
    for index, frame in enumerate(out, first):
        try:
            image = Image.open(io.BytesIO(data[starts[index] : starts[index + 1]]), formats=["JPEG"])
            # Known from the header, so nothing large is decoded by mistake.
            if image.mode != "RGB" or image.size != (frame.shape[1], frame.shape[0]):
                raise ValueError(f"it is {image.mode} of {image.size[0]}x{image.size[1]} pixels")
            frame[:] = np.asarray(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"JPEG of frame {index}: {error}") from error


def squared_error(frames: np.ndarray, decoded: np.ndarray) -> int:
    """Sum of squared differences over all frames, pixels and channels: exact, so that it is the same everywhere."""
    return int(np.square(frames.astype(np.int32) - decoded).sum(dtype=np.int64))


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio [dB] of 8-bit frames; infinite where nothing differs."""
    return 10 * math.log10(255**2 / mean_squared_error) if mean_squared_error else math.inf
