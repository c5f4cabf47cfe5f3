"""What training hides and changes, so that the policy leans on nothing that may be missing or off later.

All random numbers of a step are drawn at once, for the whole batch and on the processor, from one generator. They do
not depend on who computes which rows, so neither do the samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from policies.augment import Changes, changed, draw_changes
from policies.config import TrainConfig
from policies.language import UNKNOWN
from policies.prefix import Observation
from policies.samples import Sample


@dataclass
class Disturbance:
    """The random numbers of B samples."""

    proprio: Tensor  # like proprioception, standard normal
    words: Tensor  # (B, W) bool, false: the word is not told
    changes: dict[str, Changes]  # camera -> changes of its images
    told_proprio: Tensor  # (B, 1) bool
    told_domain: Tensor  # (B,) bool


def draw_disturbance(config: TrainConfig, sample: Sample, generator: torch.Generator) -> Disturbance:
    """The random numbers for one batch."""
    rows = len(sample.words)

    def kept(probability: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) >= probability

    return Disturbance(
        proprio=torch.randn(sample.proprio.shape, generator=generator),
        words=kept(config.word_dropout, *sample.words.shape),
        changes={
            camera: draw_changes(len(images), config.augment, generator) for camera, images in sample.images.items()
        },
        told_proprio=kept(config.proprio_dropout, rows, 1),
        told_domain=kept(config.domain_dropout, rows),
    )


def disturbed(config: TrainConfig, sample: Sample, drawn: Disturbance) -> Observation:
    """What the policy sees of a batch in training; sample and random numbers lie on one device."""
    size = config.model.image_size
    told = drawn.told_proprio.unflatten(0, (-1, *[1] * (sample.proprio.ndim - 2)))
    return Observation(
        images={camera: changed(images, size, drawn.changes[camera]) for camera, images in sample.images.items()},
        words=torch.where(drawn.words | (sample.words == 0), sample.words, UNKNOWN),
        proprio=(sample.proprio + config.proprio_noise * drawn.proprio) * told,
        embodiment=sample.embodiment,
        domain=sample.domain * drawn.told_domain,
        history_mask=sample.history_mask,
    )
