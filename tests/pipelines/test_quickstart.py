"""The main job at its smallest: every stage leaves what the next needs, and a second run has nothing to do."""

import json
from pathlib import Path

import pytest

from handful import InputError
from pipelines import quickstart, rollouts
from pipelines.progress import Reporter
from policies.policy import Policy
from scenes.domains import get_domain
from scenes.scene import draw_scene
from scenes.workspace import build_workspace
from trajectories import Store

SMALL = [
    "count=4",
    "minutes=0.03",
    "preset=tiny",
    "episodes=3",
    "resolution=32",
    "workers=1",
    "generation=[chunk=4]",
    "policy=[threads=1]",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A whole quickstart with a policy that had two seconds to learn."""
    out = tmp_path_factory.mktemp("quickstart") / "run"
    return out, quickstart.run(out, Reporter(quiet=True), SMALL)


def evaluate(run: Path, out: Path, *overrides: str, **changes: object) -> dict:
    arguments: dict = {"task": "lift", "domains": ["sim"], "episodes": 3, "seed": 0, **changes}
    return rollouts.run(
        run=run / "training", out=out, overrides=list(overrides), progress=Reporter(quiet=True), **arguments
    )


def test_the_result_has_the_keys_of_the_contract(finished: tuple[Path, dict]) -> None:
    result = finished[1]
    assert set(result) == {"report", "generation", "training", "evaluation"}
    assert result["generation"]["kept"] == 4
    assert [r["domain"] for r in result["evaluation"]["results"]] == ["sim", "twin/dev-0"]
    assert all(r["episodes"] == 3 and r["ci"][0] <= r["rate"] <= r["ci"][1] for r in result["evaluation"]["results"])


def test_the_report_is_one_page_with_every_part(finished: tuple[Path, dict]) -> None:
    page = Path(finished[1]["report"]).read_text(encoding="utf-8")
    for words in ("recorded by a script", "surrogate reality", "Drawn scenes", "How the policy was trained"):
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_policy_learnt_from_a_blend_of_generated_episodes_and_demos(finished: tuple[Path, dict]) -> None:
    sources = Policy.load(finished[0] / "training").record["sources"]
    assert len(sources) == 2
    demos = Store.open(finished[0] / "demos")
    assert demos.meta(0).operator == "script"
    assert demos.read(0, "images/front").shape[1:] == (32, 32, 3)


def test_a_second_run_has_nothing_to_do(finished: tuple[Path, dict]) -> None:
    again = quickstart.run(finished[0], Reporter(quiet=True), SMALL)
    assert again["generation"] == finished[1]["generation"]
    assert again["evaluation"] == finished[1]["evaluation"]
    assert again["training"]["steps"] == finished[1]["training"]["steps"]


def test_results_do_not_depend_on_how_many_scenes_advance_together(finished: tuple[Path, dict], tmp_path: Path) -> None:
    evaluate(finished[0], tmp_path / "a", "batch=3")
    evaluate(finished[0], tmp_path / "b", "batch=1", "threads=1")
    a, b = ((tmp_path / name / "episodes.jsonl").read_text() for name in "ab")
    assert a == b


def test_a_stopped_evaluation_resumes(finished: tuple[Path, dict], tmp_path: Path) -> None:
    evaluate(finished[0], tmp_path / "whole")
    evaluate(finished[0], tmp_path / "part", episodes=1)
    table = tmp_path / "part" / "episodes.jsonl"
    with table.open("a") as file:
        file.write('{"domain": "sim", "sce')  # cut short by a stop
    evaluate(finished[0], tmp_path / "part", "batch=2")
    assert table.read_text() == (tmp_path / "whole" / "episodes.jsonl").read_text()


def test_other_settings_begin_the_table_anew(finished: tuple[Path, dict], tmp_path: Path) -> None:
    evaluate(finished[0], tmp_path / "out", episodes=2)
    evaluate(finished[0], tmp_path / "out", episodes=1, seed=5)
    rows = (tmp_path / "out" / "episodes.jsonl").read_text().splitlines()[1:]
    assert [json.loads(row)["seed"] for row in rows] == [5]


def test_evaluation_never_meets_a_scene_of_generation() -> None:
    workspace, domain = build_workspace("lift"), get_domain("sim")
    drawn = [draw_scene(workspace, domain, name, 0, 0).ledger["poses"] for name in ("generation", "evaluation")]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "lfit"}, "unknown task 'lfit'"),
        ({"domains": ["twin/dev-9"]}, "unknown domain 'twin/dev-9'.*twin/dev-0"),
        ({"overrides": ("batch=0",)}, "batch must be at least 1"),
    ],
)
def test_bad_input_to_evaluate(finished: tuple[Path, dict], tmp_path: Path, changes: dict, message: str) -> None:
    overrides = changes.pop("overrides", ())
    with pytest.raises(InputError, match=message):
        evaluate(finished[0], tmp_path / "out", *overrides, **changes)


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no checkpoint; train one with"):
        evaluate(tmp_path, tmp_path / "out")


def test_a_demo_share_beyond_one() -> None:
    with pytest.raises(InputError, match="demo_share must be at least 0 and below 1"):
        quickstart.run("unused", Reporter(quiet=True), ["demo_share=1.5"])
    assert not Path("unused").exists()
