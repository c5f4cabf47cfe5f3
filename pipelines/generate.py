"""`handful generate`: the plan of a data set, its chunks handed to an executor, and the account of what came of them.

A chunk is the unit of work, of retry and of storage: whichever process makes it commits it itself, and only a few
numbers travel back. What a chunk holds follows from the plan and its index alone, so the finished store is the same at
any number of workers, however often the job was stopped.
"""

import json
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import starmap
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import PIL

from generators.augment import Engine, Options
from generators.coverage import Coverage
from generators.demos import load_demos
from generators.options import PLAIN, PlanOptions
from generators.pilot import Pilot, pilot_of
from handful import InputError, JobError, __version__, unknown_name
from pipelines.configuration import project_commit, resolve, to_plain
from pipelines.doctor import cores
from pipelines.executors import check_workers, run_tasks
from pipelines.faults import Failure, Limits, Queue
from pipelines.forecast import forecast
from pipelines.pilot import begun_at, flown, fly
from pipelines.progress import Progress, Reporter
from pipelines.quarantine import Narrowed, Quarantine, Step, Task, lacking, record_of
from pipelines.tally import Tally
from scenes.domains import Domain, get_domain
from scenes.randomization import get_axis
from scenes.task import get_task, split_task
from scenes.twins import require_open
from scenes.views import check_names
from scenes.workspace import build_workspace
from sim.cameras import open_renderer
from trajectories import Store, open_dataset
from trajectories.jpeg import parse_quality
from trajectories.manifest import QUARANTINED
from trajectories.views import content_digest

BUNDLED = Path(__file__).resolve().parent.parent / "demos"
CONTROL_RATE = 20.0
# The robot unless another is asked for; a plan names others only.
PANDA = "panda"
ALGORITHMS = {"handful": PlanOptions(), "plain": PLAIN}
# With --count: scenes tried per episode wanted before the run is called hopeless.
_WORST = 20
# A chunk that takes longer than this hangs, unless the others take as long [s].
_PATIENCE = 300.0
# A worker is replaced by a fresh one after so many chunks, or where it has grown by so much [bytes].
_CHUNKS_PER_WORKER = 256
_GROWTH = 2**30
# So many chunks on end without a scene that could be made, and it is not the scenes.
_BARREN = 3
_LOSSLESS = "lossless"


@dataclass(frozen=True)
class GenerationConfig:
    """What shapes a data set besides its task, demos and seed."""

    # How segments are chosen, moved, joined and noised; how kept episodes are rendered.
    engine: Options = field(default_factory=Options)
    # Scenes per chunk: the unit of work, of retry and of storage.
    chunk: int = 32
    # What scenes are drawn from.
    domain: str = "sim"
    # Axes that are drawn otherwise than the domain says: axis -> a value, [low, high], or e.g. {choice: [a, b]}.
    randomization: dict[str, Any] = field(default_factory=dict, hash=False)
    # How images are stored: "lossless", or "jpeg:Q" with a quality Q of 50 to 100.
    image_codec: str = _LOSSLESS

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise InputError(f"chunk must be at least 1 scene, got {self.chunk}")
        require_open(self.domain, "generation")
        for axis in self.scenes_from().randomization.differences(get_domain(self.domain).randomization):
            if get_axis(axis).group == "sensor":
                raise InputError(
                    f"randomization.{axis} is what a camera does to a frame; frames are stored without it, so that "
                    "whoever reads them can add it"
                )
        if self.image_codec != _LOSSLESS:
            parse_quality(self.image_codec)

    def scenes_from(self) -> Domain:
        """What scenes are drawn from: the domain, with the axes that are drawn otherwise."""
        return get_domain(self.domain, self.randomization)


@dataclass(frozen=True)
class ChunkJob:
    """Everything a worker needs to make one chunk."""

    index: int
    scenes: range
    task: str
    demos: str
    seed: int
    config: GenerationConfig
    store: str
    plan: str  # canonical text of the plan; a worker reads it back
    embodiment: str = PANDA
    # How it is made where it could not be made whole.
    narrowed: Narrowed | None = None
    # The plan's pilot.
    pilot: Pilot | None = None


def make_chunk(job: ChunkJob) -> dict[str, Any]:
    """Generate one chunk and commit it; returns only its account."""
    engine = _engine(job.task, job.demos, job.seed, job.config, job.embodiment, job.pilot)
    narrowed = job.narrowed or Narrowed(())
    batches = [[scene] for scene in narrowed.scenes] if job.narrowed else [list(job.scenes)]
    results = [engine.simulate(batch) for batch in batches]
    records = [record for result in results for record in result.scenes]
    records = sorted([*records, *starmap(record_of, narrowed.lost)], key=lambda record: record["scene"])
    episodes = [episode for result in results for episode in result.episodes]
    dumps = {f"scene_{scene}": arrays for result in results for scene, arrays in result.dumps.items()}
    with ExitStack() as stack:
        if narrowed.kept:
            store = _store(job.store, job.plan)
        else:
            # Drawn and written as well: that may be what fails.
            aside = stack.enter_context(tempfile.TemporaryDirectory(prefix="handful-"))
            store = Store.create(Path(aside) / "store", json.loads(job.plan))
        if narrowed.again:
            store.retract(job.index)
        store.commit(job.index, stack.enter_context(engine.drawn(episodes)), records, dumps)
    return {"scenes": records}


def make_records(job: ChunkJob) -> list[dict[str, Any]]:
    """Generate scenes for the records of them alone."""
    engine = _engine(job.task, job.demos, job.seed, job.config, job.embodiment)
    return engine.simulate(list(job.scenes)).scenes


@lru_cache(maxsize=2)
def _engine(
    task: str, demos: str, seed: int, config: GenerationConfig, embodiment: str = PANDA, pilot: Pilot | None = None
) -> Engine:
    workspace = build_workspace(task, embodiment, config.engine.physics_step)
    seeds = load_demos(demos, workspace.task, CONTROL_RATE)
    return Engine(workspace, seeds, config.scenes_from(), seed, config.engine, pilot)


@lru_cache(maxsize=1)
def _store(path: str, plan: str) -> Store:
    """The store that a process commits to. It is kept: it knows parts of others that it has looked at."""
    return Store.create(path, json.loads(plan))


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
    engine = _engine(task, str(demos), seed, config, embodiment)
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
    account = _Account(store, count)
    tally = account.tally
    subtasks = [subtask.name for subtask in engine.task.subtasks]
    progress.log = log_path(out)
    resumed = len(done_before) * config.chunk if scenes is not None else started_with
    with progress(f"generate {task}", scenes if scenes is not None else count, resumed) as bar:
        for said in _commit(jobs, account, done_before, workers, address, bounds):
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
    if config.image_codec != _LOSSLESS and not cameras:
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


def make_plan(
    task: str, demos: Path, seed: int, algorithm: str, config: GenerationConfig, scenes: int | None, engine: Engine
) -> dict[str, Any]:
    """Everything that decides a data set's content. How many episodes of it are wanted (--count) is no part of it."""
    versions = {"handful": __version__, "mujoco": mujoco.__version__}
    robot = engine.workspace.embodiment.name
    images = {}
    if config.image_codec != _LOSSLESS:
        # Another JPEG library may give other bytes.
        images, versions["pillow"] = {"image_codec": config.image_codec}, PIL.__version__
    return {
        "kind": "generation",
        "task": task,
        **({} if robot == PANDA else {"embodiment": robot}),
        "demos": digest_of_demos(demos),
        "seed": seed,
        "algorithm": algorithm,
        "scenes": scenes,
        "config": _deciding(to_plain(config)),
        "randomization": config.scenes_from().randomization.to_plain(),
        **images,
        "model": engine.workspace.model_hash,
        "versions": versions,
        "commit": project_commit(),
    }


def continued(plan: dict[str, Any], out: str | Path, progress: Reporter) -> dict[str, Any]:
    """The plan, under the commit at which the store at `out` was begun: a later commit may finish it, and says so."""
    if not (Path(out) / "plan.json").is_file():
        return plan
    begun = Store.open(out).plan.get("commit")
    if begun != plan["commit"]:
        progress.say(f"note: '{out}' was begun at commit {begun} and is continued at {plan['commit']}")
    return {**plan, "commit": begun}


def _deciding(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what decides no content, and without what the plan says for itself."""
    engine = {name: value for name, value in config["engine"].items() if name != "threads"}
    engine["plan"] = {name: value for name, value in engine["plan"].items() if name != "pilot"}
    said_elsewhere = ("image_codec", "randomization")
    return {**{name: value for name, value in config.items() if name not in said_elsewhere}, "engine": engine}


def digest_of_demos(path: Path) -> str:
    """SHA-256 of all that the demos are, of a store or a view."""
    return content_digest(open_dataset(path))


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


def _show(bar: Progress, account: "_Account", count: int | None, kept_before: int, subtasks: list[str]) -> None:
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


class _Account:
    """What is known of the run so far. With --count it also knows when to stop."""

    def __init__(self, store: Store, count: int | None) -> None:
        self.store, self.count = store, count
        self.tally = Tally()
        self.coverage = Coverage(get_task(store.plan["task"]))
        # Of finished chunks that follow the first without a gap: how many, and what they kept. Of others: what.
        self._next = self._in_order = 0
        self._ahead: dict[int, int] = {}

    def add(self, index: int, records: list[dict[str, Any]]) -> None:
        """Note a finished chunk."""
        self._count(records)
        self._ahead[index] = sum(record["outcome"] == "success" for record in records)
        while self._next in self._ahead:
            self._in_order += self._ahead.pop(self._next)
            self._next += 1

    def add_again(self, index: int, before: list[dict[str, Any]], records: list[dict[str, Any]]) -> None:
        """Note a chunk that was made again with more of its scenes."""
        self._count(before, -1)
        self._count(records)
        more = sum(
            (r["outcome"] == "success") - (b["outcome"] == "success") for b, r in zip(before, records, strict=True)
        )
        if index < self._next:
            self._in_order += more
        else:
            self._ahead[index] += more

    def _count(self, records: list[dict[str, Any]], sign: int = 1) -> None:
        self.tally.add(records, sign)
        self.coverage.add(records, sign)

    def enough(self) -> bool:
        """Whether `count` episodes are kept, in scene order."""
        return self.count is not None and self._in_order >= self.count


def _commit(
    jobs: list[ChunkJob], account: _Account, done: set[int], workers: int, address: str | None, limits: Limits
) -> Iterator[list[str]]:
    """Run the chunks that are missing until the plan or the count is fulfilled.

    Yields:
        After each, sentences about what went wrong.

    Raises:
        JobError: chunk after chunk cannot be made at all.
    """
    quarantine = Quarantine()
    by_index = {job.index: job for job in jobs}
    before = {index: account.store.part_records(index) for index in sorted(done.intersection(by_index))}
    queue: Queue = deque()
    for index, records in before.items():
        account.add(index, records)
    before = {index: records for index, records in before.items() if lacking(records)}
    if not account.store.has_deletions():
        for index, records in before.items():
            queue.extend(_jobs_of(quarantine.reopen(index, by_index[index].scenes, lacking(records)), by_index))
    if not account.enough():
        queue.extend((job.index, job) for job in jobs if job.index not in done)
    barren = 0
    with closing(run_tasks(make_chunk, queue, workers, address, limits, jobs[0].config.engine.threads)) as results:
        for key, result in results:
            failure = result if isinstance(result, Failure) else None
            said = []
            if isinstance(key, Step):
                tasks = quarantine.after(key, failure)
                if key.kind == "look" and failure is not None:
                    said = [f"scene {key.scene} is left out: {failure}"]
            elif failure is not None:
                tasks = quarantine.narrow(key, by_index[key].scenes)
                said = [f"chunk {key} is made scene by scene: {failure}"]
            else:
                tasks = []
            # What is known to be wrong goes first: a count is only reached in order.
            queue.extendleft(reversed(_jobs_of(tasks, by_index)))
            if failure is None and not (isinstance(key, Step) and key.kind == "look"):
                index = key.chunk if isinstance(key, Step) else key
                if index in before:
                    account.add_again(index, before[index], result["scenes"])
                else:
                    account.add(index, result["scenes"])
                barren = barren + 1 if len(lacking(result["scenes"])) == len(result["scenes"]) else 0
                if barren == _BARREN:
                    raise JobError(
                        f"the last {barren} chunks had no scene that could be made; the last of them: "
                        f"{result['scenes'][-1]['reason']}"
                    )
            yield said
            if account.enough():
                return


def _jobs_of(tasks: list[Task], by_index: dict[int, ChunkJob]) -> list[tuple[Any, ChunkJob]]:
    return [(step, replace(by_index[step.chunk], narrowed=narrowed)) for step, narrowed in tasks]


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
