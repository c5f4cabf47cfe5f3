"""The demos of a study: made where the specification says how, opened and checked where it names them.

Each source lies in a folder named by the digest of how it is made, so that a study whose specification grows takes up
what is there, and one that changes makes its own.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generators.posing import IMAGES, POSED
from handful import InputError
from pipelines import generate, record, rerender
from pipelines.configuration import to_plain
from pipelines.progress import Reporter
from pipelines.rerender import RenderConfig
from pipelines.studies.spec import Generation, Recording, SourceSpec, StudySpec
from scenes.task import split_task
from scenes.twins import require_open
from trajectories import Store, open_dataset
from trajectories.canonical import canonical_json, sha256, write_whole
from trajectories.dataset import Dataset
from trajectories.recipes import narrow
from trajectories.views import content_digest

ROLES = ("real", "sim")
_ACCOUNT = "account.json"


@dataclass(frozen=True)
class Source:
    """One side of a study, opened.

    Attributes:
        role: "real" or "sim".
        dataset: its episodes, with images.
        order: episode numbers in the order that subsets take them; the first n are the subset of size n, (pool,).
        held_out: episodes that no cell learns from, (held out,).
        digest: of all that it holds.
        account: what making it took: "seconds" of processor time per demo where it was generated.
    """

    role: str
    dataset: Dataset
    order: np.ndarray
    held_out: np.ndarray
    digest: str
    account: dict[str, Any]
    # Time that this sitting spent on making it [s].
    spent: float

    @property
    def surrogate(self) -> bool:
        """Whether its demos come from a twin."""
        return any(domain.startswith("twin/") for domain in self.domains)

    @property
    def posed(self) -> bool:
        """Whether its images were drawn of scenes posed by what was recorded, instead of taken."""
        _, firsts = np.unique(self.dataset.index().part, return_index=True)
        return any(self.dataset.meta(number).extra.get(IMAGES) == POSED for number in firsts.tolist())

    @property
    def domains(self) -> list[str]:
        """Domains of its episodes, sorted."""
        return self.values("domain")

    def values(self, category: str) -> list[str]:
        """What its episodes have in a column of the index, sorted, each once."""
        found = self.dataset.index().categories[category]
        return sorted({found.values[code] for code in found.codes.tolist()})

    def subset(self, count: int) -> np.ndarray:
        """Episode numbers of the subset of a size, ascending; it holds all smaller ones."""
        return np.sort(self.order[:count])


def make(spec: StudySpec, folder: Path, workers: int, address: str | None, progress: Reporter) -> dict[str, Source]:
    """Make the sources that are missing, and open all.

    Raises:
        InputError: one cannot be made as specified, or is not there.
        JobError: making it failed.
    """
    found: dict[str, Source] = {}
    for role in ROLES:
        source: SourceSpec = getattr(spec, role)
        seconds, begun = None, time.perf_counter()
        if source.store is not None:
            path = Path(source.store)
        else:
            path = made_at(spec, role, folder)
            if source.record is not None:
                _record(spec, source.record, path, workers, address, progress)
            elif source.generate is not None:
                demos = _seeds(found["real"], path) if source.generate.demos == "real" else source.generate.demos
                seconds = _generate(spec, source.generate, demos, path, workers, address, progress)
            path = path / "store"
        spent, dataset = time.perf_counter() - begun, open_dataset(path)
        account = {} if seconds is None else {"seconds_per_demo": seconds}
        found[role] = _source(spec, role, dataset, account, spent)
    return found


def given(spec: StudySpec) -> dict[str, Source]:
    """The sources that are there already: looked at before hours are spent on making the others."""
    stores = {role: getattr(spec, role).store for role in ROLES}
    return {role: _source(spec, role, open_dataset(path), {}, 0.0) for role, path in stores.items() if path is not None}


def _source(spec: StudySpec, role: str, dataset: Dataset, account: dict[str, Any], spent: float) -> Source:
    order, held_out = subsets(len(dataset), spec.grid.subset_seed, role, _held_out(spec, role))
    return Source(role, dataset, order, held_out, content_digest(dataset), account, spent)


def made_at(spec: StudySpec, role: str, folder: Path) -> Path:
    """The folder of a source that the study makes."""
    source: SourceSpec = getattr(spec, role)
    how: dict[str, Any] = {
        "task": spec.task,
        "embodiment": spec.embodiment,
        "cameras": list(spec.cameras),
        "resolution": spec.resolution,
        "source": to_plain(source),
    }
    if source.generate is not None and source.generate.demos == "real":
        how["demos"] = to_plain(spec.real)
        if spec.evaluation.held_out:
            how["without"] = [spec.grid.subset_seed, spec.evaluation.held_out]
    return folder / "sources" / f"{role}-{sha256(canonical_json(how, 'source'))[:12]}"


def subsets(episodes: int, seed: int, role: str, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """The order in which subsets take the episodes of a source, and those that are held out: its last.

    Args:
        episodes: how many there are.
        seed: of the order.
        role: sets it apart from the other source's.
        held_out: how many are held out; at most all.
    """
    stream = np.random.SeedSequence(seed, spawn_key=(ROLES.index(role),))
    order = np.random.Generator(np.random.PCG64(stream)).permutation(episodes)
    pool = max(0, episodes - held_out)
    return order[:pool], np.sort(order[pool:])


def _seeds(real: Source, path: Path) -> Path:
    """The real demos that synthetic ones are made from: not those that are held out, or these would be known."""
    if not len(real.held_out):
        return real.dataset.path
    seeds = path / "seeds"
    if not (seeds / "plan.json").is_file():
        narrow(real.dataset, np.sort(real.order), seeds, {"operation": "study", "role": "seeds"})
    return seeds


def _held_out(spec: StudySpec, role: str) -> int:
    return spec.evaluation.held_out if role == "real" else 0


def _record(
    spec: StudySpec, wanted: Recording, path: Path, workers: int, address: str | None, progress: Reporter
) -> None:
    """The operator's demos, then their images, as that domain's cameras would give them."""
    path.mkdir(parents=True, exist_ok=True)
    demos = path / "demos"
    if not (demos / "seal.json").is_file():
        robot = spec.embodiment
        record.run(
            spec.task, "script", demos, wanted.episodes, wanted.seed, wanted.domain, [], progress, embodiment=robot
        )
        Store.create(demos, Store.open(demos).plan).seal(None)
    config = RenderConfig(camera_errors=True)
    rerender.run(demos, path / "store", spec.cameras, spec.resolution, 1, workers, address, config, progress)


def _generate(
    spec: StudySpec,
    wanted: Generation,
    demos: str | Path | None,
    path: Path,
    workers: int,
    address: str | None,
    progress: Reporter,
) -> float | None:
    """Returns the processor time that a kept episode took [s]; None where a sitting that was cut short made all."""
    account, store = path / _ACCOUNT, path / "store"
    path.mkdir(parents=True, exist_ok=True)
    if account.is_file() and (store / "seal.json").is_file():
        known: float | None = json.loads(account.read_text(encoding="utf-8"))["seconds_per_demo"]
        return known
    before = generate.kept_scenes(Store.open(store)) if (store / "plan.json").is_file() else 0
    begun = time.perf_counter()
    result = generate.run(
        task=spec.task,
        demos=demos,
        out=store,
        scenes=None,
        count=wanted.count,
        cameras=spec.cameras,
        resolution=spec.resolution,
        workers=workers,
        seed=wanted.seed,
        address=address,
        algorithm=wanted.algorithm,
        dry_run=False,
        overrides=list(wanted.overrides),
        progress=progress,
        embodiment=spec.embodiment,
    )
    made, spent = result["kept"] - before, (time.perf_counter() - begun) * max(1, workers)
    seconds = spent / made if made > 0 else None
    write_whole(account, (json.dumps({**result, "seconds_per_demo": seconds}, indent=1) + "\n").encode())
    return seconds


def check(sources: dict[str, Source], spec: StudySpec) -> None:
    """Refuse sources that no cell could use: of another task or robot, without images, of a sealed twin.

    Raises:
        InputError: names the source.
    """
    for role, source in sources.items():
        where = f"source '{role}' ({source.dataset.path})"
        if not len(source.dataset):
            raise InputError(f"{where} holds no episodes")
        tasks = source.values("task")
        wanted = split_task(spec.task)[0]
        if [split_task(task)[0] for task in tasks] != [wanted]:
            raise InputError(f"{where} shows {', '.join(tasks)}; the study is about {wanted}")
        for camera in spec.cameras:
            if camera not in source.dataset.cameras():
                there = ", ".join(source.dataset.cameras()) or "none"
                raise InputError(
                    f"{where} has no images of camera '{camera}', which policies are to see; it has: {there}"
                )
        for domain in source.domains:
            require_open(domain, f"source '{role}' of a study")
        robots = source.values("embodiment")
        if robots != [spec.embodiment]:
            raise InputError(f"{where} is of {', '.join(robots)}; the study is about {spec.embodiment}")
