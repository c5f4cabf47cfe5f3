"""A data set as the browser asks for it: which episodes match, what they have in common, and what became of scenes.

Everything comes from columns: the index, which is there at once, and ledgers and scene records, which a thread reads in
the background. So a page of a hundred thousand episodes is answered in milliseconds, and no episode is loaded for it.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np

from handful import HandfulError, InputError
from pipelines.web.query import Clause, Query
from pipelines.web.records import Records
from trajectories import Dataset
from trajectories.columns import Columns
from trajectories.expressions import comparisons, parse
from trajectories.filters import NUMBER_FIELDS, TEXT_FIELDS, matching, text_column
from trajectories.index import Category

# Rows of a page, values of a facet, bins of a histogram, dots of a map.
MOST_ROWS, MOST_VALUES, BINS, DOTS = 200, 30, 24, 3000
# Axes whose histograms are answered at once.
MOST_AXES = 60
# A filter that the columns do not cover reads metadata; beyond so many episodes that is refused.
_SLOW = 5000
# Episodes whose first step is looked at where no ledger says where objects started.
_STARTS = 2000
# Left to other threads after every few episodes that are read in the background [s].
_REST = 0.002
_RANGES = ("length", "attempts", "scene")


class Library:
    """One data set, opened once and asked by several threads.

    Args:
        dataset: a store or a view.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.index = dataset.index()
        self.columns = Columns(len(self.index))
        self.records = Records()
        self.problem: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="survey", daemon=True)
        # Few masks of a byte per episode.
        self._mask = lru_cache(64)(self._evaluate)
        # Field -> its bins; and field -> its extent, once its column is there.
        self._bins: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._extents: dict[str, tuple[float, float] | None] = {}
        # Object -> episodes, x and y at their first step, where ledgers do not say.
        self._starts: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def start(self) -> None:
        """Begin to read ledgers and scene records."""
        self._thread.start()

    def stop(self) -> None:
        """End reading, finished or not."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.index)

    @property
    def ready(self) -> bool:
        """Whether everything that is read in the background is there."""
        return self.columns.complete and self.records.complete

    def progress(self) -> dict[str, Any]:
        """How far the reading in the background is."""
        done = self.columns.done / max(len(self), 1)
        return {
            "ready": self.ready,
            "share": round(min(done, 1.0) * (1.0 if self.records.complete else 0.99), 4),
            "problem": self.problem,
            "damaged": {str(episode): message for episode, message in list(self.columns.damaged.items())[:50]},
            "left_out": len(self.columns.left_out),
        }

    def chosen(self, query: Query) -> np.ndarray:
        """Episode numbers that match, in order, (n,) int64.

        Raises:
            InputError: the filter is wrong, or needs what is still being read.
        """
        return np.flatnonzero(self._all(query.clauses))

    def page(self, query: Query, sort: str, start: int, count: int, find: int | None) -> dict[str, Any]:
        """Rows of the list of episodes.

        Args:
            query: which episodes.
            sort: "episode", "length" or "attempts"; with a "-" before it from high to low.
            start: first row.
            count: rows, at most MOST_ROWS.
            find: an episode whose place in the list is wanted too.

        Returns:
            "matching", "start", "rows", and "position" (-1 where it does not match).
        """
        chosen = self._sorted(self.chosen(query), sort)
        rows = chosen[start : start + min(count, MOST_ROWS)]
        answer = {"matching": len(chosen), "start": start, "rows": [self.row(int(e)) for e in rows]}
        if find is not None:
            place = np.flatnonzero(chosen == find)
            answer["position"] = int(place[0]) if len(place) else -1
        return answer

    def row(self, episode: int) -> dict[str, Any]:
        """One episode as the list shows it."""
        index = self.index
        texts = {name: index.categories[name].of(episode) for name in ("task", "domain", "outcome", "operator")}
        return {
            "episode": episode,
            **texts,
            "instruction": index.categories["text"].of(episode)[0],
            "steps": int(index.length[episode]),
            "seconds": round(float(index.length[episode] / index.control_rate[episode]), 3),
            "scene": int(index.scene[episode]),
            "attempts": int(index.attempts[episode]),
            "damaged": self.columns.damaged.get(episode),
        }

    def summary(self, query: Query) -> dict[str, Any]:
        """How many match, and the facets: what values there are, and how many episodes of each, of those that all
        the other clauses leave."""
        mask = self._all(query.clauses)
        lengths, rates = self.index.length[mask], self.index.control_rate[mask]
        return {
            "episodes": len(self),
            "matching": int(mask.sum()),
            "steps": int(lengths.sum()),
            "seconds": float((lengths / rates).sum()),
            "where": query.where,
            "facets": sorted(
                [*self._facets(query), *self._demos(query)], key=lambda facet: facet["field"] == "instruction"
            ),
            "ranges": self._ranges(query),
            "progress": self.progress(),
        }

    def distributions(self, query: Query, axes: Sequence[str], search: str) -> dict[str, Any]:
        """Histograms of everything that differs from episode to episode, of all episodes and of those that match.

        Args:
            query: which episodes.
            axes: only these; empty: whatever there is.
            search: only axes whose name holds this.
        """
        mask = self._all(query.clauses)
        names = [name for name in self._axis_names() if search.lower() in name.lower() and (not axes or name in axes)]
        shown = names[:MOST_AXES]
        return {
            "matching": int(mask.sum()),
            "episodes": len(self),
            "axes": [found for found in (self._distribution(name, mask) for name in shown) if found],
            "names": len(names),
            "progress": self.progress(),
        }

    def axes(self) -> list[str]:
        """Names of the ledger's axes that differ between episodes."""
        return [name for name in self._axis_names() if name.startswith("ledger.")]

    def extent(self, axis: str) -> tuple[float, float] | None:
        """Least and greatest value of a ledger's axis over all episodes; None where it has none."""
        return self._extent(f"ledger.{axis}")

    def coverage(self, query: Query) -> dict[str, Any]:
        """Where objects stood at the start, from above, in the robot's base frame [m]."""
        mask = self._all(query.clauses)
        every = np.arange(len(self))
        maps = []
        for x_axis, y_axis, name in self._places():
            x, y = self.columns.numbers[x_axis], self.columns.numbers[y_axis]
            axes = {"x_axis": f"ledger.{x_axis}", "y_axis": f"ledger.{y_axis}"}
            maps.append({"name": name, **axes, **_map(every, x, y, mask)})
        if not maps:
            starts = self._starts.items() if self.columns.complete else ()
            maps = [
                {"name": name, "x_axis": None, "y_axis": None, **_map(episodes, x, y, mask[episodes])}
                for name, (episodes, x, y) in starts
            ]
        return {"maps": maps, "episodes": len(self), "progress": self.progress()}

    def attempts(self, outcome: str | None, failed: bool, start: int, count: int) -> dict[str, Any]:
        """What became of the scenes that were tried; see `Records.page`."""
        answer = self.records.page(outcome, failed, start, min(count, MOST_ROWS))
        return {**answer, "progress": self.progress()}

    # What is read in the background.

    def _read(self) -> None:
        try:
            self.records.read(self.dataset, self.index, self._stop.is_set, _REST)
        except HandfulError as error:
            self.problem = str(error)
            self.records.complete = True
        try:
            self._read_starts()
            self.columns.fill(self.dataset, self._stop.is_set, _REST)
        except HandfulError as error:
            self.problem = str(error)
        self._mask.cache_clear()

    def _read_starts(self) -> None:
        """Look where objects stand at the first step of evenly spread episodes, if ledgers do not say."""
        with suppress(HandfulError):  # its own damage is told where it is read
            if "poses" in self.dataset.meta(0).ledger:
                return
        keys = self.dataset.keys()
        names = [key.removeprefix("objects/") for key in keys if key.startswith("objects/")]
        chosen = np.unique(np.linspace(0, len(self) - 1, _STARTS).round().astype(np.int64))
        for name in names:
            found = []
            for episode in chosen.tolist():
                if self._stop.is_set():
                    return
                with suppress(HandfulError):
                    pose = self.dataset.read(episode, f"objects/{name}", 0, 1)[0]
                    found.append((episode, float(pose[0]), float(pose[1])))
            if found:
                episodes, x, y = zip(*found, strict=True)
                self._starts[name] = np.array(episodes), np.array(x), np.array(y)

    # Filters.

    def _all(self, clauses: Sequence[Clause]) -> np.ndarray:
        mask = np.ones(len(self), bool)
        for clause in clauses:
            if clause.text:
                mask &= self._mask(clause.text)
        return mask

    def _evaluate(self, where: str) -> np.ndarray:
        fields = {comparison.field for comparison in comparisons(parse(where))}
        drawn = any(field == "demo" or field.startswith("ledger.") for field in fields)
        if drawn and len(self) > _SLOW:
            self._require_columns(fields)
        mask = np.zeros(len(self), bool)
        mask[matching(self.dataset, where, self.columns)] = True
        mask.setflags(write=False)
        return mask

    def _require_columns(self, fields: set[str]) -> None:
        """Refuse to read the metadata of very many episodes while somebody waits."""
        if not self.columns.complete:
            share = self.columns.done / len(self)
            raise InputError(f"what was drawn is still being read ({share:.0%}); filter by it in a moment")
        for field in fields:
            axis = field.removeprefix("ledger.")
            if field.startswith("ledger.") and self.columns.get(axis) is None:
                near = [name for name in self.columns.numbers if name.startswith(axis[:8])][:5]
                hint = f"; there are {', '.join(near)}" if near else ""
                raise InputError(f"no episode has the axis '{field}', or it is not held in memory{hint}")

    def _sorted(self, chosen: np.ndarray, sort: str) -> np.ndarray:
        name = sort.removeprefix("-")
        if name not in ("episode", "length", "attempts"):
            raise InputError(f"the list is sorted by episode, length or attempts, not by '{name[:40]}'")
        if name != "episode":
            chosen = chosen[np.argsort(getattr(self.index, name)[chosen], kind="stable")]
        return chosen[::-1] if sort.startswith("-") else chosen

    def _others(self, query: Query, field: str) -> np.ndarray:
        return self._all([clause for clause in query.clauses if clause.field != field])

    def _facets(self, query: Query) -> list[dict[str, Any]]:
        found = []
        for field in TEXT_FIELDS:
            column = text_column(self.dataset, field)
            size = len(column.values)
            every = np.bincount(column.codes, minlength=size)
            asked = any(clause.field == field for clause in query.clauses)
            if (every > 0).sum() > 1 or asked or field in ("task", "domain", "outcome"):
                counts = np.bincount(column.codes[self._others(query, field)], minlength=size)
                # Sentences are many, and long.
                most = 8 if field == "instruction" else MOST_VALUES
                found.append(_facet(field, list(column.values), counts, every, most))
        return found

    def _demos(self, query: Query) -> list[dict[str, Any]]:
        demos = self.columns.demos
        if demos is None or not demos.shape[1]:
            return []
        every, counts = demos.sum(axis=0), demos[self._others(query, "demo")].sum(axis=0)
        return [_facet("demo", list(range(demos.shape[1])), counts, every, most=100)]

    # Numbers.

    def _ranges(self, query: Query) -> list[dict[str, Any]]:
        asked = [clause.field for clause in query.clauses]
        fields = [*_RANGES, *(f for f in asked if f not in _RANGES and (f in NUMBER_FIELDS or f.startswith("ledger.")))]
        found = []
        for field in fields:
            if self._varies(field) or field in asked:
                histogram = self._distribution(field, self._others(query, field))
                if histogram is not None:
                    found.append(histogram)
        return found

    def _axis_names(self) -> list[str]:
        numbers = [name for name in ("length", "attempts") if self._varies(name)]
        texts = [name for name in TEXT_FIELDS[:-2] if len(np.unique(text_column(self.dataset, name).codes)) > 1]
        if not self.columns.complete:
            return [*texts, *numbers]
        drawn = [f"ledger.{name}" for name in (*self.columns.numbers, *self.columns.texts)]
        # Looks have by far the most axes, so they come last.
        varying = sorted(drawn, key=lambda name: (name.startswith("ledger.appearance."), name))
        return [*texts, *numbers, *(name for name in varying if self._varies(name))]

    def _varies(self, field: str) -> bool:
        extent = self._extent(field)
        if extent is not None:
            return extent[0] < extent[1]
        column = self.columns.get(field.removeprefix("ledger."))
        return isinstance(column, Category) and len(column.values) > 1

    def _extent(self, field: str) -> tuple[float, float] | None:
        column = self._column(field)
        if not isinstance(column, np.ndarray):
            return None
        if field not in self._extents:
            known = column[~np.isnan(column)] if column.dtype.kind == "f" else column
            self._extents[field] = (float(known.min()), float(known.max())) if len(known) else None
        return self._extents[field]

    def _column(self, field: str) -> np.ndarray | Category | None:
        if field == "duration":
            return np.asarray(self.index.length / self.index.control_rate)
        if field in NUMBER_FIELDS:
            return np.asarray(getattr(self.index, field))
        if field in TEXT_FIELDS:
            return text_column(self.dataset, field)
        return self.columns.get(field.removeprefix("ledger."))

    def _distribution(self, field: str, mask: np.ndarray) -> dict[str, Any] | None:
        column = self._column(field)
        if column is None:
            return None
        if isinstance(column, Category):
            size = len(column.values)
            there = column.codes >= 0
            every = np.bincount(column.codes[there], minlength=size)
            counts = np.bincount(column.codes[there & mask], minlength=size)
            return {**_facet(field, list(column.values), counts, every), "kind": "texts"}
        if field not in self._bins:
            self._bins[field] = _binned(column)
        edges, codes = self._bins[field]
        if not len(edges):
            return None
        counts = np.bincount(codes[mask], minlength=len(edges))[: len(edges) - 1]
        return {
            "field": field,
            "kind": "numbers",
            "edges": edges.tolist(),
            "extent": list(self._extent(field) or ()),
            "whole": column.dtype.kind != "f",
            "every": np.bincount(codes, minlength=len(edges))[: len(edges) - 1].tolist(),
            "counts": counts.tolist(),
            "mean": float(np.nanmean(column[mask])) if counts.any() else None,
        }

    def _places(self) -> list[tuple[str, str, str]]:
        """The axes that are x and y of an object at its start, and the object's name."""
        if not self.columns.complete:
            return []
        names = [name for name in self.columns.numbers if name.startswith("poses.") and name.endswith("[0]")]
        pairs = [(name, f"{name[:-3]}[1]", name[len("poses.") : -3]) for name in names]
        return sorted(pair for pair in pairs if pair[1] in self.columns.numbers)


def _facet(field: str, values: list[Any], counts: np.ndarray, every: np.ndarray, most: int = MOST_VALUES) -> Any:
    there = np.flatnonzero(every)
    order = there[np.argsort(-every[there], kind="stable")][:most]
    if field == "demo":
        order = np.sort(order)
    shown = [{"value": values[i], "count": int(counts[i]), "every": int(every[i])} for i in order]
    return {"field": field, "values": shown, "more": len(there) - len(order)}


def _binned(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of bins, and the bin of each row, (n,) uint8; one more where a row has no value. Without values: none."""
    there = ~np.isnan(column) if column.dtype.kind == "f" else np.ones(len(column), bool)
    codes = np.zeros(len(column), np.uint8)
    if not there.any():
        return np.zeros(0), codes
    edges = _edges(column[there])
    codes[:] = len(edges) - 1
    codes[there] = np.clip(np.searchsorted(edges, column[there], side="right") - 1, 0, len(edges) - 2)
    return edges, codes


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins that hold all values; of few whole numbers one bin for each."""
    low, high = values.min(), values.max()
    if values.dtype.kind != "f":
        width = max(1, -(-(int(high) - int(low) + 1) // BINS))
        return np.arange(int(low), int(high) + width + 1, width, dtype=float)
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    return np.linspace(low, high, BINS + 1)


def _map(episodes: np.ndarray, x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """Places of some episodes, (n,) each, those that match apart from the others."""
    there = ~np.isnan(x) & ~np.isnan(y)
    inside, outside = (np.flatnonzero(there & which) for which in (mask, ~mask))
    return {
        "there": int(there.sum()),
        "matching": len(inside),
        "dots": _dots(episodes, x, y, inside),
        "others": _dots(episodes, x, y, outside),
        "extent": [float(v) for v in (x[there].min(), x[there].max(), y[there].min(), y[there].max())],
    }


def _dots(episodes: np.ndarray, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> list[list[float]]:
    """At most DOTS places (episode, x, y), evenly spread over the rows."""
    if len(rows) > DOTS:
        rows = rows[np.linspace(0, len(rows) - 1, DOTS).astype(int)]
    return [[int(episodes[i]), round(float(x[i]), 4), round(float(y[i]), 4)] for i in rows]
