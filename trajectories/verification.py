"""Is a store whole? Every file is hashed again and compared with what was committed.

Reading already refuses missing and damaged data; this finds it before anyone depends on it, and says which episodes
are lost, so that the parts concerned can be made again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from handful import HandfulError, JobError
from trajectories.canonical import file_sha256, sha256
from trajectories.catalogue import Catalogue, Entry, build, entry_of
from trajectories.layout import PART_NAME, committed_parts, index_path, manifest_path, part_folder, read_plan
from trajectories.manifest import Manifest, list_files, load_manifest
from trajectories.seal import Seal, load_catalogue, load_seal
from trajectories.staging import PREFIX
from trajectories.tombstone import Tombstone, is_pending, load_tombstone, tombstone_path

_AT_ROOT = {"zarr.json", "plan.json", "seal.json", "index.npz", "deleted.json", "parts", "manifest"}


@dataclass(frozen=True)
class Problem:
    """Something missing, damaged or foreign in a store."""

    # A sentence, with the episodes it costs.
    text: str
    # The part that has to be made again; None where no part is lost.
    part: int | None = None


def verify_store(path: Path, plan_digest: str, only: Sequence[int] | None = None) -> list[str]:
    """Find everything that is missing, damaged or foreign in a store.

    Args:
        path: the store.
        plan_digest: SHA-256 of the plan as read from the store.
        only: hash the files of these parts alone; None: of all.

    Returns:
        One sentence per problem, in order of parts; empty when the store is whole.
    """
    return [problem.text for problem in find_problems(path, plan_digest, only)]


def find_problems(path: Path, plan_digest: str, only: Sequence[int] | None = None) -> Iterator[Problem]:
    """The problems that `verify_store` tells, one after another."""
    try:
        read_plan(path)
    except HandfulError as error:
        yield Problem(f"{error}; until then no episode can be read.")
    for stranger in _strangers(path):
        yield Problem(f"{stranger.name} does not belong to the store.")
    seal: Seal | None = None
    try:
        seal = load_seal(path)
    except JobError as error:
        yield Problem(f"{error}; until then no episode can be read.")
    promised = _read_catalogue(path, seal)
    tombstone: Tombstone | None = None
    try:
        tombstone = load_tombstone(path, seal.deleted) if seal is not None else None
    except JobError as error:
        yield Problem(f"{error}.")
    if seal is None and tombstone_path(path).exists():
        yield Problem("deleted.json does not belong to a store that was not closed.")
    if seal is not None and tombstone is not None:
        promised = None if promised is None else tombstone.applied(promised)
        if is_pending(path, seal, tombstone):
            yield Problem(f"a deletion was interrupted; finish it with: handful data delete {path} --yes")
    whole: list[Entry] = []
    removed = frozenset() if tombstone is None else frozenset(tombstone.removed)
    yield from _check_parts(path, plan_digest, only, seal, promised, removed, whole)
    if seal is None:
        return
    if not index_path(path).exists():
        yield Problem("index.npz is missing; no episode is lost while the manifests are whole.")
    elif file_sha256(index_path(path)) != seal.index:
        yield Problem("index.npz is damaged or not that of the seal; no episode is lost while the manifests are whole.")
    if len(whole) == seal.parts:
        index = build(str(path), whole, seal.episodes, seal.scenes).to_bytes()
        if sha256(index) != seal.index:
            yield Problem(f"the manifests are not those that seal.json was written for: {seal.episodes} episodes.")


def _read_catalogue(path: Path, seal: Seal | None) -> Catalogue | None:
    """What index.npz says was closed; None where it is not what the seal speaks of, or cannot be read."""
    if seal is not None:
        return load_catalogue(path, seal)
    try:
        return Catalogue.from_bytes(index_path(path).read_bytes(), "index.npz")
    except (OSError, JobError):
        return None


def _check_parts(
    path: Path,
    plan_digest: str,
    only: Sequence[int] | None,
    seal: Seal | None,
    promised: Catalogue | None,
    removed: frozenset[int],
    whole: list[Entry],
) -> Iterator[Problem]:
    """The problems of parts; notes in `whole` the entries of those whose manifest is sound, in order."""
    committed = set(committed_parts(path))
    closed = len(promised.parts) if promised is not None else 0
    expected = max(seal.parts if seal is not None else closed, max(committed, default=-1) + 1)
    folders = {int(p.name) for p in (path / "parts").glob("*") if PART_NAME.fullmatch(p.name)}
    first: int | None = 0
    for part in sorted({*range(expected), *committed, *folders}):
        folder = part_folder(path, part)
        exposed = int(promised.parts.episodes[part]) if promised is not None and part < closed else None
        if part in committed:
            digest = promised.parts.digest_of(part) if promised is not None and seal is not None else None
            try:
                manifest = load_manifest(manifest_path(path, part), part, plan_digest, digest)
                entry = entry_of(manifest)
            except JobError as error:
                yield Problem(f"{error}; {_lost(first, exposed)}.", part)
            else:
                whole.append(entry)
                exposed = manifest.episodes if exposed is None else exposed
                if part not in removed and (only is None or part in only):
                    yield from _check_part(folder, manifest, _lost(first, exposed))
        elif folder.exists():
            text = f"part {folder.name} has no manifest, so it does not count: the job stopped before its end"
            yield Problem(
                f"{text}." if seal is None else f"{text}, or the manifest was lost; {_lost(first, exposed)}.", part
            )
        else:
            text = f"part {folder.name} is missing: the job stopped before its end, or the part was deleted"
            yield Problem(f"{text}." if seal is None else f"{text}; {_lost(first, exposed)}.", part)
        first = None if first is None or exposed is None else first + exposed


def _lost(first: int | None, count: int | None) -> str:
    """Which episodes a part's loss costs, by the number of the first of them and how many there are."""
    if count == 0:
        return "no episode is lost"
    if first is None:
        return "its episodes are lost" if count is None else f"{count} episodes are lost"
    if count is None:
        return f"its episodes, from {first} on, are lost"
    return f"episodes {first} to {first + count - 1} are lost" if count > 1 else f"episode {first} is lost"


def _strangers(path: Path) -> list[Path]:
    at_root = [p for p in path.iterdir() if p.name not in _AT_ROOT]
    inside = [p for p in (path / "parts").glob("*") if not PART_NAME.fullmatch(p.name)]
    objects = [p for p in (path / "manifest").glob("*") if not PART_NAME.fullmatch(p.name.removesuffix(".json"))]
    return sorted(p for p in (*at_root, *inside, *objects) if not p.name.startswith(PREFIX))


def _check_part(folder: Path, manifest: Manifest, lost: str) -> Iterator[Problem]:
    if not folder.is_dir():
        yield Problem(f"part {folder.name} is committed but its folder is missing; {lost}.", manifest.part)
        return
    found = list_files(folder)
    for name, entry in manifest.files.items():
        problem = None
        if name not in found:
            problem = "is missing"
        elif found[name]["bytes"] != entry["bytes"]:
            problem = f"is {found[name]['bytes']} bytes long instead of {entry['bytes']}"
        elif found[name]["sha256"] != entry["sha256"]:
            problem = "is damaged (its SHA-256 has changed)"
        if problem is not None:
            yield Problem(f"part {folder.name}: '{name}' {problem}; {lost}.", manifest.part)
    for name in sorted(found.keys() - manifest.files.keys()):
        yield Problem(f"part {folder.name}: '{name}' does not belong to it.")
