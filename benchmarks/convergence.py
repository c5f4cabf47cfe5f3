"""Does the length of the physics step decide what comes of a scene? Outcomes at several lengths, beside those at 1 ms.

    python benchmarks/convergence.py [--long] [--task stack_three] [--demos STORE] [--scenes N] [--steps 0.002,0.0025]

The same plan is generated with each length, all physical randomisation on. Two things are compared with 1 ms: whether a
scene yields an episode, and whether it did at its first try; then the commands of the episodes made at 1 ms are given
to the arm again with each length, and judged. What a contact decides by a hair is decided otherwise in other steps, so
1 ms does not agree with 0.5 ms everywhere either.

Prints one JSON object: `value` share of scenes on which 2 ms and 1 ms agree, `limit` the same of 0.5 ms and 1 ms,
`ratio` of the two, and by length all the shares, each with its n and 95 % interval.
"""

import argparse
import json
import multiprocessing
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from generators.augment import Engine
from generators.demos import load_demos
from pipelines.chunks import CONTROL_RATE
from pipelines.doctor import cores
from pipelines.generate import BUNDLED
from pipelines.statistics import wilson_interval
from scenes.domains import SIM
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import load_scenes, rebuild_scene
from scenes.workspace import TIMESTEP, build_workspace
from sim.batch import BatchSim
from trajectories import Episode

REFERENCE, FINER = 0.001, 0.0005  # [s]
COARSER = (TIMESTEP, 0.0025, 0.005)
_LANES = 20


@dataclass(frozen=True)
class Made:
    """What came of some scenes: per scene whether it was kept, whether at once; the episodes; cost of its physics."""

    kept: list[bool]
    at_once: list[bool]
    episodes: list[Episode]
    steps: int
    seconds: float  # of processor time, all told


def make(job: tuple[float, list[int]], task: str, demos: str) -> Made:
    """Generate scenes with a length of step [s]."""
    timestep, scenes = job
    workspace = build_workspace(task, timestep=timestep)
    engine = Engine(workspace, load_demos(demos, workspace.task, CONTROL_RATE), SIM, 0)
    started = time.process_time()
    result = engine.make(scenes)
    seconds = time.process_time() - started
    kept = [record["outcome"] == Outcome.SUCCESS.label for record in result.scenes]
    at_once = [record["attempts"] == [Outcome.SUCCESS.label] for record in result.scenes]
    return Made(kept, at_once, result.episodes if timestep == REFERENCE else [], result.physics_steps, seconds)


def replay(job: tuple[float, list[Episode]], task: str) -> list[str]:
    """Outcomes of episodes' scenes when their commands are given again with a length of step [s]."""
    timestep, episodes = job
    workspace, ids = build_workspace(task, timestep=timestep), np.arange(len(episodes))
    sim = BatchSim(workspace.model, workspace.embodiment, len(episodes))
    scenes = [rebuild_scene(episode.meta) for episode in episodes]
    load_scenes(sim, workspace, ids, scenes)
    monitor = Monitor(workspace, sim)
    monitor.begin(ids, scenes)
    commands = [episode.arrays["action/executed"].astype(float) for episode in episodes]
    for t in range(max(map(len, commands))):
        live = ids[[t < len(c) and monitor.outcome[i] is None for i, c in enumerate(commands)]]
        if len(live):
            sim.step(live, np.stack([commands[i][t] for i in live]))
            monitor.update(live)
    # An arm that has nothing more to do is given as long as the judge needs.
    for _ in range(monitor.need):
        live = ids[[outcome is None for outcome in monitor.outcome]]
        if len(live):
            sim.step(live, np.stack([commands[i][-1] for i in live]))
            monitor.update(live)
    monitor.give_up(ids)
    return [outcome.label for outcome in monitor.outcome if outcome is not None]


def measure(
    long: bool,
    task: str = "stack_three",
    demos: Path | None = None,
    scenes: int | None = None,
    steps: tuple[float, ...] = COARSER,
) -> dict[str, object]:
    """Outcomes by length of step.

    Args:
        long: 200 scenes instead of 16.
        task: name of the task.
        demos: store of seed demos; None for the bundled ones.
        scenes: another number of scenes.
        steps: lengths to compare with 1 ms, beside 0.5 ms [s].
    """
    count = scenes or (200 if long else 16)
    source = str(demos or BUNDLED / task.partition(":")[0])
    lengths = (REFERENCE, FINER, *(step for step in steps if step not in (REFERENCE, FINER)))
    chunks = [list(range(first, min(first + _LANES, count))) for first in range(0, count, _LANES)]
    jobs = [(length, chunk) for length in lengths for chunk in chunks]
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        parts = pool.map(partial(make, task=task, demos=source), jobs, chunksize=1)
        made = {length: parts[i * len(chunks) : (i + 1) * len(chunks)] for i, length in enumerate(lengths)}
        kept = [part.episodes for part in made[REFERENCE] if part.episodes]
        again = [(length, episodes) for length in lengths for episodes in kept]
        outcomes = pool.map(partial(replay, task=task), again, chunksize=1)
    replayed = {
        length: [label for (of, _), labels in zip(again, outcomes, strict=True) if of == length for label in labels]
        for length in lengths
    }
    rows = {f"{1e3 * length:g} ms": _row(made[length], made[REFERENCE], replayed[length]) for length in lengths}
    value, limit = (rows[f"{1e3 * length:g} ms"]["agree"]["share"] for length in (lengths[2], FINER))
    return {
        "benchmark": "convergence",
        "task": task,
        "value": value,
        "limit": limit,
        "ratio": value / limit if limit else 0.0,
        "scenes": count,
        "steps": rows,
    }


def _row(parts: list[Made], reference: list[Made], replayed: list[str]) -> dict[str, Any]:
    def of(name: str, made: list[Made]) -> np.ndarray:
        return np.array([one for part in made for one in getattr(part, name)])

    labels = Counter(replayed)
    return {
        "kept": _share(of("kept", parts)),
        "at_once": _share(of("at_once", parts)),
        "agree": _share(of("kept", parts) == of("kept", reference)),
        "agree_at_once": _share(of("at_once", parts) == of("at_once", reference)),
        "replayed": _share(np.array([label == Outcome.SUCCESS.label for label in replayed])),
        "replayed_outcomes": dict(labels),
        "cpu_us_per_step": 1e6 * sum(part.seconds for part in parts) / sum(part.steps for part in parts),
        "cpu_s_per_scene": sum(part.seconds for part in parts) / sum(len(part.kept) for part in parts),
    }


def _share(found: np.ndarray) -> dict[str, object]:
    successes, n = int(found.sum()), len(found)
    return {"share": successes / max(1, n), "n": n, "interval": list(wilson_interval(successes, n)) if n else None}


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="200 scenes instead of 16")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--demos", type=Path, default=None)
    parser.add_argument("--scenes", type=int, default=None, help="another number of scenes")
    parser.add_argument("--steps", default=",".join(map(str, COARSER)), help="lengths to compare with 1 ms [s]")
    chosen = parser.parse_args()
    steps = tuple(float(step) for step in chosen.steps.split(","))
    print(json.dumps(measure(chosen.long, chosen.task, chosen.demos, chosen.scenes, steps)))


if __name__ == "__main__":
    main()
