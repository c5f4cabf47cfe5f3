"""`handful train`: from stores to a run folder. Needs neither a simulator nor Ray."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from handful import InputError
from pipelines.progress import Reporter
from policies.config import load_config
from policies.train import Progress, train
from trajectories.sources import Source


def run(
    data: list[str], out: str | Path, preset: str, minutes: float | None, overrides: list[str], progress: Reporter
) -> dict[str, Any]:
    """Train a policy, or go on training it.

    Args:
        data: stores, each with an optional weight: "PATH[:weight]".
        out: the run's folder.
        preset: name of a policy preset.
        minutes: training time; the schedule ends with it. None: the preset's own budget.
        overrides: `a.b=c` for TrainConfig.
        progress: where progress is shown.

    Returns:
        {"steps", "seconds", "loss", "validation", "checkpoint"}

    Raises:
        InputError: an unknown preset or key, stores that do not fit, a training time of nothing.
    """
    config = load_config(preset, overrides)
    if minutes is not None:
        if not 0 < minutes < math.inf:
            raise InputError(
                f"--minutes must be more than 0, got {minutes:g}; leave it out for the preset's own budget"
            )
        config = replace(config, minutes=minutes)
    sources = [Source.parse(text) for text in data]
    with progress("train", 100) as bar:

        def show(now: Progress) -> None:
            bar.update(round(100 * now.fraction), note=f"% · step {now.step:,} · loss {now.loss:.4f}")

        result = train(config, sources, out, show)
    return {
        "steps": result.steps,
        "seconds": result.seconds,
        "loss": result.loss,
        "validation": result.validation,
        "checkpoint": str(result.checkpoint),
    }
