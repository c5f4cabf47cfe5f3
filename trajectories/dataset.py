"""What can be read as a data set: a store, or a view of episodes that lie in stores.

Training, inspection, drawing and exporting ask only for this, so a filtered view serves wherever a store does.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trajectories.index import Index
from trajectories.schema import Episode, EpisodeMeta


class Dataset(ABC):
    """Episodes in a fixed order, counted from 0, that all have the same keys."""

    path: Path
    # Everything that decides the content, and its SHA-256.
    plan: dict[str, Any]
    plan_digest: str

    @abstractmethod
    def __len__(self) -> int:
        """Number of episodes exposed."""

    @abstractmethod
    def index(self) -> Index:
        """One row per episode, as columns.

        Raises:
            JobError: what it is made of is missing or damaged.
        """

    @abstractmethod
    def keys(self) -> list[str]:
        """The schema keys that every episode has, sorted."""

    @abstractmethod
    def row_shape(self, key: str) -> tuple[int, ...]:
        """Shape of one row of a key, known without reading any data."""

    @abstractmethod
    def chunk_rows(self, key: str) -> int:
        """Rows of a key that are stored, and therefore read, together."""

    @property
    @abstractmethod
    def parts(self) -> int:
        """Number of parts that hold the episodes."""

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Size of these parts' files."""

    @property
    @abstractmethod
    def sealed_episodes(self) -> int | None:
        """How many episodes the data set was closed at; None while the job that makes it is unfinished."""

    @abstractmethod
    def meta(self, episode: int) -> EpisodeMeta:
        """Metadata of one episode."""

    @abstractmethod
    def read(self, episode: int, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of one key of one episode.

        Raises:
            InputError: no such episode, key or rows.
            JobError: the data is missing or damaged.
        """

    @abstractmethod
    def read_run(self, episode: int, key: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of one key, counted from an episode's first step, in the part that holds the episode.

        What lies together is read together: rows before 0 or past the episode's end are those of its neighbours there
        (`Index.part`, `Index.first`). For keys with a row per step.

        Raises:
            InputError: no such episode or key, a key without a row per step, or rows outside of the part.
            JobError: the data is missing or damaged.
        """

    @abstractmethod
    def scene_records(self) -> list[dict[str, Any]]:
        """The records of the scenes tried, in order; for a view, of the scenes whose episodes it holds."""

    @abstractmethod
    def dumps(self) -> list[tuple[int, str]]:
        """Part and name of everything that was dumped while the episodes were made, in order."""

    @abstractmethod
    def verify(self) -> list[str]:
        """Hash every file again; each problem found as a sentence, with the episodes it costs. Empty: all is well."""

    @property
    def frames(self) -> int:
        """Control steps over all episodes."""
        return int(self.episode_lengths().sum())

    def cameras(self) -> list[str]:
        """Names of the cameras whose images are stored."""
        return [key.removeprefix("images/") for key in self.keys() if key.startswith("images/")]

    def episode_lengths(self) -> np.ndarray:
        """Number of control steps of each episode, (episodes,) int64."""
        return self.index().length.astype(np.int64)

    def episode(self, episode: int, keys: Sequence[str] | None = None) -> Episode:
        """One whole episode, or only some keys of it."""
        wanted = self.keys() if keys is None else keys
        return Episode({key: self.read(episode, key) for key in wanted}, self.meta(episode))


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Open a store or a view for reading, whichever lies at the path.

    Raises:
        InputError: there is neither, it has another format version, or a view's sources have gone or changed.
        JobError: its root or plan is damaged.
    """
    # Both are data sets, so they import this module.
    from trajectories.store import Store
    from trajectories.views import View

    return View.open(path) if is_view(Path(path)) else Store.open(path)


def is_view(path: Path) -> bool:
    """Whether a view lies at a path. What is neither a view nor a store is left to `Store.open` to explain."""
    try:
        return bool(json.loads((path / "zarr.json").read_bytes())["attributes"]["handful_kind"] == "view")
    except (OSError, ValueError, KeyError, TypeError):
        return False
