"""Kept episodes per hour, beside the bare physics of the same steps on the same cores in the same run.

    python benchmarks/generation.py [--long] [--demos STORE] [--task stack_three] [--cameras front,wrist] [--workers 2]

Prints one JSON object: `value` kept episodes/h, `limit` what the same cores would keep if only the engine's own
`mj_step` cost time, `ratio` of the two, and what came of the scenes.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import mujoco
import numpy as np

from pipelines import generate
from pipelines.doctor import cores
from pipelines.progress import Reporter
from scenes.domains import SIM
from scenes.scene import draw_scene, load_scenes
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from trajectories import Store


def bare_step_seconds(task: str, steps: int = 20_000) -> float:
    """Seconds per `mj_step` in a plain loop over one scene's resting objects and holding arm."""
    workspace = build_workspace(task)
    sim = BatchSim(workspace.model, workspace.embodiment, 1)
    load_scenes(sim, workspace, np.array([0]), [draw_scene(workspace, SIM, "generation", 0, 0)])
    model, data = sim.batch.get_model(0), sim.batch.get_data(0)
    mujoco.mj_step(model, data, 500)
    started = time.perf_counter()
    mujoco.mj_step(model, data, steps)
    return (time.perf_counter() - started) / steps


def measure(
    long: bool,
    task: str = "stack_three",
    demos: Path | None = None,
    cameras: tuple[str, ...] = (),
    workers: int | None = None,
) -> dict[str, object]:
    """Generate scenes into a temporary store, and measure the bare physics of as many steps beside it.

    Args:
        long: 1,000 scenes instead of 128.
        task: name of the task.
        demos: store of seed demos; None for the bundled ones.
        cameras: to render.
        workers: processes; None: one per core.
    """
    scenes, workers = 1000 if long else 128, cores() if workers is None else workers
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        account = generate.run(
            task, demos, Path(folder) / "store", scenes, None, cameras, 84, workers, 0, None, "handful", False, [],
            Reporter(quiet=True),
        )  # fmt: skip
        seconds = time.perf_counter() - started
        store = Store.open(Path(folder) / "store")
        size = store.bytes / max(1, len(store))
    # All workers at once, as the run itself had them: cores share caches and clocks.
    with multiprocessing.get_context("spawn").Pool(max(1, workers)) as pool:
        step = float(np.mean(pool.map(bare_step_seconds, [task] * max(1, workers))))
    control = BatchSim(build_workspace(task).model, build_workspace(task).embodiment, 1).steps_per_control()
    # Only kept episodes' steps are known here; failed attempts make the true limit a little lower.
    physics = account["kept"] * account["mean_duration"] * generate.CONTROL_RATE * control * step / max(1, workers)
    return {
        "benchmark": "generation",
        "task": task,
        "cameras": list(cameras),
        "workers": workers,
        "value": 3600 * account["kept"] / seconds,
        "limit": 3600 * account["kept"] / physics,
        "ratio": physics / seconds,
        "bare_step_us": 1e6 * step,
        "bytes_per_episode": size,
        **{k: account[k] for k in ("kept", "scenes", "generation_rate", "first_try_rate", "mean_duration", "outcomes")},
        "seconds": seconds,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="1,000 scenes instead of 128")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--demos", type=Path, default=None)
    parser.add_argument("--cameras", default="")
    parser.add_argument("--workers", type=int, default=cores())
    chosen = parser.parse_args()
    cameras = tuple(name for name in chosen.cameras.split(",") if name)
    print(json.dumps(measure(chosen.long, chosen.task, chosen.demos, cameras, chosen.workers)))


if __name__ == "__main__":
    main()
