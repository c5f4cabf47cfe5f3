"""Milliseconds to draw a scene and put it into a batch without compiling, beside writing the same values bare.

    python benchmarks/worlds.py [--long] [--task stack_three] [--domain sim]

Prints one JSON object: `value` ms per scene to draw every value and write the model fields and the initial state,
`limit` ms to write these fields alone and update the engine's constants, `ratio` of the two; then the physics of coming
to rest, a world with its compilation, and by how much the process has grown over all the scenes. Time is that of
the process's own thread and the fastest of many turns counts, since whatever else runs on the machine only adds.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from scenes.domains import get_domain
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.workspace import build_workspace, compile_workspace
from sim.batch import BatchSim

_BATCH = 16


def resident_mib() -> float:
    """Memory of this process [MiB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fastest_ms(work: Callable[[], object], turns: int) -> float:
    """Milliseconds of processor time of the fastest of several turns."""
    taken = []
    for _ in range(turns):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return 1e3 * min(taken)


def measure(long: bool, task: str = "stack_three", domain: str = "sim") -> dict[str, object]:
    """Draw scenes and put them into a batch.

    Args:
        long: 10,000 scenes instead of 640.
        task: name of the task.
        domain: what scenes are drawn from.
    """
    turns = (10_000 if long else 640) // _BATCH
    drawn_from, workspace = get_domain(domain), build_workspace(task)
    compilation = fastest_ms(lambda: compile_workspace(task), 10)
    sim, ids = BatchSim(workspace.model, workspace.embodiment, _BATCH), np.arange(_BATCH)
    coming, kept = iter(range(turns * _BATCH)), list[Scene]()

    def draw() -> None:
        kept[:] = [draw_scene(workspace, drawn_from, "generation", 0, next(coming)) for _ in ids]

    taken: dict[str, list[float]] = {"draw": [], "load": [], "rest": [], "bare": []}
    grown_from = 0.0
    for turn in range(turns):
        taken["draw"].append(fastest_ms(draw, 1))
        taken["load"].append(fastest_ms(lambda: load_scenes(sim, workspace, ids, kept), 1))
        still = np.concatenate([sim.joint_position(ids), np.ones((_BATCH, 1))], axis=1)
        taken["rest"].append(fastest_ms(partial(_rest, sim, ids, still), 1))
        fields = [scene.fields(workspace) for scene in kept]
        stacked = {name: np.stack([f[name] for f in fields]) for name in fields[0]}
        taken["bare"].append(fastest_ms(partial(_write, sim, ids, stacked), 1))
        if turn == turns // 5:  # caches are filled by then
            grown_from = resident_mib()
    per_scene = {name: min(values) / _BATCH for name, values in taken.items()}
    value, limit = per_scene["draw"] + per_scene["load"] - per_scene["rest"], per_scene["bare"]
    return {
        "benchmark": "worlds",
        "task": task,
        "domain": domain,
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "draw_ms": per_scene["draw"],
        "set_ms": per_scene["load"] - per_scene["rest"],
        "coming_to_rest_ms": per_scene["rest"],
        "compilation_ms": compilation,
        "grown_mib": resident_mib() - grown_from,
        "scenes": turns * _BATCH,
    }


def _rest(sim: BatchSim, ids: np.ndarray, action: np.ndarray) -> None:
    for _ in range(2):
        sim.step(ids, action)


def _write(sim: BatchSim, ids: np.ndarray, fields: dict[str, np.ndarray]) -> None:
    for name, values in fields.items():
        sim.batch.expand(name)[ids] = values
    sim.batch.set_const(ids)


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="10,000 scenes instead of 640")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--domain", default="sim")
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.task, chosen.domain)))


if __name__ == "__main__":
    main()
