"""Where things lie in a store, and how to tell that a folder is one.

<store>/zarr.json                root group, attributes {"handful_format": 2, "handful_plan": <plan digest>};
                                 written last when a store is made
<store>/plan.json                the plan that made it; its SHA-256 is the plan digest
<store>/parts/<8 digits>/        one part per chunk of the plan: arrays, episodes.jsonl, dumps/<name>.npz
<store>/manifest/<8 digits>.json the commit record of that part, written after everything else of it
<store>/seal.json                once the job is done: how many parts, episodes and scene records are exposed
<store>/index.npz                the catalogue of these; its SHA-256 is in the seal
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from handful import InputError, JobError, unknown_name
from trajectories.canonical import canonical_json, disk_errors, sha256, write_whole
from trajectories.schema import FORMAT_VERSION
from trajectories.staging import PREFIX, sweep

PART_NAME = re.compile(r"\d{8}", re.ASCII)
_MANIFEST_NAME = re.compile(r"\d{8}\.json", re.ASCII)


def part_folder(store: Path, part: int) -> Path:
    """The folder of a part's arrays."""
    return store / "parts" / f"{part:08d}"


def manifest_path(store: Path, part: int) -> Path:
    """The commit record of a part."""
    return store / "manifest" / f"{part:08d}.json"


def seal_path(store: Path) -> Path:
    """The seal of a finished store."""
    return store / "seal.json"


def index_path(store: Path) -> Path:
    """The catalogue of a finished store."""
    return store / "index.npz"


def root_json(plan: dict[str, Any]) -> bytes:
    """The bytes of a store's zarr.json."""
    attributes = {"handful_format": FORMAT_VERSION, "handful_plan": sha256(canonical_json(plan))}
    return canonical_json({"attributes": attributes, "node_type": "group", "zarr_format": 3})


def committed_parts(store: Path) -> list[int]:
    """Indices of the parts that have a manifest object now, in order."""
    try:
        names = os.listdir(store / "manifest")
    except FileNotFoundError:
        return []
    return sorted(int(name[:8]) for name in names if _MANIFEST_NAME.fullmatch(name))


def refuse_strangers(store: Path) -> None:
    """Refuse a path where a store can neither be nor be made.

    Raises:
        InputError: the path holds something that is not a store.
        JobError: it holds a store that has lost its root.
    """
    if store.exists() and not store.is_dir():
        raise InputError(f"'{store}' is a file, not a store; give another path")
    if not (store / "zarr.json").exists():
        _refuse_rootless(store, "is missing")
        strangers = sorted(p.name for p in store.iterdir() if not _is_embryo(p)) if store.exists() else []
        if strangers:
            raise InputError(f"'{store}' exists and is not a store (it holds '{strangers[0]}'); give another path")


def make_store(store: Path, plan: dict[str, Any]) -> None:
    """Lay out an empty store, or finish a layout that was interrupted; then sweep away what dead writers left.

    Raises:
        InputError: the path holds something that is not a store.
        JobError: the path cannot be written, or holds a store that has lost its root.
    """
    refuse_strangers(store)
    if not (store / "zarr.json").exists():
        with disk_errors(f"store '{store}'"):
            store.mkdir(parents=True, exist_ok=True)
            write_whole(store / "plan.json", canonical_json(plan))
            write_whole(store / "zarr.json", root_json(plan))
    with disk_errors(f"store '{store}'"):
        for folder in (store, store / "parts", store / "manifest"):
            folder.mkdir(exist_ok=True)
            sweep(folder)


def read_plan(store: Path) -> dict[str, Any]:
    """Check that there is a store of this format, and read its plan.

    Raises:
        InputError: there is no store at the path, or it has another format version.
        JobError: its root or plan is damaged.
    """
    if not store.exists():
        raise unknown_name(f"store in '{store.parent}'", store.name, _stores_in(store.parent))
    if not (store / "zarr.json").is_file():
        _refuse_rootless(store, "is missing")
        raise InputError(f"'{store}' is not a trajectory store (it has no zarr.json){_nearby(store)}")
    try:
        root = (store / "zarr.json").read_bytes()
        attributes = json.loads(root).get("attributes", {})
        version, kind = attributes.get("handful_format"), attributes.get("handful_kind")
    except (OSError, ValueError, AttributeError) as error:
        raise JobError(f"store '{store}' is damaged: its zarr.json cannot be read ({error})") from error
    if version is None:
        _refuse_rootless(store, "has changed")
        raise InputError(f"'{store}' is a Zarr group but not a trajectory store{_nearby(store)}")
    _check_version(store, version)
    if kind is not None:
        raise InputError(f"'{store}' is a {kind}, which refers to stores; this needs a store itself")
    try:
        data = (store / "plan.json").read_bytes()
        plan = json.loads(data)
    except (OSError, ValueError) as error:
        raise JobError(f"store '{store}' is damaged: its plan.json cannot be read ({error})") from error
    if not isinstance(plan, dict):
        raise JobError(f"store '{store}' is damaged: its plan.json holds no plan")
    if attributes.get("handful_plan") != sha256(data):
        raise JobError(f"store '{store}' is damaged: its plan.json, or the digest of it in its zarr.json, has changed")
    if root != root_json(plan):
        raise JobError(f"store '{store}' is damaged: its zarr.json has changed")
    return plan


def _check_version(store: Path, version: Any) -> None:
    if version == FORMAT_VERSION:
        return
    message = f"store '{store}' has format {version}; this version of handful reads format {FORMAT_VERSION}"
    if isinstance(version, int) and 1 <= version < FORMAT_VERSION:
        raise InputError(f"{message}: make one of it with: handful data migrate {store} --out NEW")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(f"{message}: a newer version of handful wrote it, and is needed to read it")
    raise InputError(message)


def _refuse_rootless(store: Path, what: str) -> None:
    """Tell a store without its root from a folder that never was a store."""
    if (store / "plan.json").is_file() and ((store / "parts").is_dir() or (store / "manifest").is_dir()):
        raise JobError(
            f"store '{store}' is damaged: its zarr.json {what}; try to restore it with: handful data repair {store}"
        )


def plan_differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted names of the fields in which two plans differ, each with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for name in sorted(old.keys() | new.keys()):
            found += plan_differences(old.get(name), new.get(name), f"{prefix}.{name}" if prefix else name)
        return found
    return [] if old == new else [f"{prefix} ({_short(old)} there, {_short(new)} now)"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _is_embryo(path: Path) -> bool:
    """Whether this may be left by a creation that was killed before the store existed."""
    return path.name == "plan.json" or path.name.startswith(PREFIX)


def _stores_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if (p / "zarr.json").is_file() and (p / "plan.json").is_file())


def _nearby(path: Path) -> str:
    """A hint at stores inside a folder that is none itself."""
    inside = _stores_in(path)
    return f"; inside it there is: {', '.join(inside)}" if inside else ""
