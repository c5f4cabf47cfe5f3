import numpy as np
import pytest

from handful import InputError
from trajectories.filters import matching, nothing_matches


@pytest.fixture
def store(tmp_path, make_episode, make_store):
    """Six episodes; `expect` below picks the same ones from their metadata, one by one."""
    changes = [
        {"steps": 10},
        {"steps": 20, "domain": "twin/dev-0"},
        {"steps": 30, "task": "stack_three", "instruction": "stack them"},
        {"steps": 40, "outcome": "misplaced", "attempts": 3},
        {"steps": 50, "ledger": {"friction": 2, "glossy": True, "cubes": {"a": {"colour": "red"}}}},
        {"steps": 60, "seeds": {}, "ledger": {}},
    ]
    episodes = [make_episode(scene, cameras=(), **change) for scene, change in enumerate(changes)]
    return make_store(tmp_path / "six.zarr", [episodes[:2], episodes[2:]])


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("task == lift", [0, 1, 3, 4, 5]),
        ("task != 'lift'", [2]),
        ("domain == twin/dev-0", [1]),
        ("domain in (sim, 'twin/other')", [0, 2, 3, 4, 5]),
        ("task not in (lift, stack_three)", []),
        ("instruction == 'stack them'", [2]),
        ("store == six.zarr", [0, 1, 2, 3, 4, 5]),
        ("embodiment == jaco", []),
        ("operator == augmentation and action_source == commanded", [0, 1, 2, 3, 4, 5]),
        ("length < 30", [0, 1]),
        ("20 <= length <= 40", [1, 2, 3]),
        ("duration >= 2.5", [4, 5]),
        ("scene in (1, 3, 99)", [1, 3]),
        ("not scene in (1, 3, 99)", [0, 2, 4, 5]),
        ("seed == -1", [5]),
        ("seed < 100000000000000000000", [0, 1, 2, 3, 4, 5]),
        ("attempts > 1 or length == 10", [0, 3]),
        ("control_rate == 20", [0, 1, 2, 3, 4, 5]),
        ("ledger.friction > 1", [1, 2, 3, 4]),
        ("not ledger.friction > 1", [0, 5]),
        ("ledger.colour[1] == 0.2", [0, 1, 2, 3]),
        ("ledger.colour[-1] > 0.25", [0, 1, 2, 3]),
        ("ledger.cubes.a.colour == red", [4]),
        ("ledger.cubes.a.colour in (red, blue)", [4]),
        ("ledger.glossy == true", [4]),
        ("ledger.glossy != true", []),
        ("task == stack_three or task == lift and (length > 50 or outcome == misplaced)", [2, 3, 5]),
    ],
)
def test_a_filter_finds_the_episodes_it_is_true_of(store, where, found):
    episodes = matching(store, where)
    assert episodes.tolist() == found
    assert episodes.dtype == np.int64


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("tsk == lift", r"unknown field 'tsk'; there is: .*task.*Did you mean 'task'\? \(at character 1 of the filter"),
        ("task == lift and legnth < 3", r"unknown field 'legnth'.*Did you mean 'length'\? \(at character 18 "),
        ("length == 'a'", r"'length' is a number and cannot be 'a' \(at character 11 "),
        ("length < many", r"'length' is a number and cannot be 'many'"),
        ("task == 3", r"'task' is text and cannot be 3; write it in quotes \(at character 9 "),
        ("task < lift", r"'task' is text: compare it with ==, !=, in or not in"),
        (
            "ledger.frcition > 1",
            r"unknown axis in 'ledger.frcition' 'frcition'; there is: colour, friction. Did you mean",
        ),
        ("ledger.colour > 1", r"'ledger.colour' has 3 values; name one, as in ledger.colour\[0\]"),
        ("ledger.colour[3] > 1", r"'ledger.colour\[3\]' leads nowhere: there are 3 values, counted from 0"),
        ("ledger.friction.x > 1", r"'ledger.friction.x' leads nowhere: there is one value"),
        ("ledger.cubes == red", r"'ledger.cubes' is a group; it holds: a"),
        ("ledger.friction == high", r"'ledger.friction' is a number and cannot be 'high' \(at character 20 "),
        ("ledger.cubes.a.colour == 3", r"'ledger.cubes.a.colour' is text and cannot be 3"),
        ("ledger.glossy == red", r"'ledger.glossy' is true or false"),
        ("ledger.cubes.a.colour[0] == r", r"leads nowhere: there is one value"),
        ("demo == 1", r"do not say which demo they replay \(they lack 'source/demo'\)"),
        ("demo > 1", r"an episode replays several demos: compare with ==, !=, in or not in"),
        ("demo == lift", r"'demo' is a number and cannot be 'lift'"),
    ],
)
def test_what_cannot_be_asked_is_refused(store, where, message):
    with pytest.raises(InputError, match=message):
        matching(store, where)


def test_an_unknown_field_is_refused_also_where_it_would_decide_nothing(store):
    with pytest.raises(InputError, match="unknown field 'nonsense'"):
        matching(store, "length < 0 and nonsense == 1")


def test_metadata_is_read_only_of_the_episodes_still_open(store, monkeypatch):
    read = []
    meta = type(store).meta
    monkeypatch.setattr(type(store), "meta", lambda self, episode: read.append(episode) or meta(self, episode))
    assert matching(store, "length in (20, 40) and ledger.friction > 2").tolist() == [3]
    assert read == [1, 3]
    read.clear()
    assert matching(store, "length > 10 or ledger.friction < 1").tolist() == [0, 1, 2, 3, 4, 5]
    assert read == [0]


def test_the_demos_that_an_episode_replays(tmp_path, make_episode, make_store):
    episodes = []
    for demos in ((0, 0, -1), (1, -1, 2), (-1, -1, -1)):
        episode = make_episode(len(episodes), steps=3, cameras=())
        episode.arrays["source/demo"] = np.array(demos, np.int32)
        episodes.append(episode)
    store = make_store(tmp_path / "s", [episodes])
    assert matching(store, "demo == 2").tolist() == [1]
    assert matching(store, "demo in (0, 2)").tolist() == [0, 1]
    assert matching(store, "demo != 0").tolist() == [1, 2]
    assert matching(store, "demo not in (0, 1)").tolist() == [2]


def test_a_filter_that_is_true_of_nothing_says_what_there_is(store):
    error = nothing_matches(store, "task == lfit and length > 3 and domain == real/x")
    assert str(error) == (
        f"no episode of '{store.path}' matches: task == lfit and length > 3 and domain == real/x; "
        "there, task is lift or stack_three; domain is sim or twin/dev-0"
    )


def test_a_store_without_episodes_matches_nothing(tmp_path, make_store):
    assert matching(make_store(tmp_path / "empty", []), "task == lift or ledger.x > 2").tolist() == []
