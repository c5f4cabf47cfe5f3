"""What the report says of a generation: subtasks, causes, sources, places, and failures to be watched."""

from pathlib import Path
from unittest import mock

import pytest

from pipelines import generate, generation_page, generation_plan
from pipelines.coverage import starts_of
from pipelines.generation_page import GenerationPage
from pipelines.progress import Reporter
from pipelines.report import render
from pipelines.runs import Run
from tests.pipelines import run_folder
from trajectories import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Lifts by an arm that shakes too much to succeed every time."""
    out = tmp_path_factory.mktemp("page") / "store"
    hard = ["chunk=8", "engine.noise.std=0.12", "engine.noise.at_event=1.0", "engine.plan.max_attempts=2"]
    with mock.patch.object(generation_plan, "project_commit", return_value="none"):
        generate.run(
            "lift", None, out, 8, None, (), 84, 0, 0, None, "handful", False, hard, Reporter(quiet=True)
        )  # fmt: skip
    return Store.open(out)


@pytest.fixture(scope="module")
def page(store: Store) -> GenerationPage:
    return generation_page.generation_page(store)


def test_failures_are_counted_by_subtask_and_shown_once_per_cause(store: Store, page: GenerationPage) -> None:
    tries = [trial for record in store.scene_records() for trial in record["tries"]]
    failed = [trial["outcome"] for trial in tries if trial["outcome"] != "success"]
    assert failed
    assert page.causes == set(failed)
    assert page.note == ""
    assert [row["name"] for row in page.subtasks] == ["lift"]
    assert f"of {len(tries)};" in page.subtasks[0]["rate"]
    shown = [example.caption.split(":")[0].replace(" ", "_") for example in page.examples]
    assert len(set(shown)) == len(shown) > 0
    assert set(shown) <= set(failed)
    assert all(b"ftyp" in example.video[:16] for example in page.examples)


def test_the_map_has_a_point_for_every_scene(store: Store, page: GenerationPage) -> None:
    assert len(page.maps) == 1
    assert page.maps[0].count("<circle") == len(store.scene_records()) == 8
    assert f"{len(store)} kept, {8 - len(store)} not" in page.maps[0]


def test_the_map_and_its_sentence_have_the_cells_that_gave_episodes(store: Store, page: GenerationPage) -> None:
    starts = starts_of(store)
    assert starts is not None
    assert page.maps[0].count("<rect") == 16
    found = starts["roles"]["target"]
    (line,) = page.coverage
    assert line.startswith(f"started: target in {found['tried']} of 64 cells, episodes from {found['kept']}")


def test_places_that_were_not_recorded_are_said_to_be_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    without = [{k: v for k, v in record.items() if k != "starts"} for record in store.scene_records()]
    monkeypatch.setattr(Store, "scene_records", lambda self: without)
    monkeypatch.setattr(generation_page, "_examples", lambda *_: [])
    page = generation_page.generation_page(store)
    assert (page.maps, page.coverage) == ([], ["started: not recorded for 8 scenes"])


def test_demos_are_listed_from_the_worst(page: GenerationPage) -> None:
    rates = [float(row["rate"].split(" %")[0]) for row in page.sources]
    assert rates == sorted(rates)


def test_the_report_has_it_all(store: Store, page: GenerationPage) -> None:
    html = render(Run(store.path.parent, store=store))
    for heading in ("How often each subtask is done", "An example of each failure", "Where objects started"):
        assert heading in html
    assert html.count("<video") == len(page.examples)
    assert "Scenes that were left out" not in html


def test_a_store_of_other_demos_says_why_failures_are_not_shown(store: Store, tmp_path: Path) -> None:
    run_folder.make_store(tmp_path / "other")
    page = generation_page.generation_page(store, tmp_path / "other")
    assert page.examples == []
    assert "Failures are not shown: it was made from other demos" in page.note
    assert page.maps


def test_a_store_that_was_not_generated_has_no_account(tmp_path: Path) -> None:
    page = generation_page.generation_page(run_folder.make_store(tmp_path / "s"))
    assert (page.subtasks, page.maps, page.examples, page.note) == ([], [], [], "")
