"""The study of predictivity: what is analysed, and that a stopped study goes on with what is missing and no more."""

import csv
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import _policies, predictivity
from handful import InputError
from pipelines.metrics import mean_maximum_rank_violation, pearson
from scenes.domains import get_domain

TWINS = ("twin/test-0", "twin/test-3")
# Successes of four policies, of 50 each.
RATES = {
    "none": (10, 40, 30, 5),
    "sim": (10, 20, 30, 40),
    "wide": (8, 25, 28, 45),
    "twin/test-0": (5, 20, 25, 45),
    "twin/test-3": (15, 10, 35, 40),
}


def cells(successes: dict[tuple[str, str], int], episodes: int) -> list[dict[str, Any]]:
    """Lines of the table, of policies that come through the first stage always."""
    return [
        {"task": "lift", "policy": policy, "domain": domain, "successes": k, "begun": episodes, "episodes": episodes}
        for (policy, domain), k in successes.items()
    ]


def result(domain: str, successes: int, episodes: int) -> dict[str, Any]:
    """A line of an evaluation's results."""
    stages = {"lift": {"episodes": episodes}, "success": {"episodes": successes}}
    world = get_domain(domain).world
    return {"domain": domain, "world": world, "successes": successes, "episodes": episodes, "stages": stages}


def test_each_simulator_is_held_against_each_twin_and_their_mean() -> None:
    rows = cells({(f"p{i}", domain): counts[i] for domain, counts in RATES.items() for i in range(4)}, 50)
    found = predictivity.analysed(rows, TWINS, samples=100)
    # As many come through the first stage of every task.
    begun = predictivity.analysed(rows, TWINS, "begun", samples=50)["sim"]["mild twins"]
    assert (begun["mmrv"]["value"], begun["pearson"]) == (0, None)
    assert set(found) == set(predictivity.SIMULATORS)
    rates = {domain: np.array(counts) / 50 for domain, counts in RATES.items()}
    both = (rates[TWINS[0]] + rates[TWINS[1]]) / 2
    for simulator, of_twins in found.items():
        for label, real in (("mild twins", both), *((twin, rates[twin]) for twin in TWINS)):
            figures = of_twins[label]
            assert figures["n"] == 4
            expected = mean_maximum_rank_violation(real=real, sim=rates[simulator])
            assert figures["mmrv"]["value"] == pytest.approx(expected)
            assert figures["pearson"]["value"] == pytest.approx(pearson(real=real, sim=rates[simulator]))
    assert found["sim"]["mild twins"]["mmrv"]["value"] < found["none"]["mild twins"]["mmrv"]["value"]


def test_scores_that_are_all_the_same_have_no_correlation() -> None:
    rows = cells({(f"p{i}", domain): 0 for domain in RATES for i in range(3)}, 5)
    figures = predictivity.analysed(rows, TWINS, samples=50)["sim"]["mild twins"]
    assert figures["pearson"] is None
    assert figures["mmrv"]["value"] == 0
    assert predictivity.analysed(rows[:2], TWINS) == {}


def test_a_stopped_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs are stood in for; the second twin evaluation of all is where the first sitting ends."""
    done: list[str] = []

    def evaluate(run: Path, task: str, domains: list[str], episodes: int, out: Path, *rest: Any) -> None:
        done.append(f"{out.parent.name}/{out.name}")
        if len(done) == 4:
            raise KeyboardInterrupt
        out.mkdir(parents=True, exist_ok=True)
        rows = [result(d, sum(map(ord, out.parent.name)) % (episodes + 1), episodes) for d in domains]
        (out / "results.json").write_text(json.dumps({"results": rows}))

    monkeypatch.setattr(_policies, "generated", lambda *given: None)
    monkeypatch.setattr(_policies.training, "run", lambda *given, base: None)
    monkeypatch.setattr(_policies.rollouts, "run", evaluate)
    with pytest.raises(KeyboardInterrupt):
        predictivity.measure(False, tmp_path)
    found = predictivity.measure(False, tmp_path)
    assert found["policies_left"] == 0
    # The policy that was stopped is asked for both its parts again; the job itself then has nothing to do for one.
    assert [name for name in done if name.startswith("none-")] == ["none-2-flow/simulators", "none-2-flow/twins"]
    with (tmp_path / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 4
    assert rows == [{name: str(value) for name, value in cell.items()} for cell in found["cells"]]
    count = len(done)
    again = predictivity.measure(False, tmp_path)
    assert len(done) == count
    assert again == found
    path = tmp_path / "lift" / "none-2-flow" / "twins" / "results.json"
    path.write_text(path.read_text().replace(get_domain("twin/test-0").world, "as it was before"))
    assert predictivity.measure(False, tmp_path) == found
    assert done[count:] == ["none-2-flow/simulators", "none-2-flow/twins"]


def test_nothing_is_begun_after_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: Any, **named: Any) -> None:
        raise AssertionError("begun")

    monkeypatch.setattr(_policies, "generated", never)
    found = predictivity.measure(False, tmp_path, minutes=-1)
    assert found["policies_left"] == 3
    assert math.isnan(found["value"])
    assert found["cells"] == []


def test_another_task_starts_from_what_learnt_to_lift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str | None]] = []

    stores: list[tuple[str, str]] = []

    def make(out: Path, task: str, scenes: int, overrides: list[str]) -> None:
        stores.append((task, overrides[0].removeprefix("domain=")))

    def train(data: list[str], run: Path, *rest: Any, base: Path | None = None) -> None:
        made.append((str(run.relative_to(tmp_path)), base and str(base.relative_to(tmp_path))))
        head = [text for text in rest[2] if text.startswith("model.head")]
        # The head is that of the run it starts from.
        assert (head == []) == (base is not None)

    def evaluate(run: Path, task: str, domains: list[str], episodes: int, out: Path, *rest: Any) -> None:
        assert (task, run.parent) == ("stack", out.parent)
        out.mkdir(parents=True)
        rows = [result(d, 0, episodes) for d in domains]
        (out / "results.json").write_text(json.dumps({"results": rows}))

    monkeypatch.setattr(_policies, "generated", make)
    monkeypatch.setattr(_policies.training, "run", train)
    monkeypatch.setattr(_policies.rollouts, "run", evaluate)
    found = predictivity.measure(False, tmp_path, ["stack"], policies=["sim-2-flow"])
    assert made == [("base-flow/training", None), ("stack/sim-2-flow/training", "base-flow/training")]
    assert stores == [("stack", "sim"), ("lift", "sim")]
    assert found["policies_left"] == 2
    assert {cell["policy"] for cell in found["cells"]} == {"sim-2-flow"}
    with pytest.raises(InputError, match="unknown policy 'sim-3-flow'"):
        predictivity.measure(False, tmp_path, ["stack"], policies=["sim-3-flow"])


def test_the_figure_has_every_policy_in_every_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_policies, "generated", lambda *given: None)
    monkeypatch.setattr(_policies.training, "run", lambda *given, base: None)

    def evaluate(run: Path, task: str, domains: list[str], episodes: int, out: Path, *rest: Any) -> None:
        out.mkdir(parents=True)
        rows = [result(d, 1, episodes) for d in domains]
        (out / "results.json").write_text(json.dumps({"results": rows}))

    monkeypatch.setattr(_policies.rollouts, "run", evaluate)
    predictivity.measure(False, tmp_path)
    root = ElementTree.parse(tmp_path / "lift.svg").getroot()
    title = root.find("{*}title")
    assert title is not None
    assert title.text == "lift: success in simulation and in 1 mild twin (surrogate reality)"
    named = [each.text for each in root.findall("{*}circle/{*}title")]
    assert named == 3 * ["none-2-flow", "sim-2-flow", "wide-2-flow"]
    # All succeeded in all: at the right end and at the top of every panel.
    assert len({circle.get("cy") for circle in root.findall("{*}circle") if len(circle)}) == 1
