"""Episodes made again from where they came from: the plan in the store, the demos it names, the scene's own streams.

This is what provenance is worth: `handful inspect --regenerate` simulates stored episodes anew and holds every number
and every pixel against what is stored.
"""

import json
import tempfile
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generators.rendering import Drawing, drawn_when_read, without_frames
from handful import InputError, JobError
from pipelines.configuration import build
from pipelines.executors import run_tasks
from pipelines.faults import Failure, Queue
from pipelines.progress import Reporter
from pipelines.provenance import engine_of, find_demos, line_of, naming
from pipelines.rerender import KIND as RENDERING
from pipelines.rerender import as_planned, looks_of
from scenes.workspace import workspace_of
from sim.cameras import open_renderer
from trajectories import Episode, EpisodeMeta, Store, open_dataset
from trajectories.dataset import Dataset
from trajectories.views import View

# Scenes that are simulated together.
_TOGETHER = 16
_FRAMES = ("images/", "depth/", "segmentation/")


@dataclass(frozen=True)
class Regeneration:
    """What came of making episodes again.

    Attributes:
        episodes: how many were made again.
        images: what was done about images: "compared", "none", or why they could not be.
        different: episode -> what of it came out differently: keys, "metadata: <field>" or "record".
    """

    episodes: int
    images: str
    different: dict[int, list[str]]

    @property
    def equal(self) -> int:
        """How many came out the same to the bit."""
        return self.episodes - len(self.different)

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        different = [{"episode": number, "differs": what} for number, what in sorted(self.different.items())]
        return {"episodes": self.episodes, "equal": self.equal, "images": self.images, "different": different}


@dataclass(frozen=True)
class _Job:
    """Some episodes that came to be in the same way."""

    source: str
    episodes: tuple[int, ...]
    # The plans from that of the store to that which began it, as JSON.
    line: str
    demos: str
    images: bool


def regenerate(
    dataset: Dataset, count: int, seed: int, demos: Path | None, workers: int, progress: Reporter
) -> Regeneration:
    """Make some episodes of a data set again, and compare.

    Args:
        dataset: a store or a view of what `handful generate` made, as it is or drawn again or compacted.
        count: how many episodes, spread evenly over the data set; all, if it has no more.
        seed: which: one of each so many.
        demos: the seed demos; None: the task's bundled ones.
        workers: processes; 0 works in this one.
        progress: where progress is shown.

    Raises:
        InputError: an episode was not generated, or plan, model, versions or demos are not what there is here.
    """
    if count < 1:
        raise InputError(f"the number of episodes to make again must be at least 1, got {count}")
    if not len(dataset):
        raise InputError(f"'{dataset.path}' holds no episodes")
    chosen = spread(len(dataset), count, seed)
    lines: dict[str, list[int]] = defaultdict(list)
    for number in chosen:
        lines[json.dumps(line_of(dataset, number))].append(number)
    images = _about_images(dataset, chosen)
    queue: Queue = deque()
    for text, numbers in lines.items():
        with naming(dataset):
            found = find_demos(json.loads(text)[-1], demos)
            engine_of(json.loads(text)[-1], found)
        for first in range(0, len(numbers), _TOGETHER):
            some = tuple(numbers[first : first + _TOGETHER])
            queue.append((some, _Job(str(dataset.path), some, text, str(found), images == "compared")))
    different: dict[int, list[str]] = {}
    done = 0
    with (
        progress("make again", len(chosen)) as bar,
        closing(run_tasks(compare_episodes, queue, workers)) as results,
    ):
        for numbers, found_different in results:
            if isinstance(found_different, Failure):
                raise JobError(f"episodes {numbers} of '{dataset.path}' cannot be made again: {found_different}")
            different |= found_different
            done += len(numbers)
            bar.update(done)
    return Regeneration(len(chosen), images, different)


def spread(total: int, count: int, seed: int) -> list[int]:
    """Numbers below `total`, in order: one drawn from each of `count` stretches of equal length."""
    count = min(total, count)
    ends = np.linspace(0, total, count + 1).round().astype(int)
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(ends[:-1], ends[1:])
    return [int(number) for number in drawn]


def compare_episodes(job: _Job) -> dict[int, list[str]]:
    """Make episodes again; returns of those that differ what does."""
    dataset, line = open_dataset(job.source), tuple(json.loads(job.line))
    metas = {number: dataset.meta(number) for number in job.episodes}
    drawings = [plan["drawing"] for plan in line if plan["kind"] == RENDERING]
    engine = engine_of(line[-1], Path(job.demos), draw=job.images and not drawings)
    result = engine.make(sorted({meta.scene for meta in metas.values()}))
    records = {record["scene"]: json.loads(json.dumps(record)) for record in result.scenes}
    different = {}
    with ExitStack() as stack:
        drawing = build(Drawing, drawings[0]) if drawings and job.images else None
        renderer = stack.enter_context(drawing.open(engine.workspace)) if drawing else None
        for number, meta in metas.items():
            made = [episode for episode in result.episodes if episode.meta.scene == meta.scene]
            again = _in_look(made, meta.look) if made else None
            for i, plan in reversed(list(enumerate(line))):
                if again is not None and plan["kind"] == RENDERING:
                    bare = without_frames(again)
                    looks = looks_of(plan, [line[i:]], again.meta).of(engine.workspace, bare)
                    again = _in_look(list(looks), meta.look)
            if again is not None and drawing is not None and renderer is not None:
                # The line's first rendering is the last that was done.
                shown = next(plan for plan in line if plan["kind"] == RENDERING)
                again = as_planned(shown, drawn_when_read(engine.workspace, again, renderer, drawing))
            differs = ["outcome"] if again is None else _differences(dataset, number, again, job.images)
            differs += ["record"] if _record_of(dataset, number) != records[meta.scene] else []
            if differs:
                different[number] = differs
    return different


def _about_images(dataset: Dataset, chosen: Sequence[int]) -> str:
    """Whether images can be compared: "compared", "none" where there are none, or why not."""
    if not any(key.startswith(_FRAMES) for key in dataset.keys()):  # noqa: SIM118
        return "none"
    drawn_by = sorted({str(dataset.meta(number).gl_renderer) for number in chosen})
    try:
        with open_renderer(workspace_of(dataset.meta(chosen[0])).model, 16, 16) as renderer:
            here = renderer.gl_renderer
    except JobError as error:
        return f"not compared: {error}"
    if drawn_by != [here]:
        return f"not compared: drawn by {', '.join(drawn_by)}, and here is {here}"
    return "compared"


def _in_look(episodes: Sequence[Episode], look: int) -> Episode:
    """The episode in the look asked for, or in its own where that comes about later."""
    return next((episode for episode in episodes if episode.meta.look == look), episodes[0])


def _differences(dataset: Dataset, number: int, again: Episode, images: bool) -> list[str]:
    """What of a stored episode is not as it was made again, with images as the store's codec gives them back."""
    store = dataset.whereabouts(number)[0] if isinstance(dataset, View) else dataset
    encoding: dict[str, Any] = {
        name: store.plan[name] for name in ("image_codec", "compression_level") if name in store.plan
    }
    with tempfile.TemporaryDirectory(prefix="handful_") as folder:
        fresh = Store.create(Path(folder) / "again.zarr", {"kind": "comparison", **encoding})
        fresh.commit(0, [again], [])
        skipped = () if images else _FRAMES
        stored, made = ({k for k in d.keys() if not k.startswith(skipped)} for d in (dataset, fresh))  # noqa: SIM118
        different = sorted(stored ^ made)
        for key in sorted(stored & made):
            one, other = dataset.read(number, key), fresh.read(0, key)
            if one.dtype != other.dtype or one.shape != other.shape or one.tobytes() != other.tobytes():
                different.append(key)
        before, after = (_comparable(d.meta(i), images) for d, i in ((dataset, number), (fresh, 0)))
    return different + [f"metadata: {name}" for name in before if before[name] != after[name]]


def _comparable(meta: EpisodeMeta, images: bool) -> dict[str, Any]:
    """Metadata as JSON, without what only drawing decides where nothing is drawn."""
    record: dict[str, Any] = json.loads(json.dumps(meta.to_json()))
    if not images:
        del record["gl_renderer"], record["cameras"]
        record["extra"].pop("instances", None)
    return record


def _record_of(dataset: Dataset, number: int) -> dict[str, Any]:
    """The record of the scene of a stored episode."""
    store, number = dataset.whereabouts(number) if isinstance(dataset, View) else (dataset, number)
    assert isinstance(store, Store)  # a data set is a store or a view of some
    index = store.index()
    scene = int(index.scene[number])
    return next(record for record in store.part_records(int(index.part[number])) if record["scene"] == scene)
