"""Results as a person reads them in a terminal. Rates come with their n and interval."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipelines.progress import duration
from pipelines.statistics import wilson_interval

# Scenes that were left out, named one by one.
_LISTED = 10


def rate_text(successes: int, trials: int) -> str:
    """A rate with its n and 95 % interval, e.g. "81.2 % (812 of 1,000; 95 % interval 78.7 to 83.5 %)"."""
    if trials == 0:
        return "none tried"
    low, high = wilson_interval(successes, trials)
    interval = f"95 % interval {low * 100:.1f} to {high * 100:.1f} %"
    return f"{successes / trials * 100:.1f} % ({successes:,} of {trials:,}; {interval})"


def checks_table(result: Mapping[str, Any]) -> RenderableType:
    """`handful doctor`'s checks, and what to do about those that failed."""
    table = Table(box=None, show_header=False)
    for check in result["checks"]:
        mark = Text("ok", "green") if check["ok"] else Text("no", "bold red" if check["required"] else "yellow")
        table.add_row(mark, Text(check["name"]), Text(check["detail"]))
        if check["fix"] and not check["ok"]:
            table.add_row("", "", Text(f"-> {check['fix']}", "bold"))
    verdict = "ready" if result["ok"] else "not ready: see the arrows above"
    return Group(table, Text(verdict, "bold"))


def generation_text(result: Mapping[str, Any]) -> str:
    """What `handful generate` did."""
    causes = sorted(result["outcomes"].items(), key=lambda item: (-item[1], item[0]))
    return "\n".join(
        [
            f"kept {rate_text(result['kept'], result['scenes'])} of scenes, in {result['attempts']:,} tries",
            f"first try: {rate_text(round(result['first_try_rate'] * result['scenes']), result['scenes'])}",
            f"an 'any step' rule would have kept {result['latched']:,} of the tries that were refused",
            f"{result['kept_per_hour']:,.0f} kept/h, {result['seconds']:,.1f} s in all",
            "outcomes: " + ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in causes),
            *(coverage_lines(result["coverage"]) if "coverage" in result else ()),
            *(f"left out: scene {lost['scene']}: {lost['reason']}" for lost in result.get("quarantined", ())[:_LISTED]),
            *_again(result.get("quarantined", ())),
            f"store: {result['store']}",
        ]
    )


def coverage_lines(coverage: Mapping[str, Any]) -> list[str]:
    """Of how many places where objects may start there are episodes; see `generators.coverage`.

    Args:
        coverage: `Coverage.to_plain`.
    """
    lines = [f"started: {_covered(role, found)}" for role, found in coverage["roles"].items()]
    if coverage["unrecorded"]:
        lines.append(f"started: not recorded for {coverage['unrecorded']:,} scenes")
    return lines


def _covered(role: str, found: Mapping[str, Any]) -> str:
    text = f"{role} in {found['tried']:,} of {found['cells']:,} cells, episodes from {found['kept']:,}"
    lowest = found["lowest"]
    if lowest is None:
        return text
    x, y, yaw = (" to ".join(f"{end:.2f}" for end in lowest[axis]) for axis in ("x", "y", "yaw"))
    return f"{text}; lowest {_share(lowest)} at x {x} m, y {y} m, yaw {yaw} rad"


def _share(counts: Mapping[str, int]) -> str:
    return f"{100 * counts['kept'] / counts['tried']:.0f} % ({counts['kept']:,} of {counts['tried']:,})"


def _again(quarantined: Sequence[Any]) -> list[str]:
    if not quarantined:
        return []
    more = f"{len(quarantined) - _LISTED:,} more scenes were left out; " if len(quarantined) > _LISTED else ""
    return [f"{more}the same command tries again to make what was left out"]


def forecast_text(result: Mapping[str, Any]) -> str:
    """What `handful generate` would do."""
    lines = [
        f"task: {result['task']}, from {result['demos']} demos, seed {result['seed']}, algorithm {result['algorithm']}",
        f"tried: {rate_text(result['sample_kept'], result['sample'])} of the first scenes kept",
    ]
    if result["scenes"] is None:
        lines.append("how many scenes it takes cannot be said: none of these was kept")
    else:
        lines += [
            f"plan: {result['scenes']:,} scenes in {result['chunks']:,} chunks, about {result['kept']:,} kept",
            f"time: about {duration(result['seconds'])} with {result['workers']} workers",
            f"size: about {result['bytes'] / 1e6:,.1f} MB",
        ]
    return "\n".join([*lines, f"store: {result['store']} (not touched)"])


def training_text(result: Mapping[str, Any]) -> str:
    """What `handful train` did."""
    lines = [f"{result['steps']:,} steps in {result['seconds']:,.0f} s, loss {result['loss']:.4f}"]
    lines += [f"validation on {source}: {loss:.4f}" for source, loss in result["validation"].items()]
    return "\n".join([*lines, f"checkpoint: {result['checkpoint']}"])


def results_table(results: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Success by task and domain."""
    table = Table(box=None)
    for heading in ("task", "domain", "success", "how the rest ended"):
        table.add_column(heading)
    for row in results:
        rest = {name: count for name, count in row["outcomes"].items() if name != "success"}
        causes = sorted(rest.items(), key=lambda item: (-item[1], item[0]))
        ended = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in causes) or "-"
        domain = f"{row['domain']} (surrogate reality)" if row["domain"].startswith("twin/") else row["domain"]
        table.add_row(Text(row["task"]), Text(domain), rate_text(row["successes"], row["episodes"]), Text(ended))
    return table


def scenes_text(result: Mapping[str, Any]) -> str:
    """What was drawn for each scene: its instruction, then every randomised value."""
    lines = []
    for scene in result["scenes"]:
        lines.append(f"scene {scene['scene']}: {scene['instruction']}")
        lines += [f"  {axis}: {_value(value)}" for axis, value in _flat(scene["ledger"])]
    return "\n".join(lines)


def _flat(ledger: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in ledger.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)
