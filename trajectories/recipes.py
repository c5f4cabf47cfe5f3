"""Making views: merged, filtered and split data sets that refer to episodes and copy none."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError
from trajectories.dataset import Dataset, open_dataset
from trajectories.filters import matching, nothing_matches
from trajectories.holdout import hold_out
from trajectories.selection import Selection, drop_unused, unite
from trajectories.store import Store
from trajectories.views import View, check_free, pieces, write_views

Path_ = str | os.PathLike[str]


def merge(paths: Sequence[Path_], out: Path_) -> View:
    """Put data sets one after another. An episode that several of them hold enters once, where it comes first.

    Raises:
        InputError: they cannot go together, two stores were made by one plan, or `out` is taken.
        JobError: the view cannot be written.
    """
    if len(paths) < 2:
        raise InputError(f"a merge needs at least two data sets, got {len(paths)}")
    check_free(Path(out))
    datasets = [_open(path) for path in paths]
    stores, selection = unite([pieces(dataset) for dataset in datasets])
    _refuse_twins(stores)
    return _write(Path(out), {"operation": "merge"}, datasets, stores, selection)


def filter_by(path: Path_, where: str, out: Path_) -> View:
    """The episodes that a filter is true of; see `trajectories.filters`.

    Raises:
        InputError: the filter is wrong or true of no episode, or `out` is taken.
        JobError: the data set is damaged, or the view cannot be written.
    """
    check_free(Path(out))
    dataset = _open(path)
    return narrow(dataset, matching_some(dataset, where), out, {"operation": "filter", "where": where})


def exclude(path: Path_, episodes: str, out: Path_) -> View:
    """All episodes but some, given as numbers and ranges: "3,17,20-25".

    Raises:
        InputError: there is no such episode, none would be left, or `out` is taken.
        JobError: the view cannot be written.
    """
    check_free(Path(out))
    dataset = _open(path)
    dropped = parse_episodes(episodes, dataset)
    kept = np.setdiff1d(np.arange(len(dataset)), dropped)
    if not len(kept):
        raise InputError(f"--exclude {episodes} leaves no episode of '{path}'")
    return narrow(dataset, kept, out, {"operation": "exclude", "episodes": episodes})


def split(path: Path_, validation: float, seed: int, out: Path_) -> dict[str, View]:
    """Two views, `out`/train and `out`/validation; all episodes of one scene are in the same.

    Scenes are ranked by a hash of the seed and of what identifies them (task, scene, data set's seed), and the first
    share of them is held out: at least one scene, and never all.

    Args:
        path: what is split.
        validation: share of the scenes, above 0 and below 1.
        seed: another one holds out other scenes, >= 0.
        out: the folder to make.

    Raises:
        InputError: the share or seed is out of range, there is only one scene, or `out` is taken.
        JobError: the views cannot be written.
    """
    if not 0 < validation < 1:
        raise InputError(f"the share held out for validation must be above 0 and below 1, got {validation:g}")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed must be at least 0 and below 2**63, got {seed}")
    check_free(Path(out))
    dataset = _open(path)
    held_out = hold_out(dataset.index(), validation, seed)
    if not held_out.any():
        raise InputError(f"'{path}' holds a single scene, which cannot be on both sides; split by hand with --where")
    stores, selection = pieces(dataset)
    views = {}
    for name, rows in (("train", ~held_out), ("validation", held_out)):
        recipe = {"operation": "split", "side": name, "validation": validation, "seed": seed}
        views[name] = (_with_inputs(recipe, [dataset]), *drop_unused(stores, selection.take(rows)))
    write_views(Path(out), views)
    return {name: View.open(Path(out) / name) for name in views}


def matching_some(dataset: Dataset, where: str) -> np.ndarray:
    """The episodes that a filter is true of, at least one.

    Raises:
        InputError: the filter is wrong, or true of none.
    """
    found = matching(dataset, where)
    if not len(found):
        raise nothing_matches(dataset, where)
    return found


def parse_episodes(text: str, dataset: Dataset) -> np.ndarray:
    """Episode numbers from "3,17,20-25", in order and each once, (n,) int64.

    Raises:
        InputError: it is no such list, or the data set has no such episode.
    """
    found: set[int] = set()
    for piece in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,12})(?:\s*-\s*(\d{1,12}))?\s*", piece)
        if match is None:
            raise InputError(f"cannot read '{piece.strip()}' as episodes; write numbers and ranges, as in 3,17,20-25")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise InputError(f"the range {first}-{last} runs backwards; write {last}-{first}")
        if last >= len(dataset):
            raise InputError(f"'{dataset.path}' has {len(dataset)} episodes, counted from 0; there is no {last}")
        found.update(range(first, last + 1))
    return np.array(sorted(found), np.int64)


def _open(path: Path_) -> Dataset:
    dataset = open_dataset(path)
    if not len(dataset):
        raise InputError(f"'{path}' holds no episodes")
    return dataset


def narrow(dataset: Dataset, episodes: np.ndarray, out: Path_, recipe: dict[str, Any]) -> View:
    """Some episodes of a data set that is open, by number.

    Args:
        dataset: a store or a view.
        episodes: numbers, (n,) int64, each once.
        out: the view to make.
        recipe: how they were chosen, as JSON; becomes part of what identifies the view.

    Raises:
        InputError: there are none, or `out` is taken.
        JobError: the view cannot be written.
    """
    stores, selection = pieces(dataset)
    return _write(Path(out), recipe, [dataset], *drop_unused(stores, selection.take(episodes)))


def _write(
    out: Path, recipe: dict[str, Any], inputs: Sequence[Dataset], stores: list[Store], selection: Selection
) -> View:
    write_views(out, {"": (_with_inputs(recipe, inputs), stores, selection)})
    return View.open(out)


def _with_inputs(recipe: dict[str, Any], inputs: Sequence[Dataset]) -> dict[str, Any]:
    """A recipe that also says what it was applied to: a view by its own recipe, a store by its plan's digest."""
    return {**recipe, "of": [i.plan if isinstance(i, View) else {"plan": i.plan_digest} for i in inputs]}


def _refuse_twins(stores: Sequence[Store]) -> None:
    """Refuse two stores of one plan: they hold the same episodes, which would count twice."""
    seen: dict[str, Store] = {}
    for store in stores:
        twin = seen.setdefault(store.plan_digest, store)
        if twin is not store:
            raise InputError(
                f"'{twin.path}' and '{store.path}' were made by the same plan, so they hold the same episodes; "
                "give one of them"
            )
