"""Deleting episodes of a finished store for good, so that a crash at any moment loses no other episode.

The steps, and what a crash after each leaves behind:
1. the tombstone is written whole: the episodes are no longer exposed     a deletion that the next call finishes
2. the seal is written again, with the tombstone's digest                 parts without an episode, still on the disk
3. the folders of parts without an episode left are removed               nothing to do

What still exists is not rewritten: of a part with some of its episodes left, no byte is freed. `compact` does that.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handful import InputError
from trajectories.canonical import disk_errors, write_whole
from trajectories.dataset import is_view
from trajectories.layout import manifest_path, part_folder, seal_path
from trajectories.manifest import load_manifest
from trajectories.recipes import matching_some, parse_episodes
from trajectories.seal import load_seal
from trajectories.staging import discard, sweep
from trajectories.store import Store
from trajectories.tombstone import Tombstone, is_pending, load_tombstone, tombstone_path
from trajectories.views import references


@dataclass(frozen=True)
class Deletion:
    """What a deletion would take from a store."""

    # Episode numbers as they are now, in order, (n,) int64.
    episodes: np.ndarray
    # Parts none of whose episodes would be left, in order; and the size of their files [bytes].
    parts: tuple[int, ...]
    bytes: int
    # Episodes that would be left.
    left: int


def plan_deletion(path: str | os.PathLike[str], where: str | None, episodes: str | None) -> Deletion:
    """What deleting the episodes that a filter is true of, or those of a list, would take. Changes nothing.

    Args:
        path: a finished store.
        where: a filter, or None.
        episodes: numbers and ranges such as "3,17,20-25", where there is no filter.

    Raises:
        InputError: no or no finished store, an unknown field or episode, nothing or everything would be deleted, or a
            view beside the store refers to one of the episodes.
        JobError: the store, or a view beside it, is damaged.
    """
    store = Store.open(path)
    if store.sealed_episodes is None:
        raise InputError(f"store '{path}' is unfinished; first finish it with the command that made it")
    chosen = matching_some(store, where) if where is not None else parse_episodes(episodes or "", store)
    left = len(store) - len(chosen)
    if not left:
        raise InputError(f"that would delete all {len(store)} episodes of '{path}'; to do so, remove the folder")
    index = store.index()
    kept = np.ones(len(store), bool)
    kept[chosen] = False
    parts = tuple(int(part) for part in np.setdiff1d(index.part[chosen], index.part[kept]))
    _refuse_where_needed(store, index.part[chosen], index.local[chosen])
    size = sum(load_manifest(manifest_path(store.path, part), part, store.plan_digest).size for part in parts)
    return Deletion(chosen, parts, size, left)


def delete_episodes(path: str | os.PathLike[str], deletion: Deletion) -> Store:
    """Carry out a deletion that was planned for the store as it is now.

    Returns:
        The store, with the episodes that are left.

    Raises:
        JobError: the store is damaged or cannot be written.
    """
    store = Store.open(path)
    index, seal = store.index(), load_seal(store.path)
    if seal is None or len(store) != deletion.left + len(deletion.episodes):
        raise InputError(f"store '{path}' has changed since this deletion was planned; plan it again")
    old = load_tombstone(store.path, seal.deleted)
    deleted = {part: set(places) for part, places in old.deleted.items()} if old else {}
    for part, place in zip(index.part[deletion.episodes], index.local[deletion.episodes], strict=True):
        deleted.setdefault(int(part), set()).add(int(place))
    tombstone = Tombstone(
        deleted={part: tuple(sorted(places)) for part, places in sorted(deleted.items())},
        removed=tuple(sorted({*(old.removed if old else ()), *deletion.parts})),
        previous=old.digest if old else None,
    )
    finish_deletion(path)  # an interrupted one: the seal must know the tombstone that this one replaces
    with disk_errors(f"tombstone of store '{path}'"):
        write_whole(tombstone_path(store.path), tombstone.to_bytes())
    finish_deletion(path)
    return Store.open(path)


def finish_deletion(path: str | os.PathLike[str]) -> bool:
    """Do what is left of an interrupted deletion.

    Returns:
        Whether anything was left to do.

    Raises:
        InputError: there is no store.
        JobError: the store is damaged or cannot be written.
    """
    store = Store.open(path)
    seal = load_seal(store.path)
    tombstone = load_tombstone(store.path, seal.deleted) if seal is not None else None
    if seal is None or tombstone is None:
        return False
    pending = is_pending(store.path, seal, tombstone)
    with disk_errors(f"store '{path}'"):
        if seal.deleted != tombstone.digest:
            write_whole(seal_path(store.path), replace(seal, deleted=tombstone.digest).to_bytes())
        for part in tombstone.removed:
            discard(part_folder(store.path, part))
        sweep(store.path / "parts")
    return pending


def _refuse_where_needed(store: Store, part: np.ndarray, local: np.ndarray) -> None:
    """Refuse to delete what a view near the store refers to."""
    wanted = part.astype(np.int64) << 32 | local
    for view in _views_near(store.path):
        there = references(view, store.path)
        needed = int(np.isin(wanted, there[0].astype(np.int64) << 32 | there[1]).sum())
        if needed:
            raise InputError(
                f"the view '{view}' refers to {needed} of these {len(wanted)} episodes; remove the view first, or "
                "choose others"
            )


def _views_near(store: Path) -> Iterator[Path]:
    """Views beside a store, and in the folders beside it, such as those of a split."""
    for path in _folders(Path(os.path.abspath(store)).parent):
        if is_view(path):
            yield path
        elif not (path / "zarr.json").exists():
            yield from filter(is_view, _folders(path))


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(p for p in path.iterdir() if p.is_dir())
    except PermissionError:
        # Somebody else's folder; nobody who works on this store keeps views there.
        return []
