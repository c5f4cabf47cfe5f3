"""`handful data ...` as people and scripts use it."""

import io
import json
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipelines import cli
from pipelines.inspection import inspect
from tests.pipelines import run_folder
from trajectories import Store, open_dataset


@pytest.fixture
def handful(monkeypatch, capsys, tmp_path):
    """Run `handful data` in an empty folder; returns (exit code, JSON or None, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["handful", "data", *words, "--json"])
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with pytest.raises(SystemExit) as left:
            cli.main()
        for number, handler in before.items():
            signal.signal(number, handler)
        out, err = capsys.readouterr()
        return int(left.value.code or 0), json.loads(out.splitlines()[-1]) if out else None, err

    return run


@pytest.fixture
def store(tmp_path):
    store = run_folder.make_store(tmp_path / "data.zarr", episodes=6)
    store.seal(None)
    return store


def test_merge_filter_and_split(handful, store, tmp_path):
    other = run_folder.make_store(tmp_path / "more.zarr", episodes=4)
    assert handful("merge", "data.zarr", "more.zarr", "--out", "all.zarr")[1] == {
        "episodes": 10,
        "store": "all.zarr",
        "duplicates": 0,
    }
    code, answer, err = handful("merge", "all.zarr", "data.zarr", "--out", "again.zarr")
    assert (code, answer["episodes"], answer["duplicates"]) == (0, 10, 6)
    assert "10 episodes in again.zarr; 6 that several of them hold enter once" in err
    words = ("--where", "store == more.zarr and scene > 1", "--out", "some.zarr")
    assert handful("filter", "all.zarr", *words)[1] == {"episodes": 2, "store": "some.zarr"}
    assert open_dataset("some.zarr").meta(0) == other.meta(2)
    assert handful("filter", "data.zarr", "--exclude", "1-4", "--out", "ends.zarr")[1]["episodes"] == 2
    assert handful("split", "data.zarr", "--validation", "0.3", "--out", "halves")[1] == {
        "episodes": 6,
        "store": "halves",
        "train": 4,
        "validation": 2,
    }
    assert len(open_dataset("halves/train")) == 4


def test_compact(handful, store):
    code, answer, err = handful("compact", "data.zarr", "--out", "large.zarr", "--level", "5")
    assert code == 0
    assert answer == {"episodes": 6, "store": "large.zarr", "parts": 1, "bytes": Store.open("large.zarr").bytes}
    assert "6 episodes in large.zarr: 2 parts" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("merge", "data.zarr", "--out", "v"), "a merge needs at least two data sets, got 1"),
        (("filter", "data.zarr", "--out", "v"), "give either --where (a filter) or --exclude (episode numbers)"),
        (("filter", "data.zarr", "--where", "a==1", "--exclude", "1", "--out", "v"), "give either --where"),
        (("filter", "data.zarr", "--where", "tsk == lift", "--out", "v"), "unknown field 'tsk'"),
        (("filter", "data.zarr", "--where", "task == lfit", "--out", "v"), "there, task is lift"),
        (("filter", "dta.zarr", "--where", "task == lift", "--out", "v"), "Did you mean 'data.zarr'?"),
        (("filter", "data.zarr", "--where", "task == lift", "--out", "data.zarr"), "exists already"),
        (("split", "data.zarr", "--validation", "1", "--out", "v"), "must be above 0 and below 1, got 1"),
        (("compact", "data.zarr", "--out", "data.zarr"), "is what is to be compacted; give another --out"),
    ],
)
def test_a_wrong_request_is_one_line_and_makes_nothing(handful, store, tmp_path, words, message):
    code, answer, err = handful(*words)
    assert (code, answer) == (2, None)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert [p.name for p in tmp_path.iterdir()] == ["data.zarr"]


def test_bare_data_is_bad_usage(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["handful", "data"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["merge", "filter", "split", "compact", "delete", "repair", "migrate"])
def test_every_verb_explains_itself(monkeypatch, capsys, verb):
    monkeypatch.setattr(sys, "argv", ["handful", "data", verb, "--help"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    out = capsys.readouterr().out
    assert f"handful data {verb} " in out.split("Example:")[1]
    assert "--json" in out
    assert "--quiet" in out


def test_delete_says_first_and_does_it_only_when_told(handful, store):
    code, answer, err = handful("delete", "data.zarr", "--where", "scene in (0, 1, 2, 4)")
    assert code == 2
    assert answer == {"episodes": 6, "store": "data.zarr", "deleted": 4, "parts": 1, "bytes": answer["bytes"]}
    assert "would be deleted from data.zarr: 4 episodes (0-2, 4), with 1 whole part, " in err
    assert err.splitlines()[-1] == "error: nothing was deleted; to delete these episodes for good, add --yes"
    assert len(Store.open("data.zarr")) == 6
    code, answer, err = handful("delete", "data.zarr", "--episodes", "0-2,4", "--yes")
    assert (code, answer["episodes"], answer["deleted"]) == (0, 2, 4)
    assert "4 episodes deleted, " in err
    assert "; 2 are left in data.zarr" in err
    assert Store.open("data.zarr").verify() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say which episodes to delete: --where (a filter) or --episodes (numbers)"),
        (("--yes",), "say which episodes to delete"),
        (("--where", "scene == 1", "--episodes", "1"), "not both"),
        (("--episodes", "6"), "has 6 episodes, counted from 0; there is no 6"),
        (("--episodes", "0-5", "--yes"), "would delete all 6 episodes of 'data.zarr'; to do so, remove the folder"),
    ],
)
def test_a_deletion_that_cannot_be_is_one_line(handful, store, words, message):
    code, answer, err = handful("delete", "data.zarr", *words)
    assert (code, answer) == (2, None)
    assert err.count("\n") == 1
    assert message in err
    assert len(Store.open("data.zarr")) == 6


def test_a_deletion_that_was_interrupted_is_finished_without_naming_it_again(handful, store, monkeypatch):
    from trajectories import deletion

    def stop(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "discard", stop)
        assert handful("delete", "data.zarr", "--episodes", "0-2", "--yes")[0] == 1
    assert len(Store.open("data.zarr")) == 3
    code, answer, err = handful("delete", "data.zarr", "--yes")
    assert (code, answer["episodes"], answer["deleted"]) == (0, 3, 0)
    assert "note: an interrupted deletion from 'data.zarr' is finished" in err
    assert Store.open("data.zarr").verify() == []


def test_views_are_inspected_drawn_and_learnt_from_like_stores(handful, store, tmp_path):
    handful("split", "data.zarr", "--validation", "0.3", "--out", "halves")

    def run(*words):
        assert not cli.app([*words, "--json"], standalone_mode=False)

    facts, shown = inspect(tmp_path / "halves" / "train", verify=True)
    assert (facts["episodes"], facts["ok"], facts["problems"]) == (4, True, [])
    text = rendered(shown)
    assert "data.zarr 4" in text
    assert "scenes tried" not in text
    run("view", "halves/train", "--out", "sheet.png")
    run("view", "halves/train", "--episode", "1", "--out", "episode.png")
    tiny = ("steps=2", "checkpoints=1", "batch_size=4", "threads=1")
    run("train", "--data", "halves/train", "--out", "run", "--preset", "tiny", *tiny)
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*/checkpoint.json")
    (source,) = json.loads(checkpoint.read_text())["sources"]
    assert (source["episodes"], source["digest"]) == (4, open_dataset("halves/train").plan_digest)


def rendered(shown):
    buffer = io.StringIO()
    Console(file=buffer, width=120).print(shown)
    return buffer.getvalue()


def test_repair_restores_what_follows_from_the_rest(handful, store):
    (store.path / "index.npz").unlink()
    code, answer, err = handful("repair", "data.zarr")
    assert (code, answer["ok"], answer["episodes"], answer["restored"]) == (0, True, 6, ["index.npz"])
    assert "restored: index.npz" in err
    assert "data.zarr is whole" in err
    assert handful("repair", "data.zarr")[1]["restored"] == []


def test_repair_makes_room_for_what_is_lost(handful, store):
    shard = max((store.path / "parts" / "00000001" / "images" / "front").iterdir(), key=lambda p: p.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1])
    code, answer, err = handful("repair", "data.zarr")
    assert (code, answer["ok"], answer["episodes"], answer["dropped"]) == (1, False, None, [1])
    assert "dropped: part 1" in err
    assert "run again, makes exactly what is missing" in err
    assert not (store.path / "parts" / "00000001").exists()


def test_migrate_makes_a_store_of_this_format(handful, tmp_path):
    old = Path(__file__).parents[1] / "data" / "format_1"
    code, answer, err = handful("migrate", str(old), "--out", "new.zarr")
    assert code == 0
    assert answer == {"episodes": len(Store.open("new.zarr")), "store": "new.zarr"}
    assert Store.open("new.zarr").verify() == []
    code, _, err = handful("migrate", "new.zarr", "--out", "newer.zarr")
    assert code == 2
    assert "has format 2 already; there is nothing to migrate" in err
