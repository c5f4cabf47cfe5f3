"""Does success in simulation foretell success in surrogate reality, and how does the width of randomisation matter?

    python benchmarks/predictivity.py [--long] [--out FOLDER] [--minutes M] [--tasks lift,stack]
                                      [--policies none-64-flow,...] [--only-table]

Policies that differ in their data (drawn from `none`, `sim` and `wide`, few episodes and many) and in their head are
measured on the same scenes of three simulators (`none`, `sim`, `wide`) and of sealed twins. Each twin stands in for one
robot in one room: surrogate reality, of which every figure here speaks. Prints one JSON object: `value` the MMRV of the
first task between `sim` and the mean of the mild twins, `limit` its noise floor, what a perfect simulator would score
with as many policies and rollouts, `ratio` of the two; then, per task, simulator and twin, MMRV, Pearson's and
Spearman's r with their intervals, noise floor and random level, and every policy's rate.

A policy of another task starts from the one that learnt `lift` from such data with such a head: from nothing, as many
steps do not teach stacking.

A cell is a data set, a policy, or a policy's rollouts in one domain. What is done in the folder is not done again, and
what was stopped goes on, so a full study may be made in as many sittings as it takes: `--minutes` ends one before the
next cell, and several processes may share the work, each with `--policies` of its own that have learnt `lift`.
`cells.csv` has a line for each policy and domain: task, policy, domain, successes, episodes; `TASK.svg` shows them.
`--only-table` analyses what is there.
"""

import argparse
import dataclasses
import itertools
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._data import generated
from benchmarks._panels import Spot, panels
from handful import unknown_name
from pipelines import rollouts, training
from pipelines.metrics.results import Results
from pipelines.metrics.uncertainty import METRICS, uncertainty
from pipelines.progress import Reporter
from pipelines.statistics import wilson_interval
from pipelines.terminal import plain
from scenes.domains import get_domain
from scenes.twins import severity_of
from trajectories.canonical import write_whole

SIMULATORS = ("none", "sim", "wide")
# The task that every policy learns first.
FIRST = "lift"
_QUIET = Reporter(quiet=True)
_COLUMNS = ("task", "policy", "domain", "successes", "episodes")


@dataclass(frozen=True)
class Policy:
    """One policy of the study: what it learns from, and how."""

    # What its data is drawn from.
    domain: str
    # Scenes that its data set tries.
    scenes: int
    head: str

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.domain}-{self.scenes}-{self.head}"


@dataclass(frozen=True)
class Size:
    """How large a study is."""

    policies: tuple[Policy, ...]
    twins: tuple[str, ...]
    preset: str
    steps: int
    # Rollouts of each policy in each simulator, and in each twin.
    sim_episodes: int
    twin_episodes: int


def _policies(scenes: Sequence[int], heads: Sequence[str]) -> tuple[Policy, ...]:
    return tuple(Policy(*each) for each in itertools.product(SIMULATORS, scenes, heads))


# Four mild twins, one medium and one severe.
_TWINS = tuple(f"twin/test-{number}" for number in (0, 3, 6, 9, 1, 2))
FULL = Size(_policies((64, 512), ("flow", "l1")), _TWINS, "small", 1400, 100, 50)
TOY = Size(_policies((2,), ("flow",)), ("twin/test-0",), "tiny", 2, 1, 1)


class Study:
    """The cells of one task, made where they are missing.

    Args:
        folder: of the whole study.
        task: its name.
        size: what to make.
        deadline: no cell is begun after this moment of `time.monotonic`.
    """

    def __init__(self, folder: Path, task: str, size: Size, deadline: float) -> None:
        self.task, self.size, self.deadline = task, size, deadline
        self.folder = folder / task
        self.base = None if task == FIRST else Study(folder, FIRST, size, deadline)

    def make(self, names: Sequence[str] = ()) -> int:
        """Make what is missing of all policies, or of those named; returns how many of all are left over."""
        left = 0
        for policy in self.size.policies:
            wanted = not names or policy.name in names
            if self.results(policy) is None and not (wanted and self._measured(policy)):
                left += 1
        return left

    def results(self, policy: Policy) -> dict[str, tuple[int, int]] | None:
        """Domain -> successes, episodes; None while the policy is not measured in all of them."""
        found: dict[str, tuple[int, int]] = {}
        for part, domains, episodes in self._parts():
            path = self.folder / policy.name / part / "results.json"
            if not path.is_file():
                return None
            rows = json.loads(path.read_text())["results"]
            # What was measured in another world of the same name is measured again.
            rows = [row for row in rows if row.get("world") == get_domain(row["domain"]).world]
            found |= {row["domain"]: (row["successes"], row["episodes"]) for row in rows}
            if any(found.get(domain, (0, 0))[1] < episodes for domain in domains):
                return None
        return found

    def rows(self) -> Iterator[tuple[str, str, str, int, int]]:
        """The lines of `cells.csv`."""
        for policy in self.size.policies:
            for domain, (successes, episodes) in (self.results(policy) or {}).items():
                yield self.task, policy.name, domain, successes, episodes

    def _parts(self) -> list[tuple[str, tuple[str, ...], int]]:
        return [
            ("simulators", SIMULATORS, self.size.sim_episodes),
            ("twins", self.size.twins, self.size.twin_episodes),
        ]

    def _measured(self, policy: Policy) -> bool:
        """Training and rollouts; False where the sitting ended before the last of them."""
        run = self._trained(policy)
        if run is None:
            return False
        for part, domains, episodes in self._parts():
            if time.monotonic() > self.deadline:
                return False
            out = self.folder / policy.name / part
            # Untold, or a policy would be told of the domains that it was trained on and of no others.
            given = ["videos=0", "threads=1", "tell_domain=false"]
            rollouts.run(run, self.task, list(domains), episodes, out, 0, given, _QUIET)
        return True

    def _trained(self, policy: Policy) -> Path | None:
        """The run of a policy, with the data it learns from; None where the sitting ended before."""
        base = self.base and self.base._trained(policy)
        if (self.base and base is None) or time.monotonic() > self.deadline:
            return None
        data = self.folder / f"data-{policy.domain}-{policy.scenes}"
        run = self.folder / policy.name / "training"
        generated(data, self.task, policy.scenes, [f"domain={policy.domain}"])
        if time.monotonic() > self.deadline:
            return None
        budget = ["minutes=null", f"steps={self.size.steps}", "threads=1"]
        if self.size is TOY:
            budget += ["batch_size=4", "checkpoints=1"]
        if base is None:
            training.run([str(data)], run, self.size.preset, None, [*budget, f"model.head={policy.head}"], _QUIET)
        else:
            training.run([str(data)], run, None, None, budget, _QUIET, base=base)
        return run


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
            for study in studies:
                write_whole(out / f"{study.task}.svg", _drawn(study).encode())
    found = {name: analysed([row[1:] for row in rows if row[0] == name], size.twins) for name in names}
    first = found[names[0]].get("sim", {}).get("mild twins", {}).get("mmrv")
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
        "cells": [dict(zip(_COLUMNS, row, strict=True)) for row in rows],
    }


def _write(path: Path, rows: Sequence[tuple[str, str, str, int, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(_COLUMNS), *(",".join(map(str, row)) for row in rows)]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _drawn(study: Study) -> str:
    """The figure of a task: success in each simulator against that in all mild twins together."""
    mild = [twin for twin in study.size.twins if severity_of(twin) == "mild"]
    shown: dict[str, list[Spot]] = {simulator: [] for simulator in SIMULATORS}
    for policy in study.size.policies:
        found = study.results(policy)
        if found is None:
            continue
        counts = {
            **{simulator: found[simulator] for simulator in SIMULATORS},
            "mild": tuple(sum(found[twin][k] for twin in mild) for k in (0, 1)),
        }
        rates = {name: (k / n, *wilson_interval(k, n)) for name, (k, n) in counts.items()}
        for simulator, spots in shown.items():
            learnt = f"data drawn from {policy.domain}"
            spots.append(Spot(policy.name, learnt, policy.head == "flow", rates[simulator], rates["mild"]))
    title = (
        f"{study.task}: success in simulation and in {len(mild)} mild twin{'s' * (len(mild) != 1)} (surrogate reality)"
    )
    drawn = [(f"in {simulator}", spots) for simulator, spots in shown.items()]
    return panels(title, drawn, "in the twins", "filled: flow matching; hollow: L1 regression")


def analysed(
    rows: Sequence[tuple[str, str, int, int]], twins: Sequence[str], samples: int = 2000
) -> dict[str, dict[str, dict[str, Any]]]:
    """Agreement of each simulator with each twin, and with all twins of a severity together.

    Args:
        rows: policy, domain, successes, episodes; of each policy all domains.
        twins: that stand in for reality.
        samples: draws that intervals are made of.

    Returns:
        Simulator -> twin, or e.g. "mild twins" (a policy's score is the mean over them) -> metric -> its figures; "n"
        is the number of policies. Nothing of fewer than three; a correlation is null where all scores are the same.
    """
    table: dict[tuple[str, str], tuple[int, int]] = {(policy, domain): (k, n) for policy, domain, k, n in rows}
    names = tuple(dict.fromkeys(policy for policy, *_ in rows))
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
