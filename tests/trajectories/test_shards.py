import json
import threading

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.codecs import ZstdCodec

from handful import JobError
from trajectories import shards
from trajectories.canonical import file_entry
from trajectories.codecs import Zstd
from trajectories.shards import Layout, ShardReader, write_array

DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]

_arrays = st.tuples(
    st.sampled_from(DTYPES),
    st.integers(1, 60),
    st.lists(st.integers(1, 4), max_size=3),
    st.integers(1, 25),
    st.integers(0, 2**31),
)


def _random(dtype, shape, seed):
    data = np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    array = np.frombuffer(data, np.uint8 if dtype == "bool" else dtype).reshape(shape)
    return array % 2 == 0 if dtype == "bool" else array


def _reader(folder, key, layout):
    data = (folder / key / layout.file).read_bytes()
    return ShardReader(folder / key / layout.file, layout, file_entry(data))


def _ours(folder, array, rows, key="a", pieces=None):
    layout = Layout(array.shape, array.dtype, rows, Zstd())
    return write_array(folder, key, pieces or [array], layout, {}), layout


@given(_arrays, st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_alike_here_and_by_plain_zarr(tmp_path_factory, drawn, data):
    dtype, length, row, rows, seed = drawn
    array = _random(dtype, (length, *row), seed)
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=3)))
    pieces = np.split(array, cuts)
    folder = tmp_path_factory.mktemp("shard")
    files, layout = _ours(folder, array, rows, pieces=pieces)
    assert files == {f"a/{name}": file_entry((folder / "a" / name).read_bytes()) for name in ("zarr.json", layout.file)}
    plain = zarr.open_array(folder / "a", mode="r")
    reader = _reader(folder, "a", Layout.parse((folder / "a/zarr.json").read_bytes()))
    start = data.draw(st.integers(0, length))
    stop = data.draw(st.integers(start, length))
    found = reader.read(start, stop)
    assert found.dtype == array.dtype == plain.dtype
    assert found.tobytes() == array[start:stop].tobytes() == np.asarray(plain[start:stop]).tobytes()


@given(_arrays)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_plain_zarr_has_written_is_read_and_has_the_same_chunks(tmp_path_factory, drawn):
    dtype, length, row, rows, seed = drawn
    array = _random(dtype, (length, *row), seed)
    folder = tmp_path_factory.mktemp("shard")
    plain = zarr.create_array(
        folder / "a",
        shape=array.shape,
        dtype=array.dtype,
        chunks=(rows, *row),
        shards=(-(-length // rows) * rows, *row),
        compressors=ZstdCodec(level=3, checksum=True),
        fill_value=0,
        config={"write_empty_chunks": True},
    )
    plain[:] = array
    layout = Layout.parse((folder / "a/zarr.json").read_bytes())
    assert layout.separator == "/"
    assert _reader(folder, "a", layout).read(0, length).tobytes() == array.tobytes()
    _, ours = _ours(folder, array, rows, key="b")
    assert (folder / "b" / ours.file).read_bytes() == (folder / "a" / layout.file).read_bytes()


@pytest.mark.parametrize("shape", [(0, 3), (0,), (5, 0)])
def test_an_array_without_numbers_has_no_shard_and_opens_in_zarr(tmp_path, shape):
    files, layout = _ours(tmp_path, np.zeros(shape, np.float32), 4)
    assert list(files) == ["a/zarr.json"]
    assert layout.chunks == 0
    assert Layout.parse((tmp_path / "a/zarr.json").read_bytes()) == layout
    assert zarr.open_array(tmp_path / "a", mode="r")[:].shape == shape


@pytest.fixture
def written(tmp_path):
    array = _random("float32", (100, 7), 0)
    _, layout = _ours(tmp_path, array, 16)
    return array, layout, tmp_path / "a" / layout.file


def test_a_flipped_bit_is_an_error_or_no_change(written, monkeypatch):
    array, layout, path = written
    entry, data = file_entry(path.read_bytes()), path.read_bytes()
    monkeypatch.setattr(shards, "_SMALL", 0)  # the checksums alone have to find it
    rng = np.random.default_rng(1)
    raised = 0
    for bit in rng.integers(8 * len(data), size=300):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(ShardReader(path, layout, entry).read(0, 100), array)
        except ValueError:
            raised += 1
    assert raised > 290


def test_a_sound_shard_of_something_else_is_refused(written, tmp_path):
    array, layout, path = written
    entry = file_entry(path.read_bytes())
    _, other = _ours(tmp_path, array[::-1].copy(), 16, key="b")
    swapped = (tmp_path / "b" / other.file).read_bytes()
    path.write_bytes(swapped)
    with pytest.raises(ValueError, match=r"bytes long instead of|its content has changed"):
        ShardReader(path, layout, entry).read(0, 1)
    with pytest.raises(ValueError, match="its content has changed"):
        ShardReader(path, layout, {**entry, "bytes": len(swapped)}).read(0, 1)


def test_a_missing_chunk_is_an_error_and_never_zeros(written, monkeypatch):
    _, layout, path = written
    monkeypatch.setattr(shards, "_SMALL", 0)
    data = path.read_bytes()
    index = np.frombuffer(data[-16 * layout.chunks - 4 : -4], "<u8").reshape(-1, 2).copy()
    index[2] = 2**64 - 1
    tail = index.tobytes()
    path.write_bytes(data[: -len(tail) - 4] + tail + int(google_crc32c.value(tail)).to_bytes(4, "little"))
    reader = ShardReader(path, layout, file_entry(path.read_bytes()))
    with pytest.raises(ValueError, match="chunk 2 is missing"):
        reader.read(0, 100)


@pytest.mark.parametrize(("keep", "what"), [(0, "0 bytes long"), (-1, "bytes long instead of")])
def test_a_truncated_shard_is_refused(written, keep, what):
    _, layout, path = written
    entry = file_entry(path.read_bytes())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=what):
        ShardReader(path, layout, entry).read(0, 1)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        ShardReader(path, layout, entry).read(0, 1)


def _changed(tmp_path, change):
    _ours(tmp_path, _random("float32", (20, 3), 0), 8)
    record = json.loads((tmp_path / "a/zarr.json").read_bytes())
    change(record, record["codecs"][0]["configuration"])
    return json.dumps(record).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, s: s.update(codecs=[{"name": "bytes"}, {"name": "gzip"}]), r"codecs 'bytes \+ gzip' are not known"),
        (lambda r, s: s["codecs"][1]["configuration"].update(checksum=False), "zstd must write checksums"),
        (lambda r, s: s["codecs"][0].update(configuration={"endian": "big"}), "must be little-endian"),
        (lambda r, s: s.update(index_codecs=[{"name": "bytes"}]), "checksummed index at its end"),
        (lambda r, s: s.update(index_location="start"), "checksummed index at its end"),
        (lambda r, s: s.update(chunk_shape=[8, 1]), "chunks of whole rows"),
        (lambda r, s: r.update(codecs=[]), r"zarr\.json cannot be read"),
        (lambda r, s: r.update(data_type="r24"), r"zarr\.json cannot be read"),
        (lambda r, s: r["chunk_grid"]["configuration"].update(chunk_shape=[48, 3]), "room for 48 rows; 20 are stored"),
    ],
)
def test_arrays_that_are_not_ours_are_refused_by_name(tmp_path, change, message):
    with pytest.raises(JobError, match=message):
        Layout.parse(_changed(tmp_path, change))


def test_threads_share_a_reader(written):
    array, layout, path = written
    reader = ShardReader(path, layout, file_entry(path.read_bytes()))
    wrong = []

    def work(seed):
        for start in np.random.default_rng(seed).integers(0, 90, 200):
            if not np.array_equal(reader.read(start, start + 10), array[start : start + 10], equal_nan=True):
                wrong.append(start)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
