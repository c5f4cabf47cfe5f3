"""A view: a folder that refers to episodes of stores and reads as if it held them.

    <view>/zarr.json       root group, attributes {"handful_format": 2, "handful_kind": "view"}
    <view>/plan.json       the recipe, where its stores are, the digest of the selection, and a digest of all that
    <view>/selection.npz   columns `source`, `part`, `local`: which episodes, in which order

It appears whole or not at all. Its episodes are named by part and place, so it keeps its meaning when a store grows;
one that has lost any of them is refused. A view of a view refers to the stores beneath.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from handful import HandfulError, InputError, JobError, unknown_name
from trajectories.canonical import canonical_json, disk_errors, sha256, sync_to_disk
from trajectories.dataset import Dataset
from trajectories.index import Category, Index
from trajectories.layout import manifest_path
from trajectories.manifest import load_manifest
from trajectories.schema import FORMAT_VERSION, EpisodeMeta
from trajectories.selection import (
    Selection,
    check_together,
    joined_index,
    locate,
    parts_digest,
    select,
)
from trajectories.staging import staging_path, sweep
from trajectories.store import Store
from trajectories.tombstone import tombstone_path

_ROOT: dict[str, Any] = {
    "attributes": {"handful_format": FORMAT_VERSION, "handful_kind": "view"},
    "node_type": "group",
    "zarr_format": 3,
}
_FILES = ("plan.json", "selection.npz", "zarr.json")


class View(Dataset):
    """Episodes of stores, read from there. `View.open` opens one, `write_views` makes some."""

    def __init__(self, path: Path, plan: dict[str, Any], stores: Sequence[Store], selection: Selection) -> None:
        self.path = path
        self.plan = plan
        self.plan_digest = sha256(canonical_json(plan, "plan"))
        self.stores = list(stores)
        self.selection = selection
        self._episodes = np.empty(len(selection), np.int64)
        for number, store in enumerate(self.stores):
            mine = selection.source == number
            found = locate(store, selection.part[mine], selection.local[mine])
            gone = int((found < 0).sum())
            if gone:
                raise InputError(
                    f"view '{path}' cannot be read: store '{store.path}' no longer exposes {gone} of the {mine.sum()} "
                    "episodes it refers to; make the view again"
                )
            self._episodes[mine] = found
        self._index = joined_index(self.stores, selection.source, self._episodes)
        self._index.categories["store"] = Category(selection.source, tuple(_names(self.stores)))
        check_together(self.stores, self._index.control_rate)

    def __reduce__(self) -> tuple[Callable[..., "View"], tuple[Path]]:
        return View.open, (self.path,)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "View":
        """Open a view for reading.

        Raises:
            InputError: it is no view, a store it refers to has gone, is another one or has lost episodes of it.
            JobError: the view is damaged.
        """
        path = Path(path)
        record, selection = _read_files(path)
        stores = []
        for where, source in zip(record["paths"], record["plan"]["sources"], strict=True):
            store = _open_source(path, where)
            if store.plan_digest != source["plan"]:
                raise InputError(
                    f"view '{path}' cannot be read: '{store.path}' is now a store of another plan; make the view again"
                )
            stores.append(store)
        return cls(path, record["plan"], stores, selection)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.selection)

    def index(self) -> Index:
        """One row per episode; parts are numbered on from one store to the next, and `store` is a category more."""
        return self._index

    def keys(self) -> list[str]:
        """The schema keys that all its stores have, sorted."""
        return self._keys

    @cached_property
    def _keys(self) -> list[str]:
        return sorted(set.intersection(*(set(store.keys()) for store in self.stores)))

    def row_shape(self, key: str) -> tuple[int, ...]:
        """Shape of one row of a key, known without reading any data."""
        self._require_key(key)
        return self.stores[0].row_shape(key)

    def chunk_rows(self, key: str) -> int:
        """Rows of a key that are stored together; the most of all its stores, where they differ."""
        self._require_key(key)
        return max(store.chunk_rows(key) for store in self.stores)

    @property
    def parts(self) -> int:
        """Number of parts that hold the episodes."""
        return sum(len(self.selection.parts(number)) for number in range(len(self.stores)))

    @property
    def bytes(self) -> int:
        """Size of these parts' files, which may hold other episodes as well."""
        total = 0
        for number, store in enumerate(self.stores):
            for part in self.selection.parts(number):
                total += load_manifest(manifest_path(store.path, part), part, store.plan_digest).size
        return total

    @property
    def sealed_episodes(self) -> int | None:
        """How many episodes it has: a view is always finished."""
        return len(self)

    def meta(self, episode: int) -> EpisodeMeta:
        """Metadata of one episode, as its store has it."""
        store, number = self.whereabouts(episode)
        return store.meta(number)

    def read(self, episode: int, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of one key of one episode.

        Raises:
            InputError: no such episode, key or rows.
            JobError: the data is missing or damaged.
        """
        self._require_key(key)
        store, number = self.whereabouts(episode)
        return store.read(number, key, start, stop)

    def read_run(self, episode: int, key: str, start: int, stop: int) -> np.ndarray:
        """Rows of one key around an episode, as its store has them."""
        self._require_key(key)
        store, number = self.whereabouts(episode)
        return store.read_run(number, key, start, stop)

    def whereabouts(self, episode: int) -> tuple[Store, int]:
        """The store that holds an episode, and the episode's number there."""
        if not 0 <= episode < len(self):
            raise InputError(f"view '{self.path}' has {len(self)} episodes, counted from 0; there is no {episode}")
        return self.stores[self.selection.source[episode]], int(self._episodes[episode])

    def scene_records(self) -> list[dict[str, Any]]:
        """The records of the scenes whose episodes it holds, store by store; not of those that failed elsewhere."""
        records = []
        for number, store in enumerate(self.stores):
            held = set(self._index.scene[self.selection.source == number].tolist())
            parts = self.selection.parts(number)
            records += [r for part in parts for r in store.part_records(part) if r["scene"] in held]
        return records

    def dumps(self) -> list[tuple[int, str]]:
        """None: what was dumped belongs to scenes that gave no episode."""
        return []

    def verify(self) -> list[str]:
        """Check the view's own files and hash those of the parts it refers to; each problem found as a sentence."""
        problems = []
        if (self.path / "zarr.json").read_bytes() != canonical_json(_ROOT):
            problems.append("zarr.json has changed.")
        strangers = sorted(p.name for p in self.path.iterdir() if p.name not in _FILES)
        problems += [f"{name} does not belong to the view." for name in strangers]
        for number, (store, source) in enumerate(zip(self.stores, self.plan["sources"], strict=True)):
            parts = self.selection.parts(number)
            found = store.verify(parts)
            if not found and parts_digest(store, parts) != source["content"]:
                found = ["the parts that the view refers to are not those it was made of."]
            problems += [f"'{store.path}': {problem}" for problem in found]
        return problems

    def _require_key(self, key: str) -> None:
        if key not in self._keys:
            raise unknown_name(f"key of view '{self.path}'", key, self._keys)


def pieces(dataset: Dataset) -> tuple[list[Store], Selection]:
    """The stores beneath a data set, and its episodes in them."""
    if isinstance(dataset, View):
        return dataset.stores, dataset.selection
    if isinstance(dataset, Store):
        return [dataset], select(dataset)
    raise TypeError(f"{type(dataset).__name__} is neither a store nor a view")


def source_records(stores: Sequence[Store], parts: Sequence[Sequence[int]]) -> list[dict[str, str]]:
    """What a plan says of stores that it builds on: digests of their plans, and of what some parts of each hold."""
    return [
        {"plan": store.plan_digest, "content": parts_digest(store, used)}
        for store, used in zip(stores, parts, strict=True)
    ]


def content_digest(dataset: Dataset) -> str:
    """SHA-256 of everything that a data set exposes: of a store's commit records, of a view's recipe."""
    if isinstance(dataset, View):
        return dataset.plan_digest
    digest = hashlib.sha256()
    deleted = [path for path in (tombstone_path(dataset.path),) if path.exists()]
    for file in [*sorted((dataset.path / "manifest").glob("*.json")), *deleted]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def references(view: Path, store: Path) -> tuple[np.ndarray, np.ndarray]:
    """Parts and places, each (n,), of the episodes of one store that a view refers to, whether they are there or not.

    Raises:
        JobError: the view is damaged.
    """
    record, selection = _read_files(view)
    numbers = [
        number
        for number, where in enumerate(record["paths"])
        if os.path.realpath(view / where) == os.path.realpath(store)
    ]
    mine = np.isin(selection.source, numbers)
    return selection.part[mine], selection.local[mine]


def write_views(
    out: Path, views: Mapping[str, tuple[dict[str, Any], Sequence[Store], Selection]], sweeping: bool = True
) -> None:
    """Write views so that all of them appear at once, or none.

    Args:
        out: the folder of the only view, or of several.
        views: name of the folder inside `out` ("" for `out` itself) -> what decides the view, stores, and episodes.
        sweeping: first remove what dead writers left beside `out`.

    Raises:
        InputError: something is in the way, or the stores cannot go together.
        JobError: the disk is full or cannot be written.
    """
    check_free(out)
    for name, (recipe, stores, selection) in views.items():
        if not len(selection):
            raise InputError(f"the view '{out / name}' would hold no episodes")
        rates = np.concatenate([_rates(store, selection, number) for number, store in enumerate(stores)])
        check_together(stores, rates)
        canonical_json(recipe, "recipe")
    with disk_errors(f"view '{out}'"):
        out.parent.mkdir(parents=True, exist_ok=True)
        if sweeping:
            sweep(out.parent)
        staging = staging_path(out.parent, out.name.replace("-", "_"))
        try:
            for name, (recipe, stores, selection) in views.items():
                _write_view(staging / name, out / name, recipe, stores, selection)
            os.rename(staging, out)
            sync_to_disk(out.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def check_free(out: Path) -> None:
    """Refuse a place that is taken, or inside a store or view, whose content is settled.

    Raises:
        InputError: naming what is there.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"'{out}' exists already; give another --out, or remove it first")
    for parent in Path(os.path.abspath(out)).parents:
        if (parent / "zarr.json").exists():
            raise InputError(f"'{out}' lies inside '{parent}', which is a store or a view; give another --out")
        if parent.exists() and not parent.is_dir():
            raise InputError(f"'{out}' cannot be made: '{parent}' is a file")


def _rates(store: Store, selection: Selection, number: int) -> np.ndarray:
    mine = selection.source == number
    return store.index().control_rate[locate(store, selection.part[mine], selection.local[mine])]


def _write_view(
    folder: Path, final: Path, recipe: dict[str, Any], stores: Sequence[Store], selection: Selection
) -> None:
    data = selection.to_bytes()
    sources = source_records(stores, [selection.parts(number) for number in range(len(stores))])
    plan = {"kind": "view", **recipe, "sources": sources, "episodes": len(selection), "selection": sha256(data)}
    # Where the stores are decides nothing of the content, so it is no part of the plan.
    record = {"plan": plan, "paths": [_path_to(store.path, final) for store in stores]}
    folder.mkdir(parents=True)
    files = {
        "selection.npz": data,
        "plan.json": canonical_json({**record, "digest": sha256(canonical_json(record))}),
        "zarr.json": canonical_json(_ROOT),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
        sync_to_disk(folder / name)
    sync_to_disk(folder)


def _path_to(store: Path, view: Path) -> str:
    """A store's path as a view records it: relative if it lies near, so that both can be moved together."""
    there, here = Path(os.path.abspath(store)), Path(os.path.abspath(view))
    near = [parent for parent in (here.parent, here.parent.parent) if parent != Path(parent.anchor)]
    if any(there.is_relative_to(parent) for parent in near):
        return Path(os.path.relpath(there, here)).as_posix()
    return str(there)


def _read_files(path: Path) -> tuple[dict[str, Any], Selection]:
    """A view's own files, checked."""
    damaged = f"view '{path}' is damaged: its"
    try:
        root = json.loads((path / "zarr.json").read_bytes())
        version, kind = root["attributes"]["handful_format"], root["attributes"].get("handful_kind")
    except FileNotFoundError:
        raise InputError(f"there is no view at '{path}'") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(f"{damaged} zarr.json cannot be read ({error})") from error
    if version != FORMAT_VERSION:
        raise InputError(f"view '{path}' has format {version}; this version of handful reads format {FORMAT_VERSION}")
    if kind != "view":
        raise InputError(f"'{path}' is not a view")
    try:
        data = (path / "plan.json").read_bytes()
        record = json.loads(data)
        rest = {name: value for name, value in record.items() if name != "digest"}
        if canonical_json({**rest, "digest": sha256(canonical_json(rest))}) != data:
            raise JobError(f"{damaged} plan.json has changed")
        content = (path / "selection.npz").read_bytes()
    except (OSError, ValueError, AttributeError) as error:
        raise JobError(f"{damaged} plan.json or selection.npz cannot be read ({error})") from error
    if sha256(content) != record["plan"]["selection"]:
        raise JobError(f"{damaged} selection.npz has changed")
    return record, Selection.from_bytes(content)


def _open_source(view: Path, where: str) -> Store:
    path = Path(os.path.abspath(view / where))
    try:
        return Store.open(path)
    except InputError as error:
        raise InputError(
            f"view '{view}' cannot be read: it refers to the store '{path}', and {error}; "
            "move it back there, or make the view again"
        ) from error
    except HandfulError as error:
        raise JobError(f"view '{view}' cannot be read: {error}") from error


def _names(stores: Sequence[Store]) -> list[str]:
    """What filters call the stores: the names of their folders, with the folder above where two are alike."""
    names = [store.path.name for store in stores]
    paths = [Path(os.path.abspath(store.path)) for store in stores]
    return [
        name if names.count(name) == 1 else f"{path.parent.name}/{name}"
        for name, path in zip(names, paths, strict=True)
    ]
