"""`handful inspect`: what is in a store, whether it is whole, and whether its content is sound."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handful import JobError
from pipelines.progress import Reporter
from pipelines.statistics import wilson_interval
from trajectories.dataset import Dataset, open_dataset
from trajectories.fidelity import fidelity
from trajectories.filters import text_column
from trajectories.index import Category
from trajectories.recording import JointLimits
from trajectories.validation import RuleResult, validate_content
from trajectories.views import View

if TYPE_CHECKING:
    from pipelines.regenerate import Regeneration

T = TypeVar("T")


@dataclass(frozen=True)
class Remaking:
    """How many episodes are made again, and from what.

    Attributes:
        count: how many.
        seed: which.
        demos: the seed demos; None: the task's bundled ones.
        workers: processes; 0 works in this one.
    """

    count: int
    seed: int = 0
    demos: Path | None = None
    workers: int = 0


def inspect(
    path: Path,
    verify: bool,
    content: bool = False,
    progress: Reporter | None = None,
    coverage: bool = False,
    again: Remaking | None = None,
) -> tuple[dict[str, Any], RenderableType]:
    """Look into a store.

    Args:
        path: the store, or a view.
        verify: hash every file again.
        content: read every episode and hold it against the table of rules.
        progress: where progress is shown; None: nowhere.
        coverage: hold every episode's ledger against what its scene was drawn from.
        again: make some episodes again from the plan and the demos, and compare; None: make none.

    Returns:
        The keys of `--json` (a count that damage hides is None), and what a person is shown. `findings` has what came
        of each rule that an episode breaks; None where content was not looked at, or damage hides it. `coverage` has
        each domain's axes, and `starts` where objects started in its scenes; None where it was not looked at, or damage
        hides it, or there is nothing to say. `regenerated` has what came of making
        episodes again; None where that was not asked for, or damage hides it.

    Raises:
        InputError: no store there, or one whose episodes cannot be made again.
        JobError: its root or plan is damaged, or, without `verify`, anything that has to be read.
    """
    store = open_dataset(path)
    problems = store.verify() if verify else []
    facts = {
        "episodes": lambda: len(store),
        "frames": lambda: store.frames,
        "parts": lambda: store.parts,
        "bytes": lambda: store.bytes,
    }
    record = {name: _read(fact, problems) for name, fact in facts.items()}
    tables = _read(lambda: _tables(store), problems) or []
    if verify:
        verdict = "whole: every file is as it was committed"
        if problems:
            unfinished = _read(lambda: store.sealed_episodes is None, problems)
            verdict = f"{'unfinished or damaged' if unfinished else 'damaged'}: {len(problems)} problems"
            if unfinished:
                verdict += "; the command that made it goes on where it stopped"
        tables += [Text(f"\n{verdict}", style="bold"), *(Text(f"  {problem}") for problem in problems)]
    results = None
    if content:
        results = _read(lambda: _look_at_content(store, progress or Reporter(quiet=True)), problems)
        tables += (
            [Text("\nits content is hidden by damage", style="bold")] if results is None else [_rule_table(results)]
        )
    findings = None if results is None else [result for result in results if result.episodes]
    unsound = any(result.rule.severity == "error" for result in findings or ())
    covered = starts = None
    if coverage:
        # Only here, so that a store can be looked into where no simulator is installed.
        from pipelines.coverage import coverage_of, coverage_table, starts_of, starts_text

        found = _read(lambda: (coverage_of(store), starts_of(store)), problems)
        if found is None:
            tables.append(Text("\nwhat it covers is hidden by damage", style="bold"))
        else:
            covered, starts = found
            tables += [coverage_table(covered), starts_text(starts)]
    made = None
    if again is not None:
        made = _read(lambda: _make_again(store, again, progress or Reporter(quiet=True)), problems)
        tables.append(
            Text("\nwhat it was made from is hidden by damage", style="bold") if made is None else _made_text(made)
        )
    answer = {
        **record,
        "ok": not problems and not unsound and (made is None or not made.different),
        "problems": problems,
        "findings": None if findings is None else [result.to_json() for result in findings],
        "coverage": None if covered is None else {name: [a.to_plain() for a in axes] for name, axes in covered.items()},
        "starts": starts,
        "regenerated": None if made is None else made.to_json(),
    }
    return answer, Group(*tables)


def _look_at_content(store: Dataset, progress: Reporter) -> list[RuleResult]:
    # Only here, so that a store can be looked into where no simulator is installed.
    from sim.robots import ROBOTS

    names = store.index().categories["embodiment"].values
    chains = {name: ROBOTS[name].chain for name in names if name in ROBOTS}
    limits = {name: JointLimits(chain.lower, chain.upper, chain.max_speed) for name, chain in chains.items()}
    with progress("look at content", len(store)) as bar:
        return validate_content(store, limits, progress=bar.update)


def _make_again(store: Dataset, again: Remaking, progress: Reporter) -> "Regeneration":
    from pipelines.regenerate import regenerate

    return regenerate(store, again.count, again.seed, again.demos, again.workers, progress)


def _made_text(made: "Regeneration") -> Text:
    images = {"compared": ", images included", "none": ""}.get(made.images, f"; images {made.images}")
    text = Text(
        f"\nmade again: {made.equal:,} of {made.episodes:,} episodes are the same to the bit{images}", style="bold"
    )
    for number, what in sorted(made.different.items()):
        text.append(f"\n  episode {number} differs in {', '.join(what)}", style="not bold")
    return text


def _rule_table(results: list[RuleResult]) -> Table:
    table = Table(title="\ncontent", box=None, title_justify="left", title_style="bold")
    table.add_column("rule", style="dim")
    table.add_column("if broken")
    for heading in ("episodes looked at", "that break it"):
        table.add_column(heading, justify="right")
    table.add_column("what must hold, or the first that does not", overflow="fold")
    for result in results:
        broken = f"{len(result.episodes):,}" if result.checked else "-"
        shown = Text(str(result.examples[0]), style="bold") if result.episodes else Text(result.rule.sentence)
        table.add_row(result.rule.name.replace("_", " "), result.rule.severity, f"{result.checked:,}", broken, shown)
    return table


def _read(fact: Callable[[], T], problems: list[str]) -> T | None:
    """A fact about the store; None where damage that is listed among the problems hides it."""
    try:
        return fact()
    except JobError:
        if not problems:
            raise
        return None


def _tables(store: Dataset) -> list[RenderableType]:
    index = store.index()
    lengths = index.length
    hours = float((lengths / index.control_rate).sum()) / 3600
    table = Table(title=Text(str(store.path)), show_header=False, box=None, title_justify="left", title_style="bold")
    table.add_column(style="dim")
    table.add_column()
    table.add_row("episodes", f"{len(store):,} in {store.parts:,} part{'s' * (store.parts != 1)}, {size(store.bytes)}")
    steps = f", {lengths.min():,} to {lengths.max():,} each" if len(lengths) else ""
    table.add_row("frames", f"{store.frames:,}{steps}; {hours:.2f} h at {_join(set(index.control_rate.tolist()))} Hz")
    for name, column in (
        ("tasks", "task"),
        ("domains", "domain"),
        ("embodiments", "embodiment"),
        ("moved by", "operator"),
        ("ended in", "outcome"),
    ):
        table.add_row(name, _counted(text_column(store, column)) or "-")
    table.add_row(
        "cameras", "\n".join(_camera(store, name) for name in store.cameras()) or "none: states and actions only"
    )
    renderables: list[RenderableType] = [table]
    if isinstance(store, View):
        table.add_row("lie in", _counted(text_column(store, "store")))
    # The scenes of a selection say nothing of how many succeed.
    records = [] if isinstance(store, View) else store.scene_records()
    if records:
        renderables.append(_scene_table(records))
    dumps = store.dumps()
    if dumps:
        renderables.append(_dump_table(dumps))
    return renderables


def _scene_table(records: list[dict[str, Any]]) -> Table:
    # Stores of other origin may say only how many attempts there were.
    tries = [record.get("attempts") for record in records]
    first = sum(isinstance(labels, list) and labels[:1] == ["success"] for labels in tries)
    table = Table(title=f"\n{len(records):,} scenes tried", box=None, title_justify="left", title_style="bold")
    table.add_column("outcome", style="dim")
    for heading in ("scenes", "rate", "95 % interval"):
        table.add_column(heading, justify="right")
    outcomes = Counter(record["outcome"] for record in records)
    rows = [(name.replace("_", " "), count) for name, count in outcomes.most_common()]
    for name, count in [*rows, ("success at the first attempt", first)]:
        low, high = wilson_interval(count, len(records))
        table.add_row(name, f"{count:,}", f"{count / len(records):.1%}", f"{low:.1%} to {high:.1%}")
    return table


def _dump_table(dumps: list[tuple[int, str]]) -> Table:
    shown = 8
    table = Table(title="\nstates kept of scenes that diverged", box=None, title_justify="left", title_style="bold")
    table.add_column("dump", style="dim")
    table.add_column("file in the store")
    for part, name in dumps[:shown]:
        table.add_row(name.replace("_", " "), f"parts/{part:08d}/dumps/{name}.npz")
    if len(dumps) > shown:
        table.add_row("...", f"and {len(dumps) - shown:,} more")
    return table


def _counted(column: Category) -> str:
    """A column's values, the most frequent first, each with the number of its episodes."""
    counts = np.bincount(column.codes, minlength=len(column.values)).tolist()
    found = Counter(dict(zip(column.values, counts, strict=True)))
    return ", ".join(f"{value} {count:,}" for value, count in found.most_common() if count)


def _camera(store: Dataset, camera: str) -> str:
    """A camera's frames in a few words, as "front 84x84, JPEG 95, 41.3 dB"."""
    height, width = store.row_shape(f"images/{camera}")[:2]
    return f"{camera} {height}x{width}, {fidelity(store, camera)}"


def _join(values: set[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values)) or "-"


def size(count: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
