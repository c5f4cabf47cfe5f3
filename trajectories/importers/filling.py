"""From a stream of checked episodes to a store, a part at a time, and the same without a store: a rehearsal."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError
from trajectories.importers.admission import Admission
from trajectories.schema import Episode
from trajectories.store import Store

# A part of the store holds so many episodes, or fewer of more bytes in all.
_PART_EPISODES = 64
_PART_BYTES = 256 << 20


def check_episodes(episodes: Iterator[Episode], path: Path) -> dict[str, int]:
    """Go through all episodes of the data set at `path` and keep none.

    Returns:
        {"episodes": ..., "frames": ...}

    Raises:
        InputError: there are none, or one breaks the schema, or differs from the first in keys, types or row shapes.
    """
    admission = Admission(path)
    for episode in episodes:
        admission.check(episode)
    if admission.episodes == 0:
        raise InputError(f"'{path}' holds no episodes")
    return {"episodes": admission.episodes, "frames": admission.frames}


def fill_store(path: str | Path, plan: Mapping[str, Any], episodes: Iterator[Episode]) -> dict[str, int]:
    """Make a store of all episodes, or resume it; a part's episodes are in memory at a time.

    Returns:
        {"episodes": ..., "frames": ...}

    Raises:
        InputError: there is a store of another plan at the path, or an episode breaks the schema.
        JobError: the store cannot be written.
    """
    parts = _parts(episodes)
    # Reading the first part before the store is made leaves nothing behind where it cannot be read.
    part = next(parts, [])
    store = Store.create(path, plan)
    index = first = 0
    while part:
        store.commit(index, part, _records(part, first))
        index, first = index + 1, first + len(part)
        part = next(parts, [])
    store.seal(None)
    return {"episodes": len(store), "frames": store.frames}


def anywhere(joints: np.ndarray) -> np.ndarray:
    """Stands in for kinematics where the data set is only checked: any pose will do."""
    return np.tile([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (len(joints), 1))


def _parts(episodes: Iterator[Episode]) -> Iterator[list[Episode]]:
    part: list[Episode] = []
    size = 0
    for episode in episodes:
        part.append(episode)
        size += sum(value.nbytes for value in episode.arrays.values())
        if len(part) == _PART_EPISODES or size >= _PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _records(episodes: Sequence[Episode], first: int) -> list[dict[str, Any]]:
    return [
        {"scene": first + index, "outcome": item.meta.outcome, "attempts": [item.meta.outcome]}
        for index, item in enumerate(episodes)
    ]
