"""`handful data ...`: the care of stores. Merging, filtering and splitting refer to episodes; compaction copies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handful import InputError
from pipelines.inspection import size
from pipelines.progress import Reporter
from trajectories import recipes
from trajectories.compaction import compact as compact_store
from trajectories.dataset import Dataset, open_dataset
from trajectories.deletion import Deletion, delete_episodes, finish_deletion, plan_deletion
from trajectories.migrations import migrate as migrate_store
from trajectories.repair import repair_store
from trajectories.store import Store

# What `--json` prints, and what a person reads.
Answer = tuple[dict[str, Any], str]


def merge(paths: Sequence[Path], out: Path) -> Answer:
    """Put data sets one after another, by reference."""
    view = recipes.merge(paths, out)
    duplicates = sum(len(open_dataset(path)) for path in paths) - len(view)
    once = f"; {duplicates:,} that several of them hold enter once" if duplicates else ""
    return {**_facts(view), "duplicates": duplicates}, f"{_sentence(view)}{once}"


def choose(path: Path, where: str | None, exclude: str | None, out: Path) -> Answer:
    """Choose episodes by a filter, or all but some."""
    if (where is None) == (exclude is None):
        raise InputError("give either --where (a filter) or --exclude (episode numbers)")
    view = recipes.filter_by(path, where, out) if where is not None else recipes.exclude(path, exclude or "", out)
    return _facts(view), f"{_sentence(view)}, of {len(open_dataset(path)):,}"


def split(path: Path, validation: float, seed: int, out: Path) -> Answer:
    """Split by scene into two views."""
    sides = recipes.split(path, validation, seed, out)
    counts = {name: len(view) for name, view in sides.items()}
    answer = {"episodes": sum(counts.values()), "store": str(out), **counts}
    return answer, "\n".join(_sentence(view) for view in sides.values())


def compact(path: Path, out: Path, episodes_per_part: int, level: int | None, progress: Reporter) -> Answer:
    """Write a store of large parts."""
    dataset = open_dataset(path)
    with progress("compact", len(dataset)) as bar:
        store = compact_store(path, out, episodes_per_part, level, bar.update)
    before, after = (f"{d.parts:,} part{'s' * (d.parts != 1)}, {size(d.bytes)}" for d in (dataset, store))
    return {**_facts(store), "parts": store.parts, "bytes": store.bytes}, f"{_sentence(store)}: {before} -> {after}"


def delete(
    path: Path, where: str | None, episodes: str | None, really: bool, progress: Reporter
) -> tuple[dict[str, Any], str, bool]:
    """Delete episodes, or say which would be; first finish a deletion that was interrupted.

    Returns:
        What `--json` prints, what a person reads, and whether anything was done.
    """
    if where is not None and episodes is not None:
        raise InputError("give either --where (a filter) or --episodes (numbers), not both")
    finished = really and finish_deletion(path)
    if finished:
        progress.say(f"note: an interrupted deletion from '{path}' is finished")
    if where is None and episodes is None:
        if finished:
            nothing = {"deleted": 0, "parts": 0, "bytes": 0}
            return {**_facts(open_dataset(path)), **nothing}, f"{_sentence(open_dataset(path))} are left", True
        raise InputError("say which episodes to delete: --where (a filter) or --episodes (numbers)")
    deletion = plan_deletion(path, where, episodes)
    if not really:
        return _account(path, deletion, deletion.left + len(deletion.episodes)), _what_would_go(path, deletion), False
    store = delete_episodes(path, deletion)
    gone = f"{len(deletion.episodes):,} episodes deleted, {size(deletion.bytes)} freed; {len(store):,} are left in"
    return _account(path, deletion, len(store)), f"{gone} {path}", True


def repair(path: Path) -> Answer:
    """Restore what follows from the rest of a store, and drop parts that are lost."""
    done = repair_store(path)
    ok = not done.problems
    lines = [f"restored: {name}" for name in done.restored]
    lines += [f"withdrawn, because nothing gives it again: {name}" for name in done.withdrawn]
    if done.dropped:
        lines.append(f"dropped: part{'s' * (len(done.dropped) != 1)} {_ranges(done.dropped)}")
    lines += done.problems
    lines.append(f"{path} is {'' if ok else 'not '}whole")
    if done.dropped or done.withdrawn:
        lines.append("the command that made the store, run again, makes exactly what is missing")
    answer = {
        "episodes": len(Store.open(path)) if ok else None,
        "store": str(path),
        "ok": ok,
        "restored": done.restored,
        "withdrawn": done.withdrawn,
        "dropped": done.dropped,
        "problems": done.problems,
    }
    return answer, "\n".join(lines)


def migrate(path: Path, out: Path) -> Answer:
    """Make a store of this format of an older one."""
    store = migrate_store(path, out)
    return _facts(store), f"{_sentence(store)}; '{path}' is as it was"


def _account(path: Path, deletion: Deletion, episodes: int) -> dict[str, Any]:
    return {
        "episodes": episodes,
        "store": str(path),
        "deleted": len(deletion.episodes),
        "parts": len(deletion.parts),
        "bytes": deletion.bytes,
    }


def _what_would_go(path: Path, deletion: Deletion) -> str:
    numbers = _ranges(deletion.episodes.tolist())
    whole = f"{len(deletion.parts):,} whole part{'s' * (len(deletion.parts) != 1)}"
    return (
        f"would be deleted from {path}: {len(deletion.episodes):,} episodes ({numbers}), with {whole}, "
        f"{size(deletion.bytes)}; {deletion.left:,} would be left"
    )


def _ranges(numbers: Sequence[int], most: int = 12) -> str:
    """Numbers in order, as people write them: 3, 17, 20-25."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:most]]
    return ", ".join(shown) + (", ..." if len(runs) > most else "")


def _facts(dataset: Dataset) -> dict[str, Any]:
    return {"episodes": len(dataset), "store": str(dataset.path)}


def _sentence(dataset: Dataset) -> str:
    return f"{len(dataset):,} episodes in {dataset.path}"
