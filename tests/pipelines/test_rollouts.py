"""Rollouts of an untrained policy: a stop at any moment counts nothing twice, and the table says what happened."""

import csv
import json
from pathlib import Path

import pytest

from handful import InputError, JobError
from pipelines import rollouts
from pipelines.compare import run as compare
from pipelines.episodes import EpisodeTable, summary
from pipelines.evaluations import read_evaluation
from pipelines.locks import alone
from pipelines.progress import Reporter
from scenes.task import get_task
from tests.pipelines.tiny_policy import TASK, evaluate, policy_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policy_run(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def whole(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    evaluate(trained, out)
    return out


class Stopped(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("after", [1, 2])
def test_an_evaluation_stopped_between_batches_ends_as_if_it_had_not_been(
    trained: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    add, done = EpisodeTable.add, []

    def stop(table: EpisodeTable, rows: list) -> None:
        add(table, rows)
        done.append(len(rows))
        if len(done) == after:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(EpisodeTable, "add", stop)
        with pytest.raises(Stopped):
            evaluate(trained, tmp_path, "batch=1")
    assert not (tmp_path / "results.json").exists()
    evaluate(trained, tmp_path, "batch=2")
    for name in ("episodes.jsonl", "episodes.csv", "results.json"):
        assert (tmp_path / name).read_text() == (whole / name).read_text()


def test_the_table_says_what_happened(whole: Path) -> None:
    rows = read_evaluation(whole).rows
    assert [row["scene"] for row in rows] == [0, 1, 2]
    for row in rows:
        assert row["time"] == row["steps"] / 20
        assert 0 <= row["stage"] <= 2
        assert (row["stage"] == 2) == (row["outcome"] == "success")
        assert row["path_length"] > 0
        assert row["jerk"] > 0
        assert (row["contacts"] > 0) == (row["outcome"] == "collided")
        assert (row["namespace"], row["seed"]) == ("evaluation", 0)
    with (whole / "episodes.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["digest"] for row in written] == [row["digest"] for row in rows]


def test_other_sentences_ask_for_the_same_in_the_same_worlds(trained: Path, whole: Path, tmp_path: Path) -> None:
    evaluate(trained, tmp_path, "sentences=held_out")
    task = get_task(TASK)
    for row, trained_on in zip(read_evaluation(tmp_path).rows, read_evaluation(whole).rows, strict=True):
        assert row["asked"] == trained_on["asked"]
        assert row["instruction"] in task.instructions({"target": row["asked"]}, "held_out")
        assert trained_on["instruction"] in task.instructions({"target": row["asked"]})
    with pytest.raises(InputError, match=r"unknown value of 'sentences': 'heldout'.*Did you mean 'held_out'"):
        evaluate(trained, tmp_path, "sentences=heldout")


def test_a_second_evaluation_into_the_same_folder_is_refused(trained: Path, tmp_path: Path) -> None:
    with alone(tmp_path, ""), pytest.raises(InputError, match=r"another evaluation into .* is under way"):
        evaluate(trained, tmp_path)


def test_a_table_with_a_rollout_twice_is_refused(trained: Path, whole: Path, tmp_path: Path) -> None:
    lines = (whole / "episodes.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "episodes.jsonl").write_text("".join([*lines, lines[1]]))
    with pytest.raises(JobError, match="has scene 0 of sim 2 times"):
        evaluate(trained, tmp_path)


def test_a_damaged_table_is_refused(trained: Path, whole: Path, tmp_path: Path) -> None:
    lines = (whole / "episodes.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "episodes.jsonl").write_text("".join([*lines[:2], "{broken\n", *lines[2:]]))
    with pytest.raises(JobError, match="line 3: not JSON"):
        evaluate(trained, tmp_path)


def test_every_outcome_has_as_many_videos_as_asked_for(trained: Path, tmp_path: Path) -> None:
    evaluate(trained, tmp_path, "videos=2")
    outcomes = [row["outcome"] for row in read_evaluation(tmp_path).rows]
    expected = {
        f"sim_{outcome}{suffix}.mp4"
        for outcome in set(outcomes)
        for suffix in ("", "_2")[: min(2, outcomes.count(outcome))]
    }
    assert {path.name for path in (tmp_path / "videos").iterdir()} == expected


def test_results_say_how_far_rollouts_got() -> None:
    rows = [
        {"outcome": "timed_out", "stage": 0, "asked": "cube_1"},
        {"outcome": "misplaced", "stage": 1, "asked": "cube_2"},
        {"outcome": "success", "stage": 3, "asked": "cube_1"},
    ]
    found = summary("sim", "stack", ["grasp", "stack", "success"], rows)
    assert found["progress"] == pytest.approx(4 / 9)
    assert found["progress_ci"][0] < 4 / 9 < found["progress_ci"][1]
    assert [found["stages"][name]["episodes"] for name in ("grasp", "stack", "success")] == [2, 1, 1]
    assert found["rate"] == found["stages"]["success"]["episodes"] / 3
    assert [(name, each["successes"], each["episodes"]) for name, each in found["asked"].items()] == [
        ("cube_1", 1, 2),
        ("cube_2", 0, 1),
    ]


def test_notes_of_an_evaluation_reach_its_comparisons(whole: Path, tmp_path: Path) -> None:
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "episodes.jsonl").write_text((whole / "episodes.jsonl").read_text())
        said = json.loads((whole / "results.json").read_text())
        (folder / "results.json").write_text(json.dumps({**said, "notes": ["trained on it"], "stopped": ["sim"]}))
    flags = compare([tmp_path / "a", tmp_path / "b"])["flags"]
    assert "a: trained on it" in flags
    assert any(flag.startswith("b in sim ended as soon as a comparison was decided") for flag in flags)


def test_one_domain_named_twice_is_evaluated_once(trained: Path, whole: Path, tmp_path: Path) -> None:
    result = rollouts.run(trained, TASK, ["sim", "sim"], 1, tmp_path, 0, ["execute=16"], Reporter(quiet=True))
    assert [row["episodes"] for row in result["results"]] == [1]
    assert read_evaluation(tmp_path).rows == read_evaluation(whole).rows[:1]


def test_rollouts_in_what_a_name_meant_before_are_made_again(tmp_path: Path) -> None:
    path, settings = tmp_path / "episodes.jsonl", {"format": 3}
    table = EpisodeTable(path, settings)
    table.add([{"domain": "sim", "scene": i, "world": "old" if i < 2 else "new"} for i in range(3)])
    table.add([{"domain": "none", "scene": 0, "world": "old"}])
    assert table.drop_others("sim", "new") == 2
    assert EpisodeTable(path, settings).rows == table.rows
    assert [(row["domain"], row["scene"]) for row in table.rows] == [("sim", 2), ("none", 0)]
    assert table.drop_others("sim", "new") == 0
