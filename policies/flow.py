"""Flow matching: straight paths from noise to data, and how they are followed.

Flow time t runs from 0 (noise) to 1 (data): x_t = (1 - t) noise + t data, whose velocity is data - noise (Lipman et
al., "Flow Matching for Generative Modeling", 2023). A network learns the velocity; actions are noise integrated along
it.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

TimeLaw = Literal["beta", "uniform"]
TIME_LAWS: tuple[TimeLaw, ...] = ("beta", "uniform")


def draw_times(law: TimeLaw, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Flow times for training: "uniform" on [0, 1], or "beta": 1 - 0.999 Beta(1.5, 1), dense where noise is plenty."""
    uniform = torch.rand(shape, generator=generator)
    # A power of a uniform number, u^(1/a), follows Beta(a, 1).
    return uniform if law == "uniform" else 1 - 0.999 * uniform ** (1 / 1.5)


def integrate(velocity: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Euler integration of `velocity(x, t)` from noise at t = 0 to data at t = 1; x is (B, ...), t is (B,)."""
    x = noise
    for step in range(steps):
        x = x + velocity(x, x.new_full((len(x),), step / steps)) / steps
    return x


def interpolate(actions: Tensor, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Points on the straight paths from noise to data, and their velocity.

    Args:
        actions: (B, H, A) data.
        noise: (B, F, H, A).
        time: (B, F).

    Returns:
        x_t and velocity, both (B, F, H, A).
    """
    t = time[..., None, None]
    data = actions[:, None]
    return (1 - t) * noise + t * data, data - noise


def masked_mean(error: Tensor, valid: Tensor) -> Tensor:
    """Mean of `error` where `valid` (broadcast to it) is true: normalised by the number that is valid."""
    weight = valid.to(error.dtype).expand_as(error)
    return (error * weight).sum() / weight.sum().clamp(min=1)
