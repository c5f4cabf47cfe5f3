"""What a run is, as its checkpoints say: all that is needed to run its policy, and where that comes from."""

import json
from typing import Any

import numpy as np
import torch

import handful
from handful import InputError
from policies import checkpoint
from policies.config import TrainConfig
from policies.finetune import Base
from policies.language import Vocabulary
from policies.samples import Preparer
from policies.stage import Subtasks
from policies.statistics import fit_statistics
from trajectories.loader import Blend

# Windows that normalisation statistics are measured on, about.
STATISTICS_WINDOWS = 8192
# Domains that are met in evaluation alone; `scenes.twins` draws them.
SEALED_DOMAINS = "twin/test-"


def describe_run(
    config: TrainConfig, blend: Blend, base: Base | None = None, evaluated: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The JSON of a new run.

    Args:
        config: what it does.
        blend: what it learns from.
        base: the run that it is fine-tuned from.
        evaluated: what is measured in the course of it.

    Raises:
        InputError: an instruction is too long, a rule of normalisation does not fit, or the base does not.
    """
    sentences = {sentence for source in blend.sources for sentence in source.sentences}
    vocabulary = Vocabulary.build(sentences)
    vocabulary.encode(sorted(sentences), config.model.words)
    paths = [source.path for source in blend.sources]
    rule = config.normalisation
    if base is not None and config.base_statistics == "keep":
        # The rule is the base's; what it does not know is fitted to all there is.
        rule = "union"
    windows = list(blend.survey(STATISTICS_WINDOWS))
    statistics = fit_statistics(rule, windows, paths, config.action_space, config.horizon, config.waypoints)
    domains = tuple(sorted({domain for source in blend.sources for domain in source.domains}))
    subtasks = Subtasks.build({sentence: told for source in blend.sources for sentence, told in source.steps.items()})
    preparer = Preparer(vocabulary, config.model.words, config.cameras, statistics, domains, config.waypoints, subtasks)
    if base is not None:
        preparer = base.extended(preparer, config, blend.sources[0].control_rate)
    return {
        "config": json.loads(json.dumps(config.to_json())),
        **preparer.to_json(),
        "evaluated": list(evaluated),
        "base": None if base is None else base.origin,
        "sources": sources_record(blend),
        "resolution": {camera: list(blend.image_size(camera)) for camera in config.cameras},
        "control_rate": blend.sources[0].control_rate,
        "horizon": config.horizon,
        "versions": {"handful": handful.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "commit": checkpoint.git_commit(),
    }


def sources_record(blend: Blend) -> list[dict[str, Any]]:
    """What a checkpoint says about the data."""
    return [
        {
            "path": source.path,
            "share": source.share,
            # At the start and at the end of the run.
            "shares": [source.first_share, source.last_share],
            "digest": source.store.plan_digest,
            "episodes": source.episodes,
            "tasks": source.tasks,
        }
        for source in blend.sources
    ]


def refuse_sealed(blend: Blend) -> None:
    """Nothing is learnt from twins that are kept for evaluation: what is measured in them then means nothing.

    Raises:
        InputError: a source holds episodes of one.
    """
    for source in blend.sources:
        sealed = [domain for domain in source.domains if domain.startswith(SEALED_DOMAINS)]
        if sealed:
            raise InputError(f"'{source.path}' holds episodes of '{sealed[0]}', which is kept for evaluation alone")


def require_same_run(
    record: dict[str, Any], config: TrainConfig, blend: Blend, base: Base | None, evaluated: tuple[str, ...], out: str
) -> None:
    """Refuse to go on with a run under other settings.

    Args:
        record: of its checkpoint.
        config: what is asked for now, as are the next three.
        blend: the data.
        base: the run to start from.
        evaluated: what to measure; it decides something where the best checkpoint is chosen.
        out: the run's folder.

    Raises:
        InputError: configuration, data, or the run it starts from differ; names what does.
    """
    changed = TrainConfig.from_json(record["config"]).differences(config)
    new = sources_record(blend)
    old = record["sources"]
    if [s["path"] for s in old] != [s["path"] for s in new]:
        changed.append(f"sources: {[s['path'] for s in old]} -> {[s['path'] for s in new]}")
    elif old != new:
        keys = sorted({key for a, b in zip(old, new, strict=True) for key in b if a.get(key) != b[key]})
        changed.append(f"sources: {', '.join(keys)} of what is in the stores")
    before, now = record.get("base"), None if base is None else base.origin
    if (before or {}).get("digest") != (now or {}).get("digest"):
        names = [None if one is None else one["checkpoint"] for one in (before, now)]
        changed.append(f"from: {names[0]} -> {names[1]}")
    measured = record.get("evaluated", [])
    if config.choose == "best" and measured != list(evaluated):
        changed.append(f"evaluate: {measured} -> {list(evaluated)}")
    if changed:
        raise InputError(
            f"'{out}' holds a run with other settings ({'; '.join(changed)}); "
            "give the old ones to resume it, or another --out"
        )
