import shutil
from pathlib import Path

import numpy as np
import pytest

from handful import InputError, JobError
from trajectories import Store
from trajectories.deletion import delete_episodes, plan_deletion
from trajectories.repair import drop_damaged, repair_store


@pytest.fixture
def chunks(make_episode):
    return [[make_episode(0), make_episode(1)], [], [make_episode(4), make_episode(5)]]


@pytest.fixture
def store(tmp_path, chunks, make_store):
    """A finished store whose last part is exposed only in part."""
    store = make_store(tmp_path / "s", chunks)
    store.seal(3)
    return tmp_path / "s"


def _make_again(path, chunks, scene_records):
    """What the command that made the store would do: commit what is missing, then close it."""
    store = Store.create(path, Store.open(path).plan)
    for part, scenes in enumerate((range(3), range(3, 4), range(4, 7))):
        if part not in store.committed():
            store.commit(part, chunks[part], scene_records(scenes))
    store.seal(3)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


_PARTS = ["parts/00000002", "parts/00000002/state/c.0.0", "parts/00000002/episodes.jsonl", "manifest/00000002.json"]


@pytest.mark.parametrize("damage", [_cut, _remove])
@pytest.mark.parametrize("name", _PARTS)
def test_a_lost_part_is_dropped_and_made_again(store, chunks, scene_records, tree, name, damage):
    if name == "parts/00000002" and damage is _cut:
        name = "parts/00000002/zarr.json"
    whole = tree(store)
    damage(store / name)
    assert drop_damaged(Store.create(store, Store.open(store).plan)) == [2]
    assert not (store / "parts/00000002").exists()
    assert not (store / "manifest/00000002.json").exists()
    half = Store.open(store)
    assert len(half) == 3
    np.testing.assert_array_equal(half.read(1, "state"), chunks[0][1].arrays["state"])
    with pytest.raises(JobError, match=r"00000002\.json: the part's manifest is missing"):
        half.read(2, "state")
    assert half.verify() == [
        "part 00000002 is missing: the job stopped before its end, or the part was deleted; episode 2 is lost."
    ]
    _make_again(store, chunks, scene_records)
    assert tree(store) == whole


def test_a_whole_store_is_left_alone(store, tree):
    whole = tree(store)
    repair = repair_store(store)
    assert (repair.restored, repair.withdrawn, repair.dropped, repair.problems) == ((), (), (), ())
    assert tree(store) == whole


@pytest.mark.parametrize("damage", [_cut, _remove])
@pytest.mark.parametrize("name", ["seal.json", "index.npz", "zarr.json"])
def test_what_follows_from_the_rest_is_restored(store, tree, name, damage):
    whole = tree(store)
    damage(store / name)
    repair = repair_store(store)
    assert repair.restored == (name,)
    assert repair.problems == repair.dropped == ()
    assert tree(store) == whole


def test_a_seal_and_a_part_are_repaired_together(store, chunks, scene_records, tree):
    whole = tree(store)
    (store / "seal.json").unlink()
    _cut(store / "parts/00000000/state/c.0.0")
    repair = repair_store(store)
    assert (repair.restored, repair.dropped) == (("seal.json",), (0,))
    _make_again(store, chunks, scene_records)
    assert tree(store) == whole


@pytest.mark.parametrize("also", ["seal.json", "manifest/00000000.json"])
def test_without_anything_to_go_by_the_store_is_unfinished_again(store, chunks, scene_records, tree, also):
    whole = tree(store)
    data = bytearray((store / "index.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (store / "index.npz").write_bytes(data)
    (store / also).unlink()
    repair = repair_store(store)
    assert "index.npz" in repair.withdrawn
    assert repair.restored == ()
    assert Store.open(store).sealed_episodes is None
    _make_again(store, chunks, scene_records)
    assert tree(store) == whole


def test_a_catalogue_of_another_store_costs_no_part(store, make_store, make_episode, tmp_path, tree):
    whole = tree(store)
    make_store(tmp_path / "other", [[make_episode(9)]]).seal(None)
    shutil.copy(tmp_path / "other/index.npz", store / "index.npz")
    repair = repair_store(store)
    assert (repair.restored, repair.dropped) == (("index.npz",), ())
    assert tree(store) == whole


def test_a_lost_plan_is_not_guessed(store):
    (store / "plan.json").write_text('{"task":"lift","seed":1}')
    with pytest.raises(JobError, match=r"its plan\.json, or the digest .* its plan cannot be told from what is left"):
        repair_store(store)
    assert sorted(p.name for p in (store / "manifest").iterdir()) == [f"{part:08d}.json" for part in range(3)]


def test_foreign_files_are_told_and_kept(store):
    (store / "parts/00000000/notes.txt").write_text("mine")
    repair = repair_store(store)
    assert repair.dropped == ()
    assert repair.problems == ("part 00000000: 'notes.txt' does not belong to it.",)
    assert (store / "parts/00000000/notes.txt").read_text() == "mine"


def test_a_part_that_cannot_be_read_at_the_moment_is_not_dropped(store, monkeypatch):
    real = Path.read_bytes

    def failing(path):
        if path.name == "00000000.json":
            raise PermissionError(13, "Permission denied")
        return real(path)

    writer = Store.create(store, Store.open(store).plan)
    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(JobError, match="Permission denied"):
        drop_damaged(writer)
    monkeypatch.undo()
    assert Store.open(store).verify() == []


def test_a_store_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown store"):
        repair_store(tmp_path / "none")


def test_deleted_episodes_stay_deleted(store, tree):
    delete_episodes(store, plan_deletion(store, None, "1"))
    whole = tree(store)
    (store / "seal.json").unlink()
    assert repair_store(store).restored == ("seal.json",)
    assert tree(store) == whole
    assert len(Store.open(store)) == 2
    (store / "seal.json").unlink()
    _cut(store / "index.npz")
    with pytest.raises(JobError, match="has lost both its seal and its catalogue, and episodes were deleted from it"):
        repair_store(store)
