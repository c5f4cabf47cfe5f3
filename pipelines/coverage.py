"""What a data set covers of what its scenes were drawn from: `handful inspect --coverage`, and the table of axes.

It is looked at twice: each axis by itself, over the episodes; and the places where objects started, over the scenes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from generators.coverage import Coverage
from generators.looks import LOOK_AXES
from pipelines.rerender import KIND as RENDERING
from pipelines.tables import coverage_lines, scenes_text
from scenes.domains import domain_names, get_domain
from scenes.randomization import AXES, Randomization
from scenes.randomization.coverage import STRETCHES, AxisCoverage, coverage
from scenes.task import get_task
from trajectories.ancestry import Plan, lines_beneath
from trajectories.dataset import Dataset
from trajectories.views import View

_BLOCKS = " ▁▂▃▄▅▆▇█"


def coverage_of(dataset: Dataset) -> dict[str, list[AxisCoverage]]:
    """Each domain's axes, in a store or a view. Domains that are not ours (imported data) have none.

    Args:
        dataset: what to look at; reads every episode's metadata.
    """
    ledgers: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for episode in range(len(dataset)):
        meta = dataset.meta(episode)
        ledgers[meta.domain].append(meta.ledger)
    drawn_from = {name: get_domain(name).randomization for name in ledgers if name in domain_names()}
    for line in lines_beneath(dataset):
        # A generated store says itself what it was drawn from, and one that was drawn again what its looks were.
        if "randomization" in line[-1]:
            drawn_from[line[-1]["config"]["domain"]] = _drawn_from(line)
    return {name: coverage(kept, drawn_from[name]) for name, kept in ledgers.items() if name in drawn_from}


def starts_of(dataset: Dataset) -> dict[str, Any] | None:
    """Where the objects of a data set's scenes started, as `Coverage.to_plain` has it.

    Of a view only the scenes are known that it holds episodes of, so no rates.

    Returns:
        None where it was not generated, or holds several tasks.
    """
    plans = [line[-1] for line in lines_beneath(dataset)]
    tasks = {plan["task"] if plan.get("kind") == "generation" else None for plan in plans}
    task = tasks.pop() if len(tasks) == 1 else None
    if task is None:
        return None
    found = Coverage(get_task(task))
    found.add(dataset.scene_records())
    return found.to_plain(rates=not isinstance(dataset, View))


def starts_text(found: Mapping[str, Any] | None) -> Text:
    """What a person is shown of it."""
    if found is None:
        return Text("\nwhere objects started is said of what was generated for one task")
    return Text("\n" + "\n".join(coverage_lines(found)))


def _drawn_from(line: Sequence[Plan]) -> Randomization:
    """What scenes were drawn from, and the looks in which they are seen now."""
    drawn = Randomization(line[-1]["randomization"])
    for plan in reversed(line):
        if plan["kind"] == RENDERING:
            looks = plan["looks"]
            seen = drawn if looks["domain"] is None else get_domain(looks["domain"]).randomization
            drawn = drawn.with_({axis: seen[axis] for axis in LOOK_AXES}).with_(looks["randomization"])
    return drawn


def coverage_table(found: dict[str, list[AxisCoverage]]) -> RenderableType:
    """What a person is shown of the coverage, the axes with gaps first."""
    if not any(found.values()):
        return Text("\nnothing was randomised in these episodes", style="bold")
    tables: list[RenderableType] = []
    for domain, axes in found.items():
        table = Table(title=f"\ncoverage of domain {domain}", box=None, title_justify="left", title_style="bold")
        for heading in ("axis", "values", "covered", "", "gaps", "outside"):
            table.add_column(heading, justify="right" if heading in ("values", "covered", "outside") else "left")
        for axis in sorted(axes, key=lambda axis: axis.share):
            gaps = ", ".join(" to ".join(map(_spelled, gap)) for gap in axis.gaps)
            table.add_row(
                axis.axis, f"{axis.values:,}", f"{axis.share:.0%}", _bars(axis.counts), gaps or "-", f"{axis.outside:,}"
            )
        tables.append(table)
    tables.append(Text(f"\ncovered: the share of {STRETCHES} equally likely stretches of a range that hold a value"))
    return Group(*tables)


def randomization_table(randomization: Randomization) -> RenderableType:
    """Every axis: what it is drawn from, and what it is."""
    table = Table(box=None)
    for heading in ("group", "axis", "drawn from", "unit", "what it is"):
        table.add_column(heading, overflow="fold")
    last = ""
    for group, name, drawn, unit in randomization.rows():
        style = "" if randomization[name].varies else "dim"
        table.add_row(group if group != last else "", name, drawn, unit, AXES[name].says, style=style)
        last = group
    return table


def scenes_shown(result: Mapping[str, Any], out: str | Path | None) -> RenderableType:
    """What a person is shown of drawn scenes: the distributions, then what was drawn, or where its picture is."""
    table = randomization_table(Randomization(result["randomization"]))
    count = len(result["scenes"])
    told = f"{count} scene{'s' if count != 1 else ''} in {out}" if out else scenes_text(result)
    return Group(table, Text(), Text(told))


def _bars(counts: tuple[int, ...]) -> str:
    most = max((*counts, 1))
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // most)] for count in counts)


def _spelled(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
