import io
import os

import h5py
import numpy as np
import pytest

from trajectories.exporters.sinks import Sink


def test_it_is_a_file_as_others_are(tmp_path):
    rng = np.random.default_rng(0)
    other = io.BytesIO()
    with Sink(tmp_path / "f") as sink:
        for _ in range(300):
            place, data = int(rng.integers(2000)), rng.bytes(int(rng.integers(1, 200)))
            for file in (sink, other):
                file.seek(place)
                file.write(data)
            place, length = int(rng.integers(2000)), int(rng.integers(1, 500))
            sink.seek(place), other.seek(place)
            assert sink.read(length) == other.read(length)
            assert sink.tell() == other.tell()
        sink.truncate(900), other.truncate(900)
        assert sink.seek(0, os.SEEK_END) == 900
        sink.check()
    assert (tmp_path / "f").read_bytes() == other.getvalue()


def test_it_takes_no_file_that_is_there(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(FileExistsError):
        Sink(tmp_path / "f")


@pytest.mark.parametrize("room", [0, 100, 900, 3000, 50_000])
def test_the_library_never_learns_that_the_disk_is_full(tmp_path, monkeypatch, room):
    write = os.pwrite

    def pwrite(descriptor, data, offset):
        if offset + len(data) > room:
            raise OSError(28, "No space left on device")
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with Sink(tmp_path / "f") as sink:
        with h5py.File(sink, "w") as file:
            for index in range(20):
                file.create_dataset(f"{index}/a", data=np.arange(2000), compression="gzip", chunks=(100,))
                file[f"{index}/b"] = np.arange(500)
        with pytest.raises(OSError, match="No space left"):
            sink.check()
