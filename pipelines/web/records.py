"""What became of every scene that was tried, in columns: outcome, attempts, length, and the episode it gave."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from handful import HandfulError
from trajectories import Dataset, Store, View
from trajectories.index import Index

_SOURCE = 1 << 48


class Records:
    """The scene records of a data set; filled by one thread, asked by others once complete.

    Attributes:
        complete: whether all are read.
        problem: why some could not be read.
    """

    def __init__(self) -> None:
        self.complete = False
        self.problem: str | None = None
        self._source = self._scene = self._steps = self._episode = np.zeros(0, np.int64)
        # Of each scene: which chain of attempts, the last of which is how it ended.
        self._chain = np.zeros(0, np.int64)
        self._chains: list[tuple[str, ...]] = []
        self._dumped: set[int] = set()

    def __len__(self) -> int:
        """Number of scenes tried."""
        return len(self._scene)

    def read(
        self, dataset: Dataset, index: Index, stopped: Callable[[], bool] = lambda: False, rest: float = 0.0
    ) -> None:
        """Read them all.

        Args:
            dataset: the store or view.
            index: its index.
            stopped: asked now and then; true ends the reading.
            rest: how long to leave the interpreter to other threads after each part [s].
        """
        sources, scenes, steps, chains, dumped = [], [], [], [], set()
        known: dict[tuple[str, ...], int] = {}
        for source, records in _parts(dataset, index):
            if stopped():
                return
            for record in records:
                scene = record.get("scene")
                if not isinstance(scene, int):
                    continue
                sources.append(source)
                scenes.append(scene)
                steps.append(record["steps"] if isinstance(record.get("steps"), int) else -1)
                chains.append(known.setdefault(_chain(record), len(known)))
            if rest:
                time.sleep(rest)
        try:
            dumped = {name.removeprefix("scene_") for _, name in dataset.dumps()}
        except HandfulError as error:
            self.problem = str(error)
        self._source, self._scene = np.array(sources, np.int64), np.array(scenes, np.int64)
        self._steps, self._chain = np.array(steps, np.int64), np.array(chains, np.int64)
        self._chains = list(known)
        self._dumped = {int(name) for name in dumped if name.isdigit()}
        self._episode = _episodes(dataset, index, self._source, self._scene)
        self.complete = True

    def of(self, episode: int) -> list[str]:
        """The outcomes of the attempts at an episode's scene, the last its own; empty where nothing says so."""
        rows = np.flatnonzero(self._episode == episode) if self.complete else np.zeros(0, int)
        return list(self._chains[self._chain[rows[0]]]) if len(rows) else []

    def page(self, outcome: str | None, failed: bool, start: int, count: int) -> dict[str, Any]:
        """Counts by outcome, and rows of the scenes.

        Args:
            outcome: only scenes with an attempt that ended in it.
            failed: only scenes that gave no success.
            start: first row.
            count: rows.
        """
        if not self.complete:
            return {"scenes": 0, "matching": 0, "start": 0, "rows": [], "outcomes": [], "attempts": 0}
        sizes = np.bincount(self._chain, minlength=len(self._chains))
        ends: Counter[str] = Counter()
        tries: Counter[str] = Counter()
        for chain, size in zip(self._chains, sizes.tolist(), strict=True):
            ends[chain[-1]] += size
            for attempt in chain:
                tries[attempt] += size
        wanted = np.array(
            [(not outcome or outcome in chain) and not (failed and chain[-1] == "success") for chain in self._chains],
            bool,
        )
        rows = np.flatnonzero(wanted[self._chain]) if len(wanted) else np.zeros(0, int)
        return {
            "scenes": len(self),
            "attempts": sum(tries.values()),
            "matching": len(rows),
            "start": start,
            "outcomes": [
                {"outcome": name, "scenes": ends[name], "attempts": tries[name]}
                for name in sorted(tries, key=lambda name: (name != "success", -tries[name], name))
            ],
            "rows": [self._row(int(row)) for row in rows[start : start + count]],
        }

    def _row(self, row: int) -> dict[str, Any]:
        episode, scene, steps = (int(column[row]) for column in (self._episode, self._scene, self._steps))
        return {
            "scene": scene,
            "attempts": list(self._chains[self._chain[row]]),
            "steps": steps if steps >= 0 else None,
            "episode": episode if episode >= 0 else None,
            "dumped": scene in self._dumped,
        }


def _chain(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The outcomes of a scene's attempts in order."""
    attempts = record.get("attempts")
    outcome = str(record.get("outcome", "unknown"))
    if isinstance(attempts, list) and attempts:
        return tuple(str(attempt) for attempt in attempts)
    return (outcome,)


def _parts(dataset: Dataset, index: Index) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The records part by part, so that never all are in memory: number of the store, records."""
    if isinstance(dataset, Store):
        parts = dataset.catalogue().parts
        for part, count in zip(parts.number.tolist(), parts.scenes.tolist(), strict=True):
            yield 0, dataset.part_records(part)[:count]
    elif isinstance(dataset, View):
        for number, store in enumerate(dataset.stores):
            held = set(index.scene[dataset.selection.source == number].tolist())
            for part in dataset.selection.parts(number):
                yield number, [record for record in store.part_records(part) if record.get("scene") in held]


def _episodes(dataset: Dataset, index: Index, source: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """The last episode of each scene of each store, (scenes,) int64; -1 where it gave none."""
    held = dataset.selection.source.astype(np.int64) if isinstance(dataset, View) else np.zeros(len(index), np.int64)
    there = held * _SOURCE + index.scene
    order = np.argsort(there, kind="stable")
    wanted = source * _SOURCE + scene
    if not len(order):
        return np.full(len(wanted), -1, np.int64)
    place = np.maximum(np.searchsorted(there[order], wanted, side="right") - 1, 0)
    return np.where(there[order[place]] == wanted, order[place], -1)
