"""`handful study --dry-run`: the cells of a study, how long they would take, and what they would cost.

A few demos are made, a policy is trained for a few steps and rolled out in a few scenes, all as the study would do it
and into a folder that is gone afterwards; the rest is arithmetic. A figure from so little says roughly how much.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handful import InputError, JobError
from pipelines.doctor import cores
from pipelines.progress import Reporter, duration
from pipelines.studies import cells as cells_
from pipelines.studies import sources as sources_
from pipelines.studies.cells import Point
from pipelines.studies.execution import jobs_of, run_cell
from pipelines.studies.sources import ROLES
from pipelines.studies.spec import Budget, Grid, SourceSpec, Stopping, StudySpec

# Demos of each source, scenes and steps of the trial; two lengths of training, because the first steps take longest.
_DEMOS, _SCENES, _STEPS = 2, 2, (2, 8)


@dataclass(frozen=True)
class Pace:
    """How long things take on this machine."""

    # Making a demo, real and synthetic [s]; 0 where it is there already.
    demo: tuple[float, float]
    # Recorded steps of a demo, on average.
    length: tuple[float, float]
    # Training: before the first step, and each [s].
    start: float
    step: float
    # A rollout [s].
    rollout: float


def forecast(spec: StudySpec, folder: Path, workers: int, progress: Reporter) -> dict[str, Any]:
    """Work out what a study would take.

    Returns:
        "cells", each with its place in the grid, the real share, steps and seconds; "runs", how many these are;
        "seconds" in all and "seconds_by" part; "cost" by part; and "based_on", in a sentence.

    Raises:
        InputError: a cell cannot be.
    """
    progress.say("making a few demos and training a few steps to see how it goes")
    with tempfile.TemporaryDirectory(prefix="handful-study-") as scratch:
        pace = _trial(spec, Path(scratch))
    rows = [_row(spec, point, pace) for point in cells_.points(spec)]
    at_once = max(1, min(workers, cores()))
    counts = _wanted(spec)
    there = [_is_there(spec, role, folder) for role in ROLES]
    demos = [0.0 if done else count * each for count, each, done in zip(counts, pace.demo, there, strict=True)]
    seconds = {
        # A recording is one process's work; generation is everybody's.
        "real demos": demos[0],
        "synthetic demos": demos[1] / at_once,
        "training": sum(row["training"] for row in rows) / at_once,
        "evaluation": sum(row["evaluation"] for row in rows) / at_once,
    }
    return {
        "cells": rows,
        "runs": len(rows),
        "seconds": sum(seconds.values()),
        "seconds_by": seconds,
        "cost": _cost(spec, counts, pace, sum(row["training"] for row in rows)),
        "based_on": f"{_DEMOS} demos of each source, {_STEPS[1]} steps of training and {_SCENES} rollouts made for it, "
        f"{at_once} cells at once; runs of an earlier sitting are not taken off",
    }


def _trial(spec: StudySpec, folder: Path) -> Pace:
    """Do a little of everything."""
    small = replace(
        spec,
        real=_fewer(spec.real),
        sim=_fewer(spec.sim),
        grid=Grid((_DEMOS,), (_DEMOS,), ("0.5",), (0,)),
        evaluation=replace(
            spec.evaluation,
            domains=spec.evaluation.domains[:1],
            episodes=_SCENES,
            stopping=Stopping(),
            held_out=min(1, spec.evaluation.held_out),
        ),
    )
    if small.evaluation.held_out and small.real.record is not None:
        small = replace(small, real=replace(small.real, record=replace(small.real.record, episodes=_DEMOS + 1)))
    found = sources_.make(small, folder, 0, None, Reporter(quiet=True))
    sources_.check(found, small)
    real, sim = (found[role].spent / len(found[role].dataset) for role in ROLES)
    times = []
    for steps in _STEPS:
        this = replace(small, training=replace(spec.training, budget=Budget("steps", steps)))
        plan = cells_.plan(this, found)
        (job,) = jobs_of(this, plan, found, folder / str(steps)).values()
        record = run_cell(job)
        if "failed" in record:
            raise JobError(f"a trial of the study failed: {record['failed']}")
        times.append(record["seconds"])
    step = max(0.0, times[1]["training"] - times[0]["training"]) / (_STEPS[1] - _STEPS[0])
    rollouts = min(each["evaluation"] for each in times) / _SCENES if spec.evaluation.domains else 0.0
    lengths = [float(found[role].dataset.index().length.mean()) for role in ROLES]
    start = max(0.0, times[0]["all"] - times[0]["evaluation"] - _STEPS[0] * step)
    return Pace((real, sim), (lengths[0], lengths[1]), start, step, rollouts)


def _fewer(source: SourceSpec) -> SourceSpec:
    if source.record is not None:
        return replace(source, record=replace(source.record, episodes=_DEMOS))
    if source.generate is not None:
        overrides = (*source.generate.overrides, f"chunk={2 * _DEMOS}")
        return replace(source, generate=replace(source.generate, count=_DEMOS, overrides=overrides))
    return source


def _row(spec: StudySpec, point: Point, pace: Pace) -> dict[str, Any]:
    """A cell, with the time of its training and of its evaluation [s]."""
    batch = cells_.train_config(spec.training, spec.cameras).batch_size
    there = (round(point.n_real * pace.length[0]), round(point.n_sim * pace.length[1]))
    try:
        share = cells_.share_of(point, there)
        steps, minutes = cells_.budget_of(spec.training.budget, batch, share, there)
    except InputError as error:
        raise InputError(f"cell {point}: {error}") from error
    training = pace.start + (60 * minutes if minutes is not None else (steps or 0) * pace.step)
    rollouts = len(spec.evaluation.domains) * spec.evaluation.episodes
    return {
        **asdict(point),
        "real_share": share,
        "steps": steps,
        "training": training,
        "evaluation": rollouts * pace.rollout,
        "seconds": training + rollouts * pace.rollout,
    }


def _wanted(spec: StudySpec) -> tuple[int, int]:
    """Demos that the study makes, or takes, of each source."""
    real = spec.real.record.episodes if spec.real.record else max(spec.grid.n_real) + spec.evaluation.held_out
    return real, spec.sim.generate.count if spec.sim.generate else max(spec.grid.n_sim)


def _is_there(spec: StudySpec, role: str, folder: Path) -> bool:
    source: SourceSpec = getattr(spec, role)
    return source.store is not None or (sources_.made_at(spec, role, folder) / "store" / "seal.json").is_file()


def _cost(spec: StudySpec, counts: tuple[int, int], pace: Pace, training: float) -> dict[str, float]:
    """By part, in the currency of the specification's prices."""
    cost = spec.cost
    each = pace.demo[1] if cost.seconds_per_sim is None else cost.seconds_per_sim
    return {
        "real demos": counts[0] * cost.minutes_per_real / 60 * cost.operator_hour,
        "synthetic demos": counts[1] * each / 3600 * cost.processor_hour,
        "training": training / 3600 * spec.training.threads * cost.processor_hour,
    }


def forecast_table(result: Mapping[str, Any]) -> RenderableType:
    """The forecast as a person reads it."""
    table = Table(box=None)
    for heading in ("real", "synthetic", "weight", "seed", "real share", "steps", "time"):
        table.add_column(heading)
    for row in result["cells"]:
        steps = "by the clock" if row["steps"] is None else f"{row['steps']:,}"
        share = f"{100 * row['real_share']:.1f} %"
        place = [str(row["n_real"]), str(row["n_sim"]), row["weight"] or "-", str(row["seed"])]
        table.add_row(*place, share, steps, duration(row["seconds"]))
    parts = ", ".join(f"{name} {duration(value)}" for name, value in result["seconds_by"].items())
    cost = ", ".join(f"{name} {value:,.2f}" for name, value in result["cost"].items())
    return Group(
        table,
        Text(f"{result['runs']} cells, about {duration(result['seconds'])}: {parts}"),
        Text(f"cost {sum(result['cost'].values()):,.2f}: {cost}"),
        Text(f"from {result['based_on']}"),
    )
