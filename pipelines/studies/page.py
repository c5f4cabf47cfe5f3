"""The page of a study: one self-contained HTML file, its figures as SVG files and its tables as CSV beside it."""

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from markupsafe import Markup

from handful import InputError, JobError, __version__
from pipelines.configuration import build
from pipelines.studies import figures
from pipelines.studies.analysis import DomainResults, analyse, epochs, warnings
from pipelines.studies.figures import Spot
from pipelines.studies.methods import methods
from pipelines.studies.results import Mix, read_jsonl
from pipelines.studies.spec import StudySpec
from pipelines.studies.surface import Gain, Rate
from pipelines.tables import rate_text
from trajectories.canonical import write_whole

_RECORD, _ROLLOUTS = "study.json", "rollouts.jsonl"


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study."""
    return (folder / _RECORD).is_file()


def write_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a study, and its `figures/*.svg`, `cells.csv` and `rates.csv`.

    Args:
        folder: of the study.
        out: the HTML file; `report.html` in the folder if None.

    Returns:
        The page.

    Raises:
        InputError: there is no study in the folder.
        JobError: a file of it is damaged.
    """
    record = _read(folder)
    spec = build(StudySpec, record["spec"])
    cells = read_jsonl(folder / _ROLLOUTS)
    done = [row for row in record["cells"] if row["state"] == "done"]
    seconds = spec.cost.seconds_per_sim
    if seconds is None:
        seconds = record["sources"]["sim"]["account"].get("seconds_per_demo") or 0.0
    found = analyse(spec, cells, record["cells"], seconds)
    drawn = {name: figure for results in found for name, figure in _figures(results).items()}
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in drawn.items():
        write_whole(folder / "figures" / f"{name}.svg", figures.as_file(figure).encode())
    tables = {"cells": _cells_csv(record["cells"]), "rates": _rates_csv(found)}
    for name, text in tables.items():
        write_whole(folder / f"{name}.csv", text.encode())
    tables["rollouts"] = (folder / _ROLLOUTS).with_suffix(".csv").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("study.html.jinja").render(
        spec=spec,
        headlines=[_headline(results) for results in found],
        warnings=warnings(spec, record, found),
        domains=[_domain(results, drawn) for results in found],
        offline=_offline(done),
        rows=[_cell(row) for row in record["cells"]],
        failed=[row for row in record["cells"] if row["state"] == "failed"],
        methods=methods(spec, record, seconds),
        downloads={name: _data_url(text) for name, text in tables.items()},
        yaml=yaml.safe_dump(record["spec"], sort_keys=False),
        record=record,
        version=__version__,
    )
    out = out or folder / "report.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, page.encode())
    return out


def _read(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"'{folder}' holds no study; handful study SPEC --out {folder} makes one") from None
    except ValueError as error:
        raise JobError(f"'{path}' is damaged: {error}") from error
    return record


def _figures(results: DomainResults) -> dict[str, Markup]:
    """All figures of a domain, by the name of their file."""
    name = results.domain.replace("/", "-")
    spots = {rate.mix: Spot(rate.rate, rate.low, rate.high) for rate in results.rates}
    real, sim = (sorted({getattr(mix, side) for mix in spots}) for side in ("n_real", "n_sim"))
    drawn = {}
    for weight in results.table.weights or ("",):
        here = {(m.n_real, m.n_sim): spot for m, spot in spots.items() if m.weight in (weight, "")}
        rule, end = (f", weight {weight}", f"-{_file(weight)}") if weight else ("", "")
        drawn[f"success-{name}{end}"] = figures.heat(f"Success in {results.label}{rule}", real, sim, here)
        series = {
            f"{n:,} real": {m: spot for (k, m), spot in here.items() if k == n}
            for n in real
            if any(k == n for k, _ in here)
        }
        drawn[f"curves-{name}{end}"] = figures.rates_by_number(
            f"Success in {results.domain}{rule}", sim, series, results.surrogate
        )
    if results.gains:
        rows = [
            (_short(gain.mix), Spot(gain.difference, gain.low, gain.high), _gain_note(gain.difference, gain.p_adjusted))
            for gain in results.gains
        ]
        drawn[f"gain-{name}"] = figures.differences(f"Gain on the same real demos alone, {results.label}", rows)
    exchanged = [
        (f"{each.n_sim:,} synthetic, {weight}", Spot(*each.worth), each.identifiable)
        for weight, several in results.exchanges.items()
        for each in several
    ]
    if exchanged:
        drawn[f"exchange-{name}"] = figures.exchange(f"What synthetic demos are worth, {results.label}", exchanged)
    for weight, summary in results.summaries.items():
        curves = [
            (
                f"{curve.level:.0%} success, as {curve.n_real[-1]:.0f} real demos alone give",
                curve.n_real.tolist(),
                [
                    Spot(*ends)
                    for ends in zip(curve.n_sim.tolist(), curve.low.tolist(), curve.high.tolist(), strict=True)
                ],
            )
            for curve in summary.curves
        ]
        if curves:
            title = f"Mixes that do equally well, {results.label}, weight {weight}"
            drawn[f"iso-{name}-{_file(weight)}"] = figures.iso(title, curves, summary.exchange.n_sim)
    points = [
        (_short(rate.mix), cost, spots[rate.mix], on)
        for rate, cost, on in zip(results.rates, results.costs, results.frontier, strict=True)
    ]
    drawn[f"cost-{name}"] = figures.frontier(f"Success and cost, {results.label}", points)
    return drawn


def _domain(results: DomainResults, drawn: Mapping[str, Markup]) -> dict[str, Any]:
    """What the template shows of a domain."""
    name = results.domain.replace("/", "-")

    def of(kind: str) -> list[tuple[str, Markup]]:
        return [(key, figure) for key, figure in drawn.items() if key.startswith(f"{kind}-{name}")]

    return {
        "name": results.domain,
        "surrogate": results.surrogate,
        "scenes": results.means.scenes,
        "seed_share": None if np.isnan(share := results.means.seed_share) else f"{100 * share:.0f} %",
        "success": of("success"),
        "curves": of("curves"),
        "gain": of("gain"),
        "exchange": of("exchange"),
        "iso": of("iso"),
        "laws": [(weight, summary.law) for weight, summary in results.summaries.items()],
        "predictions": [
            {
                "mix": _short(each.mix),
                "predicted": _percent(each.predicted, each.low, each.high),
                "measured": _percent(each.measured, each.measured_low, each.measured_high),
                "agrees": "yes" if each.agrees else "no",
            }
            for summary in results.summaries.values()
            for each in summary.predictions
        ],
        "unpredicted": [
            f"weight {weight}: {summary.unpredicted}"
            for weight, summary in results.summaries.items()
            if summary.unpredicted
        ],
        "budgets": [
            {
                "weight": weight,
                "budget": f"{best.budget:,.2f}",
                "real": _range(best.n_real),
                "sim": _range(best.n_sim),
                "success": _percent(*best.success),
                "real_only": _percent(*best.real_only),
                "decided": "" if best.decided else "not decided by this study",
            }
            for weight, summary in results.summaries.items()
            for best in summary.best
        ],
        "cost": of("cost"),
        "rates": [
            {
                "mix": _short(rate.mix),
                "text": _rate(rate),
                "n": f"{rate.seeds} x {rate.scenes:,}",
                "cost": f"{cost:,.2f}",
                "best": on,
            }
            for rate, cost, on in zip(results.rates, results.costs, results.frontier, strict=True)
        ],
        "gains": _gains(results.gains),
        "real_gains": _gains(results.real_gains),
        "rankers": [
            {
                "name": each.name,
                "rho": f"{each.rho:+.2f} ({each.low:+.2f} to {each.high:+.2f})",
                "mixes": each.mixes,
                "picked": f"{_short(each.picked.mix)}: {_rate(each.picked)}",
                "best": f"{_short(each.best.mix)}: {_rate(each.best)}",
            }
            for each in results.rankers
        ],
        "verdicts": [
            (f"weight {weight}, {each.n_sim:,} synthetic demos", each.verdict)
            for weight, several in results.exchanges.items()
            for each in several
        ]
        + [(f"weight {weight}", f"not identifiable: {why}") for weight, why in results.unfitted.items()],
    }


def _gains(gains: Sequence[Gain]) -> list[dict[str, str]]:
    return [
        {
            "mix": _short(gain.mix),
            "points": _points(gain.difference, gain.low, gain.high),
            "relative": _relative(gain.relative, gain.relative_low, gain.relative_high),
            "p": f"{gain.p_adjusted:.2g}",
        }
        for gain in gains
    ]


def _rate(rate: Rate) -> str:
    return f"{100 * rate.rate:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _headline(results: DomainResults) -> str:
    """The largest gain in a sentence; it was looked for, so it is said to be the largest of so many."""
    if not results.gains:
        return f"In {results.label} no mix of both kinds of demos was compared with its real ones alone."
    best = max(results.gains, key=lambda gain: gain.difference)
    points = _points(best.difference, best.low, best.high)
    beside = ""
    for added in results.real_gains:
        if added.mix == best.mix:
            added_points = _points(added.difference, added.low, added.high)
            beside = f" From its {added.baseline.n_sim:,} synthetic demos alone it differs by {added_points} points."
    return (
        f"In {results.label}, {best.mix} differs by {points} points of success from the "
        f"{best.baseline.n_real} real demos alone: the largest of {len(results.gains)} gains "
        f"(p = {best.p_adjusted:.2g}, Holm).{beside}"
    )


def _cell(row: Mapping[str, Any]) -> dict[str, Any]:
    place = {"mix": _short(Mix(row["n_real"], row["n_sim"], row["weight"])), "seed": row["seed"]}
    if row["state"] == "failed":
        return {**place, "failed": True}
    real, sim = epochs(row)
    return {
        **place,
        "failed": False,
        "share": f"{100 * row['real_share']:.1f} %",
        "steps": f"{row['steps']:,}",
        "epochs": f"{real:,.3g}, {sim:,.3g}",
        "rates": [(name, rate_text(each["successes"], each["episodes"])) for name, each in row["domains"].items()],
        "probe": "-" if row["probe"] is None else f"{100 * row['probe']['accuracy']:.0f} %",
        "offline": "-" if row["offline"] is None else f"{row['offline']['loss']:.4f}",
        "digest": row["digest"][:16],
    }


def _offline(done: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Action errors on held-out real demos, where they were measured."""
    return [
        {
            "mix": _short(Mix(row["n_real"], row["n_sim"], row["weight"])),
            "seed": str(row["seed"]),
            "loss": f"{row['offline']['loss']:.4f}",
            "executed": f"{row['offline']['executed']:.4f} {row['offline']['unit']}",
            "gripper": f"{100 * row['offline']['gripper']:.1f} %",
            "windows": f"{row['offline']['windows']:,}",
        }
        for row in done
        if row["offline"] is not None
    ]


def _cells_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    names = ["n_real", "n_sim", "weight", "seed", "state", "real_share", "steps", "real_epochs", "sim_epochs"]
    names += [
        "training_seconds",
        "probe_accuracy",
        "action_loss",
        "domain",
        "successes",
        "episodes",
        "digest",
        "reason",
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        if row["state"] == "failed":
            writer.writerow(row)
            continue
        real, sim = epochs(row)
        more = {
            "real_epochs": real,
            "sim_epochs": sim,
            "training_seconds": row["seconds"]["training"],
            "probe_accuracy": "" if row["probe"] is None else row["probe"]["accuracy"],
            "action_loss": "" if row["offline"] is None else row["offline"]["loss"],
        }
        for name, each in (row["domains"] or {"": {}}).items():
            writer.writerow({**row, **more, "domain": name, **each})
    return text.getvalue()


def _rates_csv(found: Sequence[DomainResults]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["domain", "n_real", "n_sim", "weight", "rate", "low", "high", "seeds", "scenes", "cost", "on_frontier"]
    columns = ("gain", "gain_low", "gain_high", "p_holm")
    writer.writerow([*head, *columns, *(f"real_{name}" for name in columns)])
    for results in found:
        kinds = [{gain.mix: gain for gain in some} for some in (results.gains, results.real_gains)]
        for rate, cost, on in zip(results.rates, results.costs, results.frontier, strict=True):
            mix = rate.mix
            row = [results.domain, mix.n_real, mix.n_sim, mix.weight, rate.rate, rate.low, rate.high]
            row += [rate.seeds, rate.scenes, cost, int(on)]
            for gain in (by_mix.get(mix) for by_mix in kinds):
                row += [""] * 4 if gain is None else [gain.difference, gain.low, gain.high, gain.p_adjusted]
            writer.writerow(row)
    return text.getvalue()


def _short(mix: Mix) -> str:
    weight = f", {mix.weight}" if mix.weight else ""
    return f"{mix.n_real:,} real + {mix.n_sim:,} synthetic{weight}"


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def _range(values: tuple[int, int, int]) -> str:
    best, low, high = values
    return f"{best:,} ({low:,} to {high:,})"


def _relative(value: float, low: float, high: float) -> str:
    if value == float("inf"):
        return "from none"
    end = "no end" if high == float("inf") else f"{100 * high:+.0f} %"
    return f"{100 * value:+.0f} % ({100 * low:+.0f} % to {end})"


def _gain_note(value: float, p: float) -> str:
    return f"{100 * value:+.1f} points, p {p:.2g}"


def _file(weight: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in weight)


def _data_url(text: str) -> str:
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode()
