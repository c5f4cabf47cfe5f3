"""Images as a few numbers: the feature that distances between sets of images are measured in.

A distance is a statement about its feature. The usual one, a large network trained on photographs, is a download that
this project does without. Two take its place, and every distance says which:

- `random_convolution`: fixed random filters with a threshold, at three scales, pooled over a coarse grid. Colour, edges
  and texture, and roughly where. It is the same on every machine, and knows nothing of any policy.
- `policy_encoder`: what a trained policy makes of its cameras at first sight. It asks the question that matters to this
  policy, and differs from policy to policy.

`prefix_features` are what a policy's actions are made from, of recorded moments as they were.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from handful import InputError

if TYPE_CHECKING:
    from policies.policy import Policy
    from policies.prefix import Observation
    from policies.samples import Sample

# Filters of the random convolution, their side [pixels], scales, and cells along each side of the pooling grid.
_FILTERS, _SIDE, _SCALES, _CELLS = 16, 5, (1, 2, 4), 2
RANDOM_SIZE = _FILTERS * len(_SCALES) * _CELLS**2


def random_convolution(images: np.ndarray) -> np.ndarray:
    """Features (n, 192) of (n, H, W, 3) uint8 images, H and W at least 40.

    At each scale, images shrunk by it are filtered by 16 random 5 x 5 x 3 filters of mean 0 and length 1, rectified,
    and averaged over a 2 x 2 grid. The filters come from PCG64 with seed 0 and never change.

    Raises:
        InputError: something else than such images.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        raise InputError(f"images must be (n, H, W, 3) uint8, got {images.shape} {images.dtype}")
    least = _SIDE * _CELLS * max(_SCALES)
    if min(images.shape[1:3]) < least:
        raise InputError(f"images must be at least {least} x {least} pixels, got {images.shape[1]} x {images.shape[2]}")
    rng = np.random.Generator(np.random.PCG64(0))
    filters = rng.standard_normal((len(_SCALES), _FILTERS, _SIDE * _SIDE * 3))
    filters -= filters.mean(axis=2, keepdims=True)
    filters = (filters / np.linalg.norm(filters, axis=2, keepdims=True)).astype(np.float32)
    return np.stack([_describe(image, filters) for image in images]) if len(images) else np.zeros((0, RANDOM_SIZE))


def _describe(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    values = image.astype(np.float32) / 255
    pooled = []
    for scale, bank in zip(_SCALES, filters, strict=True):
        height, width = (side // scale for side in values.shape[:2])
        small = values[: height * scale, : width * scale].reshape(height, scale, width, scale, 3).mean(axis=(1, 3))
        windows = np.lib.stride_tricks.sliding_window_view(small, (_SIDE, _SIDE), axis=(0, 1))
        rows, columns = windows.shape[:2]
        answers = np.maximum(windows.reshape(rows * columns, -1) @ bank.T, 0).reshape(rows, columns, _FILTERS)
        for part in np.array_split(answers, _CELLS, axis=0):
            pooled += [cell.mean(axis=(0, 1)) for cell in np.array_split(part, _CELLS, axis=1)]
    return np.concatenate(pooled).astype(float)


def policy_encoder(policy: "Policy", images: Mapping[str, np.ndarray], instruction: str, embodiment: str) -> np.ndarray:
    """Features (n, width) of (n, H, W, 3) uint8 images per camera: what a policy's first look sums up to.

    Only the images differ: one sentence, joints and gripper at their mean in training, and the domain left unsaid.

    Args:
        policy: a `policies.policy.Policy`.
        images: camera -> images at any resolution, of all its cameras; they are resized as in training.
        instruction: the sentence that tunes its sight; the same for all sets that are compared.
        embodiment: one of its robots.

    Raises:
        InputError: a camera is missing, or these are no images, or not as many of each.
    """
    import torch

    from policies.augment import to_network
    from policies.prefix import Observation

    for camera in policy.cameras:
        if camera not in images:
            raise InputError(f"the policy needs camera '{camera}'; the images given are of: {', '.join(images)}")
        given = images[camera]
        if given.ndim != 4 or given.shape[-1] != 3 or given.dtype != np.uint8:
            raise InputError(f"images must be (n, H, W, 3) uint8, got {given.shape} {given.dtype}")
    counts = {len(images[camera]) for camera in policy.cameras}
    if len(counts) != 1:
        raise InputError(f"each camera needs as many images, got {sorted(counts)}")
    (count,) = counts
    robot = policy.preparer.embodiment_index(embodiment)
    words = policy.preparer.vocabulary.encode([instruction], policy.preparer.words)
    widest = max(n.proprio_size for n in policy.preparer.normalisers.values())
    parts = []
    with torch.inference_mode():
        for start in range(0, count, policy.batch_size):
            part = {c: images[c][start : start + policy.batch_size] for c in policy.cameras}
            n = len(next(iter(part.values())))
            # Where the policy looks back, there is nothing before these images.
            past = policy.history
            seen = Observation(
                {
                    c: to_network(torch.from_numpy(v.copy()), policy.config.model.image_size)[:, None].expand(
                        -1, past, -1, -1, -1
                    )
                    for c, v in part.items()
                },
                words.expand(n, -1),
                torch.zeros(n, past, widest),
                torch.full((n,), robot),
                torch.zeros(n, dtype=torch.long),
                (torch.arange(past) == past - 1).expand(n, -1),
            )
            parts.append(policy.network.encode(seen).summary.double().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, policy.config.model.width))


def prefix_features(policy: "Policy", batch: Mapping[str, Any]) -> np.ndarray:
    """Features (n, width) of recorded moments: what a policy sums up of images, arm and sentence before it acts.

    The domain is left unsaid, or it would be all that a probe has to read.

    Args:
        policy: a `policies.policy.Policy`.
        batch: n windows in the loader's layout.
    """
    import torch

    from policies.tensors import take_rows

    sample = policy.preparer.prepare({**batch, "domain": [""] * len(batch["domain"])})
    with torch.inference_mode():
        parts = [
            policy.network.encode(observed(policy, take_rows(sample, slice(start, start + policy.batch_size)))).summary
            for start in range(0, len(sample.words), policy.batch_size)
        ]
    return torch.cat(parts).double().numpy()


def observed(policy: "Policy", sample: "Sample") -> "Observation":
    """What a policy's network sees of a prepared sample, as it is when it runs: nothing is augmented or left out."""
    from policies.augment import to_network
    from policies.prefix import Observation

    size = policy.config.model.image_size
    images = {camera: to_network(image, size) for camera, image in sample.images.items()}
    return Observation(images, sample.words, sample.proprio, sample.embodiment, sample.domain, sample.history_mask)
