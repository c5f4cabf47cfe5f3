"""`handful generate`: the plan of a data set, its chunks handed to an executor, and the account of what came of them.

A chunk is the unit of work, of retry and of storage: whichever process makes it commits it itself, and only a few
numbers travel back. What a chunk holds follows from the plan and its index alone, so the finished store is the same at
any number of workers, however often the job was stopped.
"""

import json
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from generators.coverage import Coverage
from generators.options import PLAIN, PlanOptions
from generators.pilot import pilot_of
from handful import InputError, JobError, unknown_name
from pipelines.chunks import (
    CONTROL_RATE,
    LOSSLESS,
    PANDA,
    ChunkJob,
    GenerationConfig,
    engine_of,
    make_chunk,
    make_records,
)
from pipelines.commits import Account, commits
from pipelines.configuration import resolve, to_plain
from pipelines.doctor import cores
from pipelines.executors import check_workers
from pipelines.faults import Limits
from pipelines.forecast import forecast
from pipelines.generation_plan import continued, make_plan
from pipelines.pilot import begun_at, flown, fly
from pipelines.progress import Progress, Reporter
from scenes.task import get_task, split_task
from scenes.views import check_names
from scenes.workspace import build_workspace
from sim.cameras import open_renderer
from trajectories import Store
from trajectories.manifest import QUARANTINED

BUNDLED = Path(__file__).resolve().parent.parent / "demos"
ALGORITHMS = {"handful": PlanOptions(), "plain": PLAIN}
# With --count: scenes tried per episode wanted before the run is called hopeless.
_WORST = 20
# A chunk that takes longer than this hangs, unless the others take as long [s].
_PATIENCE = 300.0
# A worker is replaced by a fresh one after so many chunks, or where it has grown by so much [bytes].
_CHUNKS_PER_WORKER = 256
_GROWTH = 2**30


def run(
    task: str,
    demos: str | Path | None,
    out: str | Path,
    scenes: int | None,
    count: int | None,
    cameras: tuple[str, ...],
    resolution: int,
    workers: int,
    seed: int,
    address: str | None,
    algorithm: str,
    dry_run: bool,
    overrides: list[str],
    progress: Reporter,
    embodiment: str = PANDA,
    patience: float | None = None,
) -> dict[str, Any]:
    """Generate a data set, or what is still missing of it.

    Args:
        task: name of the task.
        demos: store of seed demos; None for the task's bundled ones.
        out: store to make, or to resume if the same plan made it.
        scenes: try exactly this many scenes; or
        count: keep the first so many successes in scene order.
        cameras: cameras to render kept episodes with; none by default.
        resolution: side of the square images [pixels].
        workers: processes; 0 works in this one.
        seed: of every stream.
        address: Ray cluster to run on.
        algorithm: "handful", or "plain" for the published baseline.
        dry_run: say what would be done, and do nothing.
        overrides: `a.b=c` for GenerationConfig.
        progress: where progress is shown.
        embodiment: the robot that is to do it, whichever shows it in the demos.
        patience: a chunk that takes longer, and 20 times longer than usual, is stopped and tried again [s]; None: 300.

    Returns:
        attempts, kept, scenes, generation_rate, first_try_rate, seconds, kept_per_hour, mean_duration, outcomes,
        latched, quarantined, coverage, store.

    Raises:
        InputError: anything asked for that cannot be; before work starts.
        JobError: a worker that keeps dying, a full disk.
    """
    check_workers(workers, address)
    bounds = limits(patience)
    config = configure(algorithm, cameras, resolution, overrides)
    demos = Path(demos) if demos is not None else BUNDLED / split_task(task)[0]
    get_task(task)
    check_cameras(task, cameras, embodiment)
    engine = engine_of(task, str(demos), seed, config, embodiment)
    plan = make_plan(task, demos, seed, algorithm, config, scenes, engine)
    ahead = config.engine.plan.pilot
    if ahead:
        job = ChunkJob(0, range(0), task, str(demos), seed, config, str(out), json.dumps(plan), embodiment)
        told = flown(plan, out, ahead)
        if told is None and (dry_run or not begun_at(out)):
            told = fly(make_records, job, engine, workers, address, bounds, progress).to_plain()
        # Where the store that is there has another plan, it is refused below.
        plan["pilot"] = told or {"scenes": ahead}
    if dry_run:
        wanted = scenes if scenes is not None else config.chunk
        whole, text = range(min(wanted, config.chunk)), json.dumps(plan)
        first = ChunkJob(0, whole, task, str(demos), seed, config, str(out), text, embodiment, pilot=pilot_of(plan))
        progress.say("making a few scenes to see how it goes")
        return {
            **{name: plan[name] for name in ("task", "seed", "algorithm")},
            "demos": len(engine.demos),
            "workers": workers,
            **forecast(make_chunk, first, plan, count, max(1, workers if address else min(workers, cores()))),
            "store": str(out),
        }
    store = Store.create(out, continued(plan, out, progress))
    done_before = set(store.committed())
    started_with = kept_scenes(store)
    jobs = _jobs(store, task, demos, seed, config, scenes, count, embodiment)
    account = Account(store, count)
    tally = account.tally
    subtasks = [subtask.name for subtask in engine.task.subtasks]
    progress.log = log_path(out)
    resumed = len(done_before) * config.chunk if scenes is not None else started_with
    with progress(f"generate {task}", scenes if scenes is not None else count, resumed) as bar:
        for said in commits(make_chunk, jobs, account, done_before, workers, address, bounds):
            for sentence in said:
                bar.say(sentence)
            _show(bar, account, count, started_with, subtasks)
        _show(bar, account, count, started_with, subtasks)
    store = Store.create(out, store.plan)  # looked at anew: parts were added, and some perhaps made again
    if tally.scenes == tally.outcomes[QUARANTINED]:
        raise JobError(f"no scene could be made; the last of them: {store.part_records(0)[-1]['reason']}")
    if count is not None and not account.enough():
        raise JobError(
            f"{tally.scenes} scenes gave {tally.kept} of the {count} episodes wanted; "
            f"see their outcomes with: handful inspect {out}"
        )
    store.seal(None if count is None else count * config.engine.appearances)
    return summarise(store, process_age(), started_with)


def limits(patience: float | None) -> Limits:
    """When a chunk, or a worker, has had enough; `patience` in seconds, None for the usual one.

    Raises:
        InputError: no time at all.
    """
    return Limits(patience=_PATIENCE if patience is None else patience, tasks=_CHUNKS_PER_WORKER, growth=_GROWTH)


def configure(algorithm: str, cameras: tuple[str, ...], resolution: int, overrides: list[str]) -> GenerationConfig:
    """The generation's configuration from the command line's parts."""
    if algorithm not in ALGORITHMS:
        raise unknown_name("algorithm", algorithm, ALGORITHMS)
    for override in overrides:
        for name in ("cameras", "resolution"):
            if override.startswith(f"engine.{name}="):
                raise InputError(f"'{override}' would be overruled by --{name}; give --{name} instead")
    plain = to_plain(ALGORITHMS[algorithm])
    preset = [f"engine.plan.{name}={value}" for name, value in plain.items()]
    config = resolve(GenerationConfig, None, [*preset, *overrides])
    if config.image_codec != LOSSLESS and not cameras:
        raise InputError(f"image_codec={config.image_codec} has no images to encode; give --cameras as well")
    for name in ("depth", "segmentation"):
        if getattr(config.engine, name) and not cameras:
            raise InputError(f"engine.{name}=true has no camera to look through; give --cameras as well")
    if config.engine.appearances > 1 and not cameras:
        raise InputError(
            f"engine.appearances={config.engine.appearances} has no camera to look through; give --cameras as well"
        )
    engine = replace(config.engine, cameras=tuple(cameras), resolution=resolution)
    return replace(config, engine=engine)


def check_cameras(task: str, cameras: tuple[str, ...], embodiment: str = PANDA) -> None:
    """Refuse cameras that the task's world does not have, and rendering where no OpenGL works."""
    if not cameras:
        return
    workspace = build_workspace(task, embodiment)
    check_names(workspace, cameras)
    with open_renderer(workspace.model, 16, 16):
        pass


def _jobs(
    store: Store,
    task: str,
    demos: Path,
    seed: int,
    config: GenerationConfig,
    scenes: int | None,
    count: int | None,
    embodiment: str,
) -> list[ChunkJob]:
    """The plan's chunks in order; with --count, as many as it may take at the worst."""
    text, pilot = json.dumps(store.plan, sort_keys=True), pilot_of(store.plan)
    wanted = scenes if scenes is not None else (count or 0) * _WORST + config.chunk
    jobs = []
    for index in range(-(-wanted // config.chunk)):
        first = index * config.chunk
        last = first + config.chunk if scenes is None else min(scenes, first + config.chunk)
        span, path = range(first, last), str(store.path)
        jobs.append(ChunkJob(index, span, task, str(demos), seed, config, path, text, embodiment, pilot=pilot))
    return jobs


def _show(bar: Progress, account: Account, count: int | None, kept_before: int, subtasks: list[str]) -> None:
    """Say how far the run is: to a person in a line, to the log file in numbers."""
    tally = account.tally
    pace = max(0, tally.kept - kept_before) / max(bar.elapsed(), 1e-9)
    counts = {"kept": tally.kept, "scenes": tally.scenes, "first_try": tally.first, "kept_per_second": pace}
    note = f"{pace:.1f} kept/s" if pace >= 1 else f"{3600 * pace:,.0f} kept/h"
    bar.update(
        tally.kept if count is not None else tally.scenes,
        tally.outcomes,
        ", ".join(filter(None, [note, tally.note(subtasks)])),
        {**counts, **tally.to_plain(subtasks), "coverage": account.coverage.shares()},
    )


def summarise(store: Store, seconds: float, kept_before: int = 0) -> dict[str, Any]:
    """The account of a finished store; `kept_per_hour` counts only what this run added."""
    records = store.scene_records()
    attempts = sum(len(record["attempts"]) for record in records)
    kept = kept_scenes(store)
    first = sum(record["attempts"][0] == "success" for record in records)
    lengths = store.episode_lengths()
    coverage = Coverage(get_task(store.plan["task"]))
    coverage.add(records)
    return {
        "attempts": attempts,
        "kept": kept,
        "scenes": len(records),
        "generation_rate": kept / len(records) if records else 0.0,
        "first_try_rate": first / len(records) if records else 0.0,
        "seconds": seconds,
        "kept_per_hour": 3600.0 * max(0, kept - kept_before) / seconds,
        "mean_duration": float(lengths.mean()) / CONTROL_RATE if len(lengths) else 0.0,
        "outcomes": dict(Counter(record["outcome"] for record in records)),
        "latched": sum(entry["latched"] for record in records for entry in record.get("tries", ())),
        "quarantined": [{"scene": scene, "reason": reason} for scene, (_, reason) in store.quarantined().items()],
        "coverage": coverage.to_plain(),
        "store": str(store.path),
    }


def kept_scenes(store: Store) -> int:
    """How many scenes gave an episode, in however many looks."""
    return len(np.unique(store.index().scene))


def log_path(out: str | Path) -> Path:
    """Where a run's progress is logged: beside the store, so that the store holds nothing about when it was made."""
    path = Path(out)
    return path.with_name(path.name + ".log.jsonl")


def process_age() -> float:
    """Seconds since this process started."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return time.perf_counter() - _IMPORTED
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


_IMPORTED = time.perf_counter()
