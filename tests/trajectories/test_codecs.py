import numpy as np
import pytest
from numcodecs import zstd

from handful import InputError
from trajectories import Store
from trajectories.codecs import Zstd, codec_of, encoding_of


def test_a_pipeline_is_found_again_by_what_it_writes_of_itself():
    for dtype in ("uint8", "float64"):
        assert codec_of(Zstd(7).to_json(np.dtype(dtype))) == Zstd(7)


def test_damaged_bytes_are_a_value_error():
    chunk = np.arange(100.0)
    data = bytearray(Zstd().encode(chunk))
    data[-1] ^= 1
    with pytest.raises(ValueError, match="Zstandard"):
        Zstd().decode(bytes(data), np.empty(100))
    for size in (99, 101):
        with pytest.raises(ValueError, match=f"800 bytes instead of {8 * size}"):
            Zstd().decode(Zstd().encode(chunk), np.empty(size))
    with pytest.raises(ValueError, match="has no checksum"):
        Zstd().decode(zstd.compress(chunk, 3, False), np.empty(100))
    with pytest.raises(ValueError, match="not a frame"):
        Zstd().decode(b"\0" * 100, np.empty(100))


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 65791, 65792, 300_000])
def test_chunks_of_every_size_come_back(size):
    chunk, found = np.arange(size).astype(np.uint8), np.zeros(size, np.uint8)
    Zstd().decode(Zstd().encode(chunk), found)
    np.testing.assert_array_equal(found, chunk)


def test_the_plan_chooses_the_level(tmp_path, make_episode, make_store):
    sizes = {}
    for level in (1, 19):
        episode = make_episode(0, steps=200)
        episode.arrays["images/front"] //= 64
        store = make_store(tmp_path / str(level), [[episode]], {"compression_level": level})
        np.testing.assert_array_equal(store.read(0, "images/front"), episode.arrays["images/front"])
        sizes[level] = store.bytes
    assert sizes[19] < sizes[1]


@pytest.mark.parametrize("level", [0, 20, 3.0, True, "high"])
def test_a_level_that_there_is_not_is_refused_before_anything_is_written(tmp_path, level):
    with pytest.raises(InputError, match=r"compression_level must be a whole number from 1 to 19, got"):
        Store.create(tmp_path / "s", {"compression_level": level})
    assert not (tmp_path / "s").exists()
    assert encoding_of({}).of("images/front") == Zstd(3)
