import shutil

import numpy as np
import pytest

from handful import InputError, JobError
from trajectories import Store, deletion
from trajectories.compaction import compact
from trajectories.deletion import delete_episodes, finish_deletion, plan_deletion
from trajectories.recipes import filter_by, split
from trajectories.tombstone import tombstone_path
from trajectories.views import content_digest


@pytest.fixture
def store(tmp_path, make_episode, scene_records):
    """Eight episodes, three in part 0, one in part 1, four in part 2, closed; of a ninth only the file is there."""
    store = Store.create(tmp_path / "stores" / "s", {"made": "s"})
    scene = 0
    for part, count in enumerate((3, 1, 5)):
        scenes = range(scene, scene + count)
        episodes = [make_episode(i, steps=5 + i, cameras=()) for i in scenes]
        store.commit(part, episodes, scene_records(scenes), {f"scene_{scene}": {"x": np.arange(3)}})
        scene += count
    store.seal(8)
    return store


def delete(store, where=None, episodes=None):
    return delete_episodes(store.path, plan_deletion(store.path, where, episodes))


def scenes(store):
    return store.index().scene.tolist()


def test_what_would_be_deleted_is_said_and_nothing_done(store, tree):
    before = tree(store.path)
    planned = plan_deletion(store.path, "scene in (1, 3)", None)
    assert planned.episodes.tolist() == [1, 3]
    assert (planned.parts, planned.left) == ((1,), 6)
    folder = store.path / "parts" / "00000001"
    assert planned.bytes == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert tree(store.path) == before


def test_deleted_episodes_are_gone_and_the_others_are_the_same(store):
    kept = {scene: (store.meta(scene), store.read(scene, "state")) for scene in (0, 2, 4, 5, 6, 7)}
    left = delete(store, episodes="1,3")
    assert scenes(left) == list(kept)
    assert (len(left), left.frames, left.parts) == (6, sum(5 + scene for scene in kept), 2)
    for episode, (meta, state) in enumerate(kept.values()):
        assert left.meta(episode) == meta
        assert np.array_equal(left.read(episode, "state"), state)
    assert not (store.path / "parts" / "00000001").exists()
    assert left.bytes == sum(p.stat().st_size for p in (store.path / "parts").rglob("*") if p.is_file())
    assert left.verify() == []
    with pytest.raises(InputError, match="has 6 episodes, counted from 0; there is no 6"):
        left.meta(6)


def test_what_was_tried_is_still_known(store):
    left = delete(store, episodes="1,3")
    assert [record["scene"] for record in left.scene_records()] == list(range(8))
    assert [name for _, name in left.dumps()] == ["scene_0", "scene_4"]


def test_deleting_again_adds_to_what_is_deleted(store):
    delete(store, episodes="0")
    delete(store, where="scene < 3")
    left = delete(store, episodes="4")
    assert scenes(left) == [3, 4, 5, 6]
    assert not (store.path / "parts" / "00000000").exists()
    assert left.verify() == []
    assert {p.name for p in (store.path / "parts").iterdir()} == {"00000001", "00000002"}


def test_running_the_job_again_does_not_bring_episodes_back(store, make_episode, scene_records, tree):
    left = delete(store, episodes="1,3")
    before = tree(left.path)
    again = Store.create(left.path, left.plan)
    assert again.committed() == [0, 1, 2]
    again.commit(
        1, [make_episode(3, steps=8, cameras=())], scene_records(range(3, 4)), {"scene_3": {"x": np.arange(3)}}
    )
    again.seal(8)
    assert scenes(again) == [0, 2, 4, 5, 6, 7]
    assert tree(left.path) == before


@pytest.mark.parametrize("step", ["seal.json", "discard", "sweep"])
def test_a_deletion_that_was_interrupted_is_finished_by_the_next_call(store, tmp_path, monkeypatch, tree, step):
    shutil.copytree(store.path, tmp_path / "undisturbed" / "s")
    whole = tree(delete(Store.open(tmp_path / "undisturbed" / "s"), episodes="1,3").path)
    real = deletion.write_whole

    def kill(*arguments):
        raise KeyboardInterrupt

    def write(path, data):
        kill() if path.name == step else real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "write_whole", write) if step == "seal.json" else patch.setattr(deletion, step, kill)
        with pytest.raises(KeyboardInterrupt):
            delete(store, episodes="1,3")
    # From the first step on the episodes are gone, and the others are there.
    between = Store.open(store.path)
    assert scenes(between) == [0, 2, 4, 5, 6, 7]
    assert all(len(between.read(episode, "subtask")) for episode in range(6))
    if step != "sweep":
        assert between.verify() == [
            f"a deletion was interrupted; finish it with: handful data delete {store.path} --yes"
        ]
    finish_deletion(store.path)
    assert not finish_deletion(store.path)
    assert tree(store.path) == whole
    assert Store.open(store.path).verify() == []


def test_an_interrupted_deletion_does_not_hinder_the_next(store, monkeypatch):
    real = deletion.write_whole

    def write(path, data):
        if path.name == "seal.json":
            raise KeyboardInterrupt
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "write_whole", write)
        with pytest.raises(KeyboardInterrupt):
            delete(store, episodes="3")
    left = delete(store, episodes="0")
    assert scenes(left) == [1, 2, 4, 5, 6, 7]
    assert left.verify() == []


def test_every_changed_byte_of_the_tombstone_is_found_and_none_brings_episodes_back(store):
    delete(store, episodes="1,3")
    path = tombstone_path(store.path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 2]) + whole[position + 1 :])
        with pytest.raises(JobError, match=r"deleted\.json"):
            len(Store.open(store.path))
        assert any("deleted.json" in problem for problem in Store.open(store.path).verify())
    path.unlink()
    with pytest.raises(JobError, match=r"its deleted\.json is missing; without it deleted episodes would come back"):
        len(Store.open(store.path))
    assert any("deleted.json is missing" in problem for problem in Store.open(store.path).verify())


def test_an_older_tombstone_is_not_taken_for_the_present_one(store):
    delete(store, episodes="0")
    old = tombstone_path(store.path).read_bytes()
    delete(store, episodes="0")
    tombstone_path(store.path).write_bytes(old)
    with pytest.raises(JobError, match=r"deleted\.json is not the one that its seal speaks of"):
        len(Store.open(store.path))


def test_damage_beside_deleted_episodes_is_still_found(store):
    delete(store, episodes="1,3")
    files = sorted((store.path / "parts" / "00000002" / "subtask").iterdir())
    next(p for p in files if p.name != "zarr.json").unlink()
    (problem,) = Store.open(store.path).verify()
    assert problem.endswith("is missing; episodes 2 to 5 are lost.")


def test_what_must_not_be_deleted_is_refused(store, tmp_path, make_episode, make_store, tree):
    before = tree(store.path)
    open_store = make_store(tmp_path / "stores" / "open", [[make_episode(0), make_episode(1)]])
    view = filter_by(store.path, "scene == 5", tmp_path / "elsewhere" / "v")
    for path, where, episodes, message in (
        (open_store.path, None, "0", "is unfinished; first finish it with the command that made it"),
        (view.path, None, "0", "is a view, which refers to stores; this needs a store itself"),
        (store.path, None, "0-7", "would delete all 8 episodes of '.*'; to do so, remove the folder"),
        (store.path, None, "8", "has 8 episodes, counted from 0; there is no 8"),
        (store.path, "task == lfit", None, "no episode of '.*' matches"),
        (store.path, "tsk == lift", None, "unknown field 'tsk'"),
    ):
        with pytest.raises(InputError, match=message):
            plan_deletion(path, where, episodes)
    assert tree(store.path) == before


def test_what_a_view_near_the_store_refers_to_is_kept(store, tmp_path):
    near = filter_by(store.path, "scene > 4", tmp_path / "stores" / "late")
    with pytest.raises(InputError, match=r"the view '.*late' refers to 2 of these 3 episodes; remove the view first"):
        plan_deletion(store.path, "scene in (0, 5, 6)", None)
    assert scenes(delete(store, episodes="0")) == [1, 2, 3, 4, 5, 6, 7]
    assert near.verify() == []
    shutil.rmtree(near.path)
    split(store.path, 0.2, 0, tmp_path / "stores" / "halves")
    with pytest.raises(InputError, match=r"the view '.*halves/(train|validation)' refers to 1 of these 1 episodes"):
        plan_deletion(store.path, None, "0")


def test_a_view_far_away_says_what_it_has_lost(store, tmp_path):
    view = filter_by(store.path, "scene > 4", tmp_path / "far" / "away" / "v")
    delete(store, episodes="5")
    with pytest.raises(
        InputError, match=r"store '.*' no longer exposes 1 of the 3 episodes it refers to; make the view"
    ):
        type(view).open(view.path)


def test_a_view_keeps_its_episodes_when_others_are_deleted(store, tmp_path):
    view = filter_by(store.path, "scene > 4", tmp_path / "far" / "away" / "v")
    delete(store, episodes="0,3")
    again = type(view).open(view.path)
    assert [again.meta(episode).scene for episode in range(3)] == [5, 6, 7]
    assert again.verify() == []


def test_a_store_with_deleted_episodes_can_be_compacted(store, tmp_path):
    left = delete(store, episodes="1,3")
    made = compact(left.path, tmp_path / "made")
    assert scenes(made) == scenes(left)
    assert made.scene_records() == left.scene_records()
    assert [name for _, name in made.dumps()] == ["scene_0", "scene_4"]
    assert made.verify() == []


def test_deleting_changes_what_the_store_is_known_by(store):
    before = content_digest(store)
    assert content_digest(delete(store, episodes="1")) != before
