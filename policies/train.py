"""Training: a blend of stores in, a run folder with checkpoints and a log out.

One loop, read top to bottom: draw a batch, encode it once, draw several flow times from it, step, average. Every random
draw of step n is a function of (seed, n) alone, so a run measured in steps that was interrupted and resumed ends in the
same bytes as one that was not. A run measured in minutes fits its schedule to the clock instead, which is the same for
a slow machine and a fast one, and not reproducible to the bit.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import handful
from handful import InputError, JobError
from policies import checkpoint
from policies.augment import augmented, to_network
from policies.config import TrainConfig
from policies.cpu import prepare_process, resolve_device
from policies.interrupts import interrupts
from policies.language import UNKNOWN, Vocabulary
from policies.log import LogLine, training_log
from policies.policy import Policy, build_network
from policies.prefix import Observation
from policies.samples import Preparer, Sample
from policies.statistics import fit_statistics
from trajectories.loader import Blend, Source, WindowSpec
from trajectories.prefetch import prefetch

# Steps between lines of the log.
LOG_EVERY = 20
# Windows that normalisation statistics are measured on, about.
STATISTICS_WINDOWS = 8192


# Domains that are met in evaluation alone; `scenes.twins` draws them.
SEALED_DOMAINS = "twin/test-"


@dataclass(frozen=True)
class Progress:
    """Where a run is."""

    step: int
    # Share of the run that is done.
    fraction: float
    # Mean training loss since the last report.
    loss: float
    steps_per_second: float
    # Estimated time to the end [s].
    seconds_left: float


@dataclass(frozen=True)
class TrainResult:
    """What a finished run did."""

    steps: int
    # Time spent in training and validation, all sittings together [s].
    seconds: float
    # Mean training loss at the end.
    loss: float
    # Source path -> loss of the head on its held-out scenes.
    validation: dict[str, float]
    checkpoint: Path


OnProgress = Callable[[Progress], None]
Evaluate = Callable[[Policy, int], dict[str, float]]


def train(
    config: TrainConfig,
    sources: Sequence[Source],
    out: str | Path,
    on_progress: OnProgress | None = None,
    evaluate: Evaluate | None = None,
) -> TrainResult:
    """Train a policy on a blend of stores. Resumes the run in `out`; a finished one is returned as it is.

    Args:
        config: what to do.
        sources: the stores and their weights.
        out: the run's folder.
        on_progress: told about every `LOG_EVERY` steps.
        evaluate: given the policy and the step at each checkpoint; what it returns is logged, its time is not counted.

    Raises:
        InputError: the data does not fit, or `out` holds a run of another configuration or other data.
        JobError: the loss is no longer finite, the run was interrupted, or the disk is full.
    """
    prepare_process(config.threads)
    span = max((config.horizon, *(step + 1 for step in config.waypoints)))
    spec = WindowSpec(config.cameras, span, config.action, config.validation_fraction)
    blend = Blend(sources, spec, config.seed, config.resident, device=str(resolve_device(config.device)))
    return Trainer(config, blend, Path(out)).run(on_progress, evaluate)


def _refuse_sealed(blend: Blend) -> None:
    """Nothing is learnt from twins that are kept for evaluation: what is measured in them then means nothing.

    Raises:
        InputError: a source holds episodes of one.
    """
    for source in blend.sources:
        sealed = [domain for domain in source.domains if domain.startswith(SEALED_DOMAINS)]
        if sealed:
            raise InputError(f"'{source.path}' holds episodes of '{sealed[0]}', which is kept for evaluation alone")


class Trainer:
    """The state of one run: network, average, optimiser, and how far it is."""

    def __init__(self, config: TrainConfig, blend: Blend, out: Path):
        """Build, or load what `out` holds. `blend`'s windows must reach past the last waypoint."""
        _refuse_sealed(blend)
        self.config, self.blend, self.out = config, blend, out
        self.device = resolve_device(config.device)
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.validation: dict[str, float] = {}
        path = checkpoint.latest(out)
        self.record = checkpoint.read_record(path) if path else self._describe()
        if path:
            self._require_same_run(path)
        self.policy = Policy(build_network(self.record), self.record)
        self.average = self.policy.network.to(self.device)
        self.preparer = self.policy.preparer
        self.network = build_network(self.record).to(self.device)
        # Tables, biases and gains are not decayed.
        matrices = [p for n, p in self.network.named_parameters() if p.ndim > 1 and n.endswith("weight")]
        kept = {id(p) for p in matrices}
        others = [p for p in self.network.parameters() if id(p) not in kept]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.95), fused=True)
        self.finished = False
        if path:
            self._load(path)

    @property
    def fraction(self) -> float:
        """Share of the budget that is used."""
        if self.config.minutes is None:
            return self.step / self.config.steps
        return self.seconds / (60 * self.config.minutes)

    def run(self, on_progress: OnProgress | None = None, evaluate: Evaluate | None = None) -> TrainResult:
        """Train to the end of the budget."""
        if not self.finished:
            with training_log(self.out, self.step) as log, interrupts() as interrupted:
                self._loop(log, interrupted, on_progress, evaluate)
        path = checkpoint.latest(self.out)
        if path is None:
            raise JobError(f"the checkpoint in '{self.out}' disappeared while training ran")
        return TrainResult(self.step, self.seconds, self.loss, self.validation, path)

    def _loop(
        self,
        log: LogLine,
        interrupted: threading.Event,
        on_progress: OnProgress | None,
        evaluate: Evaluate | None,
    ) -> None:
        batches = prefetch(self._sample, count(self.step), self.config.loader_threads)
        pending: list[Tensor] = []
        begun = last = time.perf_counter()
        earlier = self.seconds
        try:
            while self.fraction < 1:
                mark = int(self.fraction * self.config.checkpoints)
                rate = self._learning_rate(self.fraction)
                pending.append(self._step(next(batches), rate))
                self.step += 1
                self.seconds = earlier + time.perf_counter() - begun
                finished = self.fraction >= 1
                due = finished or int(self.fraction * self.config.checkpoints) > mark or interrupted.is_set()
                if due or self.step % LOG_EVERY == 0:
                    losses = torch.stack(pending).cpu()
                    self._require_finite(losses)
                    self.loss = float(losses[:, 0].mean())
                    speed = len(pending) / (time.perf_counter() - last)
                    pending, last = [], time.perf_counter()
                    *parts, norm = losses[:, 1:].mean(0).tolist()
                    named = dict(zip(self.network.loss_names, parts, strict=True))
                    line = {"loss": self.loss, **named, "gradient_norm": norm}
                    log({**self._place(), **line, "learning_rate": rate, "steps_per_second": speed})
                    if on_progress:
                        left = self.seconds * (1 - self.fraction) / max(self.fraction, 1e-9)
                        on_progress(Progress(self.step, min(self.fraction, 1), self.loss, speed, max(left, 0)))
                if due:
                    self._checkpoint(finished, log)
                    if interrupted.is_set() and not finished:
                        raise JobError(
                            f"training was interrupted at step {self.step}; its state is in '{self.out}', "
                            "and the same command resumes it"
                        )
                    if evaluate:
                        paused = time.perf_counter()
                        log({**self._place(), "evaluation": evaluate(self.policy, self.step)})
                        begun += time.perf_counter() - paused
                    last = time.perf_counter()
        finally:
            batches.close()

    def _sample(self, step: int) -> Sample:
        return self.preparer.prepare(self.blend.batch(step, self.config.batch_size))

    def _learning_rate(self, fraction: float) -> float:
        c = self.config
        if fraction < c.warmup:
            return c.learning_rate * (fraction + 0.02 * c.warmup) / (1.02 * c.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * (fraction - c.warmup) / (1 - c.warmup)))
        return c.learning_rate * (c.final_rate + (1 - c.final_rate) * cosine)

    def _step(self, sample: Sample, rate: float) -> Tensor:
        """One step of the optimiser. Returns the loss, its parts and the gradient norm."""
        c = self.config
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([c.seed, self.step]).generate_state(1)[0]))
        sample = sample.to(self.device)
        draws = self.network.draw(sample, generator).to(self.device)
        losses = self.network.loss(self._disturbed(sample, generator), sample, draws)
        self.optimizer.zero_grad()
        losses.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), c.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        decay = min(c.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)
        return torch.stack([losses.total.detach(), *(part.detach() for part in losses.parts.values()), norm])

    def _disturbed(self, sample: Sample, generator: torch.Generator) -> Observation:
        c, b = self.config, len(sample.words)

        def kept(probability: float, *shape: int) -> Tensor:
            return (torch.rand(*shape, generator=generator) >= probability).to(self.device)

        proprio = sample.proprio + c.proprio_noise * torch.randn(sample.proprio.shape, generator=generator).to(
            self.device
        )
        known = kept(c.word_dropout, *sample.words.shape) | (sample.words == 0)
        size = c.model.image_size
        return Observation(
            images={k: augmented(v, size, c.augment, generator) for k, v in sample.images.items()},
            words=torch.where(known, sample.words, UNKNOWN),
            proprio=proprio * kept(c.proprio_dropout, b, 1),
            embodiment=sample.embodiment,
            domain=sample.domain * kept(c.domain_dropout, b),
        )

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The head's loss with the averaged weights on each source's held-out scenes, at fixed times and noise."""
        result = {}
        for index, source in enumerate(self.blend.sources):
            generator = torch.Generator().manual_seed(index)
            total = valid = 0.0
            for batch in self.blend.validation(index):
                sample = self.preparer.prepare(batch).to(self.device)
                images = {k: to_network(v, self.config.model.image_size) for k, v in sample.images.items()}
                seen = Observation(images, sample.words, sample.proprio, sample.embodiment, sample.domain)
                error = self.average.validation_loss(seen, sample, generator)
                weight = float(sample.valid.sum())
                total, valid = total + float(error) * weight, valid + weight
            if valid:
                result[source.path] = total / valid
        return result

    def _checkpoint(self, finished: bool, log: LogLine) -> None:
        self.validation = self.validate()
        log({**self._place(), "validation": self.validation})
        self._save(finished)

    def _save(self, finished: bool) -> None:
        moments = {}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                moments[f"{name}/{key}"] = value
        tensors = {"ema": self.average.state_dict(), "weights": self.network.state_dict(), "optimizer": moments}
        # JSON has no NaN: before the first report there is no loss.
        loss = self.loss if math.isfinite(self.loss) else None
        state = {"finished": finished, "seconds": self.seconds, "loss": loss, "validation": self.validation}
        checkpoint.save(self.out, self.step, tensors, {**self.record, "state": state})
        self.finished = finished

    def _load(self, path: Path) -> None:
        state = self.record["state"]
        self.step, self.seconds, self.finished = self.record["step"], state["seconds"], state["finished"]
        self.loss = math.nan if state["loss"] is None else state["loss"]
        self.validation = state["validation"]
        self.average.load_state_dict(checkpoint.read_tensors(path, "ema", self.record))
        self.network.load_state_dict(checkpoint.read_tensors(path, "weights", self.record))
        moments = checkpoint.read_tensors(path, "optimizer", self.record)
        for name, parameter in self.network.named_parameters():
            # Moments lie in memory as their parameter does (channels last): the fused optimiser walks both in step.
            state = {k: torch.empty_like(parameter).copy_(moments[f"{name}/{k}"]) for k in ("exp_avg", "exp_avg_sq")}
            self.optimizer.state[parameter] = {"step": moments[f"{name}/step"].to(self.device), **state}

    def _require_finite(self, losses: Tensor) -> None:
        bad = (~torch.isfinite(losses).all(1)).nonzero()[:, 0]
        if len(bad):
            step = self.step - len(losses) + int(bad[0]) + 1
            kept = checkpoint.latest(self.out)
            remedy = f"the last good checkpoint is '{kept}'" if kept else "there is no checkpoint yet"
            raise JobError(f"the loss is not finite at step {step}; {remedy}; try a lower learning_rate")

    def _require_same_run(self, path: Path) -> None:
        changed = TrainConfig.from_json(self.record["config"]).differences(self.config)
        new = _sources_record(self.blend)
        if self.record["sources"] != new:
            changed.append(f"sources: {[s['path'] for s in self.record['sources']]} -> {[s['path'] for s in new]}")
        if changed:
            raise InputError(
                f"'{self.out}' holds a run with other settings ({'; '.join(changed)}); "
                "give the old ones to resume it, or another --out"
            )

    def _place(self) -> dict[str, Any]:
        return {"step": self.step, "seconds": round(self.seconds, 3)}

    def _describe(self) -> dict[str, Any]:
        """What a new checkpoint says about itself: all that is needed to run the policy, and where it comes from."""
        config, blend = self.config, self.blend
        sentences = {sentence for source in blend.sources for sentence in source.sentences}
        vocabulary = Vocabulary.build(sentences)
        vocabulary.encode(sorted(sentences), config.model.words)
        windows = list(blend.survey(STATISTICS_WINDOWS))
        paths = [source.path for source in blend.sources]
        space, ahead = config.action_space, config.horizon
        statistics = fit_statistics(config.normalisation, windows, paths, space, ahead, config.waypoints)
        preparer = Preparer(
            vocabulary,
            config.model.words,
            config.cameras,
            statistics,
            tuple(sorted({domain for source in blend.sources for domain in source.domains})),
            config.waypoints,
        )
        return {
            "config": json.loads(json.dumps(config.to_json())),
            **preparer.to_json(),
            "sources": _sources_record(blend),
            "resolution": {camera: list(blend.image_size(camera)) for camera in config.cameras},
            "control_rate": blend.sources[0].control_rate,
            "horizon": config.horizon,
            "versions": {"handful": handful.__version__, "torch": torch.__version__, "numpy": np.__version__},
            "commit": checkpoint.git_commit(),
        }


def _sources_record(blend: Blend) -> list[dict[str, Any]]:
    return [
        {
            "path": source.path,
            "share": source.share,
            "digest": source.store.plan_digest,
            "episodes": source.episodes,
            "tasks": source.tasks,
        }
        for source in blend.sources
    ]
