"""`handful bench`: one of the project's benchmarks, beside its physical limit measured in the same run.

The scripts lie in `benchmarks/`, beside the packages, in a checkout and where the project is installed alike. Each has
a function `measure(long)` that gives the figures; its other arguments are for those who run the script itself.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from handful import InputError, JobError, unknown_name

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
# What every benchmark says first.
FIGURES = ("value", "limit", "ratio")


def names() -> list[str]:
    """Names of the benchmarks there are, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.name.startswith("_"))


def run(name: str, long: bool) -> dict[str, Any]:
    """Measure.

    Args:
        name: of the benchmark.
        long: at full size, as published; otherwise within about a minute.

    Returns:
        "value", "limit" and "ratio", then whatever the benchmark says besides.

    Raises:
        InputError: there is no such benchmark, or it needs a package that is not installed.
        JobError: what it gave lacks one of the three figures.
    """
    if name not in names():
        raise unknown_name("benchmark", name, names())
    # Found by its name also by the processes that a benchmark starts.
    if str(FOLDER.parent) not in sys.path:
        sys.path.append(str(FOLDER.parent))
    try:
        module = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        raise InputError(f"benchmark '{name}' needs the package '{error.name}', which is not installed") from error
    found = dict(module.measure(long))
    lacking = [figure for figure in FIGURES if not isinstance(found.get(figure), int | float)]
    if lacking:
        raise JobError(f"benchmark '{name}' gave no {' and no '.join(lacking)}")
    return {**{figure: found.pop(figure) for figure in FIGURES}, **found}


def bench_table(name: str, result: Mapping[str, Any]) -> Table:
    """The figures as a person reads them."""
    table = Table(title=Text(f"benchmark {name}"), show_header=False, box=None, title_justify="left")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, value in _lines(result):
        table.add_row(label.replace("_", " "), Text(value, style="bold" if label in FIGURES else ""))
    return table


def _lines(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in result.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{key}: ")
        elif isinstance(value, float):
            yield f"{prefix}{key}", f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(map(str, value)) or "-"
        else:
            yield (
                f"{prefix}{key}",
                f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value),
            )
