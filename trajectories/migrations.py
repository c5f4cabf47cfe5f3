"""Stores of format 1 as stores of this format: `migrate` makes a new store and leaves the old one as it is.

The parts are taken over as they are, arrays and all: what a chunk or a shard looks like is said by each array itself.
Format 1 differed in what lies around them: manifests did not say anything of single episodes, the seal spoke of no
catalogue, and the root did not hold the plan's digest.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import InputError, JobError
from trajectories.canonical import canonical_json, disk_errors, file_entry, sha256, sync_tree, write_whole
from trajectories.index import summarise
from trajectories.layout import committed_parts, manifest_path, part_folder
from trajectories.manifest import Manifest, list_files
from trajectories.schema import FORMAT_VERSION, EpisodeMeta
from trajectories.shards import Layout
from trajectories.staging import PREFIX, discard, staging_path
from trajectories.store import Store

_ROOT = {"attributes": {"handful_format": 1}, "node_type": "group", "zarr_format": 3}
_AT_ROOT = {"zarr.json", "plan.json", "seal.json", "parts", "manifest"}


@dataclass(frozen=True)
class _Old:
    """A store of format 1."""

    plan: dict[str, Any]
    # Manifests by part.
    manifests: dict[int, dict[str, Any]]
    # {"parts", "episodes", "scenes"}; None while the job is unfinished.
    seal: dict[str, Any] | None


def migrate(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> Store:
    """Make a store of this format with everything that an older one holds.

    A migration that was interrupted is continued by the next one with the same `out`.

    Args:
        path: the older store; every file of it is checked first.
        out: absent, empty, or left by an interrupted migration of the same store.

    Raises:
        InputError: there is no store at `path`, it has this format already or one that is not known, or `out` holds
            something else.
        JobError: the older store is damaged (names what is), or the new one cannot be written.
    """
    path, out = Path(path), Path(out)
    _check_format(path)
    if out.resolve() == path.resolve():
        raise InputError(f"'{out}' is the store to migrate itself; give another path with --out")
    old = _read_old(path)
    store = Store.create(out, old.plan)
    exposed = range(old.seal["parts"]) if old.seal is not None else old.manifests
    for part in exposed:
        with disk_errors(f"part {part:08d} of store '{out}'"):
            _take_over(path, out, old.manifests[part], store.plan_digest)
    store.refresh()
    if old.seal is not None:
        tried = sum(len(old.manifests[part]["scenes"]) for part in exposed)
        # A store that was closed with everything it held ends with the last scene tried, not with the last one kept.
        store.seal(None if tried == old.seal["scenes"] else old.seal["episodes"])
        found = {"episodes": len(store), "scenes": len(store.scene_records()), "parts": len(store.catalogue().parts)}
        if found != old.seal:
            raise JobError(f"store '{out}' exposes {found}, the one that it was made of {old.seal}")
    return store


def _check_format(path: Path) -> None:
    try:
        version = json.loads((path / "zarr.json").read_bytes())["attributes"]["handful_format"]
    except FileNotFoundError:
        raise InputError(f"'{path}' is not a trajectory store (it has no zarr.json)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is not a trajectory store: its zarr.json cannot be read ({error})") from error
    if version == FORMAT_VERSION:
        raise InputError(f"store '{path}' has format {version} already; there is nothing to migrate")
    if version != 1:
        raise InputError(f"store '{path}' has format {version}; stores of format 1 can be migrated")


def _read_old(path: Path) -> _Old:
    """Read what lies around the parts, and check every file of the store.

    Raises:
        JobError: anything is missing, damaged or foreign; names the first of it and says how much there is.
    """
    problems: list[str] = []
    plan = _read_json(path / "plan.json", problems) or {}
    if (path / "zarr.json").read_bytes() != canonical_json(_ROOT):
        problems.append("zarr.json has changed")
    seal = _read_digested(path / "seal.json", problems) if (path / "seal.json").exists() else None
    strangers = [p.name for p in path.iterdir() if p.name not in _AT_ROOT and not p.name.startswith(PREFIX)]
    problems += [f"{name} does not belong to the store" for name in sorted(strangers)]
    manifests: dict[int, dict[str, Any]] = {}
    for part in committed_parts(path):
        manifest = _read_digested(manifest_path(path, part), problems)
        if manifest is not None:
            manifests[part] = manifest
            problems += _part_problems(part_folder(path, part), part, manifest, sha256(canonical_json(plan)))
    if seal is not None:
        missing = sorted(set(range(seal["parts"])) - manifests.keys())
        problems += [f"part {part:08d} is missing" for part in missing]
    if problems:
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise JobError(f"store '{path}' is damaged, so it is not migrated: {problems[0]}{more}")
    return _Old(plan, manifests, seal)


def _read_json(file: Path, problems: list[str]) -> dict[str, Any] | None:
    """A file of canonical JSON; None, and a problem, where it is not."""
    try:
        data = file.read_bytes()
        record = json.loads(data)
        if not isinstance(record, dict) or canonical_json(record) != data:
            raise ValueError("it has changed")
    except (OSError, ValueError, InputError) as error:
        problems.append(f"{file.name} is missing or damaged ({error})")
        return None
    return record


def _read_digested(file: Path, problems: list[str]) -> dict[str, Any] | None:
    """A record that carries its own digest, without it."""
    record = _read_json(file, problems)
    if record is None:
        return None
    digest = record.pop("digest", None)
    if digest != sha256(canonical_json(record)):
        problems.append(f"{file.name} has changed (its digest does not match)")
        return None
    return record


def _part_problems(folder: Path, part: int, manifest: dict[str, Any], plan_digest: str) -> Iterator[str]:
    if manifest["part"] != part or manifest["plan"] != plan_digest:
        yield f"manifest {part:08d}.json is that of another part or plan"
    found = list_files(folder) if folder.is_dir() else {}
    for name in sorted(found.keys() | manifest["files"].keys()):
        if found.get(name) != manifest["files"].get(name):
            state = "missing" if name not in found else "damaged" if name in manifest["files"] else "foreign"
            yield f"part {part:08d}: '{name}' is {state}"


def _take_over(path: Path, out: Path, old: dict[str, Any], plan_digest: str) -> None:
    """Copy a part, and commit it with a manifest of this format."""
    part = old["part"]
    if manifest_path(out, part).exists():
        return
    final = part_folder(out, part)
    if final.exists():  # Left by a migration that was interrupted.
        discard(final)
    staging = staging_path(final.parent, final.name)
    try:
        shutil.copytree(part_folder(path, part), staging)
        root = canonical_json(
            {"attributes": {"handful_format": FORMAT_VERSION}, "node_type": "group", "zarr_format": 3}
        )
        (staging / "zarr.json").write_bytes(root)
        # Copies are what the old manifest says: this is the one look at what was written.
        files = list_files(staging)
        if {**files, "zarr.json": None} != {**old["files"], "zarr.json": None}:
            raise JobError(f"part {final.name} of store '{path}' changed while it was copied")
        sync_tree(staging)
        lines = (staging / "episodes.jsonl").read_bytes().splitlines(keepends=True)
        manifest = Manifest(
            part=part,
            plan=plan_digest,
            episodes=old["episodes"],
            frames=old["frames"],
            lengths=old["lengths"],
            arrays=old["arrays"],
            chunks={key: Layout.parse((staging / key / "zarr.json").read_bytes()).rows for key in old["arrays"]},
            summary=summarise([EpisodeMeta.from_json(json.loads(line)) for line in lines], lines),
            files={**files, "zarr.json": file_entry(root)},
            scenes=old["scenes"],
        )
        os.rename(staging, final)
        write_whole(manifest_path(out, part), manifest.to_bytes())
    finally:
        shutil.rmtree(staging, ignore_errors=True)
