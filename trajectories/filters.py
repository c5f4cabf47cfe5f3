"""Choosing episodes by what is known of them: a filter's fields, and its evaluation over a whole data set at once.

    field                                   from
    task, embodiment, domain, outcome,      the index: text
    operator, action_source, instruction
    store                                   the index: name of the folder of the store that holds the episode
    length, duration [s], scene, seed,      the index: numbers; a seed of -1: none was recorded
    attempts, control_rate [Hz]
    ledger.<axis>, ledger.<axis>[<i>]       each episode's metadata: text, number or true/false; no match without it
    demo                                    each episode's `source/demo`: which seed demos it replays

Columns of the index cost next to nothing, whatever the number of episodes. Metadata and arrays are read only for the
episodes that the terms before have left open.
"""

import operator
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from handful import InputError, unknown_name
from trajectories.columns import Columns
from trajectories.dataset import Dataset
from trajectories.expressions import Comparison, Expression, Junction, comparisons, parse, refuse
from trajectories.expressions import Not as Negation
from trajectories.index import Category

TEXT_FIELDS = ("task", "embodiment", "domain", "outcome", "operator", "action_source", "instruction", "store")
NUMBER_FIELDS = ("length", "duration", "scene", "seed", "attempts", "control_rate")
_LEDGER = "ledger."
_TRUTH = {"true": True, "True": True, "false": False, "False": False}
_STEP = re.compile(r"\[(-?\d+)\]|([^.\[]+)")
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MISSING = object()

# Names of groups and axes, and places in lists.
AxisPath = list[str | int]


def matching(dataset: Dataset, where: str, columns: Columns | None = None) -> np.ndarray:
    """The episodes that a filter is true of.

    Args:
        dataset: a store or a view.
        where: the filter, in the grammar of `trajectories.expressions`.
        columns: what is known of ledgers and demos already; what they lack is read.

    Returns:
        Episode numbers in order, (n,) int64; n may be 0.

    Raises:
        InputError: it cannot be read, names an unknown field, or compares what cannot be compared.
        JobError: data that has to be read is missing or damaged.
    """
    expression = parse(where)
    for comparison in comparisons(expression):
        _check(comparison, where)
    episodes = np.arange(len(dataset), dtype=np.int64)
    return episodes[_Evaluation(dataset, where, columns or Columns(0)).of(expression, episodes)]


def nothing_matches(dataset: Dataset, where: str) -> InputError:
    """The error for a filter that leaves no episode: says what the text fields in it do hold."""
    fields = dict.fromkeys(c.field for c in comparisons(parse(where)) if c.field in TEXT_FIELDS)
    held = [f"{field} is {_listed(_present(text_column(dataset, field)))}" for field in fields]
    there = f"; there, {'; '.join(held)}" if held else ""
    return InputError(f"no episode of '{dataset.path}' matches: {where}{there}")


def text_column(dataset: Dataset, field: str) -> Category:
    """A text field of a filter, as a column of few values, of which some may not occur."""
    categories = dataset.index().categories
    if field == "instruction":
        return Category(categories["text"].codes, tuple(sentences[0] for sentences in categories["text"].values))
    if field == "store" and "store" not in categories:
        return Category(np.zeros(len(dataset), np.int32), (dataset.path.name,))
    return categories[field]


def _present(column: Category) -> set[Any]:
    return {column.values[code] for code in np.unique(column.codes)}


def _listed(values: Iterable[Any], most: int = 12) -> str:
    names = sorted(str(value) for value in values)
    return " or ".join(names[:most]) + (f" or one of {len(names) - most} more" if len(names) > most else "")


def _check(comparison: Comparison, where: str) -> None:
    """Refuse what is wrong whatever the data."""
    field, values = comparison.field, comparison.values
    if field in TEXT_FIELDS:
        if comparison.operator not in ("==", "!=", "in", "not in"):
            raise refuse(where, comparison.at, f"'{field}' is text: compare it with ==, !=, in or not in")
        wrong = [value for value in values if not isinstance(value, str)]
        if wrong:
            raise refuse(where, comparison.value_at, f"'{field}' is text and cannot be {wrong[0]}; write it in quotes")
    elif field in NUMBER_FIELDS or field == "demo":
        words = [value for value in values if isinstance(value, str)]
        if words:
            raise refuse(where, comparison.value_at, f"'{field}' is a number and cannot be '{words[0]}'")
        if field == "demo" and comparison.operator not in ("==", "!=", "in", "not in"):
            raise refuse(where, comparison.at, "an episode replays several demos: compare with ==, !=, in or not in")
    elif not field.startswith(_LEDGER):
        error = unknown_name("field", field, (*TEXT_FIELDS, *NUMBER_FIELDS, "demo", "ledger.<axis>"))
        raise refuse(where, comparison.at, str(error))


class _Evaluation:
    """Truth of expressions over episodes of one data set."""

    def __init__(self, dataset: Dataset, where: str, columns: Columns) -> None:
        self._dataset = dataset
        self._columns = columns
        self._where = where
        self._index = dataset.index()
        # A filter may name several axes of one ledger.
        self._ledger = cache(lambda episode: dataset.meta(episode).ledger)

    def of(self, expression: Expression, episodes: np.ndarray) -> np.ndarray:
        """Truth for each of the episodes, (n,) bool."""
        if isinstance(expression, Negation):
            return ~self.of(expression.term, episodes)
        if isinstance(expression, Junction):
            # Of "and" only the true ones are still open, of "or" the false ones.
            open_while = expression.kind == "and"
            truth = np.full(len(episodes), open_while)
            for term in expression.terms:
                still = truth == open_while
                truth[still] = self.of(term, episodes[still])
            return truth
        if expression.field in TEXT_FIELDS:
            category = text_column(self._dataset, expression.field)
            true = np.array([_holds(expression, value) for value in category.values], dtype=bool)
            return true[category.codes[episodes]]
        if expression.field in NUMBER_FIELDS:
            return self._compare_numbers(self._numbers(expression.field)[episodes], expression)
        if expression.field == "demo":
            return self._replays(expression, episodes)
        return self._ledgers(expression, episodes)

    def _numbers(self, field: str) -> np.ndarray:
        if field == "duration":
            return self._index.length / self._index.control_rate
        column: np.ndarray = getattr(self._index, field)
        return column

    def _compare_numbers(self, column: np.ndarray, comparison: Comparison) -> np.ndarray:
        if comparison.operator in _COMPARE:
            return np.asarray(_COMPARE[comparison.operator](column, comparison.values[0]), dtype=bool)
        found = np.any([column == value for value in comparison.values], axis=0)
        return ~found if comparison.operator == "not in" else found

    def _replays(self, comparison: Comparison, episodes: np.ndarray) -> np.ndarray:
        keys = self._dataset.keys()
        if "source/demo" not in keys:
            raise refuse(
                self._where,
                comparison.at,
                f"episodes of '{self._dataset.path}' do not say which demo they replay (they lack 'source/demo')",
            )
        wanted = comparison.operator in ("==", "in")
        known = self._columns.demos
        if known is not None:
            asked = np.isin(np.arange(known.shape[1]), comparison.values)
            return np.asarray(known[np.ix_(episodes, asked)].any(axis=1) == wanted)
        found = [bool(np.isin(self._dataset.read(int(e), "source/demo"), comparison.values).any()) for e in episodes]
        return np.array(found, dtype=bool) == wanted

    def _ledgers(self, comparison: Comparison, episodes: np.ndarray) -> np.ndarray:
        column = self._columns.get(comparison.field.removeprefix(_LEDGER))
        if isinstance(column, Category):
            true = np.array([*(self._axis(comparison, value) for value in column.values), False], dtype=bool)
            return true[column.codes[episodes]]
        if column is not None:
            self._axis(comparison, 0.0)
            values = column[episodes]
            return self._compare_numbers(values, comparison) & ~np.isnan(values)
        path: AxisPath = [int(i) if i else name for i, name in _STEP.findall(comparison.field.removeprefix(_LEDGER))]
        values = [self._value(comparison, self._ledger(int(episode)), path) for episode in episodes]
        if values and all(value is _MISSING for value in values):
            raise self._no_such_axis(comparison, map(self._ledger, episodes.tolist()), path)
        return np.array([value is not _MISSING and self._axis(comparison, value) for value in values], dtype=bool)

    def _value(self, comparison: Comparison, ledger: Any, path: AxisPath) -> Any:
        """The value at a path of a ledger; _MISSING where the ledger does not go there."""
        taken, value = _walk(ledger, path)
        if taken < len(path):
            return _MISSING
        if isinstance(value, dict):
            held = f"is a group; it holds: {', '.join(sorted(value))}"
        elif isinstance(value, list):
            held = f"has {len(value)} values; name one, as in {comparison.field}[0]"
        else:
            return value
        raise refuse(self._where, comparison.at, f"'{comparison.field}' {held}")

    def _no_such_axis(self, comparison: Comparison, ledgers: Iterable[Any], path: AxisPath) -> InputError:
        """The error for an axis that no episode has: what there is where the first step leads nowhere."""
        taken, value = max((_walk(ledger, path) for ledger in ledgers), key=lambda reached: reached[0])
        step = path[taken]
        if isinstance(value, dict) and isinstance(step, str):
            error = unknown_name(f"axis in '{comparison.field}'", step, value)
            return refuse(self._where, comparison.at, str(error))
        held = f"are {len(value)} values, counted from 0" if isinstance(value, list | dict) else "is one value"
        return refuse(self._where, comparison.at, f"'{comparison.field}' leads nowhere: there {held}")

    def _axis(self, comparison: Comparison, value: Any) -> bool:
        if isinstance(value, bool):
            given: tuple[Any, ...] = tuple(_TRUTH.get(str(v), _MISSING) for v in comparison.values)
            if any(v is _MISSING for v in given) or comparison.operator not in ("==", "!=", "in", "not in"):
                raise refuse(self._where, comparison.value_at, f"'{comparison.field}' is true or false")
            return _holds(comparison, value, given)
        if value is None:
            return False
        for other in comparison.values:
            if isinstance(other, str) != isinstance(value, str):
                kind = "text" if isinstance(value, str) else "a number"
                raise refuse(
                    self._where, comparison.value_at, f"'{comparison.field}' is {kind} and cannot be {other!r}"
                )
        return _holds(comparison, value)


def _walk(ledger: Any, path: AxisPath) -> tuple[int, Any]:
    """Follow a path into a ledger as far as it goes: the number of steps taken, and what is there."""
    value = ledger
    for taken, step in enumerate(path):
        named = isinstance(step, str) and isinstance(value, dict) and step in value
        placed = isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value)
        if not (named or placed):
            return taken, value
        value = value[step]
    return len(path), value


def _holds(comparison: Comparison, value: Any, given: tuple[Any, ...] | None = None) -> bool:
    """Truth of a comparison for one value."""
    values = comparison.values if given is None else given
    if comparison.operator in ("in", "not in"):
        return (value in values) == (comparison.operator == "in")
    return bool(_COMPARE[comparison.operator](value, values[0]))
