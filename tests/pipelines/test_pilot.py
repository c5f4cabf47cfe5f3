"""A pilot is made once, before the plan is fixed, and is part of the plan from then on."""

from pathlib import Path

import pytest

from handful import InputError, JobError
from pipelines import chunks, generate, pilot
from pipelines.faults import Failure, Loss
from pipelines.inspection import Remaking, inspect
from tests.pipelines.test_generate import run, tree
from trajectories import Store

SMALL = ["chunk=3", "engine.plan.pilot=5"]


@pytest.fixture(scope="module")
def piloted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pilot") / "store"
    run(out, overrides=SMALL)
    return out


def served_by(store: Store) -> set[int]:
    return {demo for record in store.scene_records() for trial in record["tries"] for demo in trial["demos"]}


def test_the_plan_holds_what_the_pilot_told(piloted: Path) -> None:
    plan = Store.open(piloted).plan
    told = plan["pilot"]
    assert told["scenes"] == 5
    assert [[len(row) for row in told[name]] for name in ("served", "done")] == [[10], [10]]
    assert 5 <= sum(told["served"][0]) >= sum(told["done"][0]) > 0
    assert "pilot" not in plan["config"]["engine"]["plan"]


def test_without_a_pilot_the_plan_knows_of_none(tmp_path: Path) -> None:
    run(tmp_path / "store", scenes=3)
    plan = Store.open(tmp_path / "store").plan
    assert "pilot" not in plan
    assert "pilot" not in plan["config"]["engine"]["plan"]


def test_any_number_of_workers_makes_the_same_pilot_and_store(piloted: Path, tmp_path: Path) -> None:
    run(tmp_path / "store", overrides=SMALL, workers=2)
    assert tree(tmp_path / "store") == tree(piloted)


def test_a_store_is_resumed_with_the_pilot_that_it_has(
    piloted: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(generate, "fly", lambda *_: pytest.fail("a second pilot"))
    assert run(piloted, overrides=SMALL)["kept_per_hour"] == 0
    # A store of another plan is refused before any scene is made.
    for overrides, field in ((["chunk=3", "engine.plan.pilot=6"], "pilot"), (["chunk=3"], "pilot"), (SMALL, "seed")):
        with pytest.raises(InputError, match=rf"another plan; it differs in: .*{field}"):
            run(piloted, overrides=overrides, seed=4 if field == "seed" else 3)


def test_chunks_are_made_with_what_the_pilot_told(
    piloted: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Were the demos that serve these scenes said to be of no use, others would serve them."""
    before = served_by(Store.open(piloted))
    assert 0 < len(before) < 8
    done = [0 if demo in before else 40 for demo in range(10)]
    told = {"scenes": 5, "served": [[40] * 10], "done": [done]}
    monkeypatch.setattr(generate, "fly", lambda *_: pilot.Pilot.from_plain(told))
    run(tmp_path / "store", overrides=SMALL)
    store = Store.open(tmp_path / "store")
    assert not served_by(store) & before
    result, _ = inspect(store.path, False, again=Remaking(6))
    assert result["regenerated"]["equal"] == result["regenerated"]["episodes"] == len(store)


def test_what_it_found_is_said() -> None:
    engine = chunks.engine_of("lift", str(generate.BUNDLED / "lift"), 3, chunks.GenerationConfig())
    told = pilot.Pilot(5, ((30,) * 10,), ((30,) * 4 + (9, 0) + (30,) * 4,))
    assert pilot.findings(told, engine) == [
        "pilot: demo 4 is put last at 'lift', which was done 9 of 30 times",
        "pilot: demo 5 is left out at 'lift', which was done 0 of 30 times",
    ]


def test_a_pilot_that_cannot_be_made_leaves_no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lost(*_: object) -> object:
        yield 0, Failure(3, Loss("died", "by signal SIGKILL"))

    monkeypatch.setattr(pilot, "run_tasks", lost)
    with pytest.raises(JobError, match=r"the pilot cannot be made: its process died by signal SIGKILL.*pilot=0"):
        run(tmp_path / "store", overrides=SMALL)
    assert not (tmp_path / "store").exists()


def test_where_no_store_can_be_is_said_before_a_pilot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generate, "fly", lambda *_: pytest.fail("a pilot for nothing"))
    (tmp_path / "notes.txt").write_text("not a store")
    with pytest.raises(InputError, match=r"exists and is not a store \(it holds 'notes.txt'\)"):
        run(tmp_path, overrides=SMALL)


def test_less_than_no_scenes_is_refused() -> None:
    with pytest.raises(InputError, match=r"plan.pilot must be at least 0 scenes, got -1"):
        generate.configure("handful", (), 84, ["engine.plan.pilot=-1"])


def test_a_trial_run_flies_as_well_and_leaves_nothing(tmp_path: Path) -> None:
    result = run(tmp_path / "store", overrides=SMALL, dry_run=True)
    assert result["sample"] == 3
    assert not (tmp_path / "store").exists()
