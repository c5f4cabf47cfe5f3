"""The pilot of a generation: made before its plan is fixed, and part of it from then on."""

import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from generators.augment import Engine
from generators.library import Library
from generators.pilot import FIRST_SCENE, Pilot
from handful import JobError
from pipelines.chunks import ChunkJob
from pipelines.executors import run_tasks
from pipelines.faults import Failure, Limits, Queue
from pipelines.progress import Reporter
from trajectories import Store
from trajectories.layout import refuse_strangers


def fly(
    make: Callable[[ChunkJob], Any],
    job: ChunkJob,
    engine: Engine,
    workers: int,
    address: str | None,
    limits: Limits,
    progress: Reporter,
) -> Pilot:
    """Make the pilot's scenes, store nothing, and count how each demo served.

    Args:
        make: makes scenes, and returns their records.
        job: a chunk of the plan to be.
        engine: without a pilot.
        workers, address, limits: where it is made, as for the chunks.
        progress: where progress is shown, and what the pilot found is said.

    Raises:
        JobError: some of its scenes cannot be made.
    """
    count, chunk = job.config.engine.plan.pilot, job.config.chunk
    queue: Queue = deque()
    for first in range(0, count, chunk):
        span = range(FIRST_SCENE + first, FIRST_SCENE + min(count, first + chunk))
        queue.append((first, replace(job, scenes=span)))
    records: list[dict[str, Any]] = []
    with (
        progress("pilot", count) as bar,
        closing(run_tasks(make, queue, workers, address, limits, job.config.engine.threads)) as results,
    ):
        for _, found in results:
            if isinstance(found, Failure):
                raise JobError(f"the pilot cannot be made: {found}; engine.plan.pilot=0 does without one")
            records += found
            bar.update(len(records))
    pilot = Pilot.of(records, len(engine.task.subtasks), len(engine.demos))
    for sentence in findings(pilot, engine):
        progress.say(sentence)
    return pilot


def findings(pilot: Pilot, engine: Engine) -> Sequence[str]:
    """What becomes of demos that served badly, in sentences."""
    library = Library(engine.cut, engine.task, engine.robot.chain, pilot)
    return [
        f"pilot: demo {demo} is {'left out' if dropped else 'put last'} at '{engine.task.subtasks[k].name}', which was "
        f"done {pilot.done[k][demo]} of {pilot.served[k][demo]} times"
        for k, demo, dropped in library.judged()
    ]


def flown(plan: dict[str, Any], out: str | Path, scenes: int) -> dict[str, Any] | None:
    """The pilot of the store at `out`, where it was begun by this very plan; else None.

    Args:
        plan: without its pilot.
        out: where a store may be.
        scenes: of the pilot.
    """
    if not begun_at(out):
        return None
    begun = dict(Store.open(out).plan)
    pilot = begun.pop("pilot", None)
    same = {**begun, "commit": None} == json.loads(json.dumps({**plan, "commit": None}))
    return pilot if same and pilot is not None and pilot["scenes"] == scenes else None


def begun_at(out: str | Path) -> bool:
    """Whether there is a store to be resumed.

    Raises:
        InputError: something else is there.
    """
    refuse_strangers(Path(out))
    return (Path(out) / "zarr.json").is_file()
