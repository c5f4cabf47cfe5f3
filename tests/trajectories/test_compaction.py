import tracemalloc

import numpy as np
import pytest

from handful import InputError, JobError
from trajectories import Store
from trajectories.compaction import compact
from trajectories.recipes import filter_by, merge
from trajectories.views import content_digest


@pytest.fixture
def many(tmp_path, make_episode, scene_records):
    """Seven parts of up to two episodes, one of them empty, with a dump, closed at ten of eleven episodes."""
    store = Store.create(tmp_path / "many", {"made": "many"})
    scene = 0
    for part, count in enumerate((2, 1, 0, 2, 2, 2, 2)):
        episodes = [make_episode(scene + i, steps=5 + scene + i, size=8) for i in range(count)]
        dumps = {f"scene_{scene + count}": {"state": np.full(3, part)}} if part in (1, 4) else {}
        store.commit(part, episodes, scene_records(range(scene, scene + count + 1)), dumps)
        scene += count + 1
    store.seal(10)
    return store


def same_content(one, other):
    assert len(one) == len(other)
    assert one.keys() == other.keys()
    for episode in range(len(one)):
        assert one.meta(episode) == other.meta(episode)
        for key in one.keys():  # noqa: SIM118
            mine, theirs = one.read(episode, key), other.read(episode, key)
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)


@pytest.mark.parametrize(("most", "parts"), [(512, 1), (4, 3), (3, 4), (1, 10)])
def test_a_compacted_store_holds_the_same(many, tmp_path, most, parts):
    made = compact(many.path, tmp_path / "large", most)
    assert (made.parts, made.sealed_episodes) == (parts, 10)
    same_content(made, many)
    assert made.scene_records() == many.scene_records()
    assert made.verify() == []
    assert made.plan["plans"] == [many.plan]
    dumped = {name: made.dump(part, name)["state"].tolist() for part, name in made.dumps()}
    assert dumped == {"scene_4": [1, 1, 1], "scene_11": [4, 4, 4]}


def test_a_view_becomes_a_store_of_its_own(many, tmp_path):
    view = filter_by(many.path, "scene in (0, 6, 7, 10)", tmp_path / "v")
    made = compact(view.path, tmp_path / "large")
    same_content(made, view)
    assert made.parts == 1
    assert [record["scene"] for record in made.scene_records()] == [0, 6, 7, 10]
    assert made.dumps() == []


def test_merged_stores_whose_scenes_overlap_keep_them_in_order_within_parts(many, tmp_path, make_episode, make_store):
    other = make_store(tmp_path / "other", [[make_episode(scene, size=8) for scene in range(3)]], {"made": "other"})
    view = merge([many.path, other.path], tmp_path / "v")
    made = compact(view.path, tmp_path / "large")
    same_content(made, view)
    assert made.index().part.tolist() == [0] * 10 + [1] * 3


def test_a_higher_level_is_smaller_and_reads_the_same(tmp_path, make_episode, make_store):
    episode = make_episode(0, steps=40, size=32)
    episode.arrays["images/front"] //= 64
    store = make_store(tmp_path / "s", [[episode]])
    usual, small = compact(store.path, tmp_path / "usual"), compact(store.path, tmp_path / "small", level=19)
    same_content(small, store)
    assert small.bytes < 0.98 * usual.bytes
    with pytest.raises(InputError, match="compression_level must be a whole number from 1 to 19, got 20"):
        compact(store.path, tmp_path / "smaller", level=20)
    assert not (tmp_path / "smaller").exists()


def test_a_stopped_compaction_is_resumed_to_the_same_bytes(many, tmp_path, tree, monkeypatch):
    whole = tree(compact(many.path, tmp_path / "whole", 3).path)
    commit = Store.commit
    calls = []

    def stop(self, part, *rest):
        calls.append(part)
        if len(calls) == 3:
            raise KeyboardInterrupt
        commit(self, part, *rest)

    monkeypatch.setattr(Store, "commit", stop)
    with pytest.raises(KeyboardInterrupt):
        compact(many.path, tmp_path / "large", 3)
    assert len(Store.open(tmp_path / "large")) == 6
    compact(many.path, tmp_path / "large", 3)
    assert calls == [0, 1, 2, 2, 3]
    assert tree(tmp_path / "large") == whole
    compact(many.path, tmp_path / "large", 3)
    assert calls == [0, 1, 2, 2, 3]


def test_memory_does_not_grow_with_the_size_of_a_part(tmp_path, make_episode, make_store):
    peaks = []
    for count in (2, 12):
        episodes = [make_episode(scene, steps=20, size=64, cameras=("front",)) for scene in range(count)]
        store = make_store(tmp_path / f"s{count}", [[episode] for episode in episodes], {"made": count})
        size = episodes[0].arrays["images/front"].nbytes
        del episodes
        tracemalloc.start()
        compact(store.path, tmp_path / f"large{count}")
        peaks.append(tracemalloc.get_traced_memory()[1] / size)
        tracemalloc.stop()
    # Ten episodes more; what stays is what is known of parts that are open.
    assert peaks[1] < peaks[0] + 5


def test_what_cannot_be_compacted_is_refused(many, tmp_path, make_store):
    for arguments, message in (
        ((many.path, many.path), "is what is to be compacted; give another --out"),
        ((many.path, many.path / "parts" / "x"), "lies inside '.*many', which is a store or a view"),
        ((many.path, tmp_path / "large", 0), "a part holds at least 1 episode, got 0"),
        ((make_store(tmp_path / "empty", []).path, tmp_path / "large"), "holds no episodes"),
        ((tmp_path / "mny", tmp_path / "large"), "unknown store in .* 'mny'.*Did you mean 'many'"),
    ):
        with pytest.raises(InputError, match=message):
            compact(*arguments)
    assert not (tmp_path / "large").exists()
    compact(many.path, tmp_path / "large")
    with pytest.raises(
        InputError, match=r"made by another plan; it differs in: episodes_per_part \(512 there, 2 now\)"
    ):
        compact(many.path, tmp_path / "large", 2)


def test_jpeg_is_not_stored_again_without_loss(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode(0, size=16)]], {"made": "s", "image_codec": "jpeg:90"})
    with pytest.raises(
        InputError, match=r"the images of '.*s' are stored as jpeg:90; compaction would store what they"
    ):
        compact(store.path, tmp_path / "large")
    assert not (tmp_path / "large").exists()


def test_damage_stops_a_compaction_and_loses_nothing(many, tmp_path):
    shard = next(p for p in sorted((many.path / "parts" / "00000003" / "state").iterdir()) if p.name != "zarr.json")
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(JobError, match=r"part 00000003: 'state.*' is missing or damaged"):
        compact(many.path, tmp_path / "large", 2)
    assert Store.open(tmp_path / "large").sealed_episodes is None


def test_a_source_that_changed_in_between_is_another_plan(many, tmp_path, make_episode, make_store, scene_records):
    growing = make_store(tmp_path / "growing", [[make_episode(0)]])
    before = content_digest(growing)
    compact(growing.path, tmp_path / "large")
    growing.commit(1, [make_episode(5)], scene_records(range(5, 6)))
    assert content_digest(growing) != before
    with pytest.raises(InputError, match=r"made by another plan; it differs in: selection .*, sources"):
        compact(growing.path, tmp_path / "large")
