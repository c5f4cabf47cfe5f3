"""Episodes of stores by where they lie, so that data sets are merged, filtered and split without copying any.

An episode is named by its store, its part and its number in that part. These never change, whereas its number in the
store does when episodes before it are deleted.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handful import InputError, JobError
from trajectories.canonical import file_sha256, sha256
from trajectories.dataset import Dataset
from trajectories.index import Index, join
from trajectories.layout import manifest_path
from trajectories.store import Store

_COLUMNS = ("source", "part", "local")


@dataclass(frozen=True)
class Selection:
    """Episodes in a fixed order, each once."""

    # Number of the store that holds each, (episodes,) int32.
    source: np.ndarray
    # Part of that store, (episodes,) int32.
    part: np.ndarray
    # Episode within the part, (episodes,) int32.
    local: np.ndarray

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.source)

    def take(self, rows: np.ndarray) -> "Selection":
        """Some of the rows, by number or mask."""
        return Selection(self.source[rows], self.part[rows], self.local[rows])

    def parts(self, source: int) -> list[int]:
        """The parts of one store that hold its episodes, in order."""
        return [int(part) for part in np.unique(self.part[self.source == source])]

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes."""
        return sha256(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The columns as .npz; the same selection gives the same bytes."""
        buffer = io.BytesIO()
        # Members of the archive get the same fixed date from NumPy, whenever it is written.
        np.savez(buffer, allow_pickle=False, **{name: getattr(self, name) for name in _COLUMNS})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Selection":
        """The inverse of `to_bytes`, for bytes whose digest has been checked."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in _COLUMNS})


def select(store: Store) -> Selection:
    """All episodes of a store, as source 0."""
    index = store.index()
    return Selection(np.zeros(len(index), np.int32), index.part, index.local)


def same_folder(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same folder."""
    return Path(os.path.realpath(one)) == Path(os.path.realpath(other))


def unite(pieces: Sequence[tuple[Sequence[Store], Selection]]) -> tuple[list[Store], Selection]:
    """Several selections one after another, over one list of stores.

    An episode that several of them hold is kept where it comes first.

    Returns:
        The stores in order of first use, each once, and the episodes.
    """
    stores: dict[str, Store] = {}
    source = []
    for opened, selection in pieces:
        places = [os.path.realpath(store.path) for store in opened]
        for place, store in zip(places, opened, strict=True):
            stores.setdefault(place, store)
        order = list(stores)
        source.append(np.array([order.index(place) for place in places], np.int32)[selection.source])
    united = Selection(
        np.concatenate(source),
        np.concatenate([selection.part for _, selection in pieces]),
        np.concatenate([selection.local for _, selection in pieces]),
    )
    rows = np.stack([united.source, united.part, united.local], axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    return list(stores.values()), united if len(first) == len(united) else united.take(np.sort(first))


def drop_unused(stores: Sequence[Store], selection: Selection) -> tuple[list[Store], Selection]:
    """The stores that still hold an episode of the selection, and the selection over these."""
    used, source = np.unique(selection.source, return_inverse=True)
    kept = [stores[number] for number in used]
    return kept, Selection(source.astype(np.int32), selection.part, selection.local)


def locate(store: Store, part: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Episode numbers in a store of episodes named by part and place, (n,) int64; -1 where it exposes none such."""
    index = store.index()
    there = index.part.astype(np.int64) << 32 | index.local
    wanted = part.astype(np.int64) << 32 | local
    if not len(there):
        return np.full(len(wanted), -1, np.int64)
    # The episodes of a store come in order of parts.
    position = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    return np.where(there[position] == wanted, position, -1)


def joined_index(stores: Sequence[Store], source: np.ndarray, episodes: np.ndarray) -> Index:
    """The index of episodes of several stores, in their order; parts are numbered on from one store to the next.

    Args:
        stores: the stores.
        source: which store each episode lies in, (n,).
        episodes: its number there, (n,).
    """
    pieces, rows, offset = [], [], 0
    for number, store in enumerate(stores):
        mine = np.flatnonzero(source == number)
        index = store.index()
        piece = index.take(episodes[mine])
        piece = replace(piece, part=(piece.part + offset).astype(np.int32))
        offset += int(index.part.max(initial=-1)) + 1
        pieces.append(piece)
        rows.append(mine)
    order = np.empty(len(source), np.int64)
    order[np.concatenate([np.zeros(0, np.int64), *rows])] = np.arange(len(source))
    return join(pieces).take(order)


def parts_digest(store: Store, parts: Sequence[int]) -> str:
    """SHA-256 over the commit records of some parts, which hold the digests of all their files.

    Raises:
        JobError: one of them is missing.
    """
    try:
        return sha256("".join(file_sha256(manifest_path(store.path, part)) for part in parts).encode())
    except OSError as error:
        raise JobError(f"store '{store.path}' is damaged: {error.filename} cannot be read") from error


def check_together(stores: Sequence[Dataset], rates: np.ndarray) -> None:
    """Refuse stores that cannot be read as one data set.

    Args:
        stores: what is put together.
        rates: control rates of all chosen episodes [Hz].

    Raises:
        InputError: rows of a key that all have differ in shape, or control rates differ; says where.
    """
    for key in sorted(set.intersection(*(set(store.keys()) for store in stores))):
        shape = stores[0].row_shape(key)
        for other in stores[1:]:
            if other.row_shape(key) != shape:
                raise InputError(
                    f"'{stores[0].path}' and '{other.path}' cannot go together: rows of '{key}' are {_shape(shape)} in "
                    f"one and {_shape(other.row_shape(key))} in the other"
                )
    found = np.unique(rates)
    if len(found) > 1:
        listed = ", ".join(f"{rate:g}" for rate in found)
        raise InputError(
            f"episodes of different control rates ({listed} Hz) cannot go together; "
            f"choose one rate with --where 'control_rate == {found[0]:g}', or resample"
        )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "single values"
