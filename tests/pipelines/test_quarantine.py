"""A scene that hangs, crashes or fails costs itself alone, is named with its reason, and the next run tries again."""

import hashlib
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from handful import JobError
from pipelines import generate, generation_plan
from pipelines.faults import Failure, Limits, Loss
from pipelines.progress import Reporter
from pipelines.quarantine import Narrowed, Quarantine, Step
from tests.pipelines import faulty
from trajectories import Store

_ROOT = Path(__file__).parents[2]
_FAILURE = Failure(3, Loss("died", "by signal SIGKILL"))


def run(out: Path, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "task": "lift",
        "demos": None,
        "scenes": 6,
        "count": None,
        "cameras": (),
        "resolution": 84,
        "workers": 0,
        "seed": 3,
        "address": None,
        "algorithm": "handful",
        "dry_run": False,
        "overrides": ["chunk=3"],
        "progress": Reporter(quiet=True),
    }
    with mock.patch.object(generation_plan, "project_commit", return_value="none"):
        return generate.run(out=out, **{**arguments, **changes})


def tree(path: Path) -> dict[str, str]:
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same six scenes without a fault."""
    out = tmp_path_factory.mktemp("quarantine") / "reference"
    run(out)
    return out


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    monkeypatch.setattr(generate, "make_chunk", faulty.make_chunk)


def test_a_chunk_that_fails_is_looked_at_scene_by_scene_and_made_without_the_culprit():
    quarantine = Quarantine()
    looks = quarantine.narrow(2, range(6, 9))
    assert looks == [(Step(2, "look", scene), Narrowed((scene,), kept=False)) for scene in (6, 7, 8)]
    assert quarantine.after(looks[1][0], _FAILURE) == []
    assert quarantine.after(looks[0][0], None) == []
    lost = ((7, "its process died by signal SIGKILL, 3 times of 3"),)
    assert quarantine.after(looks[2][0], None) == [(Step(2, "rest"), Narrowed((6, 8), lost))]
    assert quarantine.after(Step(2, "rest"), None) == []


def test_a_chunk_whose_scenes_pass_alone_only_is_left_out_with_that_reason():
    quarantine = Quarantine()
    for step, _ in quarantine.narrow(0, range(2)):
        tasks = quarantine.after(step, None)
    [(step, narrowed)] = quarantine.after(tasks[0][0], _FAILURE)
    assert step == Step(0, "nothing")
    assert [scene for scene, _ in narrowed.lost] == [0, 1]
    assert narrowed.lost[0][1].startswith(
        "each scene of its chunk passed alone, but not one after another: its process"
    )
    with pytest.raises(JobError, match="chunk 0 cannot be stored: its process died"):
        quarantine.after(step, _FAILURE)


def test_what_is_stored_stays_unless_more_of_it_can_be_made():
    quarantine = Quarantine()
    (first, _), (second, _) = quarantine.reopen(1, range(3, 6), [3, 5])
    assert quarantine.after(first, _FAILURE) == []
    assert quarantine.after(second, _FAILURE) == []
    (first, _), (second, _) = quarantine.reopen(1, range(3, 6), [3, 5])
    quarantine.after(first, _FAILURE)
    [(step, narrowed)] = quarantine.after(second, None)
    assert narrowed == Narrowed((4, 5), ((3, str(_FAILURE)),), again=True)
    assert quarantine.after(step, _FAILURE) == []


@pytest.mark.usefixtures("faults")
def test_scenes_that_hang_crash_and_fail_are_left_out_and_the_next_run_makes_them(
    tmp_path: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "store"
    faulty.plan_faults(out, {1: "hang", 3: "die", 4: "raise"})
    monkeypatch.setattr(generate, "Limits", lambda **rest: Limits(tries=1, **rest))
    account = run(out, workers=2, patience=20.0)
    reasons = {
        1: "its process hung and was stopped, 1 times of 1",
        3: "its process died with exit code 7, 1 times of 1",
        4: "it failed: ValueError: scene 4 is made to fail",
    }
    assert account["quarantined"] == [{"scene": scene, "reason": reason} for scene, reason in reasons.items()]
    assert account["outcomes"]["quarantined"] == 3
    store, whole = Store.open(out), Store.open(reference)
    assert json.loads((out / "seal.json").read_bytes())["quarantined"] == {str(k): v for k, v in reasons.items()}
    assert store.verify() == []
    assert [r for r in store.scene_records() if r["scene"] in (0, 2, 5)] == [
        r for r in whole.scene_records() if r["scene"] in (0, 2, 5)
    ]
    # Still at fault, they are tried again and nothing that is stored changes.
    before = tree(out)
    faulty.plan_faults(out, {1: "raise", 3: "die", 4: "raise"})
    assert run(out, workers=1)["kept"] == account["kept"]
    assert tree(out) == before
    # One of them can be made now, then all.
    faulty.plan_faults(out, {3: "raise", 4: "raise"})
    assert [lost["scene"] for lost in run(out)["quarantined"]] == [3, 4]
    faulty.plan_faults(out, {})
    assert run(out)["quarantined"] == []
    assert tree(out) == tree(reference)


@pytest.mark.usefixtures("faults")
def test_a_scene_that_diverges_is_an_outcome_and_no_fault(tmp_path: Path, reference: Path) -> None:
    out = tmp_path / "store"
    faulty.plan_faults(out, {1: "diverge"})
    account = run(out)
    assert account["quarantined"] == []
    assert [r["outcome"] for r in Store.open(out).scene_records()][1] == "diverged"
    assert Store.open(out).dumps() == [(0, "scene_1")]


@pytest.mark.usefixtures("faults")
def test_a_fault_that_passes_costs_a_try_and_nothing_else(tmp_path: Path, reference: Path) -> None:
    out = tmp_path / "store"
    faulty.plan_faults(out, {0: "die once", 4: "die once"})
    run(out, workers=2)
    assert tree(out) == tree(reference)


@pytest.mark.usefixtures("faults")
def test_a_run_of_which_nothing_can_be_made_fails_and_the_next_one_makes_it(tmp_path: Path, reference: Path) -> None:
    out = tmp_path / "store"
    faulty.plan_faults(out, dict.fromkeys(range(6), "raise"))
    with pytest.raises(JobError, match="no scene could be made; the last of them: it failed: ValueError: scene"):
        run(out)
    faulty.plan_faults(out, {})
    run(out)
    assert tree(out) == tree(reference)


@pytest.mark.usefixtures("faults")
def test_chunk_after_chunk_without_a_scene_ends_the_run(tmp_path: Path) -> None:
    out = tmp_path / "store"
    faulty.plan_faults(out, dict.fromkeys(range(1, 9), "raise"))
    with pytest.raises(JobError, match="the last 3 chunks had no scene that could be made"):
        run(out, scenes=9, overrides=["chunk=1"])


@pytest.mark.usefixtures("faults")
def test_a_count_is_reached_past_a_scene_that_is_left_out(tmp_path: Path) -> None:
    out = tmp_path / "store"
    faulty.plan_faults(out, {0: "raise"})
    account = run(out, scenes=None, count=3, workers=1)
    assert account["kept"] == 3
    assert [lost["scene"] for lost in account["quarantined"]] == [0]
    assert 0 not in [Store.open(out).meta(i).scene for i in range(3)]
