"""A study from its specification to its page: every run made once, failures told, sittings that follow each other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.main import get_command

from handful import InputError, JobError
from pipelines import rerender
from pipelines.cli import app
from pipelines.locks import alone
from pipelines.progress import Reporter
from pipelines.studies import execution, sources, study
from pipelines.studies.results import read_csv, read_jsonl
from pipelines.studies.spec import StudySpec, load_spec
from policies.policy import Policy
from scenes.domains import get_domain
from tests.pipelines.studies import small
from trajectories import open_dataset

ROOT = Path(__file__).resolve().parents[3]
QUIET = Reporter(quiet=True)
# No rollouts, which are what takes long.
OFFLINE = {"domains": [], "held_out": 2}


def done(spec: StudySpec, out: Path) -> dict[str, Any]:
    return study.run(spec, out, False, 0, None, QUIET)


class Trained:
    """Counts what is trained, and lets some of it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: Sequence[int] = ()) -> None:
        self.seeds: list[int] = []
        train = execution.train

        def counted(config: Any, sources: Any, out: Any) -> Any:
            self.seeds.append(config.seed)
            if config.seed in failing:
                raise JobError("the loss is not finite at step 1")
            return train(config, sources, out)

        monkeypatch.setattr(execution, "train", counted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    """A study of four cells, of which two are one run, with real demos held out."""
    grid = {"n_real": [0, 2], "n_sim": [0, 4], "weights": ["natural", "0"], "seeds": [0]}
    evaluation = {"domains": ["sim"], "episodes": 2, "overrides": ["execute=16"], "held_out": 2}
    return done(small.spec(folder, grid=grid, evaluation=evaluation), folder / "out")


def test_cells_that_are_the_same_are_trained_once(folder: Path, result: dict[str, Any]) -> None:
    assert [row["state"] for row in result["cells"]] == ["done"] * 4
    assert len(list((folder / "out" / "cells").iterdir())) == len({row["digest"] for row in result["cells"]}) == 3


def test_each_run_keeps_what_it_learnt_from_and_what_was_measured(folder: Path, result: dict[str, Any]) -> None:
    row = next(row for row in result["cells"] if row["weight"] == "natural")
    place = folder / "out" / "cells" / row["digest"][:16]
    assert (len(open_dataset(place / "real")), len(open_dataset(place / "sim"))) == (2, 4)
    policy = Policy.load(place / "training")
    assert policy.record["digests"] == row["checkpoint"]
    assert [round(source["share"], 6) for source in policy.record["sources"]] == [round(1 / 3, 6), round(2 / 3, 6)]
    assert row["steps"] == 2
    assert row["offline"]["windows"] >= 1
    lines = (place / "evaluation" / "episodes.jsonl").read_text().splitlines()
    assert len(lines) == 1 + row["domains"]["sim"]["episodes"] == 3


def test_the_tables_hold_every_rollout_paired_by_scene(folder: Path, result: dict[str, Any]) -> None:
    cells = read_jsonl(folder / "out" / "rollouts.jsonl")
    again = read_csv(folder / "out" / "rollouts.csv")
    assert [cell.mix for cell in cells] == [cell.mix for cell in again]
    assert [(c.n_real, c.n_sim, c.weight) for c in cells] == [
        (row["n_real"], row["n_sim"], row["weight"]) for row in result["cells"]
    ]
    for cell in cells:
        assert np.array_equal(cell.scenes, [0, 1])


def test_the_page_stands_alone_and_says_how_it_was_done(folder: Path, result: dict[str, Any]) -> None:
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "2 optimiser steps each" in page
    assert "1 training seed per cell" in page
    assert "Training seeds make" not in page
    assert "too few for a law" in page
    assert "Gain over synthetic demos alone" in page
    assert "From its 4 synthetic demos alone it differs by" in page
    assert "data:text/csv;base64," in page
    drawn = sorted((folder / "out" / "figures").glob("*.svg"))
    assert {path.name for path in drawn} >= {"success-sim-natural.svg", "gain-sim.svg", "cost-sim.svg"}
    for path in drawn:
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_page_is_written_anew_from_what_is_there(folder: Path, result: dict[str, Any], tmp_path: Path) -> None:
    report = get_command(app)
    out = tmp_path / "elsewhere" / "page.html"
    report(["report", str(folder / "out"), "--out", str(out), "--quiet"], standalone_mode=False)
    assert out.read_text(encoding="utf-8") == Path(result["report"]).read_text(encoding="utf-8")
    with pytest.raises(InputError, match="is a study"):
        report(["report", str(folder / "out"), "--demos", "demos.zarr"], standalone_mode=False)


def test_a_second_sitting_trains_only_what_is_new(
    folder: Path, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = Trained(monkeypatch)
    grid = {"n_real": [0, 2], "n_sim": [0, 4], "weights": ["natural", "0"], "seeds": [0, 1]}
    evaluation = {"domains": ["sim"], "episodes": 2, "overrides": ["execute=16"], "held_out": 2}
    grown = done(small.spec(folder, grid=grid, evaluation=evaluation), folder / "out")
    assert trained.seeds == [1, 1, 1]
    before = {row["digest"]: row["checkpoint"] for row in result["cells"]}
    assert {row["digest"]: row["checkpoint"] for row in grown["cells"] if row["seed"] == 0} == before


def test_a_run_that_was_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = small.spec(tmp_path, grid={"n_real": [2], "n_sim": [0]})
    first = done(spec, tmp_path / "out")
    (place,) = (tmp_path / "out" / "cells").iterdir()
    (place / "result.json").unlink()
    lines = (place / "evaluation" / "episodes.jsonl").read_text().splitlines(keepends=True)
    (place / "evaluation" / "episodes.jsonl").write_text("".join(lines[:2]))
    second = done(spec, tmp_path / "out")
    assert second["cells"][0]["checkpoint"] == first["cells"][0]["checkpoint"]
    assert second["cells"][0]["domains"] == first["cells"][0]["domains"]
    trained = Trained(monkeypatch)
    done(spec, tmp_path / "out")
    assert trained.seeds == []


def test_more_episodes_are_rolled_out_without_training_again(tmp_path: Path) -> None:
    evaluation: dict[str, Any] = {"domains": ["sim"], "overrides": ["execute=16"]}
    few = small.spec(tmp_path, grid={"n_real": [2], "n_sim": [0]}, evaluation={**evaluation, "episodes": 1})
    more = small.spec(tmp_path, grid={"n_real": [2], "n_sim": [0]}, evaluation={**evaluation, "episodes": 3})
    one, three = (done(spec, tmp_path / "out")["cells"][0] for spec in (few, more))
    assert one["checkpoint"] == three["checkpoint"]
    assert (one["domains"]["sim"]["episodes"], three["domains"]["sim"]["episodes"]) == (1, 3)
    # Measured when the domain's name stood for another world: measured again, not counted.
    (path,) = (tmp_path / "out").glob("cells/*/result.json")
    current = path.read_text()
    path.write_text(current.replace(get_domain("sim").world, "as it was before"))
    done(more, tmp_path / "out")
    assert json.loads(path.read_text())["measured_by"] == json.loads(current)["measured_by"]


def test_a_cell_that_fails_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"n_real": [2], "n_sim": [0], "seeds": [0, 1]}
    spec = small.spec(tmp_path, grid=grid, evaluation=OFFLINE)
    with monkeypatch.context() as patch:
        Trained(patch, failing=[0])
        rows = done(spec, tmp_path / "out")["cells"]
    assert [row["state"] for row in rows] == ["failed", "done"]
    assert rows[0]["reason"] == "the loss is not finite at step 1"
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "1 of 2 cells failed" in page
    assert "the loss is not finite at step 1" in page
    trained = Trained(monkeypatch)
    assert [row["state"] for row in done(spec, tmp_path / "out")["cells"]] == ["done", "done"]
    assert trained.seeds == [0]
    assert not list((tmp_path / "out").glob("cells/*/failed.json"))


def test_a_study_none_of_whose_cells_succeeds_still_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Trained(monkeypatch, failing=[0])
    result = done(small.spec(tmp_path, grid={"n_real": [2], "n_sim": [0]}, evaluation=OFFLINE), tmp_path / "out")
    assert "1 of 1 cells failed" in Path(result["report"]).read_text(encoding="utf-8")


def test_without_domains_demos_alone_are_measured(tmp_path: Path) -> None:
    result = done(small.spec(tmp_path, grid={"n_real": [2], "n_sim": [4]}, evaluation=OFFLINE), tmp_path / "out")
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "no policy was rolled out" in page
    assert "Action error on held-out real demos" in page
    assert result["cells"][0]["offline"]["loss"] > 0


def test_an_evaluation_stops_once_the_rate_is_known(tmp_path: Path) -> None:
    # A policy that knows nothing never lifts: 4 failures of 4 have half a width of 0.245, which is asked for.
    stopping = {"half_width": 0.25, "at_least": 2}
    evaluation = {"domains": ["sim"], "episodes": 12, "overrides": ["execute=16"], "stopping": stopping}
    spec = small.spec(tmp_path, grid={"n_real": [2], "n_sim": [0]}, evaluation=evaluation)
    assert done(spec, tmp_path / "out")["cells"][0]["domains"]["sim"] == {"successes": 0, "episodes": 4}


def test_two_processes_do_not_work_on_one_study(tmp_path: Path) -> None:
    spec = small.spec(tmp_path, grid={"n_real": [2], "n_sim": [0]}, evaluation=OFFLINE)
    (tmp_path / "out").mkdir()
    with alone(tmp_path / "out", ""), pytest.raises(InputError, match="another process works on the study"):
        execution.run_cells(spec, [], {}, tmp_path / "out", 1, None, Reporter(quiet=True))


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    spec = small.spec(tmp_path, grid={"n_real": [2], "n_sim": [0]}, evaluation=OFFLINE)
    done(spec, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("cells/*/result.json")
    path.write_text("{")
    with pytest.raises(JobError, match=r"result\.json' is damaged"):
        done(spec, tmp_path / "out")


def test_demos_of_a_twin_are_made_and_labelled(tmp_path: Path) -> None:
    overrides = ["grid={n_real: [1], n_sim: [1], seeds: [0]}", "real.record.episodes=1", "sim.generate.count=1"]
    overrides += ["evaluation.domains=[]", "evaluation.held_out=0"]
    with pytest.raises(InputError, match="nothing would be measured"):
        load_spec("tiny", overrides)
    spec = load_spec("tiny", [*overrides[:-2], "evaluation.episodes=1", "evaluation.held_out=0"])
    result = done(spec, tmp_path / "out")
    assert [row["state"] for row in result["cells"]] == ["done"]
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    assert record["sources"]["real"]["domain"] == ["twin/study-0"]
    assert record["sources"]["real"]["operator"] == ["script"]
    assert record["sources"]["sim"]["account"]["seconds_per_demo"] > 0
    real = open_dataset(record["sources"]["real"]["path"]).meta(0)
    assert "camera_errors" in real.extra
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "recorded by a script, not by a person" in page
    assert "surrogate" in page


def test_synthetic_demos_are_made_from_no_demo_that_is_held_out(tmp_path: Path) -> None:
    seen = tmp_path / "seen.zarr"
    rerender.run(ROOT / "demos" / "lift", seen, ("front",), 32, 1, 0, None, rerender.RenderConfig(), QUIET)
    generation = {"count": 6, "demos": "real", "overrides": ["chunk=6"]}
    evaluation = {"domains": [], "held_out": 8}
    spec = small.spec(tmp_path, real={"store": str(seen)}, sim={"generate": generation}, evaluation=evaluation)
    found = sources.make(spec, tmp_path / "out", 0, None, QUIET)
    made, real = found["sim"].dataset, found["real"]
    pool = [open_dataset(seen).meta(number).scene for number in sorted(real.order.tolist())]
    assert len(pool) == 2
    named = {source["episode"] for number in range(len(made)) for source in made.meta(number).sources}
    assert named <= {0, 1}
    seeds = open_dataset(next((tmp_path / "out" / "sources").glob("sim-*/seeds")))
    assert [seeds.meta(number).scene for number in range(len(seeds))] == pool
    assert sources.made_at(spec, "sim", tmp_path) != sources.made_at(
        small.spec(tmp_path, real={"store": str(seen)}, sim={"generate": generation}), "sim", tmp_path
    )


def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(tmp_path: Path) -> None:
    spec = small.spec(tmp_path)
    told = study.run(spec, tmp_path / "out", True, 1, None, QUIET)
    assert not (tmp_path / "out").exists()
    assert told["runs"] == len(told["cells"]) == 3
    assert told["seconds"] == pytest.approx(sum(told["seconds_by"].values()))
    assert told["cost"]["real demos"] == pytest.approx(2 * 2 / 60 * 30)
    assert all(cell["steps"] == 2 and cell["seconds"] > 0 for cell in told["cells"])
