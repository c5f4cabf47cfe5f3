"""`handful compare`: is one policy better than another? Tests on the scenes that both met, and what weakens them.

Two policies evaluated with the same seed met the same worlds: exact McNemar. With other seeds: Barnard. Several
comparisons at once are held to one error rate together (Holm). Beside it stands what the sequential test would have
said, which may be looked at after every pair.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handful import InputError
from pipelines.evaluations import Evaluation, paired, read_evaluations
from pipelines.metrics import flags
from pipelines.metrics.pairs import (
    barnard,
    holm,
    mcnemar,
    outcomes_of_pairs,
    paired_difference,
    unpaired_difference,
)
from pipelines.metrics.sequential import decide
from pipelines.tables import rate_text


def run(folders: list[Path], alpha: float = 0.05, most: int = 200, chosen_by: str | None = None) -> dict[str, Any]:
    """Compare policies, each with each, in every domain that both were evaluated in.

    Args:
        folders: of evaluations, two or more.
        alpha: chance of naming a better one where there is none, over all comparisons together.
        most: pairs after which the sequential test ends.
        chosen_by: the domain by whose success the policies were chosen among others, if they were.

    Returns:
        "comparisons", one dict each; "flags"; and of the first comparison "difference", "ci", "p_value", "verdict".

    Raises:
        InputError: fewer than two folders, one without an evaluation, different tasks or robots, no shared domain.
        JobError: a table is damaged.
    """
    if len(folders) < 2:
        raise InputError(f"a comparison needs two evaluations, got {len(folders)}")
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1, got {alpha}")
    evaluations = read_evaluations(folders)
    for other in evaluations[1:]:
        _check_comparable(evaluations[0], other)
    rows = []
    for a, b in itertools.combinations(evaluations, 2):
        shared = [domain for domain in a.domains if domain in b.domains]
        if not shared:
            raise InputError(
                f"{a.name} was evaluated in {', '.join(a.domains)} and {b.name} in {', '.join(b.domains)}: "
                "they share no domain"
            )
        rows += [_compare(a, b, domain, alpha, most) for domain in shared]
    for row, adjusted in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        better = "a" if row["difference"] > 0 else "b"
        row["verdict"] = better if adjusted <= alpha else "undecided"
    return {
        **{key: rows[0][key] for key in ("difference", "ci", "p_value", "verdict")},
        "comparisons": rows,
        "flags": _flags(evaluations, chosen_by),
    }


def _check_comparable(a: Evaluation, b: Evaluation) -> None:
    for what, default in (("task", None), ("embodiment", "panda")):
        one, other = a.settings.get(what, default), b.settings.get(what, default)
        if one != other:
            raise InputError(f"{a.name} is about {what} '{one}' and {b.name} about '{other}'; they cannot be compared")


def _compare(a: Evaluation, b: Evaluation, domain: str, alpha: float, most: int) -> dict[str, Any]:
    pairs = paired(a, b, domain)
    row: dict[str, Any] = {"a": a.name, "b": b.name, "task": a.settings["task"], "domain": domain}
    if pairs is None:
        first, second = a.successes(domain), b.successes(domain)
        counts = (sum(first.values()), len(first), sum(second.values()), len(second))
        p_value, ci = barnard(*counts), unpaired_difference(*counts)
        row |= {"test": "barnard", "pairs": None, "sequential": None}
    else:
        wins, losses = outcomes_of_pairs(*pairs)
        n = len(pairs[0])
        counts = (int(pairs[0].sum()), n, int(pairs[1].sum()), n)
        p_value, ci = mcnemar(wins, losses), paired_difference(wins, losses, n)
        found = decide(*pairs, alpha, most)
        row |= {
            "test": "mcnemar",
            "pairs": {"all": n, "a_alone": wins, "b_alone": losses},
            "sequential": {
                "verdict": found.verdict,
                "pairs": found.pairs,
                "most": most,
                "over": found.over,
                "p_value": found.p_value,
            },
        }
    return {
        **row,
        "a_successes": counts[0],
        "a_episodes": counts[1],
        "b_successes": counts[2],
        "b_episodes": counts[3],
        "difference": counts[0] / counts[1] - counts[2] / counts[3],
        "ci": list(ci),
        "p_value": p_value,
    }


def _flags(evaluations: Sequence[Evaluation], chosen_by: str | None) -> list[str]:
    found: list[str] = []
    for each in evaluations:
        found += each.unfinished()
        found += [f"{each.name}: {note}" for note in each.notes]
        found += [
            f"{each.name} in {domain} ended as soon as a comparison was decided: no p-value of a fixed number of "
            "rollouts holds there; read the sequential one"
            for domain in each.stopped
        ]
        found += [f"{each.name}: {flag}" for flag in (*flags.repeats(each.rows), *flags.counted_twice(each.rows))]
        found += [f"{each.name}: {flag}" for flag in flags.sealed_selection(each.domains, chosen_by)]
    found += flags.mixed_versions(each.settings.get("versions", {}).get("mujoco") for each in evaluations)
    for a, b in itertools.combinations(evaluations, 2):
        if a.settings["policy"] == b.settings["policy"] and a.settings["config"] == b.settings["config"]:
            found.append(f"{a.name} and {b.name} are the same policy with the same settings")
        if a.settings["seed"] != b.settings["seed"]:
            found.append(
                f"{a.name} has seed {a.settings['seed']} and {b.name} {b.settings['seed']}: "
                "other scenes, so the weaker unpaired test"
            )
        else:
            found += _unshared(a, b)
        for group in ("config", "interface"):
            found += _differences(a, b, group)
    return found


def _unshared(a: Evaluation, b: Evaluation) -> list[str]:
    found = []
    for domain in a.domains:
        one, other = set(a.successes(domain)), set(b.successes(domain))
        if other and one != other:
            found.append(
                f"{a.name} met {len(one):,} scenes in {domain} and {b.name} {len(other):,}; "
                f"only the {len(one & other):,} that both met are compared"
            )
    return found


def _differences(a: Evaluation, b: Evaluation, group: str) -> list[str]:
    one, other = a.settings.get(group) or {}, b.settings.get(group) or {}
    return [
        f"{a.name} and {b.name} differ in {name.replace('_', ' ')}: {_said(one.get(name))} and {_said(other.get(name))}"
        for name in sorted({*one, *other})
        if one and other and one.get(name) != other.get(name)
    ]


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def comparison_table(result: Mapping[str, Any], alpha: float) -> RenderableType:
    """The comparisons as a person reads them."""
    table = Table(box=None)
    for heading in ("A, B", "domain", "success of A", "success of B", "A - B", "p", "verdict"):
        table.add_column(heading)
    notes: list[RenderableType] = []
    several = len(result["comparisons"]) > 1
    for row in result["comparisons"]:
        domain = f"{row['domain']} (surrogate reality)" if row["domain"].startswith("twin/") else row["domain"]
        low, high = row["ci"]
        p = f"{row['p_value']:.2g} {row['test']}" + (f", {row['p_holm']:.2g} Holm" if several else "")
        table.add_row(
            Text(f"{row['a']}, {row['b']}"),
            Text(domain),
            rate_text(row["a_successes"], row["a_episodes"]),
            rate_text(row["b_successes"], row["b_episodes"]),
            f"{100 * row['difference']:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})",
            p,
            verdict_text(row["verdict"], alpha),
        )
        if row["sequential"] is not None:
            notes.append(Text(f"{row['a']}, {row['b']} in {row['domain']}: {_sequential_text(row['sequential'])}"))
    warned = [Text(f"flag: {flag}", "yellow") for flag in result["flags"]]
    return Group(table, *notes, *warned)


def verdict_text(verdict: str, alpha: float) -> str:
    """A verdict in words."""
    return f"undecided at {100 * alpha:g} %" if verdict == "undecided" else f"{verdict.upper()} is better"


def _sequential_text(found: Mapping[str, Any]) -> str:
    if found["verdict"] != "undecided":
        return (
            f"looking after every pair, {found['verdict'].upper()} was the better one after {found['pairs']:,} pairs "
            f"(p {found['p_value']:.2g})"
        )
    end = "and that is its end" if found["over"] else f"of {found['most']:,}; it may go on"
    return f"looking after every pair, undecided after {found['pairs']:,} pairs {end} (p {found['p_value']:.2g})"
