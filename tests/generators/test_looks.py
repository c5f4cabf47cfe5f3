"""Further looks of an episode: what happened stays, what is seen differs, and each look is its own draw."""

from pathlib import Path

import numpy as np
import pytest

from generators.looks import LOOK_AXES, Looks
from handful import InputError, random_stream, stream_word
from scenes.appearance import FIELDS
from scenes.domains import NONE, SIM
from scenes.randomization import AXES, Randomization
from scenes.scene import LOOK_GROUPS, draw_look, draw_scene
from scenes.workspace import Workspace, build_workspace
from trajectories import Episode, open_dataset

DEMOS = Path(__file__).resolve().parents[2] / "demos"


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return build_workspace("lift")


@pytest.fixture(scope="module")
def episode() -> Episode:
    return open_dataset(DEMOS / "lift").episode(0)


def test_the_first_look_is_the_scenes_own(workspace: Workspace) -> None:
    scene = draw_scene(workspace, SIM, "generation", 5, 3)
    assert draw_look(workspace, scene, SIM.randomization, 0, LOOK_AXES) == scene


def test_a_further_look_leaves_poses_and_physics(workspace: Workspace) -> None:
    scene = draw_scene(workspace, SIM, "generation", 5, 3)
    other = draw_look(workspace, scene, SIM.randomization, 2, LOOK_AXES)
    assert {name: other.ledger[name] == scene.ledger[name] for name in scene.ledger} == {
        "poses": True,
        "physics": True,
        **dict.fromkeys(LOOK_GROUPS, False),
    }
    assert draw_look(workspace, other, SIM.randomization, 0, LOOK_AXES) == scene


def test_only_the_axes_asked_for_are_drawn(workspace: Workspace) -> None:
    scene = draw_scene(workspace, SIM, "generation", 5, 3)
    other = draw_look(workspace, scene, SIM.randomization, 1, ["table_hue"])
    differ = [(g, a) for g, axes in scene.ledger.items() for a in axes if other.ledger[g][a] != axes[a]]
    assert differ == [("appearance", "table_hue")]


def test_streams_of_looks_are_those_of_attempts() -> None:
    word = stream_word("generation", 5, "lift", 3, "appearance", 2)
    stream = random_stream("generation", 5, "lift", 3, "appearance", 2)
    assert word == int(stream.bit_generator.seed_seq.generate_state(1, np.uint64)[0])  # type: ignore[attr-defined]
    assert len({stream_word("generation", 5, "lift", 3, "appearance", look) for look in range(4)}) == 4


def test_an_episode_seen_otherwise_keeps_all_but_its_looks(workspace: Workspace, episode: Episode) -> None:
    first, second, third = Looks(3, SIM.randomization).of(workspace, episode)
    assert first is episode
    for seen in (second, third):
        differ = {key for key, value in episode.arrays.items() if not np.array_equal(value, seen.arrays[key])}
        assert "model/geom_rgba" in differ
        assert differ <= {f"model/{field}" for field in FIELDS}
        assert {key: value.dtype for key, value in seen.arrays.items()} == {
            key: value.dtype for key, value in episode.arrays.items()
        }
    assert [seen.meta.look for seen in (first, second, third)] == [0, 1, 2]
    assert second.meta.ledger["appearance"] != third.meta.ledger["appearance"]
    assert second.meta.ledger["physics"] == episode.meta.ledger["physics"]


def test_looks_do_not_depend_on_how_many_are_drawn(workspace: Workspace, episode: Episode) -> None:
    *_, last = Looks(2, SIM.randomization).of(workspace, episode)
    _, same, _ = Looks(3, SIM.randomization).of(workspace, episode)
    assert last.meta == same.meta
    assert all(np.array_equal(last.arrays[key], same.arrays[key]) for key in last.arrays)


def test_changed_axes_are_drawn_in_the_first_look_too(workspace: Workspace, episode: Episode) -> None:
    drawn_from = NONE.randomization.with_({"table_hue": 0.25})
    (seen,) = Looks(1, drawn_from, frozenset({"table_hue"})).of(workspace, episode)
    assert seen.meta.ledger["appearance"]["table_hue"] == 0.25
    assert seen.meta.look == 0
    # One of a later look keeps its number and all that is not asked for.
    *_, later = Looks(3, SIM.randomization).of(workspace, episode)
    (again,) = Looks(1, drawn_from, frozenset({"table_hue"})).of(workspace, later)
    assert again.meta.look == 2
    assert again.meta.ledger["light"] == later.meta.ledger["light"]
    with pytest.raises(InputError, match="scene 0 is seen in its look 2 already; draw 2 looks of the data set"):
        list(Looks(2, SIM.randomization).of(workspace, later))


def test_axes_of_looks_change_nothing_that_happens() -> None:
    assert {AXES[name].group for name in LOOK_AXES} == set(LOOK_GROUPS)
    with pytest.raises(InputError, match="appearances must be at least 1, got 0"):
        Looks(0, Randomization())
