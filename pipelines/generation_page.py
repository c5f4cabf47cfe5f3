"""The report's account of a generation: how often each subtask is done, why tries fail, which demos serve worst, where
objects started, and an example of each cause of failure, simulated again from the store's plan.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from handful import HandfulError, InputError
from pipelines import charts
from pipelines.pictures import write_video
from pipelines.tables import coverage_lines, rate_text
from pipelines.tally import Tally
from trajectories.dataset import Dataset
from trajectories.manifest import QUARANTINED

if TYPE_CHECKING:
    from generators.coverage import Coverage

# Causes that get a video, scenes that are looked at for the maps, and maps of objects.
_VIDEOS = 6
_SCENES = 1500
_MAPS = 3


@dataclass(frozen=True)
class Example:
    """One failed try, to be watched."""

    caption: str
    name: str
    # An MP4 file's bytes.
    video: bytes


@dataclass(frozen=True)
class GenerationPage:
    """What the page says of how a store was generated."""

    # Each with "name", "rate" and "causes", in order; empty where the store says nothing of tries.
    subtasks: list[dict[str, str]]
    # Each with "demo" and "rate", the worst first.
    sources: list[dict[str, Any]]
    # Scenes that were left out, each with the reason.
    quarantined: dict[int, str]
    # How tries failed.
    causes: frozenset[str]
    # Share of refused tries that an "any step" rule would have kept; None where none was refused.
    latched: str | None
    # Of how many places there are episodes, in sentences, and seen from above.
    coverage: list[str] = field(default_factory=list)
    maps: list[Markup] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    # Why there are no examples.
    note: str = ""


def generation_page(store: Dataset, demos: Path | None = None) -> GenerationPage:
    """Look at a store.

    Args:
        store: what was generated; of other stores, little can be said.
        demos: where its seed demos are; None: the bundled ones.
    """
    records = store.scene_records()
    tally = Tally()
    tally.add(records)
    plain = tally.to_plain([f"subtask {k}" for k in range(1 + max(tally.came, default=0))])
    notes = []
    maps: list[Markup] = []
    covered: list[str] = []
    examples: list[Example] = []
    if store.plan.get("kind") == "generation":
        # Only here: a report of what was learnt needs no simulator.
        from scenes.task import get_task

        plain = tally.to_plain([subtask.name for subtask in get_task(store.plan["task"]).subtasks])
        coverage = _coverage(store, records)
        covered = coverage_lines(coverage.to_plain())
        maps = _maps(coverage, records)
        try:
            examples = _examples(store, records, demos)
        except HandfulError as error:
            # The cause, where there is one, without the path of the store.
            notes.append(f"Failures are not shown: {error.__cause__ or error}.")
    refused = tally.tries - tally.kept
    latched = sum(trial["latched"] for record in records for trial in record.get("tries", ()))
    sources = sorted(plain["sources"], key=lambda row: row["done"] / row["served"])
    return GenerationPage(
        subtasks=[
            {"name": row["name"], "rate": rate_text(row["done"], row["tries"]), "causes": _listed(row["causes"])}
            for row in plain["subtasks"]
        ],
        sources=[{"demo": row["demo"], "rate": rate_text(row["done"], row["served"])} for row in sources],
        quarantined={r["scene"]: r["reason"] for r in records if r["outcome"] == QUARANTINED},
        causes=frozenset(cause for _, cause in tally.causes),
        latched=rate_text(latched, refused) if refused and tally.came else None,
        coverage=covered,
        maps=maps,
        examples=examples,
        note=" ".join(notes),
    )


def _listed(causes: Mapping[str, int]) -> str:
    ordered = sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in ordered) or "-"


def _coverage(store: Dataset, records: list[dict[str, Any]]) -> "Coverage":
    from generators.coverage import Coverage
    from scenes.task import get_task

    coverage = Coverage(get_task(store.plan["task"]))
    coverage.add(records)
    return coverage


def _maps(coverage: "Coverage", records: list[dict[str, Any]]) -> list[Markup]:
    """Where the objects of the task's roles started, seen from above, in scenes that were kept and in others."""
    told = [record for record in records if "starts" in record]
    if not told:
        return []
    chosen = np.unique(np.linspace(0, len(told) - 1, min(len(told), _SCENES)).astype(int)).tolist()
    maps = []
    for role in list(coverage.grids)[:_MAPS]:
        places: tuple[list[Any], list[Any]] = ([], [])
        for record in (told[i] for i in chosen):
            places[record["outcome"] != "success"].append(record["starts"][role][:2])
        maps.append(charts.places(role, *places, coverage.patches(role)))
    return maps


def _examples(store: Dataset, records: list[dict[str, Any]], demos: Path | None) -> list[Example]:
    """A failed try for each cause, those that cost most scenes first."""
    from pipelines.provenance import draw_try, tries_of
    from pipelines.viewing import try_frames

    tally = Tally()
    tally.add(records)
    ordered = sorted(tally.causes.items(), key=lambda item: (-item[1], item[0]))
    causes = list(dict.fromkeys(cause for (_, cause), _ in ordered if cause != QUARANTINED))
    examples = []
    for cause in causes[:_VIDEOS]:
        scene, number = next(
            (record["scene"], number)
            for record in records
            for number, trial in enumerate(record.get("tries", ()))
            if trial["outcome"] == cause
        )
        tries = tries_of(store, scene, demos)
        if len(tries) <= number:
            raise InputError(f"scene {scene} came out with {len(tries)} tries, and its record has more")
        if not len(tries[number]):
            continue  # no step was made: there is nothing to see
        drawn = draw_try(tries[number], ("front",))
        caption = f"{cause.replace('_', ' ')}: scene {scene}, try {number + 1}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "try.mp4"
            write_video(path, try_frames(drawn), drawn.meta.control_rate)
            examples.append(Example(caption, f"scene {scene} of the store", path.read_bytes()))
    return examples
