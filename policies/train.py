"""Training: a blend of stores in, a run folder with checkpoints and a log out.

One loop, read top to bottom: draw a batch, encode it once, draw several flow times from it, step, average. Every random
draw of step n is a function of (seed, n) alone, so a run measured in steps that was interrupted and resumed ends in the
same bytes as one that was not. A run measured in minutes fits its schedule to the clock instead, which is the same for
a slow machine and a fast one, and not reproducible to the bit.
"""

import contextlib
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

from handful import InputError, JobError
from policies import checkpoint
from policies.candidates import Evaluation, candidate
from policies.config import TrainConfig
from policies.cpu import prepare_process, resolve_device
from policies.description import describe_run, refuse_sealed, require_same_run
from policies.disturb import Disturbance, disturbed, draw_disturbance
from policies.finetune import Base
from policies.heads import Draws
from policies.interrupts import interrupts
from policies.log import LogLine, require_log, training_log
from policies.model import VLA, Losses
from policies.optimiser import follow, learning_rate
from policies.prefix import Observation
from policies.ranks import Ranks, joined_ranks
from policies.samples import Sample
from policies.state import TrainingState
from policies.tensors import each_tensor, take_rows, to_device
from policies.validation import validate
from trajectories.loader import Blend, Source, WindowSpec
from trajectories.prefetch import prefetch

# Steps between lines of the log.
LOG_EVERY = 20
# A run measured in minutes knows how many steps it will be after this share of them.
PLANNED_AFTER = 0.02
# Steps that the weights of a blend stay what they were after that: some batches are already made.
PLANNED_AHEAD = 64


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
    # The checkpoint that is the policy.
    checkpoint: Path


OnProgress = Callable[[Progress], None]


@dataclass
class Step:
    """One step's batch with all its random numbers; this process's rows of them."""

    sample: Sample
    draws: Draws
    disturbance: Disturbance


def train(
    config: TrainConfig,
    sources: Sequence[Source],
    out: str | Path,
    on_progress: OnProgress | None = None,
    evaluation: Evaluation | None = None,
    base: Base | None = None,
) -> TrainResult:
    """Train a policy on a blend of stores. Resumes the run in `out`; a finished one is returned as it is.

    Args:
        config: what to do.
        sources: the stores and their weights.
        out: the run's folder.
        on_progress: told about every `LOG_EVERY` steps.
        evaluation: what to measure at checkpoints; logged, and its time is not counted.
        base: the checkpoint to start from, for fine-tuning.

    Raises:
        InputError: the data does not fit, or `out` holds a run of another configuration or other data.
        JobError: the loss is no longer finite, the run was interrupted, or the disk is full.
    """
    prepare_process(config.threads)
    span = max((config.horizon, *(step + 1 for step in config.waypoints)))
    shown = (config.model.history, config.model.history_stride)
    spec = WindowSpec(config.cameras, span, config.action, config.validation_fraction, *shown)
    with joined_ranks(config.device) as (ranks, device):
        blend = Blend(sources, spec, config.seed, config.resident, device=str(resolve_device(device)))
        return Trainer(config, blend, Path(out), evaluation, base, ranks).run(on_progress)


class Trainer:
    """One run: its data, its state, and the loop."""

    def __init__(
        self,
        config: TrainConfig,
        blend: Blend,
        out: Path,
        evaluation: Evaluation | None = None,
        base: Base | None = None,
        ranks: Ranks | None = None,
    ):
        """Build, or load what `out` holds; see `train`. `blend`'s windows must reach past the last waypoint."""
        refuse_sealed(blend)
        require_log(config.log)
        if config.choose == "best" and evaluation is None:
            raise InputError("choose=best needs something to choose by: give --evaluate TASK:DOMAIN:EPISODES")
        self.evaluation = evaluation
        self.config, self.blend, self.out, self.ranks = config, blend, out, ranks or Ranks()
        self.device = resolve_device(config.device)
        self.rows = self.ranks.rows(config.batch_size)
        if (self.rows.stop - self.rows.start) % config.accumulate:
            raise InputError(f"accumulate must divide the {self.rows.stop - self.rows.start} rows of a process")
        path = checkpoint.latest(out)
        measured = () if evaluation is None else evaluation.names
        record = checkpoint.read_record(path) if path else describe_run(config, blend, base, measured)
        if path:
            require_same_run(record, config, blend, base, measured, str(out))
        self.state = TrainingState(config, record, None if path else base, self.device)
        if path:
            self.state.load(path)
        self.preparer = self.state.policy.preparer
        self.loss_of = _loss_function(config, self.network, self.device)
        self._planned = False
        self._plan()

    @property
    def network(self) -> VLA:
        """The network under training."""
        return self.state.network

    def run(self, on_progress: OnProgress | None = None) -> TrainResult:
        """Train to the end of the budget."""
        counters = self.state.counters
        if not counters.finished:
            self.ranks.wait()
            with contextlib.ExitStack() as stack:
                log: LogLine | None = None
                if self.ranks.leads:
                    log = stack.enter_context(training_log(self.out, counters.step, self.config.log))
                self._loop(log, stack.enter_context(interrupts()), on_progress)
        self.ranks.wait()
        path = checkpoint.of_policy(self.out)
        if path is None:
            raise JobError(f"the checkpoint in '{self.out}' disappeared while training ran")
        return TrainResult(counters.step, counters.seconds, counters.loss, counters.validation, path)

    def _loop(self, log: LogLine | None, interrupted: threading.Event, on_progress: OnProgress | None) -> None:
        state, counters, parts = self.state, self.state.counters, self.config.checkpoints
        batches = prefetch(self._prepared, count(counters.step), self.config.loader_threads)
        pending: list[Tensor] = []
        begun = last = time.perf_counter()
        earlier = counters.seconds
        try:
            while state.fraction < 1:
                mark = int(state.fraction * parts)
                rate = learning_rate(self.config, state.fraction)
                pending.append(self._step(next(batches), rate))
                counters.step += 1
                counters.seconds, stop = self.ranks.agree(earlier + time.perf_counter() - begun, interrupted.is_set())
                self._plan()
                finished = state.fraction >= 1
                marked = finished or int(state.fraction * parts) > mark
                if marked or stop or counters.step % LOG_EVERY == 0:
                    losses = self.ranks.sum(torch.stack(pending)).cpu()
                    self._require_finite(losses)
                    speed = len(pending) / (time.perf_counter() - last)
                    pending, last = [], time.perf_counter()
                    self._report(losses, rate, speed, log, on_progress)
                if marked or stop:
                    counters.finished = finished
                    if log is not None:
                        turn = int(state.fraction * parts) % self.config.evaluate_every == 0
                        begun += self._checkpoint(log, evaluate=marked and (turn or finished))
                    self.ranks.wait()
                    if stop and not finished:
                        raise JobError(
                            f"training was interrupted at step {counters.step}; its state is in '{self.out}', "
                            "and the same command resumes it"
                        )
                    last = time.perf_counter()
        finally:
            batches.close()

    def _prepared(self, step: int) -> Step:
        """This process's rows of one step; called from the threads that make batches ahead."""
        size = self.config.batch_size
        sample = self.preparer.prepare(self.blend.batch(step, size, part=self.rows))
        # Random numbers are those of the whole batch, whoever computes it; only shapes tell how many.
        whole = each_tensor(sample, lambda tensor: tensor[:1].expand(size, *tensor.shape[1:]))
        seed = int(np.random.SeedSequence([self.config.seed, step]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        draws = self.network.draw(whole, generator)
        disturbance = draw_disturbance(self.config, whole, generator)
        return Step(sample, take_rows(draws, self.rows), take_rows(disturbance, self.rows))

    def _step(self, step: Step, rate: float) -> Tensor:
        """One step of the optimiser. Returns this process's part of the loss, of its parts and of the gradient norm."""
        c, network, optimizer = self.config, self.network, self.state.optimizer
        optimizer.zero_grad()
        step = to_device(step, self.device)
        shares = self._shares(step.sample)
        told = []
        for rows, of_rows, of_actions in shares:
            part = take_rows(step, rows)
            losses = self.loss_of(disturbed(c, part.sample, part.disturbance), part.sample, part.draws)
            # Each row counts alike for the sum, and each valid number of an action for its own loss.
            weighted = {name: of_rows * value for name, value in losses.parts.items()}
            weighted["head"] = of_actions * losses.parts["head"]
            total = of_rows * losses.total + (of_actions - of_rows) * losses.parts["head"]
            total.backward()
            told.append(torch.stack([total.detach(), *(value.detach() for value in weighted.values())]))
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        self.ranks.sum_gradients(trained)
        norm = torch.nn.utils.clip_grad_norm_(trained, c.clip)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        follow(self.state.average, network, self.state.counters.step, c.ema)
        return torch.cat([torch.stack(told).sum(0), norm[None] / self.ranks.size])

    def _shares(self, sample: Sample) -> list[tuple[slice, float | Tensor, float | Tensor]]:
        """The parts that a batch is computed in: rows, their share of the batch's, and of its valid action numbers."""
        rows, parts = len(sample.words), self.config.accumulate
        if parts == 1 and self.ranks.size == 1:
            return [(slice(0, rows), 1.0, 1.0)]
        numbers = sample.valid.sum(1) * self.network.numbers.sum(1)[sample.embodiment]
        total = self.ranks.sum(numbers.sum()).clamp(min=1)
        size = rows // parts
        slices = [slice(start, start + size) for start in range(0, rows, size)]
        return [(part, size / self.config.batch_size, numbers[part].sum() / total) for part in slices]

    def _plan(self) -> None:
        """Let the weights of the blend change over the run, once it is known how long that is."""
        counters, size = self.state.counters, self.config.batch_size
        if not self.blend.scheduled or self._planned:
            return
        if counters.schedule is None:
            if self.config.minutes is None:
                counters.schedule = (0, self.config.steps * size)
            elif self.state.fraction >= PLANNED_AFTER and counters.step >= LOG_EVERY:
                first = counters.step + max(PLANNED_AHEAD, 2 * self.config.loader_threads)
                last = max(round(counters.step / self.state.fraction), first + 1)
                counters.schedule = (first * size, last * size)
            else:
                return
        self.blend.schedule(*counters.schedule)
        self._planned = True

    def _report(
        self, losses: Tensor, rate: float, speed: float, log: LogLine | None, on_progress: OnProgress | None
    ) -> None:
        """Tell what the last steps were like: (steps, loss, its parts, gradient norm)."""
        state, counters = self.state, self.state.counters
        counters.loss, *parts, norm = losses.mean(0).tolist()
        if log is None:
            return
        named = dict(zip(self.network.loss_names, parts, strict=True))
        line = {"loss": counters.loss, **named, "gradient_norm": norm}
        log({**self._place(), **line, "learning_rate": rate, "steps_per_second": speed})
        if on_progress:
            left = counters.seconds * (1 - state.fraction) / max(state.fraction, 1e-9)
            on_progress(Progress(counters.step, min(state.fraction, 1), counters.loss, speed, max(left, 0)))

    def _checkpoint(self, log: LogLine, evaluate: bool) -> float:
        """Validate, evaluate, save. Returns how long the evaluation took [s]."""
        state, counters = self.state, self.state.counters
        counters.validation = self.validate()
        log({**self._place(), "validation": counters.validation})
        paused = time.perf_counter()
        if evaluate and self.evaluation is not None:
            found = candidate(counters.step, self.evaluation.run(state.policy, counters.step))
            counters.candidates.append(found)
            rates = {name: r["successes"] / r["episodes"] for name, r in found["results"].items()}
            log({**self._place(), "evaluation": rates})
        paused = time.perf_counter() - paused
        state.save(self.out)
        return paused

    def validate(self) -> dict[str, float]:
        """The averaged weights' loss on each source's held-out scenes."""
        return validate(self.state.average, self.preparer, self.blend, self.device)

    def _require_finite(self, losses: Tensor) -> None:
        bad = (~torch.isfinite(losses).all(1)).nonzero()[:, 0]
        if len(bad):
            step = self.state.counters.step - len(losses) + int(bad[0]) + 1
            kept = checkpoint.latest(self.out)
            remedy = f"the last good checkpoint is '{kept}'" if kept else "there is no checkpoint yet"
            raise JobError(f"the loss is not finite at step {step}; {remedy}; try a lower learning_rate")

    def _place(self) -> dict[str, Any]:
        return {"step": self.state.counters.step, "seconds": round(self.state.counters.seconds, 3)}


def _loss_function(config: TrainConfig, network: VLA, device: torch.device) -> Callable[..., Losses]:
    """The network's loss in the precision that is asked for, compiled or not."""
    cuda = device.type == "cuda"
    bf16 = config.precision == "bf16" or (config.precision == "auto" and cuda)
    compiled = config.compile == "on"
    loss = torch.compile(network.loss) if compiled else network.loss

    def loss_of(observation: Observation, sample: Sample, draws: Draws) -> Losses:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return loss(observation, sample, draws)

    return loss_of
