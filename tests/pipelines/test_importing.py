"""Importing: formats, tasks and options that do not go together are refused by name; what came in can be inspected."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from handful import InputError
from pipelines import exporting, importing
from pipelines.inspection import inspect
from sim.panda import PANDA
from tests.pipelines.test_inspection import shown
from tests.trajectories.conftest import _episode, _store
from tests.trajectories.importers.test_isaaclab_mimic import ENVIRONMENT, _write_demo
from trajectories import Store


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one good file, one cut short, one of another kind; reading in a child process is left out."""
    for format in ("isaaclab_mimic", "lerobot", "robomimic"):
        monkeypatch.setattr(f"trajectories.importers.{format}.rehearse", lambda *arguments, **options: 0)
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
        ("isaaclab-mimic", "h.hdf5", None, "do not name one of our tasks: give --task"),
        ("isaaclab-mimic", "h.hdf5", "lift", "'lift' asks for another object in each scene.*such as stack_three"),
        ("isaaclab-mimic", "none.hdf5", "stack_three", "there is no file '.*none.hdf5'"),
        ("isaaclab-mimic", ".", "stack_three", "is a folder; give the HDF5 file itself"),
        ("isaaclab-mimic", "text.hdf5", "stack_three", "is damaged, or no HDF5 file"),
        ("isaaclab-mimic", "cut.hdf5", "stack_three", "is damaged, or no HDF5 file: .*truncated"),
        ("lerobot", "h.hdf5", None, "h.hdf5' is a file; give the folder"),
        ("lerobot", ".", None, "is no LeRobot data set"),
    ],
)
def test_bad_input_makes_no_store(folder, format, name, task, message):
    with pytest.raises(InputError, match=message):
        importing.run(format, folder / name, task, folder / "s")
    assert not (folder / "s").exists()


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        ("isaaclab-mimic", {"mapping": "lerobot_franka"}, "all of one layout: --mapping has no use"),
        ("isaaclab-mimic", {"selection": "valid"}, "all of one layout: --filter has no use"),
        ("lerobot", {"selection": "valid"}, "no named selections: --filter has no use"),
        ("lerobot", {"source": "a/b"}, "--source is a name without '/', got 'a/b'"),
        (
            "lerobot",
            {"mapping": "franka"},
            "unknown mapping preset 'franka'; there is: lerobot_franka, robosuite_panda",
        ),
        ("lerobot", {"mapping": "mine.yaml"}, "no mapping 'mine.yaml'; to copy and change there is: .*lerobot_franka"),
    ],
)
def test_options_that_a_format_does_not_have_are_refused(folder, format, options, message):
    with pytest.raises(InputError, match=message):
        importing.run(format, folder / "h.hdf5", "stack_three", folder / "s", **options)


def test_a_source_has_the_name_it_was_given(folder):
    importing.run("isaaclab-mimic", folder / "h.hdf5", "stack_three", folder / "s", source="lab")
    assert Store.open(folder / "s").meta(0).domain == "real/lab"


BUNDLED = sorted((Path(importing.__file__).parent.parent / "configs/mapping").glob("*.yaml"))


@pytest.mark.parametrize("file", BUNDLED, ids=lambda path: path.stem)
def test_bundled_mappings_can_be_read_by_name_and_as_files(file):
    assert importing.load_mapping(file.stem) == importing.load_mapping(str(file))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("outcome: success", "outcome: succes"), "unknown outcome in mapping '.*m.yaml' 'succes'.*mean 'success'"),
        (("operator: human", "operator: dog"), "unknown value of 'operator': 'dog'"),
        (
            ("tool_pose: kinematics  ", "tool_pose: kinematic  "),
            "value of '.*tool_pose': 'kinematic'.*mean 'kinematics'",
        ),
        (
            ("tool_pose: kinematics  ", "tool_pose: {feature: a, convention: xyz, base: [0, 0, 0, 1, 0, 0, 0]}  "),
            "unknown value of '.*tool_pose.convention': 'xyz'; there is: matrix, wxyz, xyzw",
        ),
        (("embodiment: panda", "embodyment: panda"), "unknown configuration key 'embodyment'.*mean 'embodiment'"),
        (("task: lift", ""), "configuration key 'task' is needed"),
        (("closed: 0.0, open: 0.08", "closed: 0.0, open: 0.0"), "two different numbers for closed and open"),
        (("control_rate: 20", "control_rate: [20"), "cannot read configuration '.*m.yaml'"),
    ],
)
def test_a_mapping_with_a_mistake_is_refused_by_name(tmp_path, edit, message):
    text = BUNDLED[0].read_text()
    assert edit[0] in text
    (tmp_path / "m.yaml").write_text(text.replace(*edit))
    with pytest.raises(InputError, match=message):
        importing.load_mapping(str(tmp_path / "m.yaml"))


@pytest.fixture
def arm(tmp_path):
    """A store of one arm's motion with images, exported to LeRobot's format without what only ours have."""
    episodes = [_episode(i, steps=12, size=16, cameras=("front",)) for i in range(2)]
    for episode in episodes:
        reach = episode.arrays["observation/joint_position"]
        reach[:] = np.linspace(-0.5, 0.5, len(episode))[:, None] + PANDA.home
    made = _store(tmp_path / "arm", [episodes])
    made.seal(None)
    exporting.run("lerobot", tmp_path / "arm", tmp_path / "theirs")
    (tmp_path / "theirs/meta/handful.jsonl").unlink()
    return Store.open(tmp_path / "arm")


def test_tool_poses_come_from_the_pandas_kinematics(arm, folder, tmp_path):
    mapping = BUNDLED[0].read_text().replace("open: 0.08", "open: 1.0")
    (tmp_path / "m.yaml").write_text(mapping)
    account = importing.run("lerobot", tmp_path / "theirs", None, tmp_path / "s", str(tmp_path / "m.yaml"))
    assert account == {"episodes": 2, "frames": 24}
    store = Store.open(tmp_path / "s")
    expected = PANDA.chain.forward(arm.read(1, "observation/joint_position").astype(float))
    found = store.read(1, "observation/tool_pose_in_base")
    np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=1e-6)
    np.testing.assert_array_equal(store.read(1, "images/front"), arm.read(1, "images/front"))
    assert store.meta(1).domain == "real/lerobot"
    assert store.verify() == []


def test_a_missing_library_is_said_with_what_installs_it(folder, monkeypatch):
    for name in list(sys.modules):
        if name.startswith("trajectories.importers.lerobot"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"needs pyarrow, which is not installed: pip install 'handful\[lerobot\]'"):
        importing.run("lerobot", folder, None, folder / "s")
