"""`handful render`: a finished data set drawn again from its states, by other cameras or in other looks.

What happened stays to the bit; images are drawn as `handful generate` would have drawn them. The new store's plan holds
the plans of those that it was drawn from, so that each of its episodes can still be made again from the start.
"""

import json
import time
from collections import deque
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import PIL

from generators.looks import LOOK_AXES, Looks
from generators.posing import as_recorded, posed
from generators.rendering import Drawing, drawn_when_read, model_of
from handful import InputError, JobError, __version__
from pipelines.camera_errors import camera_errors_of, with_camera_errors
from pipelines.configuration import build, project_commit, to_plain
from pipelines.executors import check_workers, run_tasks
from pipelines.faults import Failure, Queue
from pipelines.generate import log_path
from pipelines.generation_plan import continued
from pipelines.progress import Reporter
from scenes.domains import get_domain
from scenes.randomization import Randomization, get_axis
from scenes.twins import require_open
from scenes.views import check_names
from scenes.workspace import workspace_of
from sim.cameras import Renderer
from trajectories import Episode, EpisodeMeta, Store, open_dataset
from trajectories.ancestry import Plan, lineages
from trajectories.camera_errors import ERRORS
from trajectories.compaction import new_parts, whole_parts
from trajectories.dataset import Dataset
from trajectories.jpeg import parse_quality
from trajectories.selection import same_folder
from trajectories.views import check_free, pieces, source_records

_LOSSLESS = "lossless"
KIND = "rendering"


@dataclass(frozen=True)
class RenderConfig:
    """How a data set is drawn again, besides cameras, resolution and the number of looks."""

    # Beside the images of each camera: how far away everything is, and what it is.
    depth: bool = False
    segmentation: bool = False
    # Images as the cameras of each episode's own domain give them, with noise, blur and exposure, instead of clean.
    camera_errors: bool = False
    # Demos without states, such as imported ones: the task's scene, posed at each step by recorded joint angles and
    # object poses.
    posed: bool = False
    # Draw looks from this domain instead of the one that the scenes were drawn from.
    domain: str | None = None
    # Axes of looks that are drawn otherwise: axis -> a value, [low, high], or e.g. {choice: [a, b]}.
    randomization: dict[str, Any] = field(default_factory=dict, hash=False)
    # How images are stored: "lossless", or "jpeg:Q" with a quality Q of 50 to 100.
    image_codec: str = _LOSSLESS
    # Episodes of the new store per part: the unit of work, of retry and of storage.
    chunk: int = 32

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise InputError(f"chunk must be at least 1 episode, got {self.chunk}")
        for axis in self.randomization:
            group = get_axis(axis).group
            if axis not in LOOK_AXES:
                why = "changes what happens" if group == "physics" else "is what a camera does to a frame afterwards"
                raise InputError(
                    f"randomization.{axis} {why}; drawn again are only axes of appearance, light and camera"
                )
        Randomization(self.randomization)
        if self.domain is not None:
            require_open(self.domain, "new looks for training data")
            get_domain(self.domain)
        if self.image_codec != _LOSSLESS:
            parse_quality(self.image_codec)


@dataclass(frozen=True)
class RenderJob:
    """Everything a worker needs to draw one part."""

    index: int
    source: str
    # Numbers of the episodes in the source.
    episodes: tuple[int, ...]
    # Records of the scenes tried, as JSON, which takes a tenth of the memory.
    scenes: str
    store: str
    plan: str  # canonical text of the plan; a worker reads it back


def run(
    source: str | Path,
    out: str | Path,
    cameras: tuple[str, ...],
    resolution: int,
    appearances: int,
    workers: int,
    address: str | None,
    config: RenderConfig,
    progress: Reporter,
) -> dict[str, Any]:
    """Draw a data set again, or what is still missing of it.

    Args:
        source: a finished store, or a view, whose episodes have states.
        out: store to make, or to resume if the same plan made it.
        cameras: cameras to draw.
        resolution: side of the square images [pixels].
        appearances: looks of each episode; the first is its own.
        workers: processes; 0 works in this one.
        address: Ray cluster to run on.
        config: how else.
        progress: where progress is shown.

    Returns:
        episodes, frames, seconds, store.

    Raises:
        InputError: anything asked for that cannot be; before work starts.
        JobError: a worker that keeps dying, a full disk.
    """
    started = time.perf_counter()
    check_workers(workers, address)
    if not cameras:
        raise InputError("there is no camera to draw; give --cameras, as in --cameras front,wrist")
    dataset = open_dataset(source)
    stores, selection = pieces(dataset)
    _check_source(dataset, Path(out), [store.path for store in stores], config.posed)
    drawing = Drawing(cameras, resolution, config.depth, config.segmentation)
    images = {} if config.image_codec == _LOSSLESS else {"image_codec": config.image_codec}
    plan = {
        "kind": KIND,
        "sources": source_records(stores, [whole_parts(dataset, i, selection) for i in range(len(stores))]),
        "plans": [store.plan for store in stores],
        "selection": selection.digest,
        "drawing": to_plain(drawing),
        "looks": {
            "appearances": appearances,
            "domain": config.domain,
            "randomization": to_plain(config)["randomization"],
        },
        "episodes_per_part": config.chunk,
        **({"camera_errors": True} if config.camera_errors else {}),
        **({"posed": True} if config.posed else {}),
        **images,
        "versions": {
            "handful": __version__,
            "mujoco": mujoco.__version__,
            **({"pillow": PIL.__version__} if images else {}),
        },
        "commit": project_commit(),
    }
    _check_episodes(dataset, drawing, plan)
    store = Store.create(out, continued(plan, out, progress))
    text, done = json.dumps(store.plan, sort_keys=True), set(store.committed())
    cut = new_parts(dataset, stores, selection, max(1, config.chunk // appearances))
    queue: Queue = deque(
        (
            number,
            RenderJob(number, str(dataset.path), tuple(part.episodes), json.dumps(part.scenes), str(store.path), text),
        )
        for number, part in enumerate(cut)
        if number not in done
    )
    drawn = len(dataset) - sum(len(job.episodes) for _, job in queue)
    progress.log = log_path(out)
    with (
        progress("render", len(dataset), drawn) as bar,
        closing(run_tasks(draw_part, queue, workers, address)) as results,
    ):
        for number, count in results:
            if isinstance(count, Failure):
                raise JobError(f"part {number} of '{out}' cannot be drawn: {count}")
            drawn += count
            bar.update(drawn)
    store.refresh()
    if store.sealed_episodes is None:
        store.seal(None)
    return {
        "episodes": len(store),
        "frames": store.frames,
        "seconds": time.perf_counter() - started,
        "store": str(store.path),
    }


def draw_part(job: RenderJob) -> int:
    """Draw one part and commit it; returns how many episodes of the source it holds."""
    plan = json.loads(job.plan)
    dataset, drawing = open_dataset(job.source), build(Drawing, plan["drawing"])
    drawn: list[Episode] = []
    with ExitStack() as stack:
        renderers: dict[int, Renderer] = {}
        for number in job.episodes:
            episode = dataset.episode(number, _kept_keys(dataset))
            workspace = workspace_of(episode.meta)
            if id(workspace) not in renderers:
                renderers[id(workspace)] = stack.enter_context(drawing.open(workspace))
            looks = looks_of(plan, lineages(dataset, number), episode.meta)
            if plan.get("posed"):
                episode = posed(workspace, episode)
            drawn += [
                as_planned(plan, drawn_when_read(workspace, seen, renderers[id(workspace)], drawing))
                for seen in looks.of(workspace, episode)
            ]
        Store.create(job.store, plan).commit(job.index, drawn, json.loads(job.scenes))
    return len(job.episodes)


def as_planned(plan: Plan, episode: Episode) -> Episode:
    """A clean drawing of an episode as the plan of a rendering stores it: with its cameras' errors, or without."""
    clean = {name: value for name, value in episode.meta.extra.items() if name != ERRORS}
    episode = Episode(episode.arrays, replace(episode.meta, extra=clean))
    if plan.get("posed"):
        episode = as_recorded(episode)
    return with_camera_errors(episode, plan["drawing"]["cameras"]) if plan.get(ERRORS) else episode


def looks_of(plan: Plan, lines: list[tuple[Plan, ...]], meta: EpisodeMeta) -> Looks:
    """The looks that the plan of a rendering gives an episode.

    Args:
        plan: the plan of the rendering.
        lines: how the episode may have come to be, see `trajectories.ancestry`.
        meta: the episode's metadata, before it is drawn again.

    Raises:
        InputError: further looks are asked for and the domain of its scenes is none of ours.
    """
    wanted = plan["looks"]
    changes = wanted["randomization"]
    if wanted["domain"] is not None:
        return Looks(wanted["appearances"], get_domain(wanted["domain"], changes).randomization, frozenset(LOOK_AXES))
    if wanted["appearances"] == 1:
        return Looks(1, Randomization(changes), frozenset(changes))
    # A generated store says itself what it was drawn from.
    said = [line[-1]["randomization"] for line in lines if "randomization" in line[-1]]
    drawn_from = (
        Randomization(said[0]) if said else get_domain("none" if plan.get("posed") else meta.domain).randomization
    )
    return Looks(wanted["appearances"], drawn_from.with_(changes), frozenset(changes))


def _kept_keys(dataset: Dataset) -> list[str]:
    keys = dataset.keys()
    return [key for key in keys if not key.startswith(("images/", "depth/", "segmentation/"))]


def _check_source(dataset: Dataset, out: Path, stores: list[Path], by_poses: bool) -> None:
    path = dataset.path
    if not len(dataset):
        raise InputError(f"'{path}' holds no episodes")
    if dataset.sealed_episodes is None:
        raise InputError(
            f"'{path}' is unfinished, so what it will hold is not settled; finish it, or take what a recording holds "
            f'now: handful data filter {path} --where "length > 0" --out VIEW'
        )
    keys = dataset.keys()
    needed = {"states": "state" in keys, "values of the scenes' models": any(_model_keys(dataset))}
    missing = [what for what, there in needed.items() if not there]
    if by_poses and not missing:
        raise InputError(f"'{path}' has states, which show what happened to the bit; leave out posed=true")
    if missing and not by_poses:
        raise InputError(
            f"'{path}' has no {' and no '.join(missing)}, so it cannot be drawn again; what handful generate and "
            "handful record make has them, imported data mostly not; posed=true draws the task's own scene, posed by "
            "recorded joint angles and object poses"
        )
    for taken in (path, *stores):
        if same_folder(out, taken):
            raise InputError(f"'{out}' is what is to be drawn again; give another --out")
    if not (out / "zarr.json").exists() and not (out / "plan.json").exists():
        check_free(out)


def _check_episodes(dataset: Dataset, drawing: Drawing, plan: Plan) -> None:
    """Refuse what cannot be drawn, by the first episode of every part: a part is made by one plan, with one model."""
    _, firsts = np.unique(dataset.index().part, return_index=True)
    checked: set[int] = set()
    for number in firsts.tolist():
        meta, lines = dataset.meta(number), lineages(dataset, number)
        workspace = workspace_of(meta)
        if plan.get("posed"):
            posed(workspace, dataset.episode(number, _kept_keys(dataset)))
        else:
            model_of(workspace, dataset.episode(number, ["subtask", *_model_keys(dataset)]))
        looks = looks_of(plan, lines, meta)
        if plan.get(ERRORS):
            if looks.count > 1:
                raise InputError("camera_errors=true is for an episode as it was seen; leave --appearances out")
            camera_errors_of(replace(meta, extra={}))
        if looks.count > 1:
            _check_looks(dataset, looks, lines)
        if id(workspace) not in checked:
            checked.add(id(workspace))
            check_names(workspace, drawing.cameras)
            with drawing.open(workspace):
                pass


def _check_looks(dataset: Dataset, looks: Looks, lines: list[tuple[Plan, ...]]) -> None:
    if any(_appearances(plan) > 1 for line in lines for plan in line):
        raise InputError(
            f"'{dataset.path}' shows its scenes in several looks already; give --appearances to the data set that "
            "these were drawn from"
        )
    if not any(looks.randomization[axis].varies for axis in LOOK_AXES):
        raise InputError(
            f"nothing that is seen varies in the domain of '{dataset.path}', so all looks would be alike; say what to "
            "draw them from, as in domain=sim or randomization.table_hue=[0,1]"
        )


def _appearances(plan: Plan) -> int:
    """How many looks a plan gives each episode."""
    if plan.get("kind") == KIND:
        return int(plan["looks"]["appearances"])
    return int(plan.get("config", {}).get("engine", {}).get("appearances", 1))


def _model_keys(dataset: Dataset) -> list[str]:
    keys = dataset.keys()
    return [key for key in keys if key.startswith("model/")]
