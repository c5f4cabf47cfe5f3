"""Importing: formats and tasks that do not go together are refused by name; what came in can be inspected."""

import h5py
import pytest

from handful import InputError
from pipelines import importing
from pipelines.inspection import inspect
from tests.pipelines.test_inspection import shown
from tests.trajectories.importers.test_isaaclab_mimic import ENVIRONMENT, _write_demo


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one good file, one cut short, one of another kind; reading in a child process is left out."""
    monkeypatch.setattr("trajectories.importers.isaaclab_mimic.rehearse", lambda *arguments: None)
    with h5py.File(tmp_path / "h.hdf5", "w") as file:
        file.create_group("data").attrs["env_args"] = ENVIRONMENT
        for i in range(2):
            _write_demo(file.create_group(f"data/demo_{i}"), i)
    content = (tmp_path / "h.hdf5").read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.hdf5").write_text("hello")
    return tmp_path


def test_imported_demos_can_be_inspected(folder):
    account = importing.run("isaaclab-mimic", folder / "h.hdf5", "stack_three", folder / "s")
    assert account == {"episodes": 2, "frames": 24}
    record, _ = inspect(folder / "s", verify=True)
    assert (record["episodes"], record["frames"], record["ok"]) == (2, 24, True)
    rows = {line[:31].strip(): line[31:].split() for line in shown(folder / "s").splitlines()}
    assert rows["success at the first attempt"][:2] == ["2", "100.0%"]


@pytest.mark.parametrize(
    ("format", "name", "task", "message"),
    [
        ("isaaclab-mimc", "h.hdf5", "stack_three", "unknown format 'isaaclab-mimc'.*Did you mean 'isaaclab-mimic'"),
        ("isaaclab-mimic", "h.hdf5", "stak_three", "unknown task 'stak_three'.*Did you mean 'stack_three'"),
        ("isaaclab-mimic", "h.hdf5", "lift", "'lift' asks for another object in each scene.*such as stack_three"),
        ("isaaclab-mimic", "none.hdf5", "stack_three", "there is no file '.*none.hdf5'"),
        ("isaaclab-mimic", ".", "stack_three", "is a folder; give the HDF5 file itself"),
        ("isaaclab-mimic", "text.hdf5", "stack_three", "is damaged, or no HDF5 file"),
        ("isaaclab-mimic", "cut.hdf5", "stack_three", "is damaged, or no HDF5 file: .*truncated"),
    ],
)
def test_bad_input_makes_no_store(folder, format, name, task, message):
    with pytest.raises(InputError, match=message):
        importing.run(format, folder / name, task, folder / "s")
    assert not (folder / "s").exists()
