"""Kept episodes per hour, beside the bare physics of the steps simulated on the same cores in the same run.

    python benchmarks/generation.py [--long] [--demos STORE] [--task stack_three] [--cameras front,wrist] [--workers 2]
        [engine.noise.std=0.01 ...]

Prints one JSON object. `value`: kept episodes/h. `limit`: what the same cores would keep if nothing took time but the
engine's own steps, those of failed tries included, and, with cameras, MuJoCo's own calls for each kept frame. `ratio`
of the two, `wall_over_bare` its inverse, and `cpu_over_bare` the same in processor time, which others on the machine
disturb less. The steps are those of the run: from states that it stored, under the commands that it stored.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from benchmarks.rendering import BareLoop, groups_in_view
from generators.rendering import model_of
from pipelines import generate
from pipelines.doctor import cores
from pipelines.progress import Reporter
from scenes.workspace import build_workspace, workspace_of
from sim.batch import BatchSim
from sim.rendering import FrameRenderer
from trajectories import Episode, Store

# Episodes that each process steps again, and of how many of them it draws every so many states.
_STEPPED, _DRAWN, _STRIDE = 12, 3, 6
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION.value


@dataclass(frozen=True)
class Bare:
    """What the engine's own calls cost: wall and processor time, each of one step and of one frame [s]."""

    step: float
    step_cpu: float
    frame: float = 0.0
    frame_cpu: float = 0.0


def bare(store: Path, episodes: list[int], cameras: tuple[str, ...], resolution: int) -> Bare:
    """Step stored episodes again, and draw some of their states, with nothing but MuJoCo's calls."""
    data = Store.open(store)
    chosen = [data.episode(i) for i in episodes]
    _step(chosen[0])  # warms up
    taken, steps = np.zeros(2), 0
    for episode in chosen:
        seconds, count = _step(episode)
        taken, steps = taken + seconds, steps + count
    found = Bare(*taken / steps)
    return Bare(found.step, found.step_cpu, *_draw(chosen[:_DRAWN], cameras, resolution)) if cameras else found


def _step(episode: Episode) -> tuple[np.ndarray, int]:
    """Wall and processor time [s] of an episode's physics, and its number of steps."""
    workspace = workspace_of(episode.meta)
    model = model_of(workspace, episode)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    count = BatchSim(workspace.model, workspace.embodiment, 1).steps_per_control()
    data, states = mujoco.MjData(model), np.ascontiguousarray(episode.arrays["state"])
    # A row holds the setpoints that led to it.
    setpoints = []
    for row in states[1:]:
        mujoco.mj_setState(model, data, row, _STATE)
        setpoints.append(data.ctrl.copy())
    started = _clocks()
    for row, setpoint in zip(states, setpoints, strict=False):
        mujoco.mj_setState(model, data, row, _STATE)
        data.ctrl[:] = setpoint
        mujoco.mj_step(model, data, count)
    return _clocks() - started, len(setpoints) * count


def _draw(episodes: list[Episode], cameras: tuple[str, ...], resolution: int) -> np.ndarray:
    """Wall and processor time [s] of one frame."""
    taken, frames = np.zeros(2), 0
    with FrameRenderer(workspace_of(episodes[0].meta).model, resolution, resolution) as renderer:
        for episode in episodes:
            model, states = model_of(workspace_of(episode.meta), episode), episode.arrays["state"][::_STRIDE]
            groups = groups_in_view(model, states, renderer, cameras)
            loop = BareLoop(model, states, renderer._gpu, renderer._scene, resolution, groups, cameras)
            loop.run(2)  # warms up
            started = _clocks()
            loop.run(len(states))
            taken, frames = taken + _clocks() - started, frames + len(states) * len(cameras)
    return taken / frames


def _clocks() -> np.ndarray:
    """Wall and this process's processor time [s]."""
    return np.array([time.perf_counter(), time.process_time()])


def _processor_time() -> float:
    """Of this process and of those that it has waited for [s]."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(
    long: bool,
    task: str = "stack_three",
    demos: Path | None = None,
    cameras: tuple[str, ...] = (),
    workers: int | None = None,
    algorithm: str = "handful",
    overrides: tuple[str, ...] = (),
    scenes: int | None = None,
) -> dict[str, object]:
    """Generate scenes into a temporary store, and measure the bare physics of its steps beside it.

    Args:
        long: 1,000 scenes instead of 128.
        task: name of the task.
        demos: store of seed demos; None for the bundled ones.
        cameras: to render.
        workers: processes; None: one per core.
        algorithm: "handful" or "plain".
        overrides: configuration, as "a.b=c".
        scenes: another number of scenes.
    """
    scenes, workers = scenes or (1000 if long else 128), cores() if workers is None else workers
    processes, resolution = max(1, workers), 84
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "store"
        started, used = time.perf_counter(), _processor_time()
        account = generate.run(
            task, demos, out, scenes, None, cameras, resolution, workers, 0, None, algorithm, False, list(overrides),
            Reporter(quiet=True),
        )  # fmt: skip
        seconds, used = time.perf_counter() - started, _processor_time() - used
        store = Store.open(out)
        size = store.bytes / max(1, len(store))
        control_steps = sum(record["simulated"] for record in store.scene_records())
        kept_steps = int(store.index().length.sum())
        shares = [[int(i) for i in np.arange(k, len(store), processes)[:_STEPPED]] for k in range(processes)]
        # All workers at once, as the run itself had them: cores share caches and clocks.
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            found = pool.starmap(bare, [(out, share, cameras, resolution) for share in shares if share])
    workspace = build_workspace(task)
    steps = control_steps * BatchSim(workspace.model, workspace.embodiment, 1).steps_per_control()
    frames = kept_steps * len(cameras)
    mean = {name: float(np.mean([getattr(one, name) for one in found])) for name in Bare.__dataclass_fields__}
    wall = (steps * mean["step"] + frames * mean["frame"]) / processes
    cpu = steps * mean["step_cpu"] + frames * mean["frame_cpu"]
    return {
        "benchmark": "generation",
        "task": task,
        "cameras": list(cameras),
        "workers": workers,
        "value": 3600 * account["kept"] / seconds,
        "limit": 3600 * account["kept"] / wall,
        "ratio": wall / seconds,
        "wall_over_bare": seconds / wall,
        "cpu_over_bare": used / cpu,
        "bare_step_us": 1e6 * mean["step"],
        "bare_frame_ms": 1e3 * mean["frame"],
        "steps_simulated": steps,
        "steps_kept": kept_steps * steps // max(1, control_steps),
        "bytes_per_episode": size,
        **{k: account[k] for k in ("kept", "scenes", "generation_rate", "first_try_rate", "mean_duration", "outcomes")},
        "seconds": seconds,
        "cpu_seconds": used,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="1,000 scenes instead of 128")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--demos", type=Path, default=None)
    parser.add_argument("--cameras", default="")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--algorithm", default="handful")
    parser.add_argument("--scenes", type=int, default=None, help="another number of scenes")
    parser.add_argument("overrides", nargs="*", help="configuration, as a.b=c")
    chosen = parser.parse_args()
    cameras = tuple(name for name in chosen.cameras.split(",") if name)
    overrides, scenes = tuple(chosen.overrides), chosen.scenes
    result = measure(
        chosen.long, chosen.task, chosen.demos, cameras, chosen.workers, chosen.algorithm, overrides, scenes
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
