import dataclasses

import numpy as np
import pytest

from handful import JobError
from trajectories import Store
from trajectories.index import CATEGORIES, DTYPES, join, part_index, summarise


@pytest.fixture
def store(tmp_path, make_episode, make_store):
    episodes = [make_episode(0, steps=20), make_episode(2, steps=31, outcome="misplaced", attempts=3)]
    more = [
        make_episode(5, steps=7, task="stack_three", instruction="stack them", paraphrases=("stack them", "pile up"))
    ]
    return make_store(tmp_path / "s", [episodes, [], more])


def test_the_index_says_of_each_episode_what_its_metadata_says(store):
    index = store.index()
    assert len(index) == len(store) == 3
    assert index.part.tolist() == [0, 0, 2]
    assert index.local.tolist() == [0, 1, 0]
    assert index.first.tolist() == [0, 20, 0]
    assert index.length.tolist() == [20, 31, 7]
    for episode in range(3):
        meta = store.meta(episode)
        for name in ("task", "embodiment", "domain", "outcome", "operator", "action_source"):
            assert index.categories[name].of(episode) == getattr(meta, name)
        assert index.scene[episode] == meta.scene
        assert index.seed[episode] == meta.seeds["seed"]
        assert index.attempts[episode] == meta.attempts
        assert index.control_rate[episode] == meta.control_rate
    assert index.categories["text"].of(0) == ("lift the red cube", "pick up the red cube", "raise the red cube")
    assert index.categories["text"].of(2) == ("stack them", "pile up")


def test_the_columns_have_their_types(store):
    index = store.index()
    assert {name: getattr(index, name).dtype for name in DTYPES} == DTYPES
    assert {index.categories[name].codes.dtype for name in CATEGORIES} == {np.dtype(np.int32)}


def test_first_is_the_row_of_the_parts_own_array(store, tmp_path):
    import zarr

    array = zarr.open_group(tmp_path / "s/parts/00000000", mode="r")["images/front"]
    first, length = store.index().first[1], store.index().length[1]
    np.testing.assert_array_equal(array[first : first + length], store.read(1, "images/front"))


def test_an_unknown_or_oversized_seed_is_minus_one(make_episode):
    metas = [make_episode(0, seeds=seeds).meta for seeds in ({}, {"seed": 2**63}, {"seed": 2**63 - 1}, {"seed": "x"})]
    assert summarise(metas, [b"\n"] * 4)["seed"] == [-1, -1, 2**63 - 1, -1]


def test_rows_are_taken_by_mask_number_and_slice(store):
    index = store.index()
    assert index.take(np.array([2, 0])).length.tolist() == [7, 20]
    assert index.take(index.length > 10).categories["outcome"].of(1) == "misplaced"
    assert len(index.take(slice(1))) == 1


def test_an_empty_store_has_an_empty_index(tmp_path):
    index = Store.create(tmp_path / "s", {}).index()
    assert len(index) == 0
    assert index.categories["task"].values == ()
    assert len(join([])) == 0


def test_chunk_rows_are_known_without_reading(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[], [make_episode(0, size=12)]])
    assert store.chunk_rows("images/front") == 32
    assert store.chunk_rows("subtask") == 1024
    assert store.chunk_rows("model/geom_friction") == 65536 // (15 * 8)


@pytest.mark.parametrize(("side", "rows"), [(84, 32), (128, 21), (224, 6), (480, 4)])
def test_a_chunk_of_images_is_about_a_mebibyte(side, rows):
    from trajectories.parts import chunk_rows

    assert chunk_rows("images/front", 3 * side * side) == rows


def test_a_summary_that_does_not_fit_is_refused(make_episode):
    summary = summarise([make_episode(0).meta], [b"x\n"])
    assert len(part_index(0, [23], summary)) == 1
    with pytest.raises(JobError, match=r"part 00000003: the summary in its manifest is damaged: 'scene' has shape"):
        part_index(3, [23, 4], summary)
    broken = {**summary, "categories": {**summary["categories"], "task": {"codes": [4], "values": ["lift"]}}}
    with pytest.raises(JobError, match="'task' has codes without a value"):
        part_index(3, [23], broken)
    with pytest.raises(JobError, match="is damaged"):
        part_index(3, [23], {name: value for name, value in summary.items() if name != "seed"})


def test_joined_categories_share_their_values(store):
    index = store.index()
    again = join([index, dataclasses.replace(index)])
    assert again.categories["task"].values == index.categories["task"].values == ("lift", "stack_three")
    assert again.categories["task"].codes.tolist() == [0, 0, 1, 0, 0, 1]
