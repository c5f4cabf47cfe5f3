"""Is a store whole? Every file is hashed again and compared with what was committed.

Reading already refuses missing and damaged data; this finds it before anyone depends on it, and says which episodes
are lost, so that the parts concerned can be made again.
"""

from collections.abc import Sequence
from pathlib import Path

from handful import JobError
from trajectories.canonical import canonical_json, sha256
from trajectories.layout import PART_NAME, ROOT, committed_parts, manifest_path, part_folder
from trajectories.manifest import Manifest, list_files, load_manifest
from trajectories.seal import load_seal
from trajectories.staging import PREFIX

_AT_ROOT = {"zarr.json", "plan.json", "seal.json", "parts", "manifest"}


def verify_store(path: Path, plan_digest: str, only: Sequence[int] | None = None) -> list[str]:
    """Find everything that is missing, damaged or foreign in a store.

    Args:
        path: the store.
        plan_digest: SHA-256 of the plan as read from the store.
        only: look only into these parts; None: into all.

    Returns:
        One sentence per problem, in order of parts; empty when the store is whole.
    """
    problems = []
    if (path / "zarr.json").read_bytes() != canonical_json(ROOT):
        problems.append("zarr.json has changed.")
    if sha256((path / "plan.json").read_bytes()) != plan_digest:
        problems.append("plan.json is not spelled as it was written.")
    problems += [f"{p.name} does not belong to the store." for p in _strangers(path)]
    try:
        seal = load_seal(path)
    except JobError as error:
        problems.append(f"{error}.")
        seal = None

    chosen = None if only is None else set(only)
    committed = committed_parts(path)
    expected = seal.parts if seal is not None else max(committed, default=-1) + 1
    folders = [int(p.name) for p in (path / "parts").glob("*") if PART_NAME.fullmatch(p.name)]
    episodes = 0
    for part in sorted({*range(expected), *committed, *folders}):
        folder = part_folder(path, part)
        if part in committed:
            try:
                manifest = load_manifest(manifest_path(path, part), part, plan_digest)
            except JobError as error:
                problems.append(f"{error}; its episodes, from {episodes} on, are lost.")
                continue
            problems += _check_part(folder, manifest, episodes) if chosen is None or part in chosen else []
            episodes += manifest.episodes
        elif chosen is not None and part not in chosen:
            continue
        elif folder.exists():
            problems.append(
                f"part {folder.name} has no manifest, so it does not count: the job stopped before its end."
            )
        else:
            problems.append(f"part {folder.name} is missing: the job stopped before its end, or the part was deleted.")
    if seal is not None and seal.episodes > episodes:
        problems.append(f"seal.json promises {seal.episodes} episodes; the parts hold {episodes}.")
    return problems


def _strangers(path: Path) -> list[Path]:
    at_root = [p for p in path.iterdir() if p.name not in _AT_ROOT]
    inside = [p for p in (path / "parts").glob("*") if not PART_NAME.fullmatch(p.name)]
    objects = [p for p in (path / "manifest").glob("*") if not PART_NAME.fullmatch(p.name.removesuffix(".json"))]
    return sorted(p for p in (*at_root, *inside, *objects) if not p.name.startswith(PREFIX))


def _check_part(folder: Path, manifest: Manifest, first: int) -> list[str]:
    lost = "no episode is lost"
    if manifest.episodes:
        last = first + manifest.episodes - 1
        lost = f"episodes {first} to {last} are lost" if last > first else f"episode {first} is lost"
    if not folder.is_dir():
        return [f"part {folder.name} is committed but its folder is missing; {lost}."]
    found = list_files(folder)
    problems = []
    for name, entry in manifest.files.items():
        if name not in found:
            problems.append(f"part {folder.name}: '{name}' is missing; {lost}.")
        elif found[name]["bytes"] != entry["bytes"]:
            sizes = f"{found[name]['bytes']} bytes long instead of {entry['bytes']}"
            problems.append(f"part {folder.name}: '{name}' is {sizes}; {lost}.")
        elif found[name]["sha256"] != entry["sha256"]:
            problems.append(f"part {folder.name}: '{name}' is damaged (its SHA-256 has changed); {lost}.")
    problems += [
        f"part {folder.name}: '{name}' does not belong to it." for name in sorted(found.keys() - manifest.files.keys())
    ]
    return problems
