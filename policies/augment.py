"""What is changed about images in training: framing, light and tint, so that a policy does not learn them by heart.

Every camera image is framed a little differently (shift and zoom) by the same bilinear lookup that brings it to the
network's size, then brightness, contrast and colour balance are disturbed. Hue is left alone: instructions name
colours.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from torch import Tensor

from handful import InputError


@dataclass(frozen=True)
class AugmentConfig:
    """Largest changes; each is drawn uniformly per image."""

    # Shift to each side, as a share of the image.
    shift: float = 0.03
    # Zoom in or out, as a share.
    zoom: float = 0.03
    # Gain of all channels together, as a share.
    contrast: float = 0.2
    # Gain of each channel on its own, as a share.
    tint: float = 0.1
    # Added to all channels, of full scale 1.
    brightness: float = 0.1

    def __post_init__(self) -> None:
        for name in ("shift", "zoom", "contrast", "tint", "brightness"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"augment.{name} must be at least 0 and below 1, got {getattr(self, name)}")


def _reduced(images: Tensor, size: int) -> Tensor:
    """(N, H, W, 3) bytes as (N, 3, h, w) floats in [0, 1].

    Averaged over whole blocks where the image is more than twice the size.
    """
    x = images.permute(0, 3, 1, 2).float().div_(255)
    block = min(x.shape[-2:]) // size
    return nnf.avg_pool2d(x, block) if block > 1 else x


def to_network(images: Tensor, size: int) -> Tensor:
    """(..., H, W, 3) uint8 to (..., 3, size, size) float32 in [0, 1], without any random change."""
    if images.ndim > 4:
        return to_network(images.flatten(0, -4), size).unflatten(0, images.shape[:-3])
    x = _reduced(images, size)
    if x.shape[-2:] == (size, size):
        return x
    return nnf.interpolate(x, (size, size), mode="bilinear", align_corners=False)


@dataclass
class Changes:
    """What is changed about each of B images; drawn apart from being applied, on the CPU and for all rows at once."""

    frame: Tensor  # (B, 2, 3) where to look it up, affine
    gain: Tensor  # (B, 3, 1, 1)
    offset: Tensor  # (B, 1, 1, 1)


def draw_changes(rows: int, config: AugmentConfig, generator: torch.Generator) -> Changes:
    """Random changes of so many images."""

    def uniform(limit: float, *shape: int) -> Tensor:
        return (torch.rand(rows, *shape, generator=generator) * 2 - 1) * limit

    frame = torch.zeros(rows, 2, 3)
    frame[:, 0, 0] = frame[:, 1, 1] = 1 + uniform(config.zoom)
    frame[:, :, 2] = 2 * uniform(config.shift, 2)
    gain = (1 + uniform(config.contrast, 1, 1, 1)) * (1 + uniform(config.tint, 3, 1, 1))
    return Changes(frame, gain, uniform(config.brightness, 1, 1, 1))


def changed(images: Tensor, size: int, changes: Changes) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, size, size) float32 in [0, 1], with changes that lie on the same device.

    Of images (B, T, H, W, 3), all of a row are changed alike: they are one camera's.
    """
    if images.ndim > 4:
        times = images.shape[1]
        each = Changes(*(x.repeat_interleave(times, 0) for x in (changes.frame, changes.gain, changes.offset)))
        return changed(images.flatten(0, 1), size, each).unflatten(0, (-1, times))
    x = _reduced(images, size)
    grid = nnf.affine_grid(changes.frame, [len(x), 3, size, size], align_corners=False)
    x = nnf.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return x.mul_(changes.gain).add_(changes.offset).clamp_(0, 1)
