"""All that a run is made of between two steps, and its way to the disk and back to the last bit."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from policies import checkpoint
from policies.candidates import best_step
from policies.config import TrainConfig
from policies.finetune import Base
from policies.model import VLA
from policies.optimiser import freeze, make_optimizer
from policies.policy import Policy, build_network


@dataclass
class Counters:
    """How far a run is."""

    step: int = 0
    # Time spent in training and validation, all sittings together [s].
    seconds: float = 0.0
    finished: bool = False
    # Mean training loss since the last report.
    loss: float = math.nan
    # Source path -> loss on its held-out scenes.
    validation: dict[str, float] = field(default_factory=dict)
    # Evaluations in training so far; see `policies.candidates`.
    candidates: list[dict[str, Any]] = field(default_factory=list)
    # Windows between which the weights of the blend change; None: not known yet, or they do not.
    schedule: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types; JSON has no NaN."""
        loss = self.loss if math.isfinite(self.loss) else None
        schedule = None if self.schedule is None else list(self.schedule)
        names = ("finished", "seconds", "validation", "candidates")
        return {**{name: getattr(self, name) for name in names}, "loss": loss, "schedule": schedule}

    @classmethod
    def from_json(cls, step: int, record: dict[str, Any]) -> "Counters":
        """The inverse of `to_json`."""
        loss = math.nan if record["loss"] is None else record["loss"]
        schedule = None if record["schedule"] is None else (record["schedule"][0], record["schedule"][1])
        return cls(
            step, record["seconds"], record["finished"], loss, record["validation"], record["candidates"], schedule
        )


class TrainingState:
    """Network, average, optimiser and counters."""

    def __init__(self, config: TrainConfig, record: dict[str, Any], base: Base | None, device: torch.device):
        """The start of a run that `record` describes.

        Raises:
            InputError: a module to freeze that there is none of, or a base that does not fit.
        """
        self.config, self.record, self.device = config, record, device
        self.counters = Counters()
        self.network: VLA = build_network(record)
        frozen = freeze(self.network, config.freeze)
        if base is not None:
            base.transplant(self.network, record["embodiments"], frozen)
        self.policy = Policy(build_network(record), record)
        self.average: VLA = self.policy.network.to(device)
        self.average.load_state_dict(self.network.state_dict())
        self.network.to(device)
        self.optimizer = make_optimizer(config, self.network)

    @property
    def fraction(self) -> float:
        """Share of the budget that is used."""
        if self.config.minutes is None:
            return self.counters.step / self.config.steps
        return self.counters.seconds / (60 * self.config.minutes)

    def save(self, out: Path) -> None:
        """Write the newest checkpoint; where one is chosen by evaluations, that one too, before it."""
        c = self.counters
        best = best_step(c.candidates) if self.config.choose == "best" else None
        choice = {"rule": self.config.choose, "step": c.step if best is None else best, "candidates": c.candidates}
        record = {**self.record, "state": c.to_json(), "choice": choice}
        if best == c.step:
            checkpoint.save_chosen(out, c.step, self.average.state_dict(), record)
        moments = {
            f"{name}/{key}": value
            for name, parameter in self.network.named_parameters()
            if parameter in self.optimizer.state
            for key, value in self.optimizer.state[parameter].items()
        }
        tensors = {"ema": self.average.state_dict(), "weights": self.network.state_dict(), "optimizer": moments}
        checkpoint.save(out, c.step, tensors, record)
        checkpoint.keep_chosen(out, best, choice)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of this run.

        Raises:
            JobError: it is damaged.
        """
        out = path.parent
        self.counters = Counters.from_json(self.record["step"], self.record["state"])
        self.average.load_state_dict(checkpoint.read_tensors(path, "ema", self.record))
        self.network.load_state_dict(checkpoint.read_tensors(path, "weights", self.record))
        moments = checkpoint.read_tensors(path, "optimizer", self.record)
        for name, parameter in self.network.named_parameters():
            if f"{name}/step" not in moments:
                continue
            # Moments lie in memory as their parameter does (channels last): the fused optimiser walks both in step.
            state = {k: torch.empty_like(parameter).copy_(moments[f"{name}/{k}"]) for k in ("exp_avg", "exp_avg_sq")}
            self.optimizer.state[parameter] = {"step": moments[f"{name}/step"].to(self.device), **state}
        # What was chosen after this checkpoint, in a run that was cut off, is chosen anew.
        best = best_step(self.counters.candidates) if self.config.choose == "best" else None
        if self.counters.finished is False:
            checkpoint.keep_chosen(out, best, self.record["choice"])
