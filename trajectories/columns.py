"""What episodes say beyond the index, in columns: every value of their ledgers, and which demos they replay.

A filter by what was drawn has to read the metadata of all episodes, which takes minutes where there are very many. Who
filters again and again reads it once, in the background, into columns (`Columns.fill`), and gives these to
`filters.matching`.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handful import HandfulError
from trajectories.dataset import Dataset
from trajectories.index import Category

# Bounds of what is held: bytes of all columns, distinct texts of one axis, values of one list, messages about damage.
BUDGET = 1 << 29
_TEXTS, _LIST, _MESSAGES = 4096, 32, 1000
# Steps of `source/demo` that are read at once, and episodes between two looks at whether to stop.
_RUN, _BATCH = 1 << 18, 16
# Work between two rests [s].
_SPELL = 0.01


@dataclass
class Columns:
    """Values of every episode of a data set, by axis, such as `physics.table_friction` or `poses.cube_1[0]`.

    Attributes:
        episodes: number of episodes.
        numbers: axis -> (episodes,) float64, NaN where an episode has none.
        texts: axis -> its texts or truth values; code -1 where an episode has none.
        demos: (episodes, demos) bool, which seed demos each replays; None: not known, or nothing says so.
        left_out: axes that would take more memory than is allowed.
        damaged: episode -> why its metadata, or what it replays, cannot be read; of the first thousand of them.
        done: episodes read so far.
    """

    episodes: int
    budget: int = BUDGET
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, Category] = field(default_factory=dict)
    demos: np.ndarray | None = None
    left_out: set[str] = field(default_factory=set)
    damaged: dict[int, str] = field(default_factory=dict)
    done: int = 0
    _codes: dict[str, tuple[np.ndarray, dict[Any, int]]] = field(default_factory=dict, repr=False)
    _bytes: int = 0

    @property
    def complete(self) -> bool:
        """Whether everything is read."""
        return self.done >= self.episodes

    def get(self, axis: str) -> np.ndarray | Category | None:
        """The column of an axis; None where there is none, or it is still being read."""
        if not self.complete:
            return None
        column: np.ndarray | Category | None = self.numbers.get(axis)
        return self.texts.get(axis) if column is None else column

    def fill(self, dataset: Dataset, stopped: Callable[[], bool] = lambda: False, rest: float = 0.0) -> None:
        """Read all episodes; what is damaged is noted and passed over.

        Args:
            dataset: what has these episodes.
            stopped: asked now and then; true ends the reading.
            rest: how long to leave the interpreter to other threads now and then [s].
        """
        self._read_demos(dataset, stopped)
        woken = time.perf_counter()
        for start in range(0, self.episodes, _BATCH):
            if stopped():
                return
            stop = min(start + _BATCH, self.episodes)
            for episode in range(start, stop):
                try:
                    ledger = dataset.meta(episode).ledger
                except (HandfulError, ValueError, TypeError, KeyError) as error:
                    self._note(episode, error)
                    continue
                for axis, value in flatten(ledger):
                    self._put(axis, episode, value)
            if stop == self.episodes:
                self.texts = {axis: Category(codes, tuple(values)) for axis, (codes, values) in self._codes.items()}
                self._codes = {}
            self.done = stop
            if rest and time.perf_counter() - woken > _SPELL:
                time.sleep(rest)
                woken = time.perf_counter()

    def _note(self, episode: int, error: Exception) -> None:
        if len(self.damaged) < _MESSAGES:
            self.damaged.setdefault(episode, str(error))

    def _put(self, axis: str, episode: int, value: str | bool | float) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if axis in self.left_out:
            return
        if axis not in self.numbers and axis not in self._codes:
            size = self.episodes * (8 if number else 4)
            if self._bytes + size > self.budget:
                self.left_out.add(axis)
                return
            self._bytes += size
            if number:
                self.numbers[axis] = np.full(self.episodes, np.nan)
            else:
                self._codes[axis] = np.full(self.episodes, -1, np.int32), {}
        if number and axis in self.numbers:
            self.numbers[axis][episode] = value
            return
        codes, known = self._codes.get(axis, (None, {}))
        if number or codes is None or len(known) >= _TEXTS:
            # Of two kinds, or of too many values.
            self.numbers.pop(axis, None)
            self._codes.pop(axis, None)
            self.left_out.add(axis)
            return
        codes[episode] = known.setdefault(value, len(known))

    def _read_demos(self, dataset: Dataset, stopped: Callable[[], bool]) -> None:
        keys = dataset.keys()
        if "source/demo" not in keys:
            return
        index = dataset.index()
        found: list[np.ndarray] = []
        for group in _runs(index.part, index.first, index.length):
            if stopped():
                return
            found += self._demos_of(dataset, group, index.first, index.length)
        pairs = np.concatenate([np.zeros((0, 2), np.int64), *found])
        count = int(pairs[:, 1].max(initial=-1)) + 1
        if self.episodes * count <= self.budget // 4:
            self.demos = np.zeros((self.episodes, count), bool)
            self.demos[pairs[:, 0], pairs[:, 1]] = True

    def _demos_of(self, dataset: Dataset, group: np.ndarray, first: np.ndarray, length: np.ndarray) -> list[np.ndarray]:
        """(episode, demo) pairs, each (n, 2) int64, of episodes of one part that lie near each other."""
        begin = int(first[group[0]])
        try:
            end = int((first[group] + length[group]).max())
            rows = dataset.read_run(int(group[0]), "source/demo", 0, end - begin)
        except HandfulError as error:
            if len(group) == 1:
                self._note(int(group[0]), error)
                return []
            return [p for one in group for p in self._demos_of(dataset, np.array([one]), first, length)]
        counts = length[group].astype(np.int64)
        ends = np.cumsum(counts)
        # Where each step of each episode lies among the rows.
        place = np.arange(ends[-1]) - np.repeat(ends - counts, counts) + np.repeat(first[group] - begin, counts)
        pairs = np.stack([np.repeat(group, counts), rows[place].astype(np.int64)], axis=1)
        return [np.unique(pairs[pairs[:, 1] >= 0], axis=0)]


def flatten(ledger: Any, name: str = "") -> Iterator[tuple[str, str | bool | float]]:
    """Each single value of a ledger with the name that filters have for it; what is null or not finite is left out."""
    if isinstance(ledger, dict):
        for key, value in ledger.items():
            yield from flatten(value, f"{name}.{key}" if name else str(key))
    elif isinstance(ledger, list | tuple):
        if len(ledger) <= _LIST:
            for place, value in enumerate(ledger):
                yield from flatten(value, f"{name}[{place}]")
    elif isinstance(ledger, str | bool) or (isinstance(ledger, int | float) and math.isfinite(ledger)):
        yield name, ledger


def _runs(part: np.ndarray, first: np.ndarray, length: np.ndarray) -> Iterator[np.ndarray]:
    """Episode numbers in groups that lie together in one part and can be read at once."""
    order = np.lexsort((first, part))
    start = 0
    for here in range(1, len(order) + 1):
        ends = here == len(order) or part[order[here]] != part[order[start]]
        if ends or first[order[here]] + length[order[here]] - first[order[start]] > _RUN:
            yield order[start:here]
            start = here
