import json
import os

import pytest

from handful import InputError, JobError
from trajectories import Store
from trajectories import store as store_module
from trajectories.deletion import delete_episodes, plan_deletion
from trajectories.repair import repair_store


@pytest.fixture
def chunks(make_episode):
    # Each part tries one scene more than it keeps: 0-2 (keeps 0, 1), 3 (keeps none), 4-6 (keeps 4, 5), 7-8 (keeps 7).
    return [[make_episode(0), make_episode(1)], [], [make_episode(4), make_episode(5)], [make_episode(7)]]


def test_a_seal_exposes_the_first_episodes_and_drops_the_parts_beyond(tmp_path, chunks, make_store):
    store = make_store(tmp_path / "s", chunks)
    assert store.sealed_episodes is None
    store.seal(3)
    assert store.sealed_episodes == len(store) == len(Store.open(tmp_path / "s")) == 3
    assert store.committed() == [0, 1, 2]
    assert sorted(os.listdir(tmp_path / "s/parts")) == ["00000000", "00000001", "00000002"]
    assert [store.meta(i).scene for i in range(3)] == [0, 1, 4]
    assert store.frames == 3 * 23
    assert store.verify() == []
    with pytest.raises(InputError, match="has 3 episodes"):
        store.meta(3)


def test_scenes_tried_after_the_last_exposed_episode_are_not_counted(tmp_path, chunks, make_store):
    store = make_store(tmp_path / "s", chunks)
    store.seal(3)
    assert [record["scene"] for record in store.scene_records()] == [0, 1, 2, 3, 4]
    store.seal(2)
    assert [record["scene"] for record in store.scene_records()] == [0, 1]
    assert store.committed() == [0]


def test_a_seal_without_a_count_exposes_everything(tmp_path, chunks, make_store):
    store = make_store(tmp_path / "s", chunks)
    store.seal(None)
    assert len(store) == 5
    assert len(store.scene_records()) == 9
    assert store.committed() == [0, 1, 2, 3]


def test_the_bytes_do_not_depend_on_how_far_the_workers_got(tmp_path, chunks, make_store, tree):
    make_store(tmp_path / "a", chunks).seal(3)
    make_store(tmp_path / "b", chunks[:3]).seal(3)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_seal_that_was_interrupted_is_finished_by_the_next(tmp_path, chunks, make_store, tree, monkeypatch):
    make_store(tmp_path / "a", chunks).seal(2)
    store = make_store(tmp_path / "b", chunks)

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", fail)
        with pytest.raises(KeyboardInterrupt):
            store.seal(2)
    assert len(Store.open(tmp_path / "b")) == 2
    Store.create(tmp_path / "b", store.plan).seal(2)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_larger_count_resumes_a_sealed_store(tmp_path, chunks, make_store, scene_records, tree):
    make_store(tmp_path / "a", chunks).seal(5)
    store = make_store(tmp_path / "b", chunks)
    store.seal(2)
    for part, scenes in ((1, range(3, 4)), (2, range(4, 7)), (3, range(7, 9))):
        store.commit(part, chunks[part], scene_records(scenes))
    store.seal(5)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_seal_at_nothing_exposes_nothing(tmp_path, chunks, make_store):
    store = make_store(tmp_path / "s", chunks)
    store.seal(0)
    assert len(store) == store.parts == 0
    assert store.verify() == []


def test_a_seal_that_cannot_hold_is_refused(tmp_path, chunks, make_store, scene_records):
    store = make_store(tmp_path / "s", chunks)
    with pytest.raises(InputError, match="holds 5 episodes; it cannot be closed at 6"):
        store.seal(6)
    gap = Store.create(tmp_path / "gap", {})
    gap.commit(1, chunks[0], scene_records(range(2)))
    with pytest.raises(JobError, match="cannot be closed: part 00000000 was not committed"):
        gap.seal(None)
    assert gap.committed() == [1]


def test_a_store_closed_without_its_catalogue_reads_the_manifests(tmp_path, chunks, make_store, caplog):
    make_store(tmp_path / "s", chunks).seal(3)
    whole = Store.open(tmp_path / "s")
    for damage in (lambda path: path.write_bytes(path.read_bytes()[:-1]), lambda path: path.unlink()):
        damage(tmp_path / "s/index.npz")
        store = Store.open(tmp_path / "s")
        assert store.catalogue().to_bytes() == whole.catalogue().to_bytes()
        assert "its manifests are read instead" in caplog.text
        assert any("index.npz is" in problem for problem in store.verify())
    Store.create(tmp_path / "s", whole.plan).seal(3)
    assert Store.open(tmp_path / "s").verify() == []


def test_a_seal_that_was_killed_before_its_catalogue_is_finished(tmp_path, chunks, make_store, tree, monkeypatch):
    make_store(tmp_path / "a", chunks).seal(3)
    store = make_store(tmp_path / "b", chunks)
    real = store_module.write_whole

    def dying(path, data):
        if path.name == "index.npz":
            raise KeyboardInterrupt
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_whole", dying)
        with pytest.raises(KeyboardInterrupt):
            store.seal(3)
    assert len(Store.open(tmp_path / "b")) == 3
    Store.create(tmp_path / "b", store.plan).seal(3)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_whole_store_is_left_untouched_by_a_second_seal(tmp_path, chunks, make_store):
    store = make_store(tmp_path / "s", chunks)
    store.seal(3)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*") if path.is_file()}
    Store.create(tmp_path / "s", store.plan).seal(3)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*") if path.is_file()} == before


def test_a_lost_part_that_comes_out_differently_is_refused(tmp_path, chunks, make_store, make_episode, scene_records):
    store = make_store(tmp_path / "s", chunks)
    store.seal(None)
    (tmp_path / "s/manifest/00000003.json").unlink()
    again = Store.create(tmp_path / "s", store.plan)
    with pytest.raises(JobError, match=r"part 00000003 of store .* was lost and made again, and came out differently"):
        again.commit(3, [make_episode(8)], scene_records(range(7, 9)))
    assert again.committed() == [0, 1, 2]
    again.commit(3, chunks[3], scene_records(range(7, 9)))
    again.seal(None)
    assert again.verify() == []


def test_a_lost_part_and_catalogue_are_found_different_when_closed(
    tmp_path, chunks, make_store, make_episode, scene_records
):
    store = make_store(tmp_path / "s", chunks)
    store.seal(None)
    (tmp_path / "s/manifest/00000003.json").unlink()
    (tmp_path / "s/index.npz").unlink()
    again = Store.create(tmp_path / "s", store.plan)
    again.commit(3, [make_episode(8)], scene_records(range(7, 9)))
    with pytest.raises(JobError, match="its parts are not those that it was closed with before"):
        again.seal(None)


def test_a_seal_that_was_lost_is_missed(tmp_path, chunks, make_store):
    make_store(tmp_path / "s", chunks).seal(3)
    (tmp_path / "s/seal.json").unlink()
    with pytest.raises(JobError, match=r"its seal\.json is missing; restore it with: handful data repair"):
        len(Store.open(tmp_path / "s"))
    assert "its seal.json is missing" in Store.open(tmp_path / "s").verify()[0]


def test_a_damaged_seal_hides_nothing(tmp_path, chunks, make_store):
    make_store(tmp_path / "s", chunks).seal(3)
    seal = tmp_path / "s/seal.json"
    seal.write_bytes(seal.read_bytes().replace(b'"episodes":3', b'"episodes":1'))
    with pytest.raises(JobError, match=r"its seal\.json has changed"):
        len(Store.open(tmp_path / "s"))
    assert "seal.json has changed" in Store.open(tmp_path / "s").verify()[0]


def _leave_out(store, part, scene, reason, episodes=()):
    records = [{"scene": s.meta.scene, "outcome": "success", "attempts": ["success"]} for s in episodes]
    lost = {"scene": scene, "outcome": "quarantined", "attempts": ["quarantined"], "reason": reason}
    store.commit(part, episodes, sorted([*records, lost], key=lambda record: record["scene"]))


def test_a_seal_says_which_scenes_were_left_out_and_why(tmp_path, make_episode):
    store = Store.create(tmp_path / "s", {"task": "lift"})
    _leave_out(store, 0, 1, "its process hung", [make_episode(0)])
    _leave_out(store, 1, 2, "its process died")
    store.seal(None)
    assert json.loads((tmp_path / "s/seal.json").read_bytes())["quarantined"] == {
        "1": "its process hung",
        "2": "its process died",
    }
    assert Store.open(tmp_path / "s").quarantined() == {1: (0, "its process hung"), 2: (1, "its process died")}
    assert store.verify() == []


def test_a_scene_left_out_beyond_the_seal_is_no_matter_of_its(tmp_path, make_episode):
    store = Store.create(tmp_path / "s", {"task": "lift"})
    _leave_out(store, 0, 1, "its process hung", [make_episode(0)])
    store.seal(1)
    assert store.quarantined() == {}


def test_a_lost_seal_with_quarantined_scenes_is_restored_to_its_bytes(tmp_path, make_episode):
    store = Store.create(tmp_path / "s", {"task": "lift"})
    _leave_out(store, 0, 1, "its process hung", [make_episode(0)])
    store.seal(None)
    before = (tmp_path / "s/seal.json").read_bytes()
    (tmp_path / "s/seal.json").unlink()
    repair_store(tmp_path / "s")
    assert (tmp_path / "s/seal.json").read_bytes() == before


def test_a_part_that_lacks_scenes_can_be_taken_back_and_made_whole(tmp_path, make_episode):
    episodes = [make_episode(0), make_episode(1)]
    whole, store = (Store.create(tmp_path / name, {"task": "lift"}) for name in ("whole", "s"))
    records = [{"scene": i, "outcome": "success", "attempts": ["success"]} for i in range(2)]
    whole.commit(0, episodes, records)
    whole.seal(None)
    _leave_out(store, 0, 1, "its process hung", episodes[:1])
    store.seal(None)
    store.retract(0)
    assert store.committed() == []
    assert store.sealed_episodes is None
    store.commit(0, episodes, records)
    store.seal(None)
    for name in ("seal.json", "index.npz", "manifest/00000000.json"):
        assert (tmp_path / "s" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_part_that_lacks_nothing_is_never_taken_back(tmp_path, chunks, make_store):
    store = make_store(tmp_path / "s", chunks)
    with pytest.raises(InputError, match=r"part 00000000 .* lacks no scene; a committed part is kept"):
        store.retract(0)
    assert store.committed() == [0, 1, 2, 3]


def test_places_that_a_deletion_speaks_of_stay(tmp_path, make_episode):
    store = Store.create(tmp_path / "s", {"task": "lift"})
    _leave_out(store, 0, 1, "its process hung", [make_episode(0), make_episode(2)])
    store.seal(None)
    delete_episodes(tmp_path / "s", plan_deletion(tmp_path / "s", None, "0"))
    with pytest.raises(InputError, match="stays as it is: episodes were deleted"):
        Store.create(tmp_path / "s", {"task": "lift"}).retract(0)
