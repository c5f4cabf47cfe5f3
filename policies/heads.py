"""Heads: what the expert's numbers mean, how they are learnt, and how actions come of them.

A head sees the network as one function, `Predict`: some actions and flow times in, numbers per action out. It draws the
random numbers of a training step ahead, so that its loss is a plain function of tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from policies.flow import TimeLaw, draw_times, integrate, interpolate, masked_mean

# (B, F, H, A) actions and (B, F) flow times -> (B, F, H, A) numbers.
Predict = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Draws:
    """The random numbers of one training step."""

    noise: Tensor  # (B, F, H, A) standard normal
    time: Tensor  # (B, F) flow times

    def to(self, device: torch.device) -> "Draws":
        """The same on a device."""
        return Draws(self.noise.to(device), self.time.to(device))


class Head(Protocol):
    """One way to learn actions and to make them."""

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


@dataclass(frozen=True)
class FlowHead:
    """Flow matching: the network gives the velocity from noise to actions; see `policies.flow`."""

    # Flow times drawn per sample.
    times: int
    # Their law.
    law: TimeLaw

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
