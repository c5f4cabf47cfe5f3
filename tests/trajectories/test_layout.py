import json

import numpy as np
import pytest
import zarr

from handful import InputError, JobError
from trajectories import Store


def test_create_refuses_a_path_that_is_something_else(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file, not a store"):
        Store.create(tmp_path / "file", {})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("x")
    with pytest.raises(InputError, match=r"is not a store \(it holds 'chapter.tex'\)"):
        Store.create(tmp_path / "thesis", {})
    assert (tmp_path / "thesis/chapter.tex").read_text() == "x"


def test_create_takes_an_empty_folder_and_a_creation_that_was_killed(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/plan.json").write_text("{}")
    assert Store.create(tmp_path / "s", {"a": 1}).committed() == []
    assert Store.open(tmp_path / "s").plan == {"a": 1}


def test_open_names_what_is_wrong_and_what_is_near(tmp_path):
    Store.create(tmp_path / "human.zarr", {})
    with pytest.raises(InputError, match=r"unknown store .* 'humn.zarr'.* Did you mean 'human.zarr'"):
        Store.open(tmp_path / "humn.zarr")
    with pytest.raises(InputError, match=r"is not a trajectory store .*inside it there is: human.zarr"):
        Store.open(tmp_path)
    zarr.create_array(tmp_path / "other.zarr", data=np.zeros(3))
    with pytest.raises(InputError, match="not a trajectory store"):
        Store.open(tmp_path / "other.zarr")


def test_open_refuses_another_format(tmp_path):
    Store.create(tmp_path / "s", {})
    root = json.loads((tmp_path / "s/zarr.json").read_text())
    root["attributes"]["handful_format"] = 99
    (tmp_path / "s/zarr.json").write_text(json.dumps(root))
    with pytest.raises(InputError, match=r"has format 99; this version of handful reads format 2: a newer version"):
        Store.open(tmp_path / "s")
    root["attributes"]["handful_format"] = 1
    (tmp_path / "s/zarr.json").write_text(json.dumps(root))
    with pytest.raises(
        InputError, match=r"has format 1; .* reads format 2: make one .* handful data migrate .*/s --out"
    ):
        Store.create(tmp_path / "s", {})


def test_a_store_without_its_root_is_a_damaged_store(tmp_path):
    Store.create(tmp_path / "s", {})
    (tmp_path / "s/zarr.json").unlink()
    for touch in (lambda: Store.open(tmp_path / "s"), lambda: Store.create(tmp_path / "s", {})):
        with pytest.raises(JobError, match=r"is damaged: its zarr\.json is missing.*handful data repair"):
            touch()


def test_a_plan_or_root_that_has_changed_is_found_even_in_an_empty_store(tmp_path):
    Store.create(tmp_path / "s", {"seed": 1})
    (tmp_path / "s/plan.json").write_text('{"seed":2}')
    with pytest.raises(JobError, match=r"its plan\.json, or the digest of it in its zarr\.json, has changed"):
        Store.open(tmp_path / "s")
    (tmp_path / "s/plan.json").write_text('{"seed":1}')
    root = tmp_path / "s/zarr.json"
    root.write_bytes(root.read_bytes() + b" ")
    with pytest.raises(JobError, match=r"its zarr\.json has changed"):
        Store.open(tmp_path / "s")


@pytest.mark.parametrize("name", ["zarr.json", "plan.json"])
def test_open_reports_a_damaged_root(tmp_path, name):
    Store.create(tmp_path / "s", {})
    (tmp_path / "s" / name).write_bytes(b"{")
    with pytest.raises(JobError, match=f"is damaged: its {name} cannot be read"):
        Store.open(tmp_path / "s")


def test_a_plan_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(InputError, match="plan cannot be written as JSON"):
        Store.create(tmp_path / "s", {"seed": float("nan")})
    assert not (tmp_path / "s").exists()


def test_any_zarr_reader_can_open_a_part(tmp_path, make_episode, make_store):
    episode = make_episode()
    make_store(tmp_path / "s", [[episode]])
    group = zarr.open_group(tmp_path / "s/parts/00000000", mode="r")
    np.testing.assert_array_equal(group["images/front"][:], episode.arrays["images/front"])
    assert group["observation/joint_position"].attrs["unit"] == "rad"
    assert group["episode_ends"][:].tolist() == [len(episode)]


def test_a_root_that_has_lost_its_format_is_damage_where_a_store_lies(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode()]])
    root = store.path / "zarr.json"
    root.write_bytes(root.read_bytes().replace(b"handful_format", b"handful_fosmat"))
    with pytest.raises(JobError, match=r"is damaged: its zarr\.json has changed; try to restore it with: handful data"):
        Store.open(store.path)
