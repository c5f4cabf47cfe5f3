import json
import os
import pickle
import shutil

import numpy as np
import pytest

from handful import InputError, JobError
from trajectories import Store, View, open_dataset
from trajectories.recipes import exclude, filter_by, merge, split
from trajectories.staging import staging_path
from trajectories.views import content_digest, references


@pytest.fixture
def a(tmp_path, make_episode, make_store):
    """Five episodes in two parts."""
    episodes = [make_episode(scene, steps=20 + scene) for scene in range(5)]
    return make_store(tmp_path / "a.zarr", [episodes[:3], episodes[3:]], {"made": "a"})


@pytest.fixture
def b(tmp_path, make_episode, make_store):
    """Three episodes of another task, without the camera `wrist`."""
    episodes = [make_episode(scene, task="stack_three", cameras=("front",)) for scene in range(10, 13)]
    return make_store(tmp_path / "b.zarr", [episodes], {"made": "b"})


def same(view, number, store, episode):
    """Whether an episode of a view is one of a store, in every key and in its metadata."""
    assert view.meta(number) == store.meta(episode)
    for key in view.keys():  # noqa: SIM118
        mine, theirs = view.read(number, key), store.read(episode, key)
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)


def test_a_filtered_view_reads_what_the_store_holds(a, tmp_path):
    view = filter_by(a.path, "length >= 22", tmp_path / "v")
    assert isinstance(view, View)
    assert (len(view), view.frames, view.parts, view.sealed_episodes) == (3, 22 + 23 + 24, 2, 3)
    assert (view.keys(), view.cameras()) == (a.keys(), a.cameras())
    assert view.bytes == a.bytes
    for number, episode in enumerate((2, 3, 4)):
        same(view, number, a, episode)
    assert np.array_equal(view.read(1, "subtask", 5, 9), a.read(3, "subtask", 5, 9))
    assert view.row_shape("images/front") == (12, 12, 3)
    assert view.chunk_rows("images/front") == a.chunk_rows("images/front")
    assert view.verify() == []


def test_a_merged_view_is_one_after_the_other_with_the_keys_of_both(a, b, tmp_path):
    view = merge([a.path, b.path], tmp_path / "v")
    assert view.keys() == b.keys()
    assert view.cameras() == ["front"]
    assert len(view) == 8
    for number in range(8):
        same(view, number, *((a, number) if number < 5 else (b, number - 5)))
    with pytest.raises(InputError, match=r"unknown key of view .* 'images/wrist'.*Did you mean 'images/front'"):
        view.read(0, "images/wrist")
    with pytest.raises(InputError, match="has 8 episodes, counted from 0; there is no 8"):
        view.meta(8)


def test_the_index_of_a_view_says_what_the_metadata_says(a, b, tmp_path):
    view = filter_by(merge([b.path, a.path], tmp_path / "m").path, "scene in (1, 2, 4, 11)", tmp_path / "v")
    index = view.index()
    assert index.scene.tolist() == [11, 1, 2, 4] == [view.meta(i).scene for i in range(4)]
    assert index.length.tolist() == [len(view.episode(i)) for i in range(4)]
    for name in ("task", "domain", "operator"):
        assert [index.categories[name].of(i) for i in range(4)] == [getattr(view.meta(i), name) for i in range(4)]
    assert [index.categories["store"].of(i) for i in range(4)] == ["b.zarr", "a.zarr", "a.zarr", "a.zarr"]
    assert index.categories["text"].of(0)[0] == view.meta(0).instruction
    # One number for one part of one store, so that whoever reads in order of parts stays within files.
    assert index.part.tolist() == [0, 1, 1, 2]
    first = [a.index().first[1], a.index().first[2]]
    assert index.first[1:3].tolist() == first


def test_a_view_of_a_view_refers_to_the_stores_beneath(a, b, tmp_path):
    merged = merge([a.path, b.path], tmp_path / "m")
    narrowed = filter_by(merged.path, "store == b.zarr and scene > 10", tmp_path / "v")
    assert [store.path.name for store in narrowed.stores] == ["b.zarr"]
    assert narrowed.plan["of"] == [merged.plan]
    shutil.rmtree(merged.path)
    again = open_dataset(tmp_path / "v")
    assert [again.meta(i).scene for i in range(len(again))] == [11, 12]


def test_an_episode_in_several_of_the_merged_enters_once(a, tmp_path):
    late = filter_by(a.path, "scene >= 3", tmp_path / "late")
    early = filter_by(a.path, "scene < 4", tmp_path / "early")
    view = merge([late.path, early.path, a.path], tmp_path / "v")
    assert view.index().scene.tolist() == [3, 4, 0, 1, 2]
    assert len(view.stores) == 1


def test_exclude_leaves_the_others(a, tmp_path):
    assert exclude(a.path, "0, 2-3", tmp_path / "v").index().scene.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("episodes", "message"),
    [
        ("x", "cannot read 'x' as episodes; write numbers and ranges, as in 3,17,20-25"),
        ("1,,2", "cannot read '' as episodes"),
        ("3-1", "the range 3-1 runs backwards; write 1-3"),
        ("2-9", "has 5 episodes, counted from 0; there is no 9"),
        ("0-4", "leaves no episode"),
    ],
)
def test_wrong_lists_of_episodes_are_refused(a, tmp_path, episodes, message):
    with pytest.raises(InputError, match=message):
        exclude(a.path, episodes, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_a_split_keeps_scenes_together_and_loses_no_episode(tmp_path, make_episode, make_store):
    episodes = [make_episode(scene // 3, cameras=()) for scene in range(60)]
    store = make_store(tmp_path / "s", [episodes[:30], episodes[30:]])
    sides = split(store.path, 0.2, 0, tmp_path / "split")
    scenes = {name: set(view.index().scene.tolist()) for name, view in sides.items()}
    assert len(scenes["validation"]) == 4
    assert not scenes["train"] & scenes["validation"]
    assert scenes["train"] | scenes["validation"] == set(range(20))
    assert sum(len(view) for view in sides.values()) == 60
    again = split(store.path, 0.2, 0, tmp_path / "again")
    assert np.array_equal(again["validation"].index().scene, sides["validation"].index().scene)
    other = split(store.path, 0.2, 1, tmp_path / "other")
    assert set(other["validation"].index().scene.tolist()) != scenes["validation"]


@pytest.mark.parametrize(("share", "held_out"), [(0.01, 1), (0.5, 2), (0.99, 4)])
def test_neither_side_of_a_split_is_empty(a, tmp_path, share, held_out):
    assert len(split(a.path, share, 0, tmp_path / "split")["validation"]) == held_out


def test_splits_that_cannot_be_are_refused(a, tmp_path, make_episode, make_store):
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(InputError, match="must be above 0 and below 1"):
            split(a.path, share, 0, tmp_path / "v")
    with pytest.raises(InputError, match="seed must be at least 0"):
        split(a.path, 0.5, -1, tmp_path / "v")
    single = make_store(tmp_path / "single", [[make_episode(3), make_episode(3)]])
    with pytest.raises(InputError, match="holds a single scene, which cannot be on both sides"):
        split(single.path, 0.5, 0, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_the_same_recipe_gives_the_same_bytes(a, b, tmp_path, tree):
    trees = []
    for name in ("one", "two"):
        filter_by(merge([a.path, b.path], tmp_path / name / "m").path, "scene > 2", tmp_path / name / "v")
        trees.append(tree(tmp_path / name))
    assert trees[0] == trees[1]


def test_stores_that_cannot_go_together_are_refused_before_anything_is_written(a, tmp_path, make_episode, make_store):
    def store(name, **episode):
        return make_store(tmp_path / name, [[make_episode(7, **episode)]], {"made": name}).path

    before = sorted(tmp_path.iterdir())
    large = store("large", size=20)
    with pytest.raises(
        InputError,
        match=r"'.*a.zarr' and '.*large' cannot go together: rows of 'images/front' are 12x12x3 in one and 20x20x3 in",
    ):
        merge([a.path, large], tmp_path / "v")
    with pytest.raises(InputError, match=r"different control rates \(10, 20 Hz\) cannot go together; choose one rate"):
        merge([a.path, store("slow", control_rate=10.0)], tmp_path / "v")
    shutil.copytree(a.path, tmp_path / "copy")
    with pytest.raises(InputError, match="were made by the same plan, so they hold the same episodes; give one of"):
        merge([a.path, tmp_path / "copy"], tmp_path / "v")
    with pytest.raises(InputError, match="a merge needs at least two data sets, got 1"):
        merge([a.path], tmp_path / "v")
    with pytest.raises(InputError, match=r"unknown store in .* 'a.zar'.*Did you mean 'a.zarr'"):
        merge([a.path, tmp_path / "a.zar"], tmp_path / "v")
    with pytest.raises(InputError, match="holds no episodes"):
        merge([a.path, Store.create(tmp_path / "empty", {}).path], tmp_path / "v")
    added = {p.name for p in tmp_path.iterdir()} - {p.name for p in before}
    assert added == {"large", "slow", "copy", "empty"}


def test_keys_that_not_all_have_need_not_agree(tmp_path, make_episode, make_store):
    sizes = {"small": {"size": 8}, "none": {"cameras": ()}, "large": {"size": 16}}
    stores = [make_store(tmp_path / n, [[make_episode(0, **e)]], {"made": n}).path for n, e in sizes.items()]
    assert merge(stores, tmp_path / "v").cameras() == []


def test_a_full_disk_leaves_nothing(a, tmp_path, monkeypatch, tree):
    before = tree(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    for step in ("sync_to_disk", "os.rename"):
        with monkeypatch.context() as patch:
            patch.setattr(f"trajectories.views.{step}", full)
            with pytest.raises(JobError, match=r"disk full while writing view '.*v'; free some space and run"):
                filter_by(a.path, "scene > 1", tmp_path / "v")
        assert tree(tmp_path) == before
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]


def test_what_a_killed_writer_left_is_swept_away(a, tmp_path):
    left = tmp_path / staging_path(tmp_path, "v").name.replace(f"-{os.getpid()}-", "-999999999-")
    left.mkdir()  # no process has this number
    filter_by(a.path, "scene > 1", tmp_path / "v")
    assert not left.exists()


def test_a_mixed_store_can_be_filtered_to_one_rate(tmp_path, make_episode, make_store):
    mixed = make_store(tmp_path / "s", [[make_episode(0), make_episode(1, control_rate=10.0)]])
    with pytest.raises(InputError, match="different control rates"):
        filter_by(mixed.path, "scene >= 0", tmp_path / "w")
    assert len(filter_by(mixed.path, "control_rate == 20", tmp_path / "x")) == 1


def test_a_place_that_is_taken_is_refused(a, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("words")
    (tmp_path / "file").write_text("words")
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    for out, message in (
        (tmp_path / "full", "exists already; give another --out"),
        (tmp_path / "file", "exists already"),
        (a.path, "exists already"),
        (view.path, "exists already"),
        (a.path / "parts" / "v", "lies inside '.*a.zarr', which is a store or a view"),
        (view.path / "w", "lies inside '.*v', which is a store or a view"),
        (tmp_path / "file" / "v", "'.*file' is a file"),
    ):
        with pytest.raises(InputError, match=message):
            filter_by(a.path, "scene > 1", out)
    assert (tmp_path / "full" / "thesis.tex").read_text() == "words"
    (tmp_path / "bare").mkdir()
    assert len(filter_by(a.path, "scene > 1", tmp_path / "bare")) == 3


def test_a_filter_that_leaves_nothing_makes_nothing(a, tmp_path):
    with pytest.raises(InputError, match=r"no episode of '.*a.zarr' matches: task == lfit; there, task is lift"):
        filter_by(a.path, "task == lfit", tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_a_view_and_its_store_move_together(a, tmp_path):
    filter_by(a.path, "scene > 1", tmp_path / "views" / "v")
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    try:
        assert len(open_dataset(moved / "views" / "v")) == 3
    finally:
        moved.rename(tmp_path)


def test_a_view_of_a_store_far_away_records_its_whole_path(a, tmp_path):
    view = filter_by(a.path, "scene > 1", tmp_path / "here" / "or" / "there" / "v")
    (path,) = json.loads((view.path / "plan.json").read_bytes())["paths"]
    assert path == str(a.path)


def test_a_view_survives_a_store_that_grows(a, tmp_path, make_episode, scene_records):
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    a.commit(2, [make_episode(9)], scene_records(range(9, 10)))
    again = View.open(view.path)
    assert again.index().scene.tolist() == [2, 3, 4]
    assert again.verify() == []


def test_a_view_whose_store_is_gone_or_another_is_refused(a, tmp_path, make_episode, make_store):
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    a.path.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"view '.*v' cannot be read: it refers to the store '.*a.zarr', and unknown"):
        open_dataset(view.path)
    make_store(a.path, [[make_episode(0)]], {"made": "other"})
    with pytest.raises(InputError, match=r"'.*a.zarr' is now a store of another plan; make the view again"):
        open_dataset(view.path)
    shutil.rmtree(a.path)
    make_store(a.path, [[make_episode(scene, steps=20 + scene) for scene in range(3)]], {"made": "a"})
    with pytest.raises(InputError, match=r"store '.*a.zarr' no longer exposes 2 of the 3 episodes it refers to"):
        open_dataset(view.path)


def test_parts_that_were_made_anew_and_differently_are_found(a, tmp_path, make_episode, make_store):
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    shutil.rmtree(a.path)
    episodes = [make_episode(scene, steps=30 + scene) for scene in range(5)]
    make_store(a.path, [episodes[:3], episodes[3:]], {"made": "a"})
    (problem,) = View.open(view.path).verify()
    assert problem.endswith("the parts that the view refers to are not those it was made of.")


@pytest.mark.parametrize("name", ["plan.json", "selection.npz", "zarr.json"])
def test_every_changed_byte_of_a_view_is_found(a, tmp_path, name):
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    whole = (view.path / name).read_bytes()
    for position in range(len(whole)):
        (view.path / name).write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            problems = open_dataset(view.path).verify()
        except (InputError, JobError):
            continue
        assert problems, position
    (view.path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises((InputError, JobError)):
        open_dataset(view.path)
    (view.path / name).unlink()
    with pytest.raises((InputError, JobError)):
        open_dataset(view.path)


def test_verifying_a_view_looks_at_its_parts_alone(a, tmp_path):
    view = filter_by(a.path, "scene < 2", tmp_path / "v")
    files = [sorted((a.path / "parts" / part / "subtask").rglob("*")) for part in ("00000000", "00000001")]
    shards = [next(p for p in found if p.is_file() and p.name != "zarr.json") for found in files]
    shards[1].unlink()
    assert View.open(view.path).verify() == []
    shards[0].unlink()
    (view.path / "notes.txt").write_text("mine")
    problems = View.open(view.path).verify()
    assert problems[0] == "notes.txt does not belong to the view."
    assert "is missing; episodes 0 to 2 are lost" in problems[1]


def test_a_view_is_no_store_to_write_to(a, tmp_path):
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    for refused in (lambda: Store.open(view.path), lambda: Store.create(view.path, view.plan)):
        with pytest.raises(InputError, match=r"'.*v' is a view, which refers to stores; this needs a store itself"):
            refused()


def test_the_scenes_of_a_view_are_those_it_has_episodes_of(a, tmp_path):
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    assert [record["scene"] for record in view.scene_records()] == [2, 3, 4]


def test_a_view_goes_to_another_process(a, tmp_path):
    view = filter_by(a.path, "scene > 1", tmp_path / "v")
    again = pickle.loads(pickle.dumps(view))
    same(again, 0, a, 2)


def test_what_a_view_refers_to_is_known_without_its_store(a, b, tmp_path):
    view = merge([a.path, b.path], tmp_path / "v")
    shutil.rmtree(a.path)
    part, local = references(view.path, a.path)
    assert list(zip(part.tolist(), local.tolist(), strict=True)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert len(references(view.path, tmp_path / "c")[0]) == 0


def test_what_a_data_set_exposes_has_a_digest(a, tmp_path, make_episode, scene_records):
    views = [filter_by(a.path, f"scene > {scene}", tmp_path / f"v{scene}") for scene in (1, 2)]
    before = [content_digest(dataset) for dataset in (a, *views)]
    assert len(set(before)) == 3
    a.commit(2, [make_episode(9)], scene_records(range(9, 10)))
    assert content_digest(a) != before[0]
    assert content_digest(View.open(views[0].path)) == before[1]
