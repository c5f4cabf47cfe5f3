"""Columns give what metadata gives: the same answers of every filter, from one reading."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from handful import InputError
from trajectories import Episode, Store
from trajectories.columns import Columns, flatten
from trajectories.filters import matching


def ledger(scene: int) -> dict[str, object]:
    found: dict[str, object] = {"physics": {"friction": scene / 10}, "poses": {"cube": [scene, -scene, 0.5]}}
    found["look"] = {"colour": ("red", "blue")[scene % 2], "lit": scene % 3 == 0}
    if scene % 4 == 0:
        found["rare"] = scene
    return found


@pytest.fixture
def store(tmp_path: Path, make_episode: Callable[..., Episode]) -> Store:
    made = Store.create(tmp_path / "s.zarr", {"kind": "test"})
    for part, scenes in enumerate((range(5), range(5, 12))):
        episodes = [make_episode(scene, 6 + scene % 3, cameras=(), ledger=ledger(scene)) for scene in scenes]
        for scene, episode in zip(scenes, episodes, strict=True):
            demo = np.full(len(episode), -1, np.int32)
            demo[2:4], demo[5:] = scene % 3, scene % 5
            episode.arrays["source/demo"] = demo
            episode.arrays["source/step"] = demo
        made.commit(part, episodes, [{"scene": scene} for scene in scenes])
    made.seal(None)
    return Store.open(made.path)


def filled(store: Store, **options: int) -> Columns:
    columns = Columns(len(store), **options)
    columns.fill(store)
    assert columns.complete
    return columns


@pytest.mark.parametrize(
    "where",
    [
        "ledger.physics.friction > 0.35",
        "ledger.physics.friction != 0.3",
        "0.2 <= ledger.physics.friction < 0.7",
        "ledger.physics.friction in (0.1, 0.5)",
        "not ledger.rare > 3",
        "ledger.rare == 8 or ledger.poses.cube[1] < -9",
        "ledger.poses.cube[-1] == 0.5 and scene < 4",
        "ledger.look.colour == red",
        "ledger.look.colour not in (red, green)",
        "ledger.look.lit == true",
        "ledger.look.lit != true and length > 6",
        "demo == 2",
        "demo != 2",
        "demo in (1, 4) and scene > 3",
        "demo not in (0, 77)",
    ],
)
def test_filters_say_the_same_with_columns(store: Store, where: str) -> None:
    plain = matching(store, where)
    assert 0 < len(plain) < len(store) or "[-1]" in where
    assert matching(store, where, filled(store)).tolist() == plain.tolist()


@pytest.mark.parametrize(
    "where",
    ["ledger.physics.friction == red", "ledger.look.colour > 3", "ledger.look.lit == 7", "ledger.phisics.friction > 1"],
)
def test_what_is_wrong_is_wrong_with_columns_too(store: Store, where: str) -> None:
    with pytest.raises(InputError) as plain:
        matching(store, where)
    with pytest.raises(InputError) as fast:
        matching(store, where, filled(store))
    assert str(fast.value) == str(plain.value)


def test_no_metadata_is_read_for_an_axis_that_has_a_column(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = filled(store)
    monkeypatch.setattr(Store, "meta", lambda *_: pytest.fail("metadata was read"))
    monkeypatch.setattr(Store, "read", lambda *_: pytest.fail("an array was read"))
    assert matching(store, "ledger.physics.friction < 0.5 and demo == 1", columns).tolist() == [1, 4]


def test_the_demos_of_each_episode_are_known(store: Store) -> None:
    demos = filled(store).demos
    assert demos is not None
    for episode in range(len(store)):
        found = set(store.read(episode, "source/demo").tolist()) - {-1}
        assert set(np.flatnonzero(demos[episode]).tolist()) == found


def test_memory_is_bounded_and_what_is_left_out_is_named(store: Store) -> None:
    columns = filled(store, budget=3 * 8 * len(store))
    assert columns.left_out
    assert len(columns.numbers) + len(columns.texts) <= 4
    axis = next(iter(columns.left_out))
    assert columns.get(axis) is None
    assert len(matching(store, "ledger.physics.friction > 0.35", columns)) == 8


def test_damage_costs_the_episodes_that_it_hits(store: Store) -> None:
    lines = store.path / "parts" / "00000001" / "episodes.jsonl"
    data = lines.read_bytes()
    lines.write_bytes(data.replace(b'"friction":0.7', b'"friction":0.8', 1))
    columns = filled(Store.open(store.path))
    assert list(columns.damaged) == [7]
    assert "line 3 has changed" in columns.damaged[7]
    assert np.flatnonzero(np.isnan(columns.numbers["physics.friction"])).tolist() == [7]


def test_reading_stops_when_it_is_told_to(store: Store) -> None:
    columns = Columns(len(store))
    columns.fill(store, stopped=lambda: True)
    assert not columns.complete
    assert columns.get("physics.friction") is None


def test_names_are_those_of_filters() -> None:
    nested = {"a": {"b": [1, {"c": "x"}], "gone": None}, "nan": float("nan"), "long": list(range(99)), "t": True}
    assert dict(flatten(nested)) == {"a.b[0]": 1, "a.b[1].c": "x", "t": True}
