"""One policy for several robots beside one for each: same scenes, network, and samples per robot.

    python benchmarks/robots.py [--long] [--out FOLDER] [--task lift] [--policies shared,panda,...]

Prints one JSON object: `value` the success of the shared policy, mean over the robots, `limit` that of the policies
that know one robot alone, in the same run, `ratio` of the two; then for each robot both rates, and what sharing gains
on the same scenes (Tango's interval, McNemar's exact p-value). The shared policy trains for as many steps as the others
together, each robot having an equal share of its samples. A policy that is done in the folder is not done again, so
several processes may share the work, each with its own `--policies`, then one without; the shared one needs the data of
all robots, and no two processes may make the same data at once.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._data import generated
from handful import unknown_name
from pipelines import rollouts, training
from pipelines.evaluations import read_evaluation
from pipelines.metrics.pairs import mcnemar, outcomes_of_pairs, paired_difference
from pipelines.progress import Reporter
from pipelines.statistics import wilson_interval
from pipelines.terminal import plain

ROBOTS = ("panda", "ur5e", "jaco")
SHARED = "shared"
_KINDS = (SHARED, "own")
_QUIET = Reporter(quiet=True)


def measure(long: bool, out: Path | None = None, task: str = "lift", policies: Sequence[str] = ()) -> dict[str, Any]:
    """Measure; `long` trains `small` on 512 episodes per robot, 1,400 steps each, and takes 200 rollouts per robot.

    Args:
        long: at full size, some 80 minutes of one core; otherwise two robots and policies that learn nothing, to show
            that it runs.
        out: folder for data, policies and evaluations; None: a temporary one.
        task: name of the task.
        policies: "shared" and names of robots; all unless given. Figures are of robots that have both.
    """
    robots = ROBOTS if long else ROBOTS[:2]
    for name in policies:
        if name not in (SHARED, *robots):
            raise unknown_name("policy", name, (SHARED, *robots))
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        for name in policies or (*robots, SHARED):
            _make(folder, task, name, robots if name == SHARED else (name,), long)
        rows = {robot: _row(folder, robot) for robot in robots if _done(folder, robot)}
    # Where no robot has both yet there is nothing to compare.
    value, limit = (math.fsum(row[key]["rate"] for row in rows.values()) / (len(rows) or math.nan) for key in _KINDS)
    ratio = value / limit if limit else 1.0
    return {"benchmark": "robots", "value": value, "limit": limit, "ratio": ratio, "robots": rows}


def _make(folder: Path, task: str, policy: str, robots: Sequence[str], long: bool) -> None:
    """A policy for some robots, and its rollouts with each of them, where they are missing."""
    stores = {robot: folder / f"data-{robot}" for robot in robots}
    if all(_met(folder, policy, robot).exists() for robot in robots):
        return
    for robot, store in stores.items():
        generated(store, task, 512 if long else 8, embodiment=robot)
    steps = len(robots) * (1400 if long else 2)
    budget = ["minutes=null", f"steps={steps}", "threads=1", f"batch_size={64 if long else 8}"]
    run, preset = folder / policy / "training", "small" if long else "tiny"
    training.run([f"{store}:1" for store in stores.values()], run, preset, None, budget, _QUIET)
    for robot in robots:
        given = ["videos=0", "threads=1"]
        out = _met(folder, policy, robot).parent
        rollouts.run(run, task, ["sim"], 200 if long else 3, out, 0, given, _QUIET, embodiment=robot)


def _met(folder: Path, policy: str, robot: str) -> Path:
    return folder / policy / f"evaluation-{robot}" / "results.json"


def _done(folder: Path, robot: str) -> bool:
    return all(_met(folder, policy, robot).exists() for policy in (SHARED, robot))


def _row(folder: Path, robot: str) -> dict[str, Any]:
    """Both rates of a robot, and what sharing gains."""
    found = [read_evaluation(_met(folder, policy, robot).parent).successes("sim") for policy in (SHARED, robot)]
    # In the order of one of them: they met the same scenes.
    shared, own = (np.array([successes[scene] for scene in found[0]]) for successes in found)
    wins, losses = outcomes_of_pairs(shared, own)
    return {
        SHARED: _rate(shared),
        "own": _rate(own),
        "gain": float(shared.mean() - own.mean()),
        "gain_ci": list(paired_difference(wins, losses, len(own))),
        "p": mcnemar(wins, losses),
    }


def _rate(outcomes: np.ndarray) -> dict[str, Any]:
    count, n = int(outcomes.sum()), len(outcomes)
    return {"rate": count / n, "successes": count, "n": n, "ci": list(wilson_interval(count, n))}


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="at full size: some 80 minutes of one core")
    parser.add_argument("--out", type=Path, help="folder in which what is done is not done again")
    parser.add_argument("--task", default="lift")
    parser.add_argument("--policies", default="", help=f"some of: {SHARED},{','.join(ROBOTS)}")
    options = parser.parse_args()
    names = [name for name in options.policies.split(",") if name]
    print(json.dumps(plain(measure(options.long, options.out, options.task, names))))


if __name__ == "__main__":
    main()
