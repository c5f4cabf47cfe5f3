"""`handful study`: from a specification to cells, tables and a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipelines.configuration import project_commit, to_plain
from pipelines.doctor import machine
from pipelines.executors import check_workers
from pipelines.generate import check_cameras
from pipelines.progress import Reporter
from pipelines.studies import cells as cells_
from pipelines.studies import sources as sources_
from pipelines.studies.cells import CellPlan
from pipelines.studies.execution import run_cells
from pipelines.studies.results import Cell, write_csv, write_jsonl
from pipelines.studies.sources import Source
from pipelines.studies.spec import StudySpec
from pipelines.tables import rate_text
from scenes.task import get_task
from trajectories.canonical import write_whole

# The table that the analysis reads; the same as .csv beside it.
ROLLOUTS = "rollouts.jsonl"


def run(
    spec: StudySpec, out: str | Path, dry_run: bool, workers: int, address: str | None, progress: Reporter
) -> dict[str, Any]:
    """Do a study, or what is missing of it.

    Args:
        spec: what to do.
        out: its folder; a stopped study resumes, and one whose specification has grown takes up what is there.
        dry_run: say what would be done, and what it would take, and train nothing.
        workers: processes; 0 works in this one.
        address: Ray cluster to run on.
        progress: where progress is shown.

    Returns:
        {"report", "cells"}; of a dry run "cells", "runs", "seconds", "cost" and what they were worked out from.

    Raises:
        InputError: a cell cannot be; before anything trains.
        JobError: making a source failed.
    """
    check_workers(workers, address)
    folder = Path(out).resolve()
    check(spec)
    if dry_run:
        from pipelines.studies.forecast import forecast

        return forecast(spec, folder, workers, progress)
    folder.mkdir(parents=True, exist_ok=True)
    sources = sources_.make(spec, folder, workers, address, progress)
    sources_.check(sources, spec)
    plan = cells_.plan(spec, sources)
    known = run_cells(spec, plan, sources, folder, workers, address, progress)
    rows = [row_of(cell, known[cell.digest]) for cell in plan]
    note(folder, spec, sources, rows)
    results = results_of(spec, plan, known)
    write_jsonl(folder / ROLLOUTS, results)
    write_csv((folder / ROLLOUTS).with_suffix(".csv"), results)
    from pipelines.studies.page import write_page

    return {"report": str(write_page(folder)), "cells": rows}


def check(spec: StudySpec) -> None:
    """Refuse what the specification alone shows to be impossible."""
    get_task(spec.task)
    check_cameras(spec.task, spec.cameras, spec.embodiment)
    given = sources_.given(spec)
    sources_.check(given, spec)
    promised = dict(zip(sources_.ROLES, cells_.promised(spec), strict=True))
    cells_.check_points(spec, [len(given[role].order) if role in given else promised[role] for role in sources_.ROLES])
    cells_.check_blends(spec, given)
    cells_.train_config(spec.training, spec.cameras)
    cells_.rollout_config(spec.evaluation, spec.training)


def row_of(cell: CellPlan, record: dict[str, Any]) -> dict[str, Any]:
    """What a study says of a cell; JSON types."""
    batch = cell.config.batch_size
    row: dict[str, Any] = {
        **asdict(cell.point),
        "real_share": cell.share,
        "digest": cell.digest,
        "demos": list(cell.demos),
        "steps_there": list(cell.steps_there),
        "batch": batch,
    }
    if "failed" in record:
        return {**row, "state": "failed", "reason": record["failed"]}
    return {
        **row,
        "state": "done",
        "steps": record["steps"],
        "checkpoint": record["checkpoint"],
        "seconds": record["seconds"],
        "offline": record["offline"],
        "probe": record["probe"],
        "notes": record["notes"],
        "domains": {
            name: {"successes": sum(found["successes"]), "episodes": len(found["successes"])}
            for name, found in record["domains"].items()
        },
    }


def results_of(spec: StudySpec, plan: Sequence[CellPlan], known: dict[str, dict[str, Any]]) -> list[Cell]:
    """The rollouts of all finished cells, as the analysis takes them."""
    return [
        Cell(
            cell.point.n_real,
            cell.point.n_sim,
            cell.point.weight,
            cell.share,
            cell.point.seed,
            spec.task,
            domain,
            np.array(found["scenes"], np.int64),
            np.array(found["successes"], bool),
        )
        for cell in plan
        for domain, found in known[cell.digest].get("domains", {}).items()
    ]


def note(folder: Path, spec: StudySpec, sources: dict[str, Source], rows: list[dict[str, Any]]) -> None:
    """Write `study.json`: all that the page says of how the study was done."""
    record = {
        "spec": to_plain(spec),
        "commit": project_commit(),
        "machine": machine(),
        "sources": {role: described(source) for role, source in sources.items()},
        "cells": rows,
    }
    write_whole(folder / "study.json", (json.dumps(record, indent=1) + "\n").encode())


def described(source: Source) -> dict[str, Any]:
    """What the page says of a source."""
    index = source.dataset.index()
    return {
        "path": str(source.dataset.path),
        "digest": source.digest,
        "episodes": len(source.dataset),
        "held_out": len(source.held_out),
        "steps": int(index.length.sum()),
        "control_rate": float(index.control_rate[0]),
        **{name: source.values(name) for name in ("domain", "operator", "action_source")},
        "surrogate": source.surrogate,
        "posed": source.posed,
        "account": source.account,
    }


def study_table(result: dict[str, Any]) -> RenderableType:
    """The cells as a person reads them."""
    rows = result["cells"]
    domains = list(dict.fromkeys(name for row in rows for name in row.get("domains", {})))
    table = Table(box=None)
    for heading in ("real", "synthetic", "weight", "seed", *domains):
        table.add_column(heading)
    for row in rows:
        rates = [row["domains"][name] for name in domains] if row["state"] == "done" else []
        said = [rate_text(rate["successes"], rate["episodes"]) for rate in rates]
        place = [str(row["n_real"]), str(row["n_sim"]), row["weight"] or "-", str(row["seed"])]
        table.add_row(*place, *(said or ["failed"] * len(domains)))
    failed = [Text(f"failed: {row['reason']}", "yellow") for row in rows if row["state"] == "failed"]
    return Group(table, *failed, Text(f"report: {result['report']}"))
