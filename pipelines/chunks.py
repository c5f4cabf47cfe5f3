"""A chunk of a data set: what a worker is told to make one, and how it makes it.

Workers import this module alone, so it leaves out all that only the run itself needs.
"""

import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import starmap
from pathlib import Path
from typing import Any

from generators.augment import Engine, Options
from generators.demos import load_demos
from generators.pilot import Pilot
from handful import InputError
from pipelines.quarantine import Narrowed, record_of
from scenes.domains import Domain, get_domain
from scenes.randomization import get_axis
from scenes.twins import require_open
from scenes.workspace import build_workspace
from trajectories import Store
from trajectories.jpeg import parse_quality

CONTROL_RATE = 20.0
# The robot unless another is asked for; a plan names others only.
PANDA = "panda"
LOSSLESS = "lossless"


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
    image_codec: str = LOSSLESS

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
        if self.image_codec != LOSSLESS:
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
    engine = engine_of(job.task, job.demos, job.seed, job.config, job.embodiment, job.pilot)
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
    engine = engine_of(job.task, job.demos, job.seed, job.config, job.embodiment)
    return engine.simulate(list(job.scenes)).scenes


@lru_cache(maxsize=2)
def engine_of(
    task: str, demos: str, seed: int, config: GenerationConfig, embodiment: str = PANDA, pilot: Pilot | None = None
) -> Engine:
    """The engine that makes a plan's chunks; a process keeps it."""
    workspace = build_workspace(task, embodiment, config.engine.physics_step)
    seeds = load_demos(demos, workspace.task, CONTROL_RATE)
    return Engine(workspace, seeds, config.scenes_from(), seed, config.engine, pilot)


@lru_cache(maxsize=1)
def _store(path: str, plan: str) -> Store:
    """The store that a process commits to. It is kept: it knows parts of others that it has looked at."""
    return Store.create(path, json.loads(plan))
