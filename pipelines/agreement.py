"""`handful agreement`: how well simulation foretells a person's own robot results, with every error bar.

Real and simulated successes come as CSV, a line per policy, or per policy and condition. What is printed is also a page
that opens offline.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handful import InputError, __version__
from pipelines import charts
from pipelines.metrics import flags
from pipelines.metrics.gaps import absolute_gap, gap_p_values
from pipelines.metrics.pairs import holm
from pipelines.metrics.results import Results, matched, read_results
from pipelines.metrics.uncertainty import METRICS, Uncertainty, uncertainty
from pipelines.statistics import wilson_interval
from pipelines.tables import rate_text
from trajectories.canonical import write_whole

# How a metric is called in a sentence, and what it is.
NAMES = {"mmrv": "MMRV", "pearson": "Pearson r", "spearman": "Spearman rho", "kendall": "Kendall tau"}


def run(real: Path, sim: Path, out: Path | None = None, seed: int = 0, samples: int = 4000) -> dict[str, Any]:
    """Measure agreement.

    Args:
        real: CSV of real results.
        sim: CSV of results in simulation, of the same policies under the same conditions.
        out: HTML page to write; none if None.
        seed: of the draws that intervals are made of.
        samples: how many of them.

    Returns:
        A dict per metric (value, ci, ci_these, noise_floor, noise_range, random), "gap", "policies" with their counts,
        "conditions" (each on its own, where several were told apart), "flags" and "page".

    Raises:
        InputError: a file is malformed, the files hold different policies, or fewer than 3 of them.
    """
    if out is not None and out.is_dir():
        raise InputError(f"'{out}' is a folder; --out must be a file, e.g. {out / 'agreement.html'}")
    ours = read_results(real, "real")
    theirs = matched(ours, read_results(sim, "sim"))
    if len(ours.policies) < 3:
        raise InputError(f"{len(ours.policies)} policies are too few; agreement needs at least 3, better 8")
    result: dict[str, Any] = {name: _metric(ours, theirs, name, samples, seed) for name in METRICS}
    gap = absolute_gap(real=ours.scores, sim=theirs.scores)
    result |= {
        "gap": dataclasses.asdict(gap),
        "policies": _policies(ours, theirs),
        "conditions": _by_condition(ours, theirs),
        "flags": _flags(ours, theirs),
    }
    result["page"] = None
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, _page(result, ours, theirs).encode())
        result["page"] = str(out)
    return result


def _metric(real: Results, sim: Results, name: str, samples: int, seed: int) -> dict[str, Any]:
    metric = METRICS[name]
    if name != "mmrv" and not math.isfinite(float(metric.of(real.scores, sim.scores))):
        which = "real" if np.ptp(real.scores) == 0 else "sim"
        raise InputError(f"all {which} scores are the same; agreement needs policies that differ")
    found: Uncertainty = uncertainty(real=real, sim=sim, metric=name, samples=samples, seed=seed)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(found).items()}


def _policies(real: Results, sim: Results) -> list[dict[str, Any]]:
    """Per policy its counts over all conditions, its scores, and whether real and sim differ beyond chance."""
    totals = [(r.successes.sum(axis=1), r.episodes.sum(axis=1)) for r in (real, sim)]
    (k, n), (j, m) = totals
    adjusted = holm(gap_p_values(real_successes=k, real_episodes=n, sim_successes=j, sim_episodes=m).tolist())
    return [
        {
            "policy": name,
            "real": float(real.scores[i]),
            "sim": float(sim.scores[i]),
            "real_successes": int(k[i]),
            "real_episodes": int(n[i]),
            "sim_successes": int(j[i]),
            "sim_episodes": int(m[i]),
            "p_gap": adjusted[i],
        }
        for i, name in enumerate(real.policies)
    ]


def _by_condition(real: Results, sim: Results) -> list[dict[str, Any]]:
    """MMRV and Pearson's r of each condition on its own; nothing where they were not told apart."""
    if len(real.conditions) == 1:
        return []
    rows = []
    for i, condition in enumerate(real.conditions):
        a, b = real.rates[:, i], sim.rates[:, i]
        r = float(METRICS["pearson"].of(a, b))
        rows.append(
            {
                "condition": condition,
                "mmrv": float(METRICS["mmrv"].of(a, b)),
                "pearson": r if math.isfinite(r) else None,
                "bias": absolute_gap(real=a, sim=b).bias,
                "real_episodes": int(real.episodes[:, i].sum()),
                "sim_episodes": int(sim.episodes[:, i].sum()),
            }
        )
    return rows


def _flags(real: Results, sim: Results) -> list[str]:
    found = flags.few_policies(len(real.policies))
    least = int(real.episodes.sum(axis=1).min())
    if least < 20:
        found.append(f"a policy has only {least} real episodes; its rate is known to about 20 points or worse")
    ratio = real.episodes / real.episodes.sum(axis=1, keepdims=True)
    other = sim.episodes / sim.episodes.sum(axis=1, keepdims=True)
    if len(real.conditions) > 1 and not np.allclose(ratio, other, atol=0.02):
        found.append("conditions were tried in other proportions in simulation; each condition counts alike in scores")
    return found


def agreement_table(result: Mapping[str, Any]) -> RenderableType:
    """What was found, as a person reads it."""
    table = Table(box=None)
    for heading in ("policy", "real", "in simulation", "sim - real"):
        table.add_column(heading)
    for row in result["policies"]:
        table.add_row(
            Text(row["policy"]),
            rate_text(row["real_successes"], row["real_episodes"]),
            rate_text(row["sim_successes"], row["sim_episodes"]),
            gap_text(row),
        )
    figures = Table(box=None)
    for heading in ("", "value", "95 % for these policies", "95 % for others like them", "perfect simulator", "chance"):
        figures.add_column(heading)
    for name in METRICS:
        figures.add_row(NAMES[name], *metric_texts(result[name]))
    gap = result["gap"]
    parts: list[RenderableType] = [
        table,
        Text(),
        figures,
        Text(
            f"n = {len(result['policies'])} policies; sim - real: {100 * gap['bias']:+.1f} points on average, "
            f"{100 * gap['mean_absolute']:.1f} without sign, {100 * gap['largest']:.1f} at most"
        ),
        *_condition_lines(result["conditions"]),
        *(Text(f"flag: {flag}", "yellow") for flag in result["flags"]),
    ]
    if result["page"]:
        parts.append(Text(f"page: {result['page']}"))
    return Group(*parts)


def metric_texts(found: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """Value, both intervals, the noise floor with its range, and the random level."""

    def span(ends: list[float]) -> str:
        return f"{ends[0]:.3f} to {ends[1]:.3f}"

    floor = f"{found['noise_floor']:.3f} ({span(found['noise_range'])})"
    return f"{found['value']:.3f}", span(found["ci_these"]), span(found["ci"]), floor, f"{found['random']:.3f}"


def gap_text(row: Mapping[str, Any]) -> str:
    """By how much simulation is off for one policy, and whether that is more than chance."""
    beyond = ", beyond chance" if row["p_gap"] <= 0.05 else ""
    return f"{100 * (row['sim'] - row['real']):+.1f} points{beyond}"


def _condition_lines(rows: list[dict[str, Any]]) -> list[Text]:
    lines = []
    for row in rows:
        r = "not defined" if row["pearson"] is None else f"{row['pearson']:.3f}"
        lines.append(
            Text(
                f"{row['condition']}: MMRV {row['mmrv']:.3f}, r {r}, sim - real {100 * row['bias']:+.1f} points "
                f"({row['real_episodes']:,} real, {row['sim_episodes']:,} simulated episodes)"
            )
        )
    return lines


def agreement_charts(result: Mapping[str, Any]) -> tuple[Markup, Markup]:
    """Real success against that in simulation, and both orders beside each other.

    Args:
        result: what `run` gave.
    """
    points = []
    for row in result["policies"]:
        ends = [wilson_interval(row[f"{kind}_successes"], row[f"{kind}_episodes"]) for kind in ("sim", "real")]
        # A score is the mean over conditions; the interval is that of all episodes together, moved to it.
        moved = []
        for kind, (low, high) in zip(("sim", "real"), ends, strict=True):
            shift = row[kind] - row[f"{kind}_successes"] / row[f"{kind}_episodes"]
            moved.append((max(0.0, low + shift), min(1.0, high + shift)))
        points.append(charts.Point(row["policy"], row["sim"], row["real"], moved[0], moved[1]))
    orders = [(row["policy"], row["sim"], row["real"]) for row in result["policies"]]
    return (
        charts.scatter(points, "success in simulation", "real success"),
        charts.ranks(orders, "in simulation", "real"),
    )


def _page(result: Mapping[str, Any], real: Results, sim: Results) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    scatter, ranks = agreement_charts(result)
    return environment.get_template("agreement.html.jinja").render(
        result=result,
        names=NAMES,
        metrics={name: metric_texts(result[name]) for name in METRICS},
        scatter=scatter,
        ranks=ranks,
        rate_text=rate_text,
        gap_text=gap_text,
        conditions=[str(line) for line in _condition_lines(result["conditions"])],
        episodes=(int(real.episodes.sum()), int(sim.episodes.sum())),
        version=__version__,
    )
