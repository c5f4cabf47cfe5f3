"""Does success in simulation foretell success in surrogate reality, and how does the width of randomisation matter?

    python benchmarks/predictivity.py [--long] [--out FOLDER] [--minutes M] [--tasks lift,stack]
                                      [--policies none-64-flow,...] [--only-table]

Policies that differ in their data (drawn from `none`, `sim` and `wide`, few episodes and many) and in their head are
measured on the same scenes of three simulators (`none`, `sim`, `wide`) and of sealed twins. Each twin stands in for one
robot in one room: surrogate reality, of which every figure here speaks. Prints one JSON object: `value` the MMRV of the
first task between `sim` and the mean of the mild twins, `limit` its noise floor, what a perfect simulator would score
with as many policies and rollouts, `ratio` of the two; then, per task, simulator and twin, MMRV, Pearson's and
Spearman's r with their intervals, noise floor and random level, of success and of the first stage, and every policy's
counts.

A policy of another task than `lift` starts from one of its head that learnt to lift in `sim` for longer: from nothing,
as many steps do not teach stacking.

A cell is a data set, a policy, or a policy's rollouts in one domain. What is done in the folder is not done again, and
what was stopped goes on, so a full study may be made in as many sittings as it takes: `--minutes` ends one before the
next cell, and several processes may share the work, each with `--policies` of its own, once those that others start
from are there. `cells.csv` has a line for each policy and domain: task, policy, domain, episodes that succeeded, that
came through the task's first stage, and all; `TASK.svg` and `TASK_begun.svg` show them. `--only-table` analyses what is
there.
"""

import argparse
import dataclasses
import itertools
import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._panels import Spot, panels
from benchmarks._policies import COUNTS, FULL, SIMULATORS, TOY, Study
from handful import unknown_name
from pipelines.metrics.results import Results
from pipelines.metrics.uncertainty import METRICS, uncertainty
from pipelines.statistics import wilson_interval
from pipelines.terminal import plain
from scenes.twins import severity_of
from trajectories.canonical import write_whole

_COLUMNS = ("task", "policy", "domain", "successes", "begun", "episodes")


def measure(
    long: bool,
    out: Path | None = None,
    tasks: Sequence[str] = (),
    minutes: float = math.inf,
    only_table: bool = False,
    policies: Sequence[str] = (),
) -> dict[str, Any]:
    """Make the study, or go on with it, and analyse what there is.

    Args:
        long: twelve policies and six twins for each of two tasks: some five hours of one core; otherwise a toy that
            learns nothing, to show that it runs.
        out: folder in which what is done is not done again; None: a temporary one.
        tasks: their names; "lift" and "stack" where `long`, else "lift".
        minutes: no cell is begun after so long.
        only_table: make nothing.
        policies: names of those to make; all of them unless given.
    """
    size = FULL if long else TOY
    names = list(tasks) or (["lift", "stack"] if long else ["lift"])
    for policy in policies:
        if policy not in (known := [each.name for each in size.policies]):
            raise unknown_name("policy", policy, known)
    deadline = -math.inf if only_table else time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        studies = [Study(folder, name, size, deadline) for name in names]
        left = sum(study.make(policies) for study in studies)
        rows = [row for study in studies for row in study.rows()]
        if out is not None:
            _write(out / "cells.csv", rows)
            for study, count in itertools.product(studies, COUNTS):
                end = "" if count == "successes" else f"_{count}"
                write_whole(out / f"{study.task}{end}.svg", _drawn(study, count).encode())
    found: dict[str, dict[str, Any]] = {
        name: {count: analysed([row for row in rows if row["task"] == name], size.twins, count) for count in COUNTS}
        for name in names
    }
    first = found[names[0]]["successes"].get("sim", {}).get("mild twins", {}).get("mmrv")
    value, limit = (first["value"], first["noise_floor"]) if first else (math.nan, math.nan)
    return {
        "benchmark": "predictivity",
        "value": value,
        "limit": limit,
        # Where a perfect simulator would score 0, as where all policies are alike, only 0 is as good.
        "ratio": value / limit if limit else 1.0 if value == 0 else math.inf,
        "policies_left": left,
        "surrogate_reality": True,
        "agreement": found,
        "cells": rows,
    }


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(_COLUMNS), *(",".join(str(row[name]) for name in _COLUMNS) for row in rows)]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _drawn(study: Study, count: str) -> str:
    """The figure of a task: rates in each simulator against those in all mild twins together."""
    mild = [twin for twin in study.size.twins if severity_of(twin) == "mild"]
    shown: dict[str, list[Spot]] = {simulator: [] for simulator in SIMULATORS}
    for policy in study.size.policies:
        found = study.results(policy)
        if found is None:
            continue
        rates = {}
        for name, domains in (*((simulator, [simulator]) for simulator in SIMULATORS), ("mild", mild)):
            k, n = (sum(found[domain][what] for domain in domains) for what in (count, "episodes"))
            rates[name] = (k / n, *wilson_interval(k, n))
        for simulator, spots in shown.items():
            learnt = f"data drawn from {policy.domain}"
            spots.append(Spot(policy.name, learnt, policy.head == "flow", rates[simulator], rates["mild"]))
    what = "success" if count == "successes" else "first stage reached"
    title = (
        f"{study.task}: {what} in simulation and in {len(mild)} mild twin{'s' * (len(mild) != 1)} (surrogate reality)"
    )
    drawn = [(f"in {simulator}", spots) for simulator, spots in shown.items()]
    return panels(title, drawn, "in the twins", "filled: flow matching; hollow: L1 regression")


def analysed(
    rows: Sequence[Mapping[str, Any]], twins: Sequence[str], count: str = COUNTS[0], samples: int = 2000
) -> dict[str, dict[str, dict[str, Any]]]:
    """Agreement of each simulator with each twin, and with all twins of a severity together.

    Args:
        rows: lines of `cells.csv` of one task; of each policy all domains.
        twins: that stand in for reality.
        count: of those in `COUNTS`, what is measured.
        samples: draws that intervals are made of.

    Returns:
        Simulator -> twin, or e.g. "mild twins" (a policy's score is the mean over them) -> metric -> its figures; "n"
        is the number of policies. Nothing of fewer than three; a correlation is null where all scores are the same.
    """
    table = {(row["policy"], row["domain"]): (row[count], row["episodes"]) for row in rows}
    names = tuple(dict.fromkeys(row["policy"] for row in rows))
    if len(names) < 3:
        return {}

    def counts(domains: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        both = np.array([[table[name, domain] for domain in domains] for name in names])
        return both[..., 0], both[..., 1]

    realities: dict[str, list[str]] = {}
    for twin in twins:
        realities.setdefault(f"{severity_of(twin)} twins", []).append(twin)
    realities |= {twin: [twin] for twin in twins}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for simulator in SIMULATORS:
        found[simulator] = {}
        for label, reality in realities.items():
            # As many rollouts in each twin, so that the mean over twins is the rate of all together; its interval is
            # for these twins.
            real_k, real_n = (each.sum(axis=1, keepdims=True) for each in counts(reality))
            sim_k, sim_n = counts([simulator])
            real = Results(names, (label,), real_k, real_n)
            sim = Results(names, (label,), sim_k, sim_n)
            figures: dict[str, Any] = {"n": len(names)}
            for metric in METRICS:
                defined = metric == "mmrv" or (np.ptp(real.scores) > 0 and np.ptp(sim.scores) > 0)
                figures[metric] = (
                    dataclasses.asdict(uncertainty(real=real, sim=sim, metric=metric, samples=samples))
                    if defined
                    else None
                )
            found[simulator][label] = figures
    return found


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="the whole study, in as many sittings as it takes")
    parser.add_argument("--out", type=Path, help="folder in which what is done is not done again")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after so long")
    parser.add_argument("--tasks", default="", help="e.g. lift,stack")
    parser.add_argument("--policies", default="", help=f"e.g. {FULL.policies[0].name},{FULL.policies[-1].name}")
    parser.add_argument("--only-table", action="store_true", help="analyse what there is")
    chosen = parser.parse_args()
    tasks, policies = ([name for name in text.split(",") if name] for text in (chosen.tasks, chosen.policies))
    print(json.dumps(plain(measure(chosen.long, chosen.out, tasks, chosen.minutes, chosen.only_table, policies))))


if __name__ == "__main__":
    main()
