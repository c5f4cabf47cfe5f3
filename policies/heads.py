"""Heads: what the expert's numbers mean, how they are learnt, and how actions come of them.

A head sees the network as one function, `Predict`: some actions and flow times in, numbers per action number out. It
draws the random numbers of a training step ahead, so that its loss is a plain function of tensors. Every loss is the
mean over what is valid: neither padded actions nor numbers that a robot does not have count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as nnf
from torch import Tensor

from policies.flow import TimeLaw, draw_times, integrate, interpolate, masked_mean
from policies.sizes import ModelConfig

# (B, F, H, A) actions, or None, and (B, F) flow times -> (B, F, H, A), or (B, F, H, A, outputs) where there are more.
Predict = Callable[[Tensor | None, Tensor], Tensor]

# Flow time of the second step of two-step regression.
SECOND_STEP = 0.9
# Bins cover [-BIN_RANGE, BIN_RANGE] in network numbers; an action beyond is put into the outermost one. Most numbers
# have a standard deviation of 1.
BIN_RANGE = 4.0


@dataclass
class Draws:
    """The random numbers of one training step; of no width for heads that draw none."""

    noise: Tensor  # (B, F, H, A) standard normal
    time: Tensor  # (B, F) flow times


class Head(Protocol):
    """One way to learn actions and to make them."""

    @property
    def outputs(self) -> int:
        """Numbers that the expert gives per action number."""
        ...

    @property
    def reads_actions(self) -> bool:
        """Whether the expert is given actions."""
        ...

    def draw(self, actions: Tensor, generator: torch.Generator) -> Draws:
        """The random numbers of a training step on (B, H, A) actions."""
        ...

    def validation_draws(self, actions: Tensor, generator: torch.Generator, times: int) -> Draws:
        """Those of validation, for `times` flow times: whatever can be fixed is."""
        ...

    def loss(self, predict: Predict, actions: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Scalar loss on (B, H, A) actions of which the (B, H, A) `valid` count, each as much."""
        ...

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Actions (B, H, A) from as much standard normal noise, in `steps` calls where a head can choose."""
        ...


def make_head(config: ModelConfig, flow_times: int, time_law: TimeLaw) -> Head:
    """The head that a configuration names."""
    heads: dict[str, Head] = {
        "flow": FlowHead(flow_times, time_law),
        "mip": TwoStepHead(max(flow_times - 1, 1)),
        "l1": L1Head(),
        "bins": BinsHead(config.bins),
    }
    return heads[config.head]


@dataclass(frozen=True)
class FlowHead:
    """Flow matching: the network gives the velocity from noise to actions; see `policies.flow`."""

    # Flow times drawn per sample.
    times: int
    # Their law.
    law: TimeLaw
    outputs: int = 1
    reads_actions: bool = True

    def draw(self, actions: Tensor, generator: torch.Generator) -> Draws:
        """Noise, and times by their law."""
        noise = torch.randn(len(actions), self.times, *actions.shape[1:], generator=generator)
        return Draws(noise, draw_times(self.law, (len(actions), self.times), generator))

    def validation_draws(self, actions: Tensor, generator: torch.Generator, times: int) -> Draws:
        """Noise, and times evenly spread."""
        noise = torch.randn(len(actions), times, *actions.shape[1:], generator=generator)
        return Draws(noise, ((torch.arange(times) + 0.5) / times).expand(len(actions), -1))

    def loss(self, predict: Predict, actions: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Mean squared error of the velocity."""
        noisy, velocity = interpolate(actions, draws.noise, draws.time)
        return masked_mean((predict(noisy, draws.time) - velocity) ** 2, valid[:, None])

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Integrate the velocity from noise in `steps` Euler steps."""
        return integrate(lambda x, t: predict(x[:, None], t[:, None])[:, 0], noise, steps)


@dataclass(frozen=True)
class TwoStepHead:
    """Two regressions: actions from nothing, then actions from slightly noisy actions.

    The minimal iterative policy of Pan et al., "Much Ado About Noising", 2025 (arXiv 2512.01809): the network gives
    actions; with s = `SECOND_STEP` and standard normal z the loss is |f(0, 0) - a|^2 / s^2 + |f(a + (1 - s) z, s) -
    a|^2 / (1 - s)^2, and the policy is f(f(0, 0), s). It models no distribution.
    """

    # Noises of the second step drawn per sample.
    noises: int
    outputs: int = 1
    reads_actions: bool = True

    def draw(self, actions: Tensor, generator: torch.Generator) -> Draws:
        """Noise of the second step, and no times: they are fixed."""
        noise = torch.randn(len(actions), self.noises, *actions.shape[1:], generator=generator)
        return Draws(noise, noise.new_zeros(len(actions), 0))

    def validation_draws(self, actions: Tensor, generator: torch.Generator, times: int) -> Draws:
        """As in training, with more noises."""
        return TwoStepHead(times).draw(actions, generator)

    def loss(self, predict: Predict, actions: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Mean squared errors of both steps, each in units of how far off its input is."""
        noisy = actions[:, None] + (1 - SECOND_STEP) * draws.noise
        inputs = torch.cat([torch.zeros_like(noisy[:, :1]), noisy], 1)
        time = inputs.new_full(inputs.shape[:2], SECOND_STEP)
        time[:, 0] = 0
        error = (predict(inputs, time) - actions[:, None]) ** 2
        first, second = masked_mean(error[:, :1], valid[:, None]), masked_mean(error[:, 1:], valid[:, None])
        return first / SECOND_STEP**2 + second / (1 - SECOND_STEP) ** 2

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """Both steps; noise and `steps` change nothing."""
        start = noise.new_zeros(len(noise), 1)
        guess = predict(torch.zeros_like(noise)[:, None], start)
        return predict(guess, start + SECOND_STEP)[:, 0]


@dataclass(frozen=True)
class L1Head:
    """Regression: all actions at once, by mean absolute error (OpenVLA-OFT, Kim et al. 2025, arXiv 2502.19645).

    Where several actions are right, it gives their median.
    """

    outputs: int = 1
    reads_actions: bool = False

    def draw(self, actions: Tensor, generator: torch.Generator) -> Draws:
        """Nothing."""
        return _nothing(actions)

    def validation_draws(self, actions: Tensor, generator: torch.Generator, times: int) -> Draws:
        """Nothing."""
        return _nothing(actions)

    def loss(self, predict: Predict, actions: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Mean absolute error."""
        return masked_mean((predict(None, _once(actions))[:, 0] - actions).abs(), valid)

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """What the network gives; noise and `steps` change nothing."""
        return predict(None, _once(noise))[:, 0]


@dataclass(frozen=True)
class BinsHead:
    """Classification: each action number falls into one of `outputs` bins, all of them at once.

    As in RT-2 (Brohan et al. 2023) and OpenVLA (Kim et al. 2024), but for the order: they give one number after the
    other. Bins are of one width and cover `BIN_RANGE`. The action is the centre of the likeliest bin: where several
    actions are right, one of them, number by number; numbers do not know of each other's choice.
    """

    # Bins per action number.
    outputs: int
    reads_actions: bool = False

    def draw(self, actions: Tensor, generator: torch.Generator) -> Draws:
        """Nothing."""
        return _nothing(actions)

    def validation_draws(self, actions: Tensor, generator: torch.Generator, times: int) -> Draws:
        """Nothing."""
        return _nothing(actions)

    def bins(self, actions: Tensor) -> Tensor:
        """The bin (int64) that each number falls into."""
        share = (actions + BIN_RANGE) / (2 * BIN_RANGE)
        return (share * self.outputs).long().clamp(0, self.outputs - 1)

    def centres(self, bins: Tensor) -> Tensor:
        """The middle of each bin."""
        return (bins + 0.5) * (2 * BIN_RANGE / self.outputs) - BIN_RANGE

    def loss(self, predict: Predict, actions: Tensor, valid: Tensor, draws: Draws) -> Tensor:
        """Mean cross-entropy [nats]."""
        logits = predict(None, _once(actions))[:, 0]
        error = nnf.cross_entropy(logits.flatten(0, -2), self.bins(actions).flatten(), reduction="none")
        return masked_mean(error.view_as(actions), valid)

    def sample(self, predict: Predict, noise: Tensor, steps: int) -> Tensor:
        """The likeliest bin of each number; noise and `steps` change nothing."""
        return self.centres(predict(None, _once(noise))[:, 0].argmax(-1))


def _nothing(actions: Tensor) -> Draws:
    empty = actions.new_zeros(len(actions), 0, *actions.shape[1:]).cpu()
    return Draws(empty, empty[:, :, 0, 0])


def _once(actions: Tensor) -> Tensor:
    """One flow time, which means nothing to heads that read no actions."""
    return actions.new_zeros(len(actions), 1)
