"""Compaction: a store of few large parts from one of many small ones, or from a view.

The same episodes in the same order, bit for bit, with their metadata, scene records and dumps. Nothing larger than an
array of one episode is held in memory, and a store half made is resumed, because its plan says what it is made of.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from handful import InputError
from trajectories.dataset import Dataset, open_dataset
from trajectories.schema import Episode, lookup
from trajectories.seal import load_seal
from trajectories.selection import Selection, same_folder
from trajectories.store import Store
from trajectories.views import check_free, pieces, source_records


@dataclass
class NewPart:
    """What one new part is to hold of a data set that is written anew."""

    # Episode numbers in what is compacted.
    episodes: list[int] = field(default_factory=list)
    scenes: list[dict[str, Any]] = field(default_factory=list)
    # Store, part and name of each dump.
    dumps: list[tuple[Store, int, str]] = field(default_factory=list)


def compact(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    episodes_per_part: int = 512,
    level: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Store:
    """Write what a store or view exposes into a new store, or go on where an earlier call was stopped.

    Args:
        path: a store, or a view.
        out: the store to make.
        episodes_per_part: fewer where one part would hold scenes out of order, as after a merge.
        level: of Zstandard; None for the store's usual one. Higher is smaller and slower to write, not to read.
        progress: told the number of episodes written, after each part.

    Raises:
        InputError: nothing to compact, numbers out of range, or `out` is something else.
        JobError: data is missing or damaged, or the disk is full; what is committed is kept.
    """
    if episodes_per_part < 1:
        raise InputError(f"a part holds at least 1 episode, got {episodes_per_part}")
    dataset = open_dataset(path)
    if not len(dataset):
        raise InputError(f"'{path}' holds no episodes")
    out = Path(out)
    stores, selection = pieces(dataset)
    _check_place(out, [dataset.path, *(store.path for store in stores)])
    for store in stores:
        if "image_codec" in store.plan:
            raise InputError(
                f"the images of '{store.path}' are stored as {store.plan['image_codec']}; compaction would store what "
                "they decode to without loss, many times larger"
            )
    plan = {
        "kind": "compaction",
        "sources": source_records(stores, [whole_parts(dataset, i, selection) for i in range(len(stores))]),
        "plans": [store.plan for store in stores],
        "selection": selection.digest,
        "episodes_per_part": episodes_per_part,
        **({} if level is None else {"compression_level": level}),
    }
    made = Store.create(out, plan)
    if made.sealed_episodes is not None:
        return made
    keys, there, written = dataset.keys(), set(made.committed()), 0
    for number, part in enumerate(new_parts(dataset, stores, selection, episodes_per_part)):
        if number not in there:
            dumps = {name: store.dump(old, name) for store, old, name in part.dumps}
            made.commit(number, [_lazy(dataset, episode, keys) for episode in part.episodes], part.scenes, dumps)
        written += len(part.episodes)
        progress(written)
    made.seal(None)
    return made


def _check_place(out: Path, taken: Sequence[Path]) -> None:
    for path in taken:
        if same_folder(out, path):
            raise InputError(f"'{out}' is what is to be compacted; give another --out")
    if not (out / "zarr.json").exists() and not (out / "plan.json").exists():
        check_free(out)


def whole_parts(dataset: Dataset, source: int, selection: Selection) -> list[int]:
    """The parts of one store beneath a data set that are read to write it anew.

    Of a store these are also the parts without an episode, for their scene records.
    """
    return _exposed_parts(dataset) if isinstance(dataset, Store) else selection.parts(source)


def _exposed_parts(store: Store) -> list[int]:
    seal = load_seal(store.path)
    return store.committed() if seal is None else list(range(seal.parts))


def new_parts(dataset: Dataset, stores: Sequence[Store], selection: Selection, most: int) -> Iterator[NewPart]:
    """What a data set is cut into where it is written anew: up to `most` episodes each, scenes in order.

    Args:
        dataset: what is written anew.
        stores: the stores beneath it, and
        selection: its episodes in them, as `pieces` gives them.
        most: how many episodes a part may hold.
    """
    dumped: dict[int, list[str]] = {}
    for old, name in dataset.dumps():
        dumped.setdefault(old, []).append(name)
    part = NewPart()
    for source, old, episodes, scenes in _runs(dataset, stores, selection):
        if part.scenes and scenes and scenes[0]["scene"] <= part.scenes[-1]["scene"]:
            yield part
            part = NewPart()
        part.dumps += [(stores[source], old, name) for name in dumped.get(old, ())]
        left = list(scenes)
        for episode in episodes:
            if len(part.episodes) == most:
                yield part
                part = NewPart()
            part.episodes.append(episode)
            scene = dataset.index().scene[episode]
            while left and left[0]["scene"] <= scene:
                part.scenes.append(left.pop(0))
        part.scenes += left
    yield part


def _runs(
    dataset: Dataset, stores: Sequence[Store], selection: Selection
) -> Iterator[tuple[int, int, range, list[dict[str, Any]]]]:
    """Source, part, episodes and scene records of each stretch of episodes that lies in one part."""
    if isinstance(dataset, Store):
        left = len(dataset.scene_records())
        for part in _exposed_parts(dataset):
            first, last = np.searchsorted(selection.part, [part, part + 1])
            scenes = dataset.part_records(part)[:left]
            left -= len(scenes)
            yield 0, part, range(int(first), int(last)), scenes
        return
    changes = np.flatnonzero(np.diff(selection.source) | np.diff(selection.part)) + 1
    for first, last in zip([0, *changes], [*changes, len(selection)], strict=True):
        source, part = int(selection.source[first]), int(selection.part[first])
        held = set(dataset.index().scene[first:last].tolist())
        scenes = [record for record in stores[source].part_records(part) if record["scene"] in held]
        yield source, part, range(int(first), int(last)), scenes


def _lazy(dataset: Dataset, episode: int, keys: Sequence[str]) -> Episode:
    """An episode of which only the metadata is in memory."""
    arrays = cast(dict[str, np.ndarray], _LazyArrays(dataset, episode, keys))
    return Episode(arrays, dataset.meta(episode))


class _LazyArrays(Mapping[str, Any]):
    """The arrays of one episode, read when they are looked at."""

    def __init__(self, dataset: Dataset, episode: int, keys: Sequence[str]) -> None:
        self._dataset, self._episode, self._keys = dataset, episode, keys

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return _LazyArray(self._dataset, self._episode, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _LazyArray:
    """One key of one episode: its dtype and shape are known, its numbers are read at every use."""

    def __init__(self, dataset: Dataset, episode: int, key: str) -> None:
        self._dataset, self._episode, self._key = dataset, episode, key
        steps = int(dataset.index().length[episode])
        rows = {"step": steps, "state": steps + 1, "episode": 1}[lookup(key).rows]
        self.shape = (rows, *dataset.row_shape(key))
        self.ndim = len(self.shape)
        self.dtype = dataset.read(episode, key, 0, 0).dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        rows = self._dataset.read(self._episode, self._key)
        return rows if dtype is None else rows.astype(dtype)

    def __getitem__(self, item: Any) -> Any:
        return np.asarray(self)[item]
