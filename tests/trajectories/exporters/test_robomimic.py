"""robomimic files: the layout that robomimic and MimicGen read, whole or absent."""

import errno
import hashlib
import json
import os

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handful import InputError, JobError
from trajectories import Store
from trajectories.exporters.robomimic import export_robomimic
from trajectories.holdout import hold_out


@pytest.fixture
def store(make_store, make_episode, tmp_path):
    return make_store(
        tmp_path / "s", [[make_episode(0), make_episode(1, steps=9)], [make_episode(2, outcome="misplaced")]]
    )


def test_the_layout_is_robomimics(store, tmp_path):
    assert export_robomimic(store, tmp_path / "out.hdf5") == {"episodes": 3, "frames": 23 + 9 + 23}
    with h5py.File(tmp_path / "out.hdf5") as file:
        data = file["data"]
        assert data.attrs["total"] == 55
        environment = json.loads(data.attrs["env_args"])
        assert (environment["env_name"], environment["env_type"]) == ("lift", 2)
        assert environment["env_kwargs"]["control_freq"] == 20.0
        assert sorted(data) == ["demo_0", "demo_1", "demo_2"]
        for index, demo in enumerate(data.values()):
            arrays = store.episode(index).arrays
            steps = len(arrays["subtask"])
            assert demo.attrs["num_samples"] == steps
            assert json.loads(demo.attrs["ep_meta"]) == {"lang": "lift the red cube"}
            for name in ("actions", "rewards", "dones", "states", *(f"obs/{key}" for key in demo["obs"])):
                assert len(demo[name]) == steps, name
            assert demo["obs"].keys() == demo["next_obs"].keys()
            image = demo["obs/front_image"]
            assert (image.dtype, image.shape, image.compression) == (np.uint8, (steps, 12, 12, 3), "gzip")
            np.testing.assert_array_equal(image, arrays["images/front"])
            np.testing.assert_array_equal(demo["obs/cube_pose"], arrays["objects/cube"])
            np.testing.assert_array_equal(demo["states"], arrays["state"][:-1])
            np.testing.assert_array_equal(demo["next_obs/front_image"][:-1], arrays["images/front"][1:])
            np.testing.assert_array_equal(demo["next_obs/front_image"][-1], arrays["images/front"][-1])
            assert demo["dones"][()].tolist() == [0] * (steps - 1) + [1]
            assert demo["rewards"][()].tolist() == [0.0] * (steps - 1) + [float(index != 2)]


def test_actions_are_scaled_by_limits_that_stand_in_the_file(store, tmp_path):
    export_robomimic(store, tmp_path / "out.hdf5")
    actions = [store.read(index, "action/executed") for index in range(3)]
    everything = np.concatenate(actions)
    with h5py.File(tmp_path / "out.hdf5") as file:
        low, high = file["data"].attrs["action_low"], file["data"].attrs["action_high"]
        assert (low[-1], high[-1]) == (0, 1)
        assert (low[:-1] < everything[:, :-1].min(axis=0)).all()
        assert (high[:-1] > everything[:, :-1].max(axis=0)).all()
        assert (high[:-1] - low[:-1] < np.ptp(everything[:, :-1], axis=0) + 0.41).all()
        for index in range(3):
            scaled = file[f"data/demo_{index}/actions"][()]
            assert np.abs(scaled).max() <= 1
            np.testing.assert_allclose(low + (scaled + 1) / 2 * (high - low), actions[index], atol=1e-6)


def test_a_joint_that_never_moves_has_an_interval_all_the_same(make_store, make_episode, tmp_path):
    episode = make_episode(0)
    episode.arrays["action/executed"][:, 2] = 0.5
    export_robomimic(make_store(tmp_path / "s", [[episode]]), tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert abs(file["data/demo_0/actions"][0, 2]) < 0.5
        assert sorted(file["mask"]) == ["train"]


def test_what_mimicgen_generates_from_is_there_where_objects_are(store, make_store, make_episode, tmp_path):
    export_robomimic(store, tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        info = file["data/demo_0/datagen_info"]
        arrays = store.episode(0).arrays
        for name, key in (
            ("eef_pose", "observation/tool_pose_in_base"),
            ("target_pose", "action/tool_pose_in_base"),
            ("object_poses/cube", "objects/cube"),
        ):
            matrices, pose = info[name][()], arrays[key]
            np.testing.assert_array_equal(matrices[:, 3], np.tile([0, 0, 0, 1], (23, 1)))
            np.testing.assert_allclose(matrices[:, :3, 3], pose[:, :3])
            rotation = Rotation.from_quat(pose[:, 3:].astype(float), scalar_first=True).as_matrix()
            np.testing.assert_allclose(matrices[:, :3, :3], rotation, atol=1e-6)
        np.testing.assert_array_equal(info["gripper_action"], file["data/demo_0/actions"][:, -1:])
        assert info["subtask_term_signals/subtask_0"][()].tolist() == [0] * 11 + [1] * 12
    bare = make_episode(0)
    del bare.arrays["objects/cube"]
    export_robomimic(make_store(tmp_path / "bare", [[bare]]), tmp_path / "bare.hdf5")
    with h5py.File(tmp_path / "bare.hdf5") as file:
        assert "datagen_info" not in file["data/demo_0"]


def test_signals_have_their_own_names(make_store, make_episode, tmp_path):
    episode = make_episode(0)
    episode.arrays["signals/grasp"] = np.arange(23) > 4
    export_robomimic(make_store(tmp_path / "s", [[episode]]), tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        signals = file["data/demo_0/datagen_info/subtask_term_signals"]
        assert list(signals) == ["grasp"]
        np.testing.assert_array_equal(signals["grasp"], episode.arrays["signals/grasp"])


def test_held_out_scenes_are_for_validation(make_store, make_episode, tmp_path):
    scenes = [*range(20), *range(20)]
    episodes = [make_episode(scene, steps=3, size=4) for scene in scenes]
    store = make_store(tmp_path / "s", [episodes])
    export_robomimic(store, tmp_path / "out.hdf5", next_obs=False)
    with h5py.File(tmp_path / "out.hdf5") as file:
        train, valid = (file[f"mask/{mask}"][()].astype(str).tolist() for mask in ("train", "valid"))
        assert "next_obs" not in file["data/demo_0"]
    assert sorted(train + valid) == sorted(f"demo_{index}" for index in range(40))
    held_out = np.flatnonzero(hold_out(store.index(), 0.1))
    assert valid == [f"demo_{index}" for index in held_out]
    assert len({scenes[index] for index in held_out}) == 2
    assert len(held_out) == 4


def test_the_same_store_gives_the_same_bytes(store, tmp_path):
    digests = set()
    for name in ("a", "b"):
        export_robomimic(store, tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_progress_is_told(store, tmp_path):
    told = []
    export_robomimic(store, tmp_path / "out.hdf5", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_what_cannot_be_one_file_is_refused(store, make_store, make_episode, tmp_path):
    def refused(dataset, out, message):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(InputError, match=message):
            export_robomimic(dataset, out)
        assert sorted(tmp_path.iterdir()) == before

    (tmp_path / "there").write_text("mine")
    refused(store, tmp_path / "there", "there' exists; give another name")
    assert (tmp_path / "there").read_text() == "mine"
    refused(store, tmp_path / "no" / "out.hdf5", "there is no folder")
    refused(make_store(tmp_path / "empty", [[]]), tmp_path / "out", "has no episodes to export")
    mixed = [make_episode(0), make_episode(1, task="stack_three")]
    refused(
        make_store(tmp_path / "mixed", [mixed]), tmp_path / "out", "holds one task; .* has 'lift' and 'stack_three'"
    )
    rates = [make_episode(0), make_episode(1, control_rate=10.0)]
    refused(make_store(tmp_path / "rates", [rates]), tmp_path / "out", "one control rate; .* has '10 Hz' and '20 Hz'")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.999])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(store, tmp_path, monkeypatch, share):
    export_robomimic(store, tmp_path / "whole")
    room = int(share * (tmp_path / "whole").stat().st_size)
    (tmp_path / "whole").unlink()
    write = os.pwrite

    def pwrite(descriptor, data, offset):
        if offset + len(data) > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(JobError, match=r"^disk full while writing '.*out'; free some space"):
        export_robomimic(store, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_damaged_store_leaves_nothing(store, tmp_path):
    (damaged,) = (path for path in (tmp_path / "s/parts/00000001/images/front").iterdir() if path.name != "zarr.json")
    for path in [damaged] if damaged.is_file() else [p for p in damaged.rglob("*") if p.is_file()]:
        path.unlink()
    with pytest.raises(JobError, match=r"images/front.* is missing"):
        export_robomimic(Store.open(tmp_path / "s"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
