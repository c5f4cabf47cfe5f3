import io
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image
from zarr.codecs import ZstdCodec

from handful import InputError
from trajectories.jpeg import (
    check_frames,
    decode_frames,
    encode_frames,
    parse_quality,
    psnr,
    squared_error,
)
from trajectories.zarr_jpeg import NAME, JpegCodec


@pytest.fixture
def frames():
    """Seven smooth frames of 20 x 31 pixels, with an object of saturated colour that moves."""
    y, x = np.mgrid[:20, :31]
    stack = np.stack([np.stack([8 * x, 12 * y, 4 * (x + y)], -1) for _ in range(7)]).astype(np.uint8)
    for i in range(7):
        stack[i, 5:9, 3 * i : 3 * i + 4] = (220, 20, 30)
    return stack


def _decode(data, shape, first=0, rows=None):
    out = np.zeros(shape, np.uint8)
    decode_frames(data, shape[0] if rows is None else rows, first, out)
    return out


def test_frames_come_back_nearly_as_they_were_and_better_at_a_higher_quality(frames):
    worst = [255.0]
    for quality in (50, 80, 95, 100):
        found = _decode(encode_frames(frames, quality), frames.shape)
        worst.append(float(np.abs(found.astype(int) - frames).mean()))
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] < 1


def test_each_frame_is_an_ordinary_jpeg_without_subsampled_colour(frames):
    data = encode_frames(frames, 90)
    lengths = np.frombuffer(data[:28], "<u4")
    assert lengths.sum() + 28 == len(data)
    first = Image.open(io.BytesIO(data[28 : 28 + lengths[0]]))
    assert first.format == "JPEG"
    assert [sampling[1:3] for sampling in first.layer] == [(1, 1)] * 3
    np.testing.assert_array_equal(np.asarray(first), _decode(data, frames.shape)[0])


def test_some_frames_are_decoded_without_the_others(frames):
    data = encode_frames(frames, 90)
    whole = _decode(data, frames.shape)
    np.testing.assert_array_equal(_decode(data, (3, 20, 31, 3), first=2, rows=7), whole[2:5])


def test_the_same_frames_give_the_same_bytes(frames):
    assert encode_frames(frames, 95) == encode_frames(frames.copy(), 95)
    assert encode_frames(frames, 95) != encode_frames(frames, 94)


def test_bytes_of_something_else_are_refused(frames):
    data = encode_frames(frames, 90)
    with pytest.raises(ValueError, match="do not hold 7 JPEGs"):
        _decode(data[:-1], frames.shape)
    with pytest.raises(ValueError, match="do not hold 8 JPEGs"):
        _decode(data, (8, 20, 31, 3))
    with pytest.raises(ValueError, match=r"JPEG of frame 0: it is RGB of 31x20 pixels"):
        _decode(data, (7, 31, 20, 3))
    noise = data[:28] + bytes(len(data) - 28)
    with pytest.raises(ValueError, match="JPEG of frame 0: cannot identify image"):
        _decode(noise, frames.shape)
    other = io.BytesIO()
    Image.fromarray(frames[0]).save(other, "PNG")
    png = np.array([len(other.getvalue())], "<u4").tobytes() + other.getvalue()
    with pytest.raises(ValueError, match="JPEG of frame 0: cannot identify image"):
        _decode(png, (1, 20, 31, 3))


def test_cut_and_flipped_bytes_never_escape_as_other_errors(frames):
    data = encode_frames(frames, 90)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 20)):
            damaged[position] = rng.integers(256)
        try:
            _decode(bytes(damaged[: rng.integers(len(data) // 2, len(data) + 1)]), frames.shape)
        except ValueError:
            continue


@pytest.mark.parametrize("name", ["jpeg:50", "jpeg:95", "jpeg:100"])
def test_qualities_are_read_from_their_names(name):
    assert parse_quality(name) == int(name.removeprefix("jpeg:"))


@pytest.mark.parametrize("name", ["png", "jpeg", "jpeg:", "jpeg:95.0", "jpeg: 95", "jpeg:095", "jpeg:٩٥", 95, True, ""])
def test_unknown_codecs_are_refused_with_what_there_is(name):
    with pytest.raises(InputError, match=r"unknown image_codec .*; there is 'jpeg:Q' with a quality Q from 50 to 100"):
        parse_quality(name)


@pytest.mark.parametrize("name", ["jpeg:49", "jpeg:101"])
def test_qualities_out_of_range_are_refused(name):
    with pytest.raises(InputError, match=r"must be a whole number from 50 to 100, got (49|101)"):
        parse_quality(name)


@pytest.mark.parametrize(
    ("dtype", "row"), [("float32", (4, 4, 3)), ("uint8", (4, 4, 1)), ("uint8", (4, 4)), ("uint8", (0, 4, 3))]
)
def test_what_jpeg_cannot_hold_is_refused(dtype, row):
    with pytest.raises(InputError, match=r"JPEG holds frames of \(H, W, 3\) uint8, not .*; store these lossless"):
        check_frames(np.dtype(dtype), row)
    check_frames(np.dtype(np.uint8), (4, 5, 3))


def test_psnr_agrees_with_its_definition(frames):
    found = _decode(encode_frames(frames, 80), frames.shape)
    difference = frames.astype(np.float64) - found
    assert squared_error(frames, found) == np.sum(difference**2)
    expected = 20 * np.log10(255 / np.sqrt(np.mean(difference**2)))
    assert psnr(squared_error(frames, found) / frames.size) == pytest.approx(expected)
    assert psnr(0.0) == math.inf
    assert psnr(255.0**2) == 0


def test_plain_zarr_reads_and_writes_it(tmp_path, frames):
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=frames.shape,
        dtype="uint8",
        chunks=(4, *frames.shape[1:]),
        shards=(8, *frames.shape[1:]),
        serializer=JpegCodec(quality=95),
        compressors=ZstdCodec(checksum=True),
    )
    array[:] = frames
    again = zarr.open_array(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(again[:], _decode(encode_frames(frames, 95), frames.shape))
    np.testing.assert_array_equal(again[3:6], again[:][3:6])
    assert '"handful.jpeg"' in (tmp_path / "a.zarr/zarr.json").read_text()


def test_plain_zarr_is_refused_other_arrays_and_qualities(tmp_path):
    with pytest.raises(InputError, match="store these lossless"):
        zarr.create_array(
            tmp_path / "a.zarr", shape=(4, 5), dtype="float32", chunks=(2, 5), serializer=JpegCodec(quality=95)
        )
    with pytest.raises(InputError, match="got 49"):
        JpegCodec(quality=49)


def test_zarr_finds_the_codec_by_its_entry_point():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = project["project"]["entry-points"]["zarr.codecs"]
    assert declared == {NAME: f"{JpegCodec.__module__}:{JpegCodec.__qualname__}"}
    assert JpegCodec.from_dict({"name": NAME, "configuration": {"quality": 80}}) == JpegCodec(quality=80)
