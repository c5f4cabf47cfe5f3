"""The report's part about rollouts: how often, how far, along which axes, and every episode."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from pipelines import charts
from pipelines.agreement import NAMES, agreement_charts, gap_text, metric_texts
from pipelines.conditions import BASELINE, SWAP, against_baseline, obeyed, swap_text
from pipelines.episodes import csv_text
from pipelines.heatmap import Cell, heatmap
from pipelines.metrics.uncertainty import METRICS
from pipelines.runs import Evaluated
from pipelines.statistics import wilson_interval
from pipelines.tables import rate_text
from scenes.outcome import Outcome
from scenes.twins import SEVERITIES

# Of the table of episodes; the CSV has all.
_ROWS = 500
_COLUMNS = ("domain", "scene", "asked", "taken", "outcome", "stage", "time", "path_length", "jerk", "contacts")
_ALPHA = 0.05
_WORSE, _BETTER = " ▼", " ▲"


@dataclass(frozen=True)
class Part:
    """One evaluation on the page.

    Attributes:
        name: its folder's.
        forest: success in each domain; None for a suite, which has `suite`, and for one that never came to its end.
        rows: the same as a table.
        stages: how many rollouts reached each stage.
        suite: success along each group of axes, and what was found beside it as sentences.
        flags: what weakens it.
        episodes: heading and cells of the table of episodes, and how many more there are.
        csv: all of them, as a data: URL; empty where there are none.
        settings: what decided the rollouts, as JSON.
    """

    name: str
    forest: Markup | None
    rows: list[dict[str, Any]]
    stages: Markup | None
    suite: "Suite | None"
    flags: tuple[str, ...]
    episodes: tuple[tuple[str, ...], list[list[str]], int]
    csv: str
    settings: str


@dataclass(frozen=True)
class Suite:
    """A robustness suite: its heat map, and what belongs below it."""

    map: Markup
    sentences: list[str]


def evaluation_part(found: Evaluated) -> Part:
    """What the page shows of an evaluation."""
    suite = _suite(found) if found.robustness is not None else None
    shown = found.rows[:_ROWS]
    columns = tuple(name for name in _COLUMNS if any(name in row for row in shown))
    return Part(
        name=found.name,
        forest=forest(found.results) if found.results and not suite else None,
        rows=[] if suite else [result_row(row) for row in found.results],
        stages=_stages(found.results),
        suite=suite,
        flags=found.notes,
        episodes=(
            columns,
            [[_shown(row.get(name)) for name in columns] for row in shown],
            len(found.rows) - len(shown),
        ),
        csv="data:text/csv;base64," + base64.b64encode(csv_text(found.rows).encode()).decode() if found.rows else "",
        settings=json.dumps(found.settings, indent=2, ensure_ascii=False) if found.settings else "",
    )


def surrogate(domain: str) -> bool:
    """Whether a domain stands in for reality."""
    return domain.startswith("twin/")


def forest(results: Sequence[Mapping[str, Any]]) -> Markup:
    """Success in each domain, with intervals."""
    tasks = {row["task"] for row in results}
    intervals = []
    for row in results:
        low, high = wilson_interval(row["successes"], row["episodes"])
        label = row["domain"] if len(tasks) == 1 else f"{row['task'].replace('_', ' ')}, {row['domain']}"
        rate = row["successes"] / row["episodes"] if row["episodes"] else 0.0
        note = f"{row['successes']:,} of {row['episodes']:,}"
        intervals.append(charts.Interval(label, rate, low, high, note, surrogate(row["domain"])))
    return charts.forest(intervals)


def result_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """One domain's line of the table."""
    failures = {name: count for name, count in row["outcomes"].items() if name != Outcome.SUCCESS.label}
    asked = row.get("asked") or {}
    return {
        "task": row["task"].replace("_", " "),
        "domain": row["domain"],
        "surrogate": surrogate(row["domain"]),
        "rate": rate_text(row["successes"], row["episodes"]),
        "failures": sorted(failures.items(), key=lambda item: (-item[1], item[0])),
        # Where the task asks now for one object and now for another.
        "asked": [(name, rate_text(each["successes"], each["episodes"])) for name, each in asked.items()]
        if len(asked) > 1
        else [],
    }


def _stages(results: Sequence[Mapping[str, Any]]) -> Markup | None:
    """How many rollouts reached each stage, by domain; None where results do not say."""
    told = [row for row in results if row.get("stages")]
    if not told:
        return None
    names = list(dict.fromkeys(name for row in told for name in row["stages"]))
    cells = {
        (row["domain"], name.replace("_", " ")): Cell(stage["episodes"], row["episodes"])
        for row in told
        for name, stage in row["stages"].items()
    }
    rows = [row["domain"] for row in told]
    return heatmap("Stages reached", rows, [name.replace("_", " ") for name in names], cells, spans=False)


def _suite(found: Evaluated) -> Suite:
    """The heat map of all severities that were measured, from the rollouts themselves."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in found.rows:
        by_name.setdefault(row["domain"], []).append(row)
    for rows in by_name.values():
        rows.sort(key=lambda row: int(row["scene"]))
    severities: list[str] = [each for each in SEVERITIES if any(name.startswith(f"{each}/") for name in by_name)]
    cells: dict[tuple[str, str], Cell] = {}
    short = []
    for severity in severities or [""]:
        mine = {name: rows for name, rows in by_name.items() if "/" not in name or name.startswith(f"{severity}/")}
        scenes = [row["scene"] for row in mine[BASELINE]]
        whole = {name: rows for name, rows in mine.items() if [row["scene"] for row in rows] == scenes}
        short += [name for name in mine if name not in whole]
        done = {name: np.array([r["outcome"] == Outcome.SUCCESS.label for r in rows]) for name, rows in whole.items()}
        for row in against_baseline(done, _ALPHA):
            name = row["condition"].removeprefix(f"{severity}/")
            column = severity if "/" in row["condition"] else (severities or [""])[0]
            mark = {"worse": _WORSE, "better": _BETTER}.get(row.get("verdict", ""), "")
            note = f"{100 * row['difference']:+.1f} points beside the baseline" if "difference" in row else ""
            cells[name, column] = Cell(row["successes"], row["episodes"], mark, note)
    sentences = [
        f"n = {len(by_name[BASELINE]):,} scenes, the same in every cell. Below each rate its 95 % interval. "
        "▼ worse and ▲ better than the baseline beyond chance, on the same scenes (exact McNemar test, Holm over the "
        f"conditions of a severity, alpha {_ALPHA:g}). Values lie beyond training and are those of twins: surrogate "
        "reality. Baseline, language, swap and distractors know no severity."
    ]
    if SWAP in by_name:
        sentences.append(swap_text(obeyed(by_name[BASELINE], by_name[SWAP])).capitalize() + ".")
    if short:
        sentences.append(f"Not all scenes were tried in {', '.join(dict.fromkeys(short))}; the same command resumes.")
    return Suite(
        heatmap(
            "Success along each group of axes", list(dict.fromkeys(row for row, _ in cells)), severities or [""], cells
        ),
        sentences,
    )


def agreement_part(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of `handful agreement --json`."""
    scatter, ranks = agreement_charts(result)
    return {
        "scatter": scatter,
        "ranks": ranks,
        "metrics": [(NAMES[name], *metric_texts(result[name])) for name in METRICS],
        "rows": [
            (
                row["policy"],
                rate_text(row["real_successes"], row["real_episodes"]),
                rate_text(row["sim_successes"], row["sim_episodes"]),
                gap_text(row),
            )
            for row in result["policies"]
        ],
        "flags": result["flags"],
    }


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value).replace("_", " ")
