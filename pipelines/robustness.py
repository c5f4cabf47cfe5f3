"""`handful evaluate RUN --suite robustness`: success along each axis group, one at a time and all at once.

A condition is the training distribution with one group of axes replaced by that of a twin, so scene i of it is scene i
of the baseline but for what the group changes, and each condition is compared with the baseline scene by scene. The
twins are those that are there to tune on; the sealed ones are not met.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handful import InputError, unknown_name
from pipelines.conditions import ALL, BASELINE, DISTRACTORS, LANGUAGE, SWAP, against_baseline, obeyed, swap_text
from pipelines.configuration import resolve
from pipelines.measures import asked_role
from pipelines.progress import Reporter
from pipelines.rollouts import Evaluator
from pipelines.runner import Condition, RolloutConfig
from pipelines.tables import rate_text
from scenes.domains import SIM, Domain, get_domain
from scenes.outcome import Outcome
from scenes.task import Task
from scenes.twins import BANDS, SEVERITIES, severity_of, twin
from scenes.workspace import assemble, build_workspace
from trajectories.canonical import write_whole

_TIMING = ("latency", "control_jitter", "camera_latency", "frame_drops")
# What is replaced by the twin's, one at a time.
AXES: Mapping[str, tuple[str, ...]] = {
    "appearance": tuple(BANDS["appearance"]),
    "light": tuple(BANDS["light"]),
    "camera": tuple(axis for axis in BANDS["camera"] if axis not in _TIMING),
    "sensor": tuple(BANDS["sensor"]),
    "actuation": tuple(axis for axis in BANDS["actuation"] if axis not in _TIMING),
    "timing": _TIMING,
    "contact": tuple(BANDS["contact"]),
    "solver": tuple(BANDS["solver"]),
    "proprioception": tuple(BANDS["proprioception"]),
}
# The same by what they are of: what is seen, and what happens.
COMBINED: Mapping[str, tuple[str, ...]] = {
    "vision": tuple(axis for group in ("appearance", "light", "camera", "sensor") for axis in BANDS[group]),
    "physics": tuple(axis for group in ("actuation", "contact", "solver", "proprioception") for axis in BANDS[group]),
}
# The twin that a severity's values are taken from.
TWINS: Mapping[str, str] = {severity_of(name): name for name in ("twin/dev-1", "twin/dev-2", "twin/dev-3")}
# The level whose distractors are put among the objects of a task that has none.
_CLUTTERED_LEVEL = "D1"


def run(
    run: str | Path,
    task: str,
    episodes: int,
    out: str | Path,
    seed: int,
    overrides: list[str],
    progress: Reporter,
    embodiment: str = "panda",
    severity: str = "medium",
    alpha: float = 0.05,
) -> dict[str, Any]:
    """Evaluate a policy along each group of axes.

    Args:
        run: the training run's folder.
        task: name of the task.
        episodes: rollouts per condition.
        out: folder of an evaluation; `robustness.json` is put beside its `results.json`.
        seed: of the scenes.
        overrides: `a.b=c` for RolloutConfig.
        progress: where progress is shown.
        embodiment: the robot.
        severity: mild, medium or severe.
        alpha: chance of naming a condition that changes anything where none does, over all of them together.

    Returns:
        "results", as of every evaluation; "severity"; "twin"; "conditions": per condition `condition`, `successes`,
        `episodes`, `difference` to the baseline, its `ci`, `pairs`, `p_value`, `p_holm` and `verdict` ("worse",
        "better" or "undecided"); where the task can ask for several objects "swap", see `obeyed`.

    Raises:
        InputError: there is no such severity; the policy does not fit the task; other sentences are asked for.
    """
    config = resolve(RolloutConfig, None, overrides)
    if config.sentences != RolloutConfig.sentences:
        raise InputError(f"the suite brings its own sentences; leave sentences={config.sentences} out")
    conditions = suite(task, embodiment, severity)
    evaluator = Evaluator(run, task, out, seed, config, progress, embodiment)
    evaluator.warn([get_domain(TWINS[severity])], episodes)
    with evaluator:
        rows = {condition.name: evaluator.extend(condition, episodes) for condition in conditions}
        results = evaluator.finish(conditions, episodes)
        done = {
            name: np.array([row["outcome"] == Outcome.SUCCESS.label for row in each]) for name, each in rows.items()
        }
        result: dict[str, Any] = {
            "results": results,
            "severity": severity,
            "twin": TWINS[severity],
            "conditions": against_baseline(done, alpha),
        }
        if SWAP in rows:
            result["swap"] = obeyed(rows[BASELINE], rows[SWAP])
        text = json.dumps({**result, "settings": evaluator.settings}, indent=1) + "\n"
        write_whole(evaluator.folder / "robustness.json", text.encode())
    return result


def suite(task: str, embodiment: str, severity: str) -> list[Condition]:
    """The conditions of the suite, the baseline first.

    There is none for distractors where the task has them already, and no swap where it only ever asks for one object.

    Args:
        task: name of the task, with its level.
        embodiment: the robot.
        severity: mild, medium or severe.

    Raises:
        InputError: there is no such task, robot or severity.
    """
    if severity not in SEVERITIES:
        raise unknown_name("severity", severity, SEVERITIES)
    workspace = build_workspace(task, embodiment)
    clutter = cluttered(workspace.task)
    full = twin(TWINS[severity])

    def changed(name: str, axes: tuple[str, ...]) -> Condition:
        randomization = SIM.randomization.with_({axis: full[axis] for axis in axes})
        # The policy is told the training domain throughout: that is what it is about to meet, as far as anybody knows.
        return Condition(workspace, Domain(label(name, severity), randomization), SIM.name)

    conditions = [changed(BASELINE, ()), *(changed(name, axes) for name, axes in {**AXES, **COMBINED}.items())]
    conditions.append(replace(changed(LANGUAGE, ()), sentences="unseen"))
    if len({roles[asked_role(workspace.task)] for roles in workspace.task.casts()}) > 1:
        conditions.append(replace(changed(SWAP, ()), swapped=True))
    everything = replace(changed(ALL, tuple(axis for axes in AXES.values() for axis in axes)), sentences="unseen")
    if clutter is not None:
        crowded = assemble(clutter, workspace.embodiment)
        conditions.append(replace(changed(DISTRACTORS, ()), workspace=crowded, asked_in=workspace))
        everything = replace(everything, workspace=crowded)
    return [*conditions, everything]


def label(condition: str, severity: str) -> str:
    """What tables call a condition: that of another severity is another one, but for those that have none."""
    return condition if condition in (BASELINE, LANGUAGE, SWAP, DISTRACTORS) else f"{severity}/{condition}"


def cluttered(task: Task) -> Task | None:
    """A task with distractors among its objects, which start where they would without; None where it has some."""
    if task.reset.distractors:
        return None
    wide = task.levels[_CLUTTERED_LEVEL]
    places = {prop.name: wide.elsewhere.get(prop.name, wide.region) for prop in wide.distractors}
    reset = replace(task.reset, distractors=wide.distractors, elsewhere={**task.reset.elsewhere, **places})
    return type(f"Cluttered{type(task).__name__}", (type(task),), {"levels": {task.level: reset}})(task.level)


def robustness_table(result: Mapping[str, Any]) -> RenderableType:
    """The suite as a person reads it."""
    table = Table(box=None)
    for heading in ("condition", "success", "beside the baseline", "p (McNemar, Holm)", "verdict"):
        table.add_column(heading)
    for row in result["conditions"]:
        rate = rate_text(row["successes"], row["episodes"])
        if row["condition"] == BASELINE:
            table.add_row(BASELINE, rate, "-", "-", "-")
            continue
        low, high = row["ci"]
        change = f"{100 * row['difference']:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
        table.add_row(Text(row["condition"]), rate, change, f"{row['p_holm']:.2g}", row["verdict"])
    lines = [Text(f"values beyond training: those of {result['twin']} (surrogate reality)")]
    if "swap" in result:
        lines.append(Text(swap_text(result["swap"])))
    return Group(table, *lines)
