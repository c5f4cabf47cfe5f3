"""Putting frames together: captioned tiles, contact sheets, and H.264 videos that every browser plays."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from handful import JobError

# Height of one line of caption, and the space between tiles [pixels].
LINE = 18
GAP = 4
# Smallest side a frame is shown at [pixels]; smaller ones are enlarged by a whole factor.
LEAST_SIDE = 256

_PAPER = (250, 250, 248)
_INK = (40, 42, 46)
_FONT_SIZE = 13


def enlarge(frame: np.ndarray, least_side: int = LEAST_SIDE) -> np.ndarray:
    """Repeat pixels by the smallest whole factor that makes the shorter side at least `least_side`.

    Nearest-neighbour on purpose: what is shown is what the policy sees, pixel by pixel.
    """
    factor = -(-least_side // min(frame.shape[:2]))
    return frame if factor <= 1 else frame.repeat(factor, axis=0).repeat(factor, axis=1)


def side_by_side(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Frames (h, w, 3) uint8 in a row, the smaller ones centred on the tallest."""
    height = max(frame.shape[0] for frame in frames)
    width = sum(frame.shape[1] for frame in frames) + GAP * (len(frames) - 1)
    row = np.full((height, width, 3), _PAPER, np.uint8)
    left = 0
    for frame in frames:
        top = (height - frame.shape[0]) // 2
        row[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
        left += frame.shape[1] + GAP
    return row


def captioned(frame: np.ndarray, lines: Sequence[str], above: bool = False) -> np.ndarray:
    """A frame with lines of text below it; a line that is too wide is cut with an ellipsis.

    Args:
        frame: (h, w, 3) uint8.
        lines: what to write.
        above: write it above the frame instead, where a video player's controls do not hide it.
    """
    height, width = frame.shape[:2]
    image = Image.new("RGB", (width, height + LINE * len(lines)), _PAPER)
    image.paste(Image.fromarray(frame), (0, LINE * len(lines) if above else 0))
    start = 0 if above else height
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_FONT_SIZE)
    for number, line in enumerate(lines):
        text = line
        while text and draw.textlength(text, font=font) > width - 8:
            text = text[:-2].rstrip("… ") + "…"
        draw.text((4, start + LINE * number + 1), text, fill=_INK, font=font)
    return np.asarray(image)


def grid(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles of any sizes in rows of `columns`, on paper."""
    height = max(tile.shape[0] for tile in tiles)
    width = max(tile.shape[1] for tile in tiles)
    rows = -(-len(tiles) // columns)
    columns = min(columns, len(tiles))
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), _PAPER, np.uint8)
    for number, tile in enumerate(tiles):
        top = GAP + number // columns * (height + GAP)
        left = GAP + number % columns * (width + GAP)
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        Image.fromarray(image).save(partial, format="PNG", optimize=True)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_video(path: Path, frames: Iterable[np.ndarray], rate: float) -> None:
    """Encode frames (h, w, 3) uint8 of one size as H.264 in MP4, whole or not at all.

    Args:
        path: an .mp4 file; its folder is made.
        frames: at least one; odd sides are padded by a pixel, as yuv420p needs even ones.
        rate: frames per second of playback.

    Raises:
        JobError: the encoder failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial.mp4")
    writer = None
    try:
        for frame in frames:
            padded = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
            if writer is None:
                size = padded.shape[1], padded.shape[0]
                writer = imageio_ffmpeg.write_frames(
                    str(partial),
                    size,
                    fps=rate,
                    codec="libx264",
                    pix_fmt_in="rgb24",
                    pix_fmt_out="yuv420p",
                    quality=None,
                    macro_block_size=2,
                    output_params=["-crf", "23", "-preset", "medium", "-movflags", "+faststart"],
                )
                writer.send(None)
            writer.send(np.ascontiguousarray(padded))
        if writer is None:
            raise JobError(f"cannot write '{path}': there are no frames")
        writer.close()
        partial.replace(path)
    except OSError as error:
        reason = " ".join(str(error).split())[-200:]
        raise JobError(f"cannot write video '{path}': {reason}") from error
    finally:
        if writer is not None:
            writer.close()
        partial.unlink(missing_ok=True)
