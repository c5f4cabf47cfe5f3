"""The policy's heads beside each other: same data, network, budget, scenes and training seeds.

    python benchmarks/heads.py [--long] [--out FOLDER] [--task lift] [--heads flow,l1,...] [--seeds 0,2]
                               [--minutes M]

Prints one JSON object: `value` the success of flow matching in `sim` over all seeds, `limit` that of the best head in
the same run, `ratio` of the two; then for each domain every head's rate with its interval over seeds and scenes, and
what it gains on flow matching, paired by scene. A run that is done in the folder is not done again, so once the data is
there several processes may share the work: each with its own `--seeds`, then one without. `twin/dev-0` is surrogate
reality.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._data import generated
from handful import unknown_name
from pipelines import rollouts, training
from pipelines.evaluations import read_evaluation
from pipelines.progress import Reporter
from pipelines.studies.noise import means
from pipelines.studies.results import Cell, Table
from pipelines.studies.surface import contrasts, rates
from pipelines.terminal import plain
from policies.sizes import HEADS

DOMAINS = ("sim", "twin/dev-0")
SEEDS = (0, 1, 2)
_QUIET = Reporter(quiet=True)


def measure(
    long: bool,
    out: Path | None = None,
    task: str = "lift",
    heads: Sequence[str] = (),
    seeds: Sequence[int] = (),
    minutes: float = math.inf,
) -> dict[str, Any]:
    """Measure; `long` trains `small` for 2,800 steps on 512 episodes and takes 200 rollouts per domain.

    Args:
        long: three seeds of every head at full size, some 90 minutes of one core; otherwise two heads that learn
            nothing, to show that it runs.
        out: folder for data, policies and evaluations; None: a temporary one.
        task: name of the task.
        heads: names; all, or where not `long` the first two, unless given. Flow matching is always among them.
        seeds: of training; 0 to 2, or where not `long` the first, unless given.
        minutes: no run is begun after so long.
    """
    for name in heads:
        if name not in HEADS:
            raise unknown_name("head", name, HEADS)
    names = dict.fromkeys([HEADS[0], *(heads or (HEADS if long else HEADS[:2]))])
    seeds, scenes = seeds or (SEEDS if long else SEEDS[:1]), 512 if long else 8
    deadline, left = time.monotonic() + 60 * minutes, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        done: dict[tuple[str, int], Path] = {}
        # By seeds, so that a sitting that ends early leaves whole ones.
        for seed in seeds:
            for name in names:
                met = folder / f"{name}-{seed}" / "evaluation"
                if not (met / "results.json").exists():
                    if time.monotonic() > deadline:
                        left += 1
                        continue
                    _make(folder, task, name, seed, scenes, long)
                done[name, seed] = met
        found = {domain: _analysed(done, domain, scenes, task) for domain in DOMAINS} if done else {}
    rows = found.get(DOMAINS[0], {})
    best = max((row["success"] for row in rows.values()), default=math.nan)
    value = rows.get(HEADS[0], {"success": math.nan})["success"]
    ratio = value / best if best else 1.0
    return {"benchmark": "heads", "value": value, "limit": best, "ratio": ratio, "runs_left": left, **found}


def _make(folder: Path, task: str, head: str, seed: int, scenes: int, long: bool) -> None:
    """Data where there is none, a training, its rollouts."""
    data, run = folder / "data", folder / f"{head}-{seed}"
    generated(data, task, scenes)
    budget = ["minutes=null", "steps=2800"] if long else ["steps=4", "batch_size=8"]
    given = [*budget, "threads=1", f"seed={seed}", f"model.head={head}"]
    training.run([str(data)], run / "training", "small" if long else "tiny", None, given, _QUIET)
    count, out = 200 if long else 3, run / "evaluation"
    rollouts.run(run / "training", task, list(DOMAINS), count, out, 0, ["videos=0", "threads=1"], _QUIET)


def _analysed(done: dict[tuple[str, int], Path], domain: str, episodes: int, task: str) -> dict[str, dict[str, Any]]:
    """Head -> its rate in a domain over all seeds, n, and gain on flow matching."""
    cells = []
    for (name, seed), folder in done.items():
        successes = read_evaluation(folder).successes(domain)
        scenes, outcomes = np.array(list(successes)), np.array(list(successes.values()))
        # The analysis of studies tells mixes of two sources apart by their weight; here that is the head.
        cells.append(Cell(1, episodes, name, 0.5, seed, task, domain, scenes, outcomes))
    pooled = means(Table(tuple(cells)))
    heads = [mix.weight for mix in pooled.mixes]
    gains = {}
    if HEADS[0] in heads:
        base = heads.index(HEADS[0])
        others = [(number, base) for number in range(len(heads)) if number != base]
        gains = {gain.mix.weight: gain for gain in contrasts(pooled, others)}
    found: dict[str, dict[str, Any]] = {}
    for rate in rates(pooled):
        name = rate.mix.weight
        found[name] = {"success": rate.rate, "ci": [rate.low, rate.high], "seeds": rate.seeds, "scenes": rate.scenes}
        if name in gains:
            kept = ("difference", "low", "high", "p_adjusted")
            found[name]["beside_flow"] = {key: value for key, value in asdict(gains[name]).items() if key in kept}
    return found


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="at full size: some 8 minutes a run on one core")
    parser.add_argument("--out", type=Path, help="folder in which what is done is not done again")
    parser.add_argument("--task", default="lift")
    parser.add_argument("--heads", default="", help=f"some of: {','.join(HEADS)}")
    parser.add_argument("--seeds", default="", help="e.g. 0,2")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after so long")
    options = parser.parse_args()
    names = [name for name in options.heads.split(",") if name]
    seeds = [int(seed) for seed in options.seeds.split(",") if seed]
    print(json.dumps(plain(measure(options.long, options.out, options.task, names, seeds, options.minutes))))


if __name__ == "__main__":
    main()
