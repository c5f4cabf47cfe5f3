"""`handful offline`: a policy's action error on recorded episodes that it has not learnt from, with the warning."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from scipy import stats

from handful import InputError
from pipelines.metrics.offline import WARNING, OfflineError, offline_error
from pipelines.progress import Reporter
from pipelines.unseen import Unseen, unseen

# Errors of `OfflineError`, and what their columns are called.
ERRORS = {
    "loss": "loss of the head",
    "executed": "executed actions",
    "chunk": "whole chunk",
    "best": "best of {samples}",
    "energy": "energy score",
    "rotation": "rotation [rad]",
    "gripper": "gripper right",
}
_IN_UNITS = ("executed", "chunk", "best", "energy")


def run(
    run: str | Path, data: Sequence[str], episodes: int, samples: int, seed: int, progress: Reporter
) -> dict[str, Any]:
    """Measure a policy on stores.

    Args:
        run: the training run's folder, or a checkpoint's.
        data: paths of stores and views.
        episodes: at most so many of each, evenly spread over those that the policy has not learnt from.
        samples: of the policy per window, at least 2.
        seed: of the policy's noise.
        progress: where progress is shown.

    Returns:
        "warning"; "head", whose loss it is; "data": per store `store`, `domains`, `episodes`, `windows`, `learnt`
        (episodes left out because the policy learnt from their scenes), `samples`, `unit`, and of every error its
        `value`, the mean over episodes, and `ci`, Student's 95 % interval of that (null of one episode); "notes".

    Raises:
        InputError: a store does not fit the policy, or it learnt from all of it; fewer than 2 samples.
    """
    # Torch takes a second to import, which a mistaken command must not wait for.
    from policies.policy import Policy

    if samples < 2:
        raise InputError(f"--samples must be at least 2, got {samples}: the best of one and its spread mean nothing")
    policy = Policy.load(run, batch_size=16)
    stores = [unseen(policy, path, episodes) for path in data]
    rows = []
    for store in stores:
        found = []
        with progress(f"measure {Path(store.path).name}", len(store.episodes)) as bar:
            for count, episode in enumerate(store.episodes.tolist(), 1):
                stream = int(np.random.SeedSequence(seed, spawn_key=(episode,)).generate_state(1)[0])
                found.append(offline_error(policy, [store.chunks(episode)], samples, seed=stream))
                bar.update(count)
        rows.append(_row(store, found))
    notes = list(dict.fromkeys(note for store in stores for note in store.notes))
    return {"warning": WARNING, "head": policy.config.model.head, "data": rows, "notes": notes}


def _row(store: Unseen, found: Sequence[OfflineError]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "store": store.path,
        "domains": store.domains,
        "episodes": len(found),
        "windows": sum(each.windows for each in found),
        "learnt": store.learnt,
        "samples": found[0].samples,
        "unit": found[0].unit,
    }
    for name in ERRORS:
        values = [asdict(each)[name] for each in found]
        row[name] = None if None in values else _mean(values)
    if row["gripper"]["ci"] is not None:  # a share
        row["gripper"]["ci"] = [min(max(end, 0.0), 1.0) for end in row["gripper"]["ci"]]
    return row


def _mean(values: Sequence[float]) -> dict[str, Any]:
    """The mean over episodes with Student's interval: windows of one episode are alike, so episodes count."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return {"value": mean, "ci": None}
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return {"value": mean, "ci": [mean - half, mean + half]}


def offline_table(result: Mapping[str, Any]) -> RenderableType:
    """The errors as a person reads them."""
    parts: list[RenderableType] = []
    for row in result["data"]:
        counted = f"{row['episodes']:,} episodes, {row['windows']:,} windows"
        left_out = f"; {row['learnt']:,} that it learnt from are left out" if row["learnt"] else ""
        parts.append(Text(f"{row['store']} ({', '.join(row['domains'])}): {counted}{left_out}", "bold"))
        table = Table(box=None)
        for heading in ("error", "mean over episodes", "95 % interval"):
            table.add_column(heading)
        for name, called in ERRORS.items():
            if row[name] is not None:
                unit = f" [{row['unit']}]" if name in _IN_UNITS else ""
                table.add_row(Text(called.format(**row) + unit), *_texts(name, row[name]))
        parts.append(table)
    notes = [Text(f"note: {note}") for note in result["notes"]]
    return Group(*parts, *notes, Text(f"warning: {result['warning']}", "yellow"))


def _texts(name: str, found: Mapping[str, Any]) -> tuple[str, str]:
    def shown(value: float) -> str:
        return f"{100 * value:.1f} %" if name == "gripper" else f"{value:.4f}"

    ci = found["ci"]
    return shown(found["value"]), "one episode has none" if ci is None else f"{shown(ci[0])} to {shown(ci[1])}"
