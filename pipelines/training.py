"""`handful train`: from stores to a run folder. Needs neither a simulator nor Ray, but for rollouts in training."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from handful import InputError
from pipelines.progress import Reporter
from policies.config import load_config
from policies.finetune import Base
from policies.train import Progress, train
from trajectories.sources import Source


def run(
    data: list[str],
    out: str | Path,
    preset: str | None,
    minutes: float | None,
    overrides: list[str],
    progress: Reporter,
    evaluate: Sequence[str] = (),
    base: str | Path | None = None,
) -> dict[str, Any]:
    """Train a policy, or go on training it.

    Args:
        data: stores, each with an optional weight, or one at the start and one at the end: "PATH[:weight[..weight]]".
        out: the run's folder.
        preset: name of a policy preset; None: "tiny", or the settings of `base`.
        minutes: training time; the schedule ends with it. None: the preset's own budget.
        overrides: `a.b=c` for TrainConfig.
        progress: where progress is shown.
        evaluate: rollouts in the course of training: "TASK:DOMAIN:EPISODES[:ROBOT]".
        base: a run to start from.

    Returns:
        {"steps", "seconds", "loss", "validation", "checkpoint"}

    Raises:
        InputError: an unknown preset or key, stores that do not fit, a training time of nothing.
    """
    if base is not None and preset is not None:
        raise InputError("--from takes the settings of the run it starts from; leave out --preset, and override keys")
    start = None if base is None else Base.load(base)
    if start is None:
        config = load_config(preset or "tiny", overrides)
    else:
        # How the base came to be does not carry over.
        anew: dict[str, Any] = {"freeze": [], "minutes": None, "choose": "last", "base_statistics": "keep"}
        config = load_config(overrides=overrides, base={**start.record["config"], **anew})
    if minutes is not None:
        if not 0 < minutes < math.inf:
            raise InputError(
                f"--minutes must be more than 0, got {minutes:g}; leave it out for the preset's own budget"
            )
        config = replace(config, minutes=minutes)
    sources = [Source.parse(text) for text in data]
    evaluation = None
    if evaluate:
        from pipelines.development import rollouts_in_training

        evaluation = rollouts_in_training(evaluate, sources, config)
    with progress("train", 100) as bar:

        def show(now: Progress) -> None:
            bar.update(round(100 * now.fraction), note=f"% · step {now.step:,} · loss {now.loss:.4f}")

        result = train(config, sources, out, show, evaluation, start)
    return {
        "steps": result.steps,
        "seconds": result.seconds,
        "loss": result.loss,
        "validation": result.validation,
        "checkpoint": str(result.checkpoint),
    }
