import dataclasses
import time

import numpy as np
import pytest

from handful import JobError
from trajectories import Store
from trajectories.catalogue import Catalogue, Parts
from trajectories.index import DTYPES, Category, Index


@pytest.fixture
def chunks(make_episode):
    return [[make_episode(0), make_episode(1)], [], [make_episode(4, task="stack_three"), make_episode(5)]]


def _same(one, other):
    assert one.arrays == other.arrays
    assert one.chunks == other.chunks
    for name in DTYPES:
        found, expected = getattr(one.index, name), getattr(other.index, name)
        assert found.dtype == expected.dtype == DTYPES[name]
        np.testing.assert_array_equal(found, expected)
    for name, category in other.index.categories.items():
        assert one.index.categories[name].values == category.values
        assert one.index.categories[name].codes.dtype == np.int32
        np.testing.assert_array_equal(one.index.categories[name].codes, category.codes)
    for field in dataclasses.fields(Parts):
        np.testing.assert_array_equal(getattr(one.parts, field.name), getattr(other.parts, field.name))


def test_a_catalogue_comes_back_from_its_bytes(tmp_path, chunks, make_store):
    catalogue = make_store(tmp_path / "s", chunks).catalogue()
    _same(Catalogue.from_bytes(catalogue.to_bytes(), "x"), catalogue)
    assert catalogue.to_bytes() == catalogue.to_bytes()


def test_the_bytes_do_not_depend_on_the_clock(tmp_path, chunks, make_store, monkeypatch):
    catalogue = make_store(tmp_path / "s", chunks).catalogue()
    first = catalogue.to_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    assert catalogue.to_bytes() == first


def test_what_is_closed_is_what_was_there_up_to_the_seal(tmp_path, chunks, make_store):
    store = make_store(tmp_path / "s", chunks)
    store.seal(3)
    catalogue = Store.open(tmp_path / "s").catalogue()
    assert catalogue.parts.number.tolist() == [0, 1, 2]
    assert catalogue.parts.episodes.tolist() == [2, 0, 1]
    assert catalogue.parts.scenes.tolist() == [3, 1, 1]
    assert catalogue.index.scene.tolist() == [0, 1, 4]
    assert catalogue.parts.digest_of(1) is not None
    assert catalogue.parts.digest_of(3) is None


def test_a_finished_store_opens_without_its_manifests(tmp_path, chunks, make_store):
    make_store(tmp_path / "s", chunks).seal(None)
    for manifest in (tmp_path / "s/manifest").iterdir():
        if manifest.name != "00000002.json":
            manifest.unlink()
    store = Store.open(tmp_path / "s")
    assert (len(store), store.frames, store.parts) == (4, 4 * 23, 3)
    assert store.cameras() == ["front", "wrist"]
    assert store.row_shape("images/front") == (12, 12, 3)
    np.testing.assert_array_equal(store.read(3, "state"), chunks[2][1].arrays["state"])
    with pytest.raises(JobError, match=r"00000000\.json: the part's manifest is missing or damaged"):
        store.read(0, "state")


@pytest.mark.parametrize("drop", ["json", "parts_digest", "category_task", "length"])
def test_a_damaged_catalogue_is_refused(tmp_path, chunks, make_store, drop):
    data = make_store(tmp_path / "s", chunks).catalogue().to_bytes()
    np.savez(tmp_path / "x.npz", **{k: v for k, v in np.load(tmp_path / _save(tmp_path, data)).items() if k != drop})
    with pytest.raises(JobError, match=r"^here is damaged"):
        Catalogue.from_bytes((tmp_path / "x.npz").read_bytes(), "here")
    with pytest.raises(JobError, match="here is damaged"):
        Catalogue.from_bytes(data[:100], "here")


def _save(folder, data):
    (folder / "whole.npz").write_bytes(data)
    return "whole.npz"


def test_parts_that_disagree_are_refused(tmp_path, make_episode, make_store):
    make_store(tmp_path / "a", [[make_episode(0)]])
    make_store(tmp_path / "b", [[], [make_episode(1, cameras=())]])
    for name in ("manifest/00000001.json", "parts/00000001"):
        (tmp_path / "b" / name).rename(tmp_path / "a" / name)
    with pytest.raises(JobError, match=r"part 00000001 has other keys, dtypes or shapes than part 00000000 in: images"):
        len(Store.open(tmp_path / "a"))


def _many(episodes, per_part):
    """A catalogue of very many episodes, as a finished store would have."""
    rng = np.random.default_rng(0)
    part = np.arange(episodes) // per_part
    length = rng.integers(100, 300, episodes)
    names = ("task", "embodiment", "domain", "outcome", "operator", "action_source")
    categories = {name: Category(np.zeros(episodes, np.int32), ("one",)) for name in names}
    sentences = tuple((f"lift the {i} cube", "pick it up") for i in range(500))
    categories["text"] = Category(rng.integers(0, 500, episodes).astype(np.int32), sentences)
    columns = {
        "part": part,
        "local": np.arange(episodes) % per_part,
        "first": np.zeros(episodes),
        "length": length,
        "scene": np.arange(episodes),
        "seed": np.zeros(episodes),
        "attempts": np.ones(episodes),
        "control_rate": np.full(episodes, 20.0),
    }
    index = Index(**{name: columns[name].astype(DTYPES[name]) for name in DTYPES}, categories=categories)
    count = -(-episodes // per_part)
    parts = Parts(
        number=np.arange(count, dtype=np.int32),
        digest=rng.integers(0, 256, (count, 32), dtype=np.uint8),
        episodes=np.bincount(part).astype(np.int32),
        scenes=np.bincount(part).astype(np.int32),
        dumps=np.zeros(count, np.int32),
        bytes=np.full(count, 10**7),
    )
    return Catalogue(index, parts, {"subtask": {"dtype": "int8", "row": []}}, {"subtask": 1024})


def test_a_hundred_thousand_episodes_come_back_from_few_bytes_each():
    catalogue = _many(100_000, 32)
    data = catalogue.to_bytes()
    assert len(data) / 100_000 < 64
    _same(Catalogue.from_bytes(data, "x"), catalogue)
