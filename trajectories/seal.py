"""The seal of a finished store: exactly which of its committed parts, episodes and scene records are exposed.

Workers finish chunks in any order and a job that wants N episodes overshoots. "The first N kept in scene order" is
the same whoever ran it, so the seal exposes those and the rest is dropped.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from handful import InputError, JobError
from trajectories.canonical import canonical_json, sha256
from trajectories.manifest import Manifest


@dataclass(frozen=True)
class Seal:
    """What a finished store exposes."""

    # Parts 0 to parts - 1.
    parts: int
    # The first so many episodes of them.
    episodes: int
    # The first so many scene records of them.
    scenes: int

    def to_bytes(self) -> bytes:
        """The canonical bytes of seal.json, with a digest of its own."""
        record = asdict(self)
        return canonical_json({**record, "digest": sha256(canonical_json(record))})


def load_seal(store: Path) -> Seal | None:
    """Read a store's seal; None where the job has not been closed.

    Raises:
        JobError: it is damaged.
    """
    try:
        data = (store / "seal.json").read_bytes()
    except FileNotFoundError:
        return None
    try:
        record = json.loads(data)
        seal = Seal(**{name: record[name] for name in ("parts", "episodes", "scenes")})
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"store '{store}' is damaged: its seal.json cannot be read ({error})") from error
    if seal.to_bytes() != data:
        raise JobError(f"store '{store}' is damaged: its seal.json has changed")
    return seal


def plan_seal(
    store: Path,
    episodes: int | None,
    committed: list[int],
    manifest: Callable[[int], Manifest],
) -> Seal:
    """Work out the seal that exposes the first `episodes` in scene order (None: everything committed).

    A seal at N episodes ends with the scene of the last of them: what was tried after it is not counted.

    Raises:
        InputError: fewer were committed.
        JobError: a part in between was never committed.
    """
    parts, visible, scenes = 0, 0, 0
    while parts < len(committed) and (episodes is None or visible < episodes):
        if committed[parts] != parts:
            raise JobError(f"store '{store}' cannot be closed: part {parts:08d} was not committed")
        record = manifest(parts)
        if episodes is not None and visible + record.episodes >= episodes:
            last = record.summary["scene"][episodes - visible - 1]
            scenes += sum(scene["scene"] <= last for scene in record.scenes)
            visible = episodes
        else:
            scenes += len(record.scenes)
            visible += record.episodes
        parts += 1
    if episodes is not None and visible < episodes:
        raise InputError(f"store '{store}' holds {visible} episodes; it cannot be closed at {episodes}")
    return Seal(parts, visible, scenes)
