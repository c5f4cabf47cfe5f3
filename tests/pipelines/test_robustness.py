"""The robustness suite: conditions differ from the baseline in what they say and in nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from handful import InputError
from pipelines import robustness
from pipelines.metrics import mcnemar
from pipelines.progress import Reporter
from scenes.domains import SIM
from scenes.task import get_task
from scenes.twins import BANDS
from tests.pipelines.tiny_policy import TASK, policy_run


@pytest.fixture(scope="module")
def conditions() -> dict:
    return {condition.name: condition for condition in robustness.suite("lift", "panda", "severe")}


def differences(ledger: dict, other: dict) -> set[str]:
    """The axes of a scene that have another value, poses as "poses"."""
    found = {"poses"} if ledger["poses"] != other["poses"] else set()
    for group in ("physics", "appearance", "light", "camera"):
        ours, theirs = ledger[group], other[group]
        found |= {axis for axis in ours.keys() | theirs.keys() if ours.get(axis) != theirs.get(axis)}
    return found


def test_a_condition_changes_the_axes_of_its_group_alone(conditions: dict) -> None:
    base = conditions["baseline"].draw(0, 3)
    for name, axes in {**robustness.AXES, **robustness.COMBINED}.items():
        condition = conditions[f"severe/{name}"]
        scene = condition.draw(0, 3)
        assert scene.instruction == base.instruction
        assert differences(scene.ledger, base.ledger) == set(axes) - set(BANDS["sensor"]), name
        assert set(SIM.randomization.differences(condition.domain.randomization)) == set(axes)


def test_another_wording_is_one_that_training_never_shows(conditions: dict) -> None:
    base, scenes = conditions["baseline"].draw(0, 3), [conditions["language"].draw(0, i) for i in range(8)]
    assert scenes[3].ledger == base.ledger
    assert scenes[3].roles == base.roles
    for scene in scenes:
        assert scene.instruction in get_task("lift").instructions(scene.roles, "unseen")
    # All wordings have their turn, twice each, whatever the object.
    assert (
        len({scene.instruction.replace(get_task("lift").colours[scene.roles["target"]], "") for scene in scenes}) == 4
    )


def test_a_swap_asks_for_another_object_in_the_same_words_and_world(conditions: dict) -> None:
    task = get_task("lift")
    asked = set()
    for index in range(12):
        base, scene = (conditions[name].draw(0, index) for name in ("baseline", "swap"))
        assert scene.ledger == base.ledger
        old, new = (task.colours[each.roles["target"]] for each in (base, scene))
        assert old != new
        assert scene.instruction == base.instruction.replace(old, new)
        assert scene.instruction in scene.paraphrases
        asked.add((old, new))
    assert len(asked) == 6


@pytest.mark.parametrize(("task", "there"), [("stack", True), ("pick_place", True), ("stack_three", False)])
def test_a_task_that_asks_for_one_object_only_has_no_swap(task: str, there: bool) -> None:
    names = [condition.name for condition in robustness.suite(task, "panda", "mild")]
    assert (robustness.SWAP in names) is there


def test_what_was_picked_up_after_a_swap_is_counted() -> None:
    before = [{"asked": "cube_1", "taken": "cube_1"}] * 4
    swapped = [{"asked": "cube_2", "taken": taken} for taken in ("cube_2", "cube_1", "cube_3", "")]
    found = robustness.obeyed(before, swapped)
    assert (found["episodes"], found["named"]["episodes"], found["old"]["episodes"]) == (4, 1, 1)
    assert found["old"]["ci"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    assert "that one in 25.0 % (1 of 4;" in robustness.swap_text(found)


@pytest.mark.parametrize("task", ["lift", "stack", "stack_three", "square", "pick_place"])
def test_distractors_leave_the_objects_of_the_task_where_they_were(task: str) -> None:
    conditions = {condition.name: condition for condition in robustness.suite(task, "panda", "mild")}
    for index in range(4):
        base, crowded = (conditions[name].draw(0, index) for name in ("baseline", "distractors"))
        own = get_task(task).own
        assert {name: crowded.ledger["poses"][name] for name in own} == {
            name: base.ledger["poses"][name] for name in own
        }
        assert len(crowded.ledger["poses"]) > len(own)
        assert (crowded.instruction, crowded.roles) == (base.instruction, base.roles)


def test_a_task_that_is_crowded_already_has_no_condition_for_it() -> None:
    names = [condition.name for condition in robustness.suite("lift:D1", "panda", "mild")]
    assert "distractors" not in names
    assert names[0] == "baseline"
    assert names[-1] == "mild/all"


def test_all_at_once_is_everything(conditions: dict) -> None:
    everything = conditions["severe/all"]
    every = {axis for axes in robustness.AXES.values() for axis in axes}
    assert sorted(every) == sorted(axis for axes in robustness.COMBINED.values() for axis in axes)
    assert set(SIM.randomization.differences(everything.domain.randomization)) == every
    scene = everything.draw(0, 0)
    assert any(name.startswith("distractor") for name in scene.ledger["poses"])
    assert scene.instruction in get_task("lift").instructions(scene.roles, "unseen")
    assert {condition.told for condition in conditions.values()} == {"sim"}


def test_conditions_are_paired_with_the_baseline() -> None:
    base = np.repeat([True, False], [30, 10])
    done = {"baseline": base, "worse": np.repeat([True, False], [12, 28]), "same": base.copy()}
    first, worse, same = robustness.against_baseline(done, 0.05)
    assert first == {"condition": "baseline", "successes": 30, "episodes": 40}
    assert worse["difference"] == pytest.approx(-18 / 40)
    assert worse["pairs"] == {"condition_alone": 0, "baseline_alone": 18}
    assert worse["p_holm"] == pytest.approx(2 * mcnemar(0, 18))
    assert worse["ci"][0] < worse["difference"] < worse["ci"][1] < 0
    assert (worse["verdict"], same["verdict"]) == ("worse", "undecided")
    assert (same["difference"], same["p_value"]) == (0, 1)
    # Two comparisons share the error.
    few = {"baseline": np.ones(40, bool), "x": np.repeat([False, True], [6, 34]), "y": np.ones(40, bool)}
    assert mcnemar(0, 6) < 0.05 < 2 * mcnemar(0, 6)
    assert robustness.against_baseline(few, 0.05)[1]["verdict"] == "undecided"


def test_an_unknown_severity_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown severity 'sever'.*severe"):
        robustness.suite("lift", "panda", "sever")


def test_the_suite_refuses_other_sentences_than_its_own(tmp_path: Path) -> None:
    given = ["sentences=unseen"]
    with pytest.raises(InputError, match="the suite brings its own sentences; leave sentences=unseen out"):
        robustness.run(tmp_path, TASK, 1, tmp_path / "out", 0, given, Reporter(quiet=True))


def test_the_suite_runs_and_resumes(tmp_path: Path) -> None:
    policy = policy_run(tmp_path)
    given = ["execute=16", "threads=1", "videos=0"]

    def go(severity: str) -> dict:
        return robustness.run(policy, TASK, 1, tmp_path / "out", 0, given, Reporter(quiet=True), severity=severity)

    found = go("mild")
    names = [row["condition"] for row in found["conditions"]]
    groups = [f"mild/{name}" for name in (*robustness.AXES, *robustness.COMBINED)]
    assert names == ["baseline", *groups, "language", "swap", "distractors", "mild/all"]
    assert [row["domain"] for row in found["results"]] == names
    saved = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert {key: saved[key] for key in found} == found
    table = (tmp_path / "out" / "episodes.jsonl").read_text()
    assert go("mild") == found
    assert (tmp_path / "out" / "episodes.jsonl").read_text() == table
