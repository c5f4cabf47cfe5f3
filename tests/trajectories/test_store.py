import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from handful import InputError, JobError
from trajectories import Store


def test_episodes_come_back_as_they_were_committed(tmp_path, make_episode, make_store):
    episodes = [make_episode(i, steps=20 + i) for i in range(5)]
    make_store(tmp_path / "s", [episodes[:2], [], episodes[2:]])
    store = Store.open(tmp_path / "s")
    assert len(store) == 5
    for index, episode in enumerate(episodes):
        found = store.episode(index)
        assert found.meta == episode.meta
        assert found.arrays.keys() == episode.arrays.keys()
        for key, value in episode.arrays.items():
            assert found.arrays[key].dtype == value.dtype
            np.testing.assert_array_equal(found.arrays[key], value)


def test_arrays_of_zeros_come_back_and_are_stored_in_full(tmp_path, make_episode, make_store):
    episode = make_episode(0, steps=40)
    episode.arrays["images/front"][:] = 0
    episode.arrays["subtask"][:] = 0
    store = make_store(tmp_path / "s", [[episode]])
    assert not store.read(0, "images/front").any()
    (tmp_path / "s/parts/00000000/images/front/c.0.0.0.0").unlink()
    with pytest.raises(JobError, match="missing"):
        Store.open(tmp_path / "s").read(0, "images/front")


def test_totals_count_steps_parts_and_bytes(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode(0, steps=10)], [make_episode(1, steps=14)]])
    assert store.frames == 24
    assert store.parts == 2
    assert store.episode_lengths().tolist() == [10, 14]
    assert store.bytes == sum(p.stat().st_size for p in (tmp_path / "s/parts").rglob("*") if p.is_file())
    assert store.cameras() == ["front", "wrist"]
    assert store.row_shape("images/front") == (12, 12, 3)


def test_rows_are_read_by_range_and_kind(tmp_path, make_episode, make_store):
    episodes = [make_episode(i, steps=20) for i in range(3)]
    store = make_store(tmp_path / "s", [episodes])
    expected = episodes[1].arrays
    np.testing.assert_array_equal(store.read(1, "images/wrist", 3, 19), expected["images/wrist"][3:19])
    np.testing.assert_array_equal(store.read(1, "state", 20), expected["state"][20:])
    np.testing.assert_array_equal(store.read(1, "model/geom_friction"), expected["model/geom_friction"])
    assert store.read(1, "subtask", 5, 5).shape == (0,)
    with pytest.raises(InputError, match=r"has 20 rows of 'subtask'; cannot read rows 0 to 21"):
        store.read(1, "subtask", 0, 21)


def test_a_store_without_any_kept_episode_is_valid(tmp_path, make_store):
    store = make_store(tmp_path / "s", [[], []])
    assert len(store) == store.frames == 0
    assert store.keys() == []
    assert len(store.scene_records()) == 2
    assert store.verify() == []


def test_many_parts_are_read_with_few_of_them_open(tmp_path, make_episode, make_store, monkeypatch):
    monkeypatch.setattr("trajectories.store._OPEN_PARTS", 2)
    episodes = [make_episode(i, steps=3, cameras=()) for i in range(4)]
    store = make_store(tmp_path / "s", [[episode] for episode in episodes])
    for index in (0, 1, 2, 3, 0, 2):
        np.testing.assert_array_equal(store.read(index, "state"), episodes[index].arrays["state"])
        assert store._reader.cache_info().currsize <= 2


def test_wrong_names_are_refused_with_what_exists(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode()]])
    with pytest.raises(InputError, match="Did you mean 'images/front'"):
        store.read(0, "images/frnt")
    with pytest.raises(InputError, match="has 1 episodes, counted from 0; there is no 1"):
        store.read(1, "subtask")
    with pytest.raises(InputError, match="there is no -1"):
        store.meta(-1)


def test_a_store_opened_for_reading_is_not_written(tmp_path, make_episode, make_store, scene_records):
    make_store(tmp_path / "s", [[make_episode()]])
    with pytest.raises(InputError, match=r"opened for reading; open it with Store\.create"):
        Store.open(tmp_path / "s").commit(1, [make_episode(1)], scene_records(range(1, 2)))
    with pytest.raises(InputError, match="opened for reading"):
        Store.open(tmp_path / "s").seal(1)


def test_a_store_travels_to_other_processes(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode()]])
    store.read(0, "subtask")
    again = pickle.loads(pickle.dumps(store))
    assert again.plan == store.plan
    np.testing.assert_array_equal(again.read(0, "state"), store.read(0, "state"))


def test_parts_of_other_writers_appear_after_refresh(tmp_path, make_episode, make_store, scene_records):
    make_store(tmp_path / "s", [[make_episode()]])
    reader = Store.open(tmp_path / "s")
    assert len(reader) == 1
    Store.create(tmp_path / "s", reader.plan).commit(1, [make_episode(5)], scene_records(range(5, 6)))
    reader.refresh()
    assert len(reader) == 2


def test_parts_that_disagree_are_refused_at_commit(tmp_path, make_episode, make_store, scene_records):
    store = make_store(tmp_path / "s", [[make_episode()]])
    with pytest.raises(InputError, match=r"other keys, dtypes or shapes than part 00000000 in: images/wrist"):
        store.commit(1, [make_episode(1, cameras=("front",))], scene_records(range(1, 2)))


def test_dumps_are_kept_beside_the_episodes(tmp_path, make_episode, scene_records):
    store = Store.create(tmp_path / "s", {})
    states = np.arange(6.0).reshape(2, 3)
    store.commit(0, [make_episode()], scene_records(range(2)), {"scene_1": {"states": states}})
    found = Store.open(tmp_path / "s").dump(0, "scene_1")
    np.testing.assert_array_equal(found["states"], states)
    with pytest.raises(InputError, match="Did you mean 'scene_1'"):
        store.dump(0, "scene_2")


def test_forked_readers_read_after_the_parent_has_read(tmp_path, make_episode, make_store):
    import multiprocessing

    store = make_store(tmp_path / "s", [[make_episode(0)], [make_episode(1)]])
    expected = store.read(1, "images/front")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(store.read, (1, "images/front")) for _ in range(4)]
        for result in results:
            np.testing.assert_array_equal(result.get(timeout=30), expected)


def test_threads_share_a_store(tmp_path, make_episode, make_store, monkeypatch):
    monkeypatch.setattr("trajectories.store._OPEN_PARTS", 2)
    episodes = [make_episode(i) for i in range(6)]
    make_store(tmp_path / "s", [[episode] for episode in episodes])
    store = Store.open(tmp_path / "s")

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(40):
            index, key = int(rng.integers(6)), ["images/front", "state", "action/executed"][rng.integers(3)]
            np.testing.assert_array_equal(store.read(index, key), episodes[index].arrays[key])
            assert store.meta(index).scene == index
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_create_resumes_the_same_plan_and_refuses_another(tmp_path, make_episode, make_store):
    plan = {"task": "lift", "seed": 0, "scene": {"friction": [0.4, 1.0]}}
    make_store(tmp_path / "s", [[make_episode()]], plan)
    assert len(Store.create(tmp_path / "s", {"scene": {"friction": (0.4, 1.0)}, "seed": 0, "task": "lift"})) == 1
    message = (
        "made by another plan; it differs in: scene.friction ([0.4, 1.0] there, [0.4, 0.9] now), seed (0 there, 1 now)"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        Store.create(tmp_path / "s", {**plan, "seed": 1, "scene": {"friction": [0.4, 0.9]}})
    assert Store.open(tmp_path / "s").verify() == []
