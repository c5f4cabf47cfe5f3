"""Fine-tuning: another run's averaged weights as the start, for a new task, robot, or real data.

What is new gets new weights: words and domains new rows of their tables, robots layers of their own; all else is taken
over. Statistics of robots that the base knows are kept, so that its weights keep their meaning, but for the range of
targets, which is widened to what the new data shows; or all are refitted (`base_statistics=refit`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from handful import InputError
from policies import checkpoint
from policies.config import TrainConfig
from policies.language import Vocabulary
from policies.normalisation import Normaliser
from policies.samples import Preparer
from policies.statistics import RobotStatistics

# Tables that have a row for each word, name or sentence, the new ones last, and what a row is.
TABLES = {
    "prefix.word.weight": "words",
    "prefix.domain.weight": "domains",
    "prefix.embodiment.weight": "robots",
    "stage.say.weight": "sentences of subtasks",
    "stage.say.bias": "sentences of subtasks",
}


@dataclass(frozen=True)
class Base:
    """The checkpoint that a run starts from."""

    path: Path
    record: Mapping[str, Any]
    # Its averaged weights.
    weights: Mapping[str, Tensor]

    @classmethod
    def load(cls, run: str | Path) -> "Base":
        """The policy of a run's folder, or a checkpoint's own folder.

        Raises:
            InputError: there is none, or it is of another format.
            JobError: it is damaged.
        """
        path = Path(run)
        found = path if (path / "checkpoint.json").is_file() else checkpoint.of_policy(path)
        if found is None:
            raise InputError(f"'{run}' holds no checkpoint to start from; --from takes a run folder of handful train")
        record = checkpoint.read_record(found)
        return cls(found, record, checkpoint.read_tensors(found, "ema", record))

    @property
    def origin(self) -> dict[str, Any]:
        """What the new run's checkpoints say about it."""
        return {
            "checkpoint": str(self.path),
            "step": self.record["step"],
            "digest": self.record["digests"]["ema"],
            "statistics_hash": self.record["statistics_hash"],
        }

    def extended(self, fitted: Preparer, config: TrainConfig, control_rate: float) -> Preparer:
        """The base's words, domains and robots, then those that are new; statistics by `base_statistics`.

        Args:
            fitted: to the new data alone.
            config: of the new run.
            control_rate: of the new data [Hz].

        Raises:
            InputError: settings that decide what the weights mean differ, or the control rate does.
        """
        theirs = TrainConfig.from_json(self.record["config"])
        changed = theirs.fixed_differences(config)
        if changed:
            raise InputError(
                f"weights of '{self.path}' cannot be taken over with other settings ({'; '.join(changed)}); "
                "leave these as they were, or train from scratch"
            )
        if self.record["control_rate"] != control_rate:
            raise InputError(
                f"'{self.path}' was trained at {self.record['control_rate']:g} Hz, and the data has {control_rate:g} Hz"
            )
        old = Preparer.from_json(self.record)
        statistics = fitted.statistics
        if config.base_statistics == "keep":
            if config.normalisation != theirs.normalisation:
                raise InputError(
                    f"normalisation is '{config.normalisation}', and the statistics of '{self.path}' are by "
                    f"'{theirs.normalisation}'; with another rule they have to be made anew: base_statistics=refit"
                )
            known = {name: _widened(n, statistics.robots.get(name)) for name, n in old.normalisers.items()}
            domains = {
                name: {domain: _widened(n, statistics.robots.get(name)) for domain, n in own.items()}
                for name, own in old.statistics.domains.items()
            }
            new = {name: n for name, n in statistics.robots.items() if name not in known}
            statistics = RobotStatistics(old.statistics.rule, {**known, **new}, domains)
        else:
            # Robots that are not in the new data stay as they were; the order of layers is the base's.
            robots = {name: statistics.robots.get(name, n) for name, n in old.normalisers.items()}
            statistics = replace(statistics, robots={**robots, **statistics.robots})
        return replace(
            fitted,
            vocabulary=Vocabulary(_joined(old.vocabulary.words, fitted.vocabulary.words)),
            statistics=statistics,
            domains=_joined(old.domains, fitted.domains),
            subtasks=old.subtasks.joined(fitted.subtasks),
        )

    @torch.no_grad()
    def transplant(self, network: nn.Module, embodiments: Sequence[str], frozen: Sequence[str]) -> None:
        """Copy the weights into a network with its own initial ones, which what is new keeps.

        Args:
            network: built for the new run's record.
            embodiments: its robots.
            frozen: names of parameters that will not be trained.

        Raises:
            InputError: a tensor does not fit, or something new would stay as it was drawn because it is frozen.
        """
        new = [name for name in embodiments if name not in self.record["embodiments"]]
        parameters = dict(network.named_parameters())
        surplus = sorted(set(self.weights) - set(parameters))
        if surplus:
            raise InputError(f"'{self.path}' has weights that the network of this run lacks: {', '.join(surplus[:3])}")
        for name, parameter in parameters.items():
            given = self.weights.get(name)
            # A base whose data told no subtasks has no head for them.
            fresh = given is None and (any(f".{robot}." in name for robot in new) or name.startswith("stage."))
            grown = given is not None and name in TABLES and len(given) < len(parameter)
            if (fresh or grown) and name in frozen:
                what = TABLES.get(name, "robots")
                raise InputError(f"'{name}' is frozen, and the data has new {what}, which it would never learn")
            if grown and given is not None and given.shape[1:] == parameter.shape[1:]:
                parameter[: len(given)] = given
            elif given is not None and given.shape == parameter.shape:
                parameter.copy_(given)
            elif not fresh:
                shape = None if given is None else tuple(given.shape)
                raise InputError(f"'{name}' is {tuple(parameter.shape)} here and {shape} in '{self.path}'")


def _joined(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    return (*old, *(name for name in new if name not in old))


def _widened(kept: Normaliser, shown: Normaliser | None) -> Normaliser:
    """Statistics as they were, with targets allowed where the new data has some."""
    if shown is None:
        return kept
    low, high = np.minimum(kept.lowest, shown.lowest), np.maximum(kept.highest, shown.highest)
    return replace(kept, lowest=low, highest=high)
