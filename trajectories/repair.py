"""Repair of a damaged store: what can be worked out again is, and parts that are lost make room to be made again.

A store holds everything of its parts once, so a damaged part is gone. But the plan that made it is there, and with it
the part can be made again, byte for byte: `drop_damaged` removes what is left of it, and the command that made the
store makes exactly what is missing. A finished store remembers the digest of every part, so one that comes out
differently is refused.

    zarr.json             from plan.json, where the manifests say that it is the plan
    seal.json             from index.npz
    index.npz             from the manifests, where the seal says that they give it
    both of these         from nothing: the store is unfinished again, and the command that made it closes it
    a part, a manifest    dropped
"""

import json
from dataclasses import dataclass
from pathlib import Path

from handful import HandfulError, InputError, JobError
from trajectories.canonical import canonical_json, disk_errors, file_sha256, sha256, write_whole
from trajectories.catalogue import Catalogue, build, entry_of
from trajectories.layout import (
    committed_parts,
    index_path,
    manifest_path,
    part_folder,
    read_plan,
    root_json,
    seal_path,
)
from trajectories.manifest import Manifest, load_manifest
from trajectories.seal import Seal, load_catalogue, load_seal, seal_of
from trajectories.staging import discard
from trajectories.store import Store
from trajectories.tombstone import load_tombstone, tombstone_path
from trajectories.verification import find_problems


@dataclass(frozen=True)
class Repair:
    """What a repair has done."""

    # Files at the root that were made again, or taken away because nothing gives them again.
    restored: tuple[str, ...]
    withdrawn: tuple[str, ...]
    # Parts that were dropped, to be made again.
    dropped: tuple[int, ...]
    # What is still wrong: the dropped parts are missing, and files that are none of the store's are left alone.
    problems: tuple[str, ...]


def repair_store(path: Path) -> Repair:
    """Restore what can be restored in a store, and drop the parts that are damaged.

    Raises:
        InputError: there is no store at the path, or it has another format version.
        JobError: its plan is lost, or the path cannot be written.
    """
    with disk_errors(f"store '{path}'"):
        restored = _restore_root(path)
        store = Store.create(path, read_plan(path))
        dropped = drop_damaged(store)
        found, withdrawn = _restore_seal(store)
    return Repair((*restored, *found), withdrawn, tuple(dropped), tuple(store.verify()))


def drop_damaged(store: Store) -> list[int]:
    """Remove the parts of a store that are damaged or incomplete, each with its manifest; returns their numbers.

    A part's manifest goes first, so that at no moment a committed part lacks files. Other writers must not be at work.

    Args:
        store: opened with `Store.create`.

    Raises:
        JobError: the store cannot be written.
    """
    problems = find_problems(store.path, store.plan_digest)
    damaged = sorted({problem.part for problem in problems if problem.part is not None})
    with disk_errors(f"store '{store.path}'"):
        for part in damaged:
            # What only cannot be read at the moment is no damage: that raises here.
            if manifest_path(store.path, part).exists():
                manifest_path(store.path, part).read_bytes()
            manifest_path(store.path, part).unlink(missing_ok=True)
            discard(part_folder(store.path, part))
    store.refresh()
    return damaged


def _restore_root(path: Path) -> list[str]:
    """Write zarr.json again where the plan is known to be the one that made the parts."""
    try:
        read_plan(path)
        return []
    except InputError:
        raise
    except JobError as error:
        damage = error
    try:
        data = (path / "plan.json").read_bytes()
        plan = json.loads(data)
        whole = isinstance(plan, dict) and canonical_json(plan) == data
    except (OSError, ValueError, HandfulError):
        whole = False
    if not whole or not _made_by(path, sha256(data)):
        raise JobError(
            f"{damage}; its plan cannot be told from what is left: the command that made the store makes it again"
        ) from damage
    write_whole(path / "zarr.json", root_json(plan))
    return ["zarr.json"]


def _made_by(path: Path, plan_digest: str) -> bool:
    """Whether any sound manifest of a store says that this plan made its part."""
    for part in committed_parts(path):
        try:
            load_manifest(manifest_path(path, part), part, plan_digest)
            return True
        except JobError:
            continue
    return False


def _restore_seal(store: Store) -> tuple[list[str], tuple[str, ...]]:
    """Make seal.json and index.npz whole again; returns what was restored and what had to be withdrawn."""
    path = store.path
    there = [file for file in (seal_path(path), index_path(path)) if file.exists()]
    if not there:
        return [], ()
    try:
        seal = load_seal(path)
    except JobError:
        seal = None
    if seal is None:
        catalogue = _sound_catalogue(path)
        if catalogue is not None:
            write_whole(seal_path(path), seal_of(catalogue, _tombstone(path)).to_bytes())
            return ["seal.json"], ()
    elif load_catalogue(path, seal) is not None:
        return [], ()
    else:
        data = _rebuilt(store, seal)
        if data is not None:
            write_whole(index_path(path), data)
            return ["index.npz"], ()
    if tombstone_path(path).exists():
        raise JobError(
            f"store '{path}' has lost both its seal and its catalogue, and episodes were deleted from it: "
            "opened again, it would show them"
        )
    # The seal last: a catalogue without a seal would be taken for damage again.
    for file in sorted(there, key=lambda file: file == seal_path(path)):
        file.unlink()
    store.refresh()
    return [], tuple(file.name for file in there)


def _tombstone(path: Path) -> str | None:
    """Digest of the tombstone, where episodes were deleted."""
    if not tombstone_path(path).exists():
        return None
    digest = file_sha256(tombstone_path(path))
    load_tombstone(path, digest)
    return digest


def _sound_catalogue(path: Path) -> Catalogue | None:
    """The catalogue in index.npz, where no bit of it can have changed: it is spelled as it would be written."""
    try:
        data = index_path(path).read_bytes()
        catalogue = Catalogue.from_bytes(data, "index.npz")
    except (OSError, JobError):
        return None
    return catalogue if catalogue.to_bytes() == data else None


def _rebuilt(store: Store, seal: Seal) -> bytes | None:
    """The bytes of index.npz from the manifests; None where these do not give what the seal speaks of."""
    if not set(range(seal.parts)) <= set(store.committed()):
        return None
    entries = [entry_of(_manifest(store, part)) for part in range(seal.parts)]
    data = build(str(store.path), entries, seal.episodes, seal.scenes).to_bytes()
    return data if sha256(data) == seal.index else None


def _manifest(store: Store, part: int) -> Manifest:
    return load_manifest(manifest_path(store.path, part), part, store.plan_digest)
