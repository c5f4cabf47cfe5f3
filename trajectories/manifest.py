"""The commit record of a part: a part exists once this object does, and is what this object says.

It lists every file of the part with size and SHA-256, so that missing or damaged data is found instead of being read
as zeros, and carries a digest of itself. It holds nothing about where or when the part was made.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import JobError
from trajectories.canonical import canonical_json, file_sha256, sha256

# The outcome of a scene that was left out of its part because it cannot be made; its record says why as "reason".
QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Manifest:
    """What was committed as one part."""

    # Index of the chunk of work that the part holds.
    part: int
    # SHA-256 of the plan that made it.
    plan: str
    # Number of episodes, and of control steps over all of them.
    episodes: int
    frames: int
    # Control steps of each episode.
    lengths: list[int]
    # key -> {"dtype": ..., "row": shape of one row}; empty where no episode was kept.
    arrays: dict[str, dict[str, Any]]
    # key -> rows of one chunk.
    chunks: dict[str, int]
    # What the index says of each episode, and where its line of metadata ends; see `index.summarise`.
    summary: dict[str, Any]
    # Path inside the part -> {"bytes": ..., "sha256": ...}.
    files: dict[str, dict[str, Any]]
    # One record per scene tried, kept or not, in scene order.
    scenes: list[dict[str, Any]]

    @property
    def size(self) -> int:
        """Size of the part's files [bytes]."""
        return sum(entry["bytes"] for entry in self.files.values())

    def to_bytes(self) -> bytes:
        """The object's canonical bytes, with the digest of everything else in it."""
        # Not `asdict`, which copies every number of it one by one.
        record = dict(vars(self))
        return canonical_json({**record, "digest": sha256(canonical_json(record))})


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file below a folder with its size and SHA-256, by path relative to it."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def load_manifest(path: Path, part: int, plan: str, digest: str | None = None) -> Manifest:
    """Read a commit record and check that it is undamaged and belongs here.

    Args:
        path: the object's file.
        part: the index it must have.
        plan: the plan digest it must have.
        digest: SHA-256 that its bytes must have, where that is known.

    Raises:
        JobError: it is missing, damaged, or of another part or plan.
    """
    try:
        data = path.read_bytes()
        record = json.loads(data)
        record.pop("digest")
        manifest = Manifest(**record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(f"{path}: the part's manifest is missing or damaged ({error})") from error
    promised = digest is not None and sha256(data) == digest
    # Compared as bytes: the digest is in them, and a change that JSON does not notice is one as well.
    if not promised and manifest.to_bytes() != data:
        raise JobError(f"{path}: the part's manifest is damaged (its digest does not match)")
    if manifest.part != part:
        raise JobError(f"{path}: the manifest is that of part {manifest.part}, not of part {part}")
    if manifest.plan != plan:
        raise JobError(f"{path}: the part was made by another plan ({manifest.plan[:12]}, not {plan[:12]})")
    if digest is not None and not promised:
        raise JobError(f"{path}: the manifest is not the one that the store was closed with")
    return manifest


def spec_difference(part: int, first: dict[str, dict[str, Any]], arrays: dict[str, dict[str, Any]]) -> str:
    """What to say about a part whose arrays are not like those of `part`."""
    names = sorted(key for key in first.keys() | arrays.keys() if first.get(key) != arrays.get(key))
    return f"has other keys, dtypes or shapes than part {part:08d} in: {', '.join(names)}"
