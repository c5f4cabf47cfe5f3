"""What is measured of a cell's policy besides rollouts: its error on recorded demos, and whether it tells domains."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.metrics.distances import two_sample
from pipelines.metrics.features import policy_encoder
from pipelines.metrics.offline import offline_error
from policies.policy import Policy
from trajectories import open_dataset
from trajectories.loader import Blend
from trajectories.sources import Source, WindowSpec

# Windows that the action error is measured on, about, how many at a time, and chunks drawn for each.
_WINDOWS, _BATCH, _SAMPLES = 256, 64, 4
# Episodes of each source that a probe looks at, one frame of each; the least that it needs.
_PROBED, _LEAST = 100, 10


def offline(policy: Policy, held_out: Path) -> dict[str, Any]:
    """The action error on demos that no cell learns from, see `pipelines.metrics.offline`; JSON types."""
    config = policy.config
    span = max((policy.horizon, *(step + 1 for step in config.waypoints)))
    spec = WindowSpec(policy.cameras, span, config.action, 0.0)
    blend = Blend([Source(str(held_out))], spec, seed=0)
    steps = int(blend.sources[0].lengths.sum())
    batches = (blend.batch(step, _BATCH) for step in range(max(1, min(_WINDOWS, steps) // _BATCH)))
    return asdict(offline_error(policy, batches, samples=_SAMPLES))


def probe(policy: Policy, sources: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, Any] | None:
    """How well a linear classifier tells real from synthetic frames by what the policy makes of them at first sight.

    Args:
        policy: whose eyes.
        sources: "real" and "sim" -> path, and episodes to look at.

    Returns:
        "accuracy" and "auc" on frames it was not fitted to, and "frames", how many of each source these were; None
        where a source has fewer than ten episodes.
    """
    features = []
    for path, episodes in sources.values():
        if len(episodes) < _LEAST:
            return None
        dataset = open_dataset(path)
        chosen = [episodes[i] for i in np.unique(np.linspace(0, len(episodes) - 1, _PROBED).astype(int))]
        # The first frame, before anything has been done: what differs is what is seen, not how far it came.
        images = {
            camera: np.concatenate([dataset.read(number, f"images/{camera}", 0, 1) for number in chosen])
            for camera in policy.cameras
        }
        meta = dataset.meta(chosen[0])
        features.append(policy_encoder(policy, images, "", meta.embodiment))
    real, sim = features
    found = two_sample(real, sim, np.random.Generator(np.random.PCG64(0)))
    return {"accuracy": found.accuracy, "auc": found.auc, "frames": list(found.held_out)}
