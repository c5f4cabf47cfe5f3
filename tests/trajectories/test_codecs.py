import json

import numpy as np
import pytest
import zarr
from numcodecs import zstd

from handful import InputError, JobError
from trajectories import Store
from trajectories.codecs import Jpeg, Zstd, codec_of, encoding_of
from trajectories.zarr_jpeg import JpegCodec


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


def _smooth(make_episode, scene, **options):
    """An episode whose frames are pictures rather than noise."""
    episode = make_episode(scene, **options)
    for key in ("images/front", "images/wrist"):
        steps, height, width, _ = episode.arrays[key].shape
        t, y, x = np.mgrid[:steps, :height, :width]
        episode.arrays[key] = np.stack([3 * t + 5 * x, 9 * y, 2 * x + 7 * scene], -1).astype(np.uint8)
    return episode


@pytest.fixture
def jpeg_store(tmp_path, make_episode, make_store):
    episodes = [_smooth(make_episode, i, steps=40 + i, size=16) for i in range(3)]
    store = make_store(tmp_path / "s", [episodes[:2], episodes[2:]], {"image_codec": "jpeg:90"})
    return store, episodes


def test_jpeg_is_chosen_by_the_plan_for_images_alone(jpeg_store):
    store, episodes = jpeg_store
    for i, episode in enumerate(episodes):
        for key, value in episode.arrays.items():
            found = store.read(i, key)
            assert found.dtype == value.dtype
            if key.startswith("images/"):
                assert 0 < np.abs(found.astype(int) - value).mean() < 5
            else:
                np.testing.assert_array_equal(found, value)
    assert store.verify() == []


def test_any_run_of_jpeg_frames_is_the_same_as_in_the_whole(jpeg_store):
    store, episodes = jpeg_store
    whole = [store.read(i, "images/front") for i in range(3)]
    rng = np.random.default_rng(0)
    for _ in range(40):
        i = int(rng.integers(3))
        start, stop = sorted(rng.integers(0, len(episodes[i]) + 1, 2))
        np.testing.assert_array_equal(store.read(i, "images/front", start, stop), whole[i][start:stop])


def test_plain_zarr_reads_the_same_frames(jpeg_store):
    store, _ = jpeg_store
    assert JpegCodec(quality=90)
    array = zarr.open_array(store.path / "parts/00000000/images/wrist", mode="r")
    found = array[:]
    np.testing.assert_array_equal(found[:40], store.read(0, "images/wrist"))
    np.testing.assert_array_equal(found[40:], store.read(1, "images/wrist"))


def test_each_part_says_what_jpeg_has_cost_it(jpeg_store):
    store, episodes = jpeg_store
    found = np.concatenate([store.read(i, "images/front") for i in (0, 1)]).astype(float)
    expected = np.concatenate([episode.arrays["images/front"] for episode in episodes[:2]])
    record = json.loads((store.path / "parts/00000000/images/front/zarr.json").read_bytes())
    assert record["attributes"]["mean_squared_error"] == pytest.approx(np.mean((found - expected) ** 2), rel=1e-12)
    lossless = json.loads((store.path / "parts/00000000/state/zarr.json").read_bytes())
    assert "mean_squared_error" not in lossless["attributes"]


def test_the_same_frames_are_the_same_bytes_again(jpeg_store, tmp_path, make_store, tree):
    store, episodes = jpeg_store
    make_store(tmp_path / "again", [episodes[:2], episodes[2:]], {"image_codec": "jpeg:90"})
    assert tree(store.path) == tree(tmp_path / "again")


@pytest.mark.parametrize("name", ["png", "jpeg", "jpeg:101", 95])
def test_an_image_codec_that_there_is_not_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(InputError, match="from 50 to 100"):
        Store.create(tmp_path / "s", {"image_codec": name})
    assert not (tmp_path / "s").exists()


def test_frames_that_jpeg_cannot_hold_are_refused_before_anything_is_written(tmp_path, make_episode, scene_records):
    store = Store.create(tmp_path / "s", {"image_codec": "jpeg:95"})
    episode = make_episode(0)
    episode.arrays["images/front"] = episode.arrays["images/front"][..., :1]
    with pytest.raises(InputError, match=r"'images/front' of part 0: JPEG holds frames of \(H, W, 3\) uint8, not"):
        store.commit(0, [episode], scene_records(range(1)))
    assert list((tmp_path / "s/parts").iterdir()) == []


def test_damaged_jpegs_are_a_value_error():
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    data = Jpeg(95).encode(frames)
    rng = np.random.default_rng(0)
    for bit in rng.permutation(8 * len(data))[:500]:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        found = np.ones_like(frames)
        try:
            Jpeg(95).decode(bytes(damaged), found)
        except ValueError:
            continue
        # Some bits of a Zstandard header mean nothing.
        np.testing.assert_array_equal(found, frames)
    bomb = zstd.compress(bytes(10_000_000), 3, True)
    with pytest.raises(ValueError, match="10000000 bytes of JPEGs; at most"):
        Jpeg(95).decode(bomb, frames)
    with pytest.raises(ValueError, match="do not hold 5 JPEGs"):
        Jpeg(95).decode(data, np.zeros((5, 8, 8, 3), np.uint8))


def test_pipelines_of_other_codecs_are_refused_by_name():
    assert codec_of(Jpeg(80, 5).to_json(np.dtype("uint8"))) == Jpeg(80, 5)
    with pytest.raises(JobError, match=r"its codecs 'bytes \+ gzip' are not known; known are: bytes \+ zstd; handful"):
        codec_of([{"name": "bytes"}, {"name": "gzip"}])
    unchecked = [{"name": "handful.jpeg", "configuration": {"quality": 90}}, {"name": "zstd", "configuration": {}}]
    with pytest.raises(JobError, match="zstd must write checksums"):
        codec_of(unchecked)
