"""Training and measuring the cells of a study: in parallel, over as many sittings as it takes, each run once.

DIR/study.json            the specification, its commit, what became of each cell
DIR/sources/              demos that the study made
DIR/cells/<digest>/       a run of training, named by all that decides it:
    real/ sim/            views: its demos
    training/             run folder of handful train
    evaluation/           a row for each rollout, as handful evaluate writes them
    result.json           written last; failed.json instead, with the reason, where it went wrong
"""

import json
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful import HandfulError, JobError
from pipelines.configuration import to_plain
from pipelines.executors import run_tasks
from pipelines.faults import Failure, Limits, Queue
from pipelines.locks import alone
from pipelines.progress import Reporter
from pipelines.rollouts import Evaluator, plain_conditions
from pipelines.runner import RolloutConfig
from pipelines.statistics import wilson_interval
from pipelines.studies.cells import CellPlan, flat, rollout_config
from pipelines.studies.measures import offline, probe
from pipelines.studies.sources import ROLES, Source
from pipelines.studies.spec import Evaluation, StudySpec
from policies.config import TrainConfig
from policies.policy import Policy
from policies.train import train
from scenes.domains import get_domain
from scenes.outcome import Outcome
from trajectories import open_dataset
from trajectories.canonical import write_whole
from trajectories.recipes import narrow
from trajectories.sources import Source as BlendSource

_RESULT, _FAILED = "result.json", "failed.json"
# A worker is replaced by a fresh one where it has grown by so much [bytes].
_GROWTH = 2**31


@dataclass(frozen=True)
class Demos:
    """Some episodes of a source."""

    role: str
    path: str
    episodes: tuple[int, ...]
    # Of the samples, [0, 1].
    share: float


@dataclass(frozen=True)
class CellJob:
    """Everything that a worker needs to train and measure a cell."""

    # The cells that it serves, as people read them.
    name: str
    folder: str
    digest: str
    demos: tuple[Demos, ...]
    config: TrainConfig
    task: str
    embodiment: str
    evaluation: Evaluation
    rollouts: RolloutConfig
    # Real demos that no cell learns from; and demos of both kinds that a probe tells apart.
    held_out: Demos | None = None
    probed: tuple[Demos, ...] = ()

    @property
    def measured_by(self) -> dict[str, Any]:
        """What decides the measurements of a trained policy; JSON types."""
        settings = {name: value for name, value in asdict(self).items() if name in ("task", "embodiment", "evaluation")}
        usual = to_plain(RolloutConfig())
        ours = {n: v for n, v in to_plain(self.rollouts).items() if n not in ("batch", "threads", "videos")}
        rollouts = {name: value for name, value in ours.items() if value != usual[name]}
        held_out = None if self.held_out is None else asdict(self.held_out)
        worlds = {name: get_domain(name).world for name in self.evaluation.domains}
        more = {"worlds": worlds, "rollouts": rollouts, "held_out": held_out}
        plain: dict[str, Any] = json.loads(json.dumps({**settings, **more}))
        return plain


def run_cells(
    spec: StudySpec,
    cells: Sequence[CellPlan],
    sources: dict[str, Source],
    folder: Path,
    workers: int,
    address: str | None,
    progress: Reporter,
) -> dict[str, dict[str, Any]]:
    """Train and measure what is missing.

    Returns:
        What is known of each run, by its digest: the record of its result, or {"failed": reason}.

    Raises:
        InputError: another process works on the study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, f"another process works on the study in '{folder}'; wait for it, or give another --out"):
        jobs = jobs_of(spec, cells, sources, folder)
        known = {digest: record for digest, job in jobs.items() if (record := finished(job)) is not None}
        queue: Queue = deque((digest, job) for digest, job in jobs.items() if digest not in known)
        failed = 0
        with (
            progress(f"study {spec.name}: runs", len(jobs), len(known)) as bar,
            closing(
                run_tasks(run_cell, queue, workers, address, Limits(growth=_GROWTH), spec.training.threads)
            ) as done,
        ):
            for digest, found in done:
                record = {"failed": str(found)} if isinstance(found, Failure) else found
                if "failed" in record:
                    failed += 1
                    _note(Path(jobs[digest].folder) / _FAILED, record)
                    bar.say(f"cell {jobs[digest].name} failed: {record['failed']}")
                known[digest] = record
                bar.update(len(known), note=f"{failed} failed" if failed else "")
    return known


def jobs_of(spec: StudySpec, cells: Sequence[CellPlan], sources: dict[str, Source], folder: Path) -> dict[str, CellJob]:
    """The runs of training that the cells come to, by digest, each once."""
    rollouts, jobs = rollout_config(spec.evaluation, spec.training), {}
    held_out = None
    if spec.evaluation.held_out:
        held_out = _demos(sources["real"], sources["real"].held_out, 1.0)
    for cell in cells:
        if cell.digest in jobs:
            continue
        shares = (cell.share, 1 - cell.share)
        demos = tuple(
            _demos(sources[role], sources[role].subset(count), share)
            for role, count, share in zip(ROLES, cell.demos, shares, strict=True)
            if count
        )
        jobs[cell.digest] = CellJob(
            str(cell),
            str(folder / "cells" / cell.digest[:16]),
            cell.digest,
            demos,
            cell.config,
            spec.task,
            spec.embodiment,
            spec.evaluation,
            rollouts,
            held_out,
            tuple(_demos(sources[role], np.arange(len(sources[role].dataset)), 1.0) for role in ROLES),
        )
    return jobs


def _demos(source: Source, episodes: np.ndarray, share: float) -> Demos:
    return Demos(source.role, str(Path(source.dataset.path).resolve()), tuple(episodes.tolist()), share)


def finished(job: CellJob) -> dict[str, Any] | None:
    """The record of a run that is trained and measured as asked for, if it is there.

    Raises:
        JobError: it is damaged.
    """
    path = Path(job.folder) / _RESULT
    if not path.is_file():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        # Settings that were not there yet when it was trained are at their usual values, or its digest were another.
        trained_alike = all(record["config"].get(name, value) == value for name, value in flat(job.config).items())
        same = record["digest"] == job.digest and record["measured_by"] == job.measured_by and trained_alike
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"'{path}' is damaged ({error}); remove it, and the cell is measured again") from error
    return record if same else None


def run_cell(job: CellJob) -> dict[str, Any]:
    """Train and measure one cell, or what is missing of it; returns its record, or {"failed": reason}."""
    folder = Path(job.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        views = [BlendSource(str(_view(each, folder / each.role)), each.share) for each in job.demos]
        result = train(job.config, views, folder / "training")
        policy = Policy.load(folder / "training")
        trained = time.perf_counter()
        domains, notes = _rollouts(job, folder)
        rolled = time.perf_counter()
        record = {
            "cell": job.name,
            "digest": job.digest,
            "measured_by": job.measured_by,
            "config": flat(job.config),
            "checkpoint": policy.record["digests"],
            "steps": result.steps,
            # Of training over all sittings; of measuring, in this one.
            "seconds": {"training": result.seconds, "evaluation": rolled - trained, "all": time.perf_counter() - begun},
            "loss": result.loss,
            "domains": domains,
            "notes": notes,
            "offline": None if job.held_out is None else offline(policy, _view(job.held_out, folder / "held_out")),
            "probe": probe(policy, {d.role: (d.path, d.episodes) for d in job.probed}),
        }
    except HandfulError as error:
        return {"cell": job.name, "digest": job.digest, "failed": str(error)}
    _note(folder / _RESULT, record)
    (folder / _FAILED).unlink(missing_ok=True)
    return record


def _view(demos: Demos, out: Path) -> Path:
    if not (out / "plan.json").is_file():
        dataset = open_dataset(demos.path)
        narrow(dataset, np.array(demos.episodes, np.int64), out, {"operation": "study", "role": demos.role})
    return out.resolve()


def _rollouts(job: CellJob, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Successes by domain, scene by scene, and what weakens them."""
    wanted = job.evaluation
    if not wanted.domains:
        return {}, []
    conditions = plain_conditions(job.task, list(wanted.domains), job.embodiment)
    quiet = Reporter(quiet=True)
    evaluator = Evaluator(
        folder / "training", job.task, folder / "evaluation", wanted.seed, job.rollouts, quiet, job.embodiment
    )
    evaluator.warn([condition.domain for condition in conditions], wanted.episodes)
    found: dict[str, Any] = {}
    with evaluator:
        for condition in conditions:
            for count in _looks(wanted, job.rollouts.batch):
                rows = evaluator.extend(condition, count)
                successes = [row["outcome"] == Outcome.SUCCESS.label for row in rows]
                if _precise(wanted, successes):
                    break
            found[condition.name] = {
                "scenes": [row["scene"] for row in rows],
                "successes": [int(success) for success in successes],
                "stages": [row["stage"] for row in rows],
            }
        evaluator.finish(conditions, wanted.episodes)
    return found, evaluator.notes


def _looks(evaluation: Evaluation, batch: int) -> list[int]:
    """Numbers of episodes after which an evaluation may stop; the last is all of them."""
    if evaluation.stopping.half_width is None:
        return [evaluation.episodes]
    # Looks do not depend on the batch that fits this machine.
    step = max(1, evaluation.stopping.at_least)
    return [*range(step, evaluation.episodes, step), evaluation.episodes]


def _precise(evaluation: Evaluation, successes: Sequence[bool]) -> bool:
    if evaluation.stopping.half_width is None:
        return False
    low, high = wilson_interval(sum(successes), len(successes))
    return (high - low) / 2 <= evaluation.stopping.half_width


def _note(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(record, indent=1) + "\n").encode())
