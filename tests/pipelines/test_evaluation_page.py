"""The report's part about rollouts, from tables of made-up rollouts."""

import base64
import csv
import io
import json
from pathlib import Path

import pytest

from pipelines.agreement import run as agreement
from pipelines.episodes import summary
from pipelines.evaluation_page import evaluation_part
from pipelines.report import write_report
from pipelines.runs import read_run
from scenes.twins import SEVERITIES

STAGES = ["lift", "success"]
SETTINGS = {"policy": {"ema": "ab"}, "task": "lift", "seed": 0}


def row(domain: str, scene: int, done: bool, asked: str = "cube_1", taken: str | None = None) -> dict:
    return {
        "domain": domain,
        "task": "lift",
        "namespace": "evaluation",
        "seed": 0,
        "scene": scene,
        "instruction": "lift, it",
        "asked": asked,
        "outcome": "success" if done else "timed_out",
        "stage": 2 if done else 0,
        "taken": taken if taken is not None else asked if done else "",
        "time": 3.5,
        "jerk": None,
    }


def evaluation(folder: Path, rows: list[dict], suite: bool = False, notes: tuple[str, ...] = ()) -> None:
    folder.mkdir(parents=True)
    (folder / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (SETTINGS, *rows)))
    domains = dict.fromkeys(each["domain"] for each in rows)
    results = [summary(name, "lift", STAGES, [r for r in rows if r["domain"] == name]) for name in domains]
    (folder / "results.json").write_text(json.dumps({"results": results, "notes": notes}))
    if suite:
        (folder / "robustness.json").write_text("{}")


def suite_rows(n: int = 20) -> list[dict]:
    """A policy that cares about cameras alone, and takes the old object in every other swap."""
    rows = [row("baseline", i, True) for i in range(n)]
    for severity in SEVERITIES[:2]:
        rows += [row(f"{severity}/camera", i, i < 4) for i in range(n)]
        rows += [row(f"{severity}/light", i, True) for i in range(n)]
    rows += [row("swap", i, i % 2 == 0, "cube_2", "cube_2" if i % 2 == 0 else "cube_1") for i in range(n)]
    return rows


def test_a_suite_is_a_heat_map_over_severities(tmp_path: Path) -> None:
    evaluation(tmp_path / "robustness", suite_rows(), suite=True)
    part = evaluation_part(read_run(tmp_path).evaluations[0])
    assert part.forest is None
    assert part.suite is not None
    svg = str(part.suite.map)
    for severity in SEVERITIES[:2]:
        assert f"camera, {severity}: 20.0 % (4 of 20; 95 % interval 8.1 to 41.6 %); -80.0 points" in svg
        assert f"light, {severity}: 100.0 % (20 of 20;" in svg
    assert SEVERITIES[2] not in svg
    assert svg.count("▼") == 3  # swap is worse as well: success at the object named
    assert "<title>baseline: 100.0 %" in svg
    assert any("picked up that one in 50.0 % (10 of 20" in sentence for sentence in part.suite.sentences)


def test_a_condition_with_scenes_missing_is_said_and_not_drawn(tmp_path: Path) -> None:
    rows = suite_rows()
    evaluation(tmp_path / "robustness", [r for r in rows if r["domain"] != "mild/light" or r["scene"] != 3], suite=True)
    suite = evaluation_part(read_run(tmp_path).evaluations[0]).suite
    assert suite is not None
    assert "light, mild" not in suite.map
    assert any("Not all scenes were tried in mild/light" in sentence for sentence in suite.sentences)


def test_every_rollout_is_there_to_be_read_and_saved(tmp_path: Path) -> None:
    rows = [row("sim", i, i % 3 > 0, f"cube_{1 + i % 2}") for i in range(12)]
    evaluation(tmp_path / "evaluation", rows, notes=("it has met <these>",))
    evaluation(tmp_path / "other" / "a", rows[:3])
    (part, other) = (evaluation_part(found) for found in read_run(tmp_path).evaluations)
    assert (part.name, other.name) == ("evaluation", "other/a")
    read = list(csv.DictReader(io.StringIO(base64.b64decode(part.csv.split(",")[1]).decode())))
    assert [(r["scene"], r["outcome"], r["instruction"]) for r in read] == [
        (str(r["scene"]), r["outcome"], r["instruction"]) for r in rows
    ]
    assert len(part.episodes[1]) == 12
    assert part.rows[0]["asked"][0][0] == "cube_1"
    assert "lift: 66.7 % (8 of 12" in str(part.stages)
    html = write_report(tmp_path).read_text()
    assert "it has met &lt;these&gt;" in html
    assert "It succeeds at lift in sim in 66.7 % (8 of 12" in html
    assert "&#34;seed&#34;: 0" in html
    assert 'download="other_a.csv"' in html


def test_an_evaluation_that_never_ended_is_said(tmp_path: Path) -> None:
    evaluation(tmp_path / "evaluation", [row("sim", 0, True)])
    (tmp_path / "evaluation" / "results.json").unlink()
    html = write_report(tmp_path).read_text()
    assert "this evaluation never came to its end" in html
    assert "No evaluation here" in html


def test_an_evaluations_own_folder_has_a_report(tmp_path: Path) -> None:
    evaluation(tmp_path / "lone", [row("sim", i, True) for i in range(3)])
    assert [found.name for found in read_run(tmp_path / "lone").evaluations] == ["lone"]


def test_agreement_is_on_the_page(tmp_path: Path) -> None:
    for name, successes in (("real", (17, 12, 9, 2)), ("sim", (16, 14, 6, 1))):
        lines = [f"p{i},{k},20" for i, k in enumerate(successes)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["policy,successes,episodes", *lines]) + "\n")
    found = agreement(tmp_path / "real.csv", tmp_path / "sim.csv", samples=200)
    (tmp_path / "agreement.json").write_text(json.dumps(found))
    html = write_report(tmp_path).read_text()
    assert "Does simulation foretell the robot?" in html
    assert "Order in simulation and real" in html
    assert f"<td>{found['mmrv']['value']:.3f}</td>" in html


@pytest.mark.parametrize("name", ["agreement.json", "evaluation/robustness.json"])
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    from handful import JobError

    evaluation(tmp_path / "evaluation", [row("sim", 0, True)])
    (tmp_path / name).write_text("{")
    with pytest.raises(JobError, match=rf"{name}' is damaged"):
        write_report(tmp_path)
