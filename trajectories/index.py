"""The index: one row per exposed episode, in columns, so that a million episodes are looked through at once.

Whoever chooses episodes (a loader, a filter, a table of contents) needs a few facts of every one of them and none of
their data. Each part's manifest carries these facts of its own episodes (`summarise`); joined they are the `Index`.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from handful import JobError
from trajectories.schema import EpisodeMeta

# Columns of few distinct values; "text" holds (instruction, *paraphrases).
CATEGORIES = ("task", "embodiment", "domain", "outcome", "operator", "action_source", "text")


@dataclass(frozen=True)
class Category:
    """A column of few distinct values."""

    # Which value each row has, (rows,) int32.
    codes: np.ndarray
    # The values: strings; of "text" tuples of sentences, the instruction first, without duplicates.
    values: tuple[Any, ...]

    def of(self, episode: int) -> Any:
        """The value of one row."""
        return self.values[self.codes[episode]]


@dataclass(frozen=True)
class Index:
    """One row per exposed episode, in order."""

    # Part that holds it, int32.
    part: np.ndarray
    # Episode within the part, int32.
    local: np.ndarray
    # Row of its first step among the part's step rows, int64.
    first: np.ndarray
    # Control steps, int32.
    length: np.ndarray
    # Scene in the plan, int64.
    scene: np.ndarray
    # Seed of its random streams, int64; -1 where none below 2**63 is recorded.
    seed: np.ndarray
    # Attempts spent on the scene, int32.
    attempts: np.ndarray
    # Control rate [Hz], float64.
    control_rate: np.ndarray
    # "task", "embodiment", "domain", "outcome", "operator", "action_source", "text".
    categories: dict[str, Category]

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.part)

    def take(self, rows: np.ndarray | slice) -> "Index":
        """Some of the rows, by number, mask or slice."""
        columns = {name: getattr(self, name)[rows] for name in DTYPES}
        categories = {name: Category(c.codes[rows], c.values) for name, c in self.categories.items()}
        return Index(**columns, categories=categories)


DTYPES: dict[str, np.dtype[Any]] = {
    "part": np.dtype(np.int32),
    "local": np.dtype(np.int32),
    "first": np.dtype(np.int64),
    "length": np.dtype(np.int32),
    "scene": np.dtype(np.int64),
    "seed": np.dtype(np.int64),
    "attempts": np.dtype(np.int32),
    "control_rate": np.dtype(np.float64),
}
if [field.name for field in fields(Index)] != [*DTYPES, "categories"]:
    raise AssertionError("DTYPES must name the columns of Index")


def summarise(metas: Sequence[EpisodeMeta], lines: Sequence[bytes]) -> dict[str, Any]:
    """What a part's manifest says of each of its episodes, as JSON: columns, and where each line of metadata ends.

    Args:
        metas: the part's episodes, in order.
        lines: their lines in episodes.jsonl, each with its newline.
    """
    ends, total = [], 0
    for line in lines:
        total += len(line)
        ends.append(total)
    return {
        "scene": [meta.scene for meta in metas],
        "seed": [_seed(meta) for meta in metas],
        "attempts": [meta.attempts for meta in metas],
        "control_rate": [float(meta.control_rate) for meta in metas],
        "categories": {name: _encode([_category(meta, name) for meta in metas]) for name in CATEGORIES},
        "line_ends": ends,
        "line_crcs": [zlib.crc32(line) for line in lines],
    }


def _seed(meta: EpisodeMeta) -> int:
    seed = meta.seeds.get("seed", -1)
    return seed if isinstance(seed, int) and 0 <= seed < 2**63 else -1


def _category(meta: EpisodeMeta, name: str) -> Any:
    if name == "text":
        return tuple(dict.fromkeys((meta.instruction, *meta.paraphrases)))
    return getattr(meta, name)


def _encode(column: Sequence[Any]) -> dict[str, Any]:
    """A column as codes and distinct values, in order of first appearance."""
    codes: dict[Any, int] = {}
    encoded = [codes.setdefault(value, len(codes)) for value in column]
    return {"codes": encoded, "values": list(codes)}


def part_index(part: int, lengths: Sequence[int], summary: dict[str, Any]) -> Index:
    """The index of one part's episodes, from what its manifest says of them.

    Raises:
        JobError: the summary does not fit the number of episodes.
    """
    count = len(lengths)
    length = np.asarray(lengths, np.int64)
    try:
        categories = {
            name: Category(np.asarray(entry["codes"], np.int32), category_values(name, entry["values"]))
            for name, entry in ((name, summary["categories"][name]) for name in CATEGORIES)
        }
        index = Index(
            part=np.full(count, part, np.int32),
            local=np.arange(count, dtype=np.int32),
            first=np.cumsum(length) - length,
            length=length.astype(np.int32),
            **{name: np.asarray(summary[name], DTYPES[name]) for name in ("scene", "seed", "attempts", "control_rate")},
            categories=categories,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise JobError(f"part {part:08d}: the summary in its manifest is damaged ({error})") from error
    check_index(index, count, f"part {part:08d}: the summary in its manifest")
    return index


def category_values(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """A category's values as they are in memory, from JSON."""
    return tuple(tuple(value) for value in values) if name == "text" else tuple(values)


def check_index(index: Index, count: int, what: str) -> None:
    """Refuse an index whose columns do not fit each other.

    Raises:
        JobError: naming the column.
    """
    columns = {name: getattr(index, name) for name in DTYPES}
    columns |= {name: category.codes for name, category in index.categories.items()}
    for name, column in columns.items():
        if column.shape != (count,):
            raise JobError(f"{what} is damaged: '{name}' has shape {column.shape}, not ({count},)")
    for name, category in index.categories.items():
        if count and not 0 <= category.codes.min() <= category.codes.max() < len(category.values):
            raise JobError(f"{what} is damaged: '{name}' has codes without a value")


def join(parts: Sequence[Index]) -> Index:
    """Indices one after another; a category's values come in order of first appearance."""
    columns = {
        name: np.concatenate([np.zeros(0, dtype), *(getattr(part, name) for part in parts)])
        for name, dtype in DTYPES.items()
    }
    categories = {}
    for name in CATEGORIES:
        codes: dict[Any, int] = {}
        joined = [np.zeros(0, np.int32)]
        for part in parts:
            category = part.categories[name]
            known = np.array([codes.setdefault(value, len(codes)) for value in category.values], np.int32)
            joined.append(known[category.codes] if len(known) else category.codes)
        categories[name] = Category(np.concatenate(joined), tuple(codes))
    return Index(**columns, categories=categories)
