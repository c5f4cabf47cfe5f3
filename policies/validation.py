"""The loss on scenes that were held out, source by source: a learning curve for each."""

import torch

from policies.augment import to_network
from policies.model import VLA
from policies.prefix import Observation
from policies.samples import Preparer
from policies.tensors import to_device
from trajectories.loader import Blend


@torch.no_grad()
def validate(network: VLA, preparer: Preparer, blend: Blend, device: torch.device) -> dict[str, float]:
    """The head's loss on each source's held-out scenes, at fixed times and noise: path -> mean over valid actions.

    A source with a single scene holds none out, and is left out.
    """
    result = {}
    for index, source in enumerate(blend.sources):
        generator = torch.Generator().manual_seed(index)
        total = valid = 0.0
        for batch in blend.validation(index):
            sample = to_device(preparer.prepare(batch), device)
            images = {camera: to_network(x, network.config.image_size) for camera, x in sample.images.items()}
            seen = Observation(
                images, sample.words, sample.proprio, sample.embodiment, sample.domain, sample.history_mask
            )
            error = network.validation_loss(seen, sample, generator)
            weight = float(sample.valid.sum())
            total, valid = total + float(error) * weight, valid + weight
        if valid:
            result[source.path] = total / valid
    return result
