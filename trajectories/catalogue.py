"""What a store exposes, in columns: its index of episodes, and one row per part that holds them.

An unfinished store's catalogue is put together from the manifests. When a store is closed it is written as `index.npz`,
so that a million episodes open without reading every manifest; the seal holds its SHA-256. As it holds the SHA-256 of
each manifest, and these hold those of all files, a closed store's whole content is fixed by its seal.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from handful import JobError
from trajectories.canonical import canonical_json, sha256
from trajectories.index import CATEGORIES, DTYPES, Category, Index, category_values, check_index, join, part_index
from trajectories.manifest import QUARANTINED, Manifest, spec_difference


@dataclass(frozen=True)
class Parts:
    """One row per part, in order of their numbers."""

    # Index of the part's chunk, int32.
    number: np.ndarray
    # SHA-256 of its manifest object, (parts, 32) uint8.
    digest: np.ndarray
    # Episodes and scene records that are exposed of it, int32.
    episodes: np.ndarray
    scenes: np.ndarray
    # Dumps that it holds, int32.
    dumps: np.ndarray
    # Size of its files, int64.
    bytes: np.ndarray

    def __len__(self) -> int:
        """Number of parts."""
        return len(self.number)

    def digest_of(self, part: int) -> str | None:
        """SHA-256 of one part's manifest object, in hexadecimal; None where it is not among these."""
        row = int(np.searchsorted(self.number, part))
        there = row < len(self) and self.number[row] == part
        return self.digest[row].tobytes().hex() if there else None


_PARTS = {"number": np.int32, "digest": np.uint8, "episodes": np.int32, "scenes": np.int32, "dumps": np.int32}
_PARTS_DTYPES = {name: np.dtype(dtype) for name, dtype in _PARTS.items()} | {"bytes": np.dtype(np.int64)}
if [field.name for field in fields(Parts)] != list(_PARTS_DTYPES):
    raise AssertionError("_PARTS_DTYPES must name the columns of Parts")


@dataclass(frozen=True)
class Entry:
    """What a catalogue needs of one manifest."""

    part: int
    digest: str
    index: Index
    scenes: int
    dumps: int
    bytes: int
    arrays: dict[str, dict[str, Any]]
    chunks: dict[str, int]
    # Scenes that were left out, by their place among the part's records: number and reason.
    quarantined: dict[int, tuple[int, str]]


def entry_of(manifest: Manifest) -> Entry:
    """The catalogue's entry of a part.

    Raises:
        JobError: the manifest's summary is damaged.
    """
    return Entry(
        part=manifest.part,
        digest=sha256(manifest.to_bytes()),
        index=part_index(manifest.part, manifest.lengths, manifest.summary),
        scenes=len(manifest.scenes),
        dumps=sum(name.startswith("dumps/") for name in manifest.files),
        bytes=manifest.size,
        arrays=manifest.arrays,
        chunks=manifest.chunks,
        quarantined={
            place: (record["scene"], str(record.get("reason")))
            for place, record in enumerate(manifest.scenes)
            if record.get("outcome") == QUARANTINED
        },
    )


@dataclass(frozen=True)
class Catalogue:
    """What a store exposes."""

    index: Index
    parts: Parts
    # key -> {"dtype": ..., "row": shape of one row}.
    arrays: dict[str, dict[str, Any]]
    # key -> rows of one chunk, in the first part that holds an episode.
    chunks: dict[str, int]
    # Scenes among the exposed that were left out because they cannot be made, each with its part and the reason.
    quarantined: dict[int, tuple[int, str]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The bytes of index.npz; the same catalogue gives the same."""
        columns = {name: getattr(self.index, name) for name in DTYPES}
        # Codes are as narrow as their number of values lets them be.
        for name, category in self.index.categories.items():
            columns[f"category_{name}"] = category.codes.astype(np.min_scalar_type(max(len(category.values) - 1, 0)))
        columns |= {f"parts_{name}": getattr(self.parts, name) for name in _PARTS_DTYPES}
        values = {name: list(category.values) for name, category in self.index.categories.items()}
        record: dict[str, Any] = {"arrays": self.arrays, "chunks": self.chunks, "values": values}
        if self.quarantined:
            record["quarantined"] = [[scene, *found] for scene, found in self.quarantined.items()]
        text = canonical_json(record)
        buffer = io.BytesIO()
        # NumPy gives every member of the archive the same fixed date.
        np.savez(buffer, allow_pickle=False, **columns, json=np.frombuffer(text, np.uint8))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "Catalogue":
        """The inverse of `to_bytes`.

        Args:
            data: bytes whose digest has been checked, or is about to be.
            where: names the file in an error.

        Raises:
            JobError: the bytes are damaged.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                record = json.loads(arrays["json"].tobytes())
                categories = {
                    name: Category(
                        arrays[f"category_{name}"].astype(np.int32), category_values(name, record["values"][name])
                    )
                    for name in CATEGORIES
                }
                columns = {name: arrays[name].astype(dtype, copy=False) for name, dtype in DTYPES.items()}
                parts = Parts(
                    **{n: arrays[f"parts_{n}"].astype(dtype, copy=False) for n, dtype in _PARTS_DTYPES.items()}
                )
            index = Index(**columns, categories=categories)
            quarantined = {scene: (part, reason) for scene, part, reason in record.get("quarantined", [])}
            catalogue = cls(index, parts, record["arrays"], record["chunks"], quarantined)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise JobError(f"{where} is damaged ({type(error).__name__}: {error})") from error
        check_index(index, len(index.part), where)
        if int(parts.episodes.sum()) != len(index):
            raise JobError(f"{where} is damaged: its parts hold {parts.episodes.sum()} episodes, not {len(index)}")
        return catalogue


def build(store: str, entries: Sequence[Entry], episodes: int | None = None, scenes: int | None = None) -> Catalogue:
    """Put a catalogue together.

    Args:
        store: names the store in an error.
        entries: the parts, in order.
        episodes: expose only the first so many; None: all.
        scenes: expose only the first so many scene records; None: all.

    Raises:
        JobError: parts disagree in keys, dtypes or shapes.
    """
    filled = [entry for entry in entries if entry.arrays]
    for entry in filled[1:]:
        if entry.arrays != filled[0].arrays:
            difference = spec_difference(filled[0].part, filled[0].arrays, entry.arrays)
            raise JobError(f"store '{store}', part {entry.part:08d} {difference}")
    parts = Parts(
        number=np.array([entry.part for entry in entries], np.int32),
        digest=np.frombuffer(bytes.fromhex("".join(entry.digest for entry in entries)), np.uint8).reshape(-1, 32),
        episodes=_first([len(entry.index) for entry in entries], episodes),
        scenes=_first([entry.scenes for entry in entries], scenes),
        dumps=np.array([entry.dumps for entry in entries], np.int32),
        bytes=np.array([entry.bytes for entry in entries], np.int64),
    )
    index = join([entry.index.take(slice(count)) for entry, count in zip(entries, parts.episodes, strict=True)])
    first = filled[0] if filled else None
    quarantined = {
        scene: (entry.part, reason)
        for entry, exposed in zip(entries, parts.scenes, strict=True)
        for place, (scene, reason) in entry.quarantined.items()
        if place < exposed
    }
    return Catalogue(index, parts, first.arrays if first else {}, first.chunks if first else {}, quarantined)


def _first(counts: Sequence[int], limit: int | None) -> np.ndarray:
    """How many of each are among the first `limit` of all, (n,) int32."""
    whole = np.array(counts, np.int64)
    if limit is None:
        return whole.astype(np.int32)
    return np.clip(limit - (np.cumsum(whole) - whole), 0, whole).astype(np.int32)
