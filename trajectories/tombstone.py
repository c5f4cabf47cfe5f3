"""The tombstone of a store: which of its episodes were deleted after it was closed.

    {"deleted": {"00000003": [0, 4], ...}, "removed": [7], "previous": null, "digest": ...}

Parts are immutable, so an episode is deleted by no longer being exposed, and a part's files are removed once none of
its episodes is. Its manifest stays: the scenes were tried, and a job that is run again must not make them anew. The
seal holds the digest of the tombstone, so that a lost one is found; `previous` is the digest of the one before, which
the seal still holds when a deletion is interrupted.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handful import InputError, JobError
from trajectories.canonical import canonical_json, sha256
from trajectories.catalogue import Catalogue
from trajectories.layout import part_folder
from trajectories.seal import Seal


def tombstone_path(store: Path) -> Path:
    """The tombstone of a store from which episodes were deleted."""
    return store / "deleted.json"


@dataclass(frozen=True)
class Tombstone:
    """The deleted episodes of a store."""

    # Part -> its deleted episodes, in order.
    deleted: dict[int, tuple[int, ...]]
    # Parts without an episode left, whose files are removed, in order.
    removed: tuple[int, ...]
    # SHA-256 of the bytes of the tombstone that this one replaced.
    previous: str | None

    def to_bytes(self) -> bytes:
        """The canonical bytes of deleted.json, with a digest of its own."""
        record = {
            "deleted": {f"{part:08d}": list(places) for part, places in self.deleted.items()},
            "removed": list(self.removed),
            "previous": self.previous,
        }
        return canonical_json({**record, "digest": sha256(canonical_json(record))})

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes."""
        return sha256(self.to_bytes())

    def applied(self, catalogue: Catalogue) -> Catalogue:
        """What is left of what a store exposed when it was closed."""
        buried = [part << 32 | place for part, places in self.deleted.items() for place in places]
        index = catalogue.index
        left = ~np.isin(index.part.astype(np.int64) << 32 | index.local, np.array(buried, np.int64))
        parts = catalogue.parts
        gone = np.isin(parts.number, self.removed)
        episodes = [np.count_nonzero(left[first:last]) for first, last in _bounds(parts.episodes)]
        parts = replace(
            parts,
            episodes=np.array(episodes, parts.episodes.dtype),
            dumps=np.where(gone, 0, parts.dumps).astype(parts.dumps.dtype),
            bytes=np.where(gone, 0, parts.bytes).astype(parts.bytes.dtype),
        )
        return replace(catalogue, index=index.take(left), parts=parts)


def _bounds(counts: np.ndarray) -> list[tuple[int, int]]:
    ends = np.cumsum(counts, dtype=np.int64)
    return list(zip((ends - counts).tolist(), ends.tolist(), strict=True))


def is_pending(store: Path, seal: Seal, tombstone: Tombstone) -> bool:
    """Whether the deletion that a tombstone speaks of was interrupted."""
    return seal.deleted != tombstone.digest or any(part_folder(store, part).exists() for part in tombstone.removed)


def load_tombstone(store: Path, expected: str | None) -> Tombstone | None:
    """Read a store's tombstone; None where nothing was deleted.

    Args:
        store: the store.
        expected: its digest as the seal has it; None: the seal knows of none.

    Raises:
        JobError: it is damaged or has been lost.
    """
    damaged = f"store '{store}' is damaged: its deleted.json"
    try:
        data = tombstone_path(store).read_bytes()
    except FileNotFoundError:
        if expected is not None:
            raise JobError(f"{damaged} is missing; without it deleted episodes would come back") from None
        return None
    except OSError as error:
        raise JobError(f"{damaged} cannot be read ({error.strerror})") from error
    try:
        record = json.loads(data)
        tombstone = Tombstone(
            deleted={int(part): tuple(places) for part, places in record["deleted"].items()},
            removed=tuple(record["removed"]),
            previous=record["previous"],
        )
        whole = tombstone.to_bytes() == data
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise JobError(f"{damaged} cannot be read ({error})") from error
    if not whole:
        raise JobError(f"{damaged} has changed")
    if expected not in (tombstone.digest, tombstone.previous):
        raise JobError(f"{damaged} is not the one that its seal speaks of")
    return tombstone
