"""What is measured of a cell's policy besides rollouts: its error on recorded demos, and whether it tells domains."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.metrics.features import policy_encoder
from pipelines.metrics.offline import offline_error
from pipelines.metrics.probe import LEAST, domain_probe
from pipelines.unseen import Unseen, window_spec
from policies.policy import Policy
from trajectories.loader import Blend
from trajectories.sources import Source

# Chunks drawn for each window of a held-out demo.
_SAMPLES = 4
# Episodes of each source that a probe looks at, and frames of each.
_PROBED, _FRAMES = 60, 2


def offline(policy: Policy, held_out: Path) -> dict[str, Any]:
    """The action error on demos that no cell learns from, see `pipelines.metrics.offline`; JSON types."""
    demos = _opened(policy, str(held_out))
    batches = (demos.chunks(episode) for episode in demos.episodes.tolist())
    return {**asdict(offline_error(policy, batches, samples=_SAMPLES)), "episodes": len(demos.episodes)}


def probe(policy: Policy, sources: Mapping[str, tuple[str, Sequence[int]]]) -> dict[str, Any] | None:
    """How well a linear classifier tells real from synthetic frames by what the policy makes of the images alone.

    Args:
        policy: whose eyes.
        sources: "real" and "sim" -> path, and episodes to look at.

    Returns:
        As `pipelines.metrics.probe.Probe`, JSON types; None where a source has too few episodes.
    """
    if min(len(episodes) for _, episodes in sources.values()) < LEAST:
        return None
    features, owners, sentence = [], [], ""
    for path, episodes in sources.values():
        demos = _opened(policy, path)
        chosen = [episodes[i] for i in np.unique(np.linspace(0, len(episodes) - 1, _PROBED).astype(int))]
        batches = [demos.frames(number, _FRAMES) for number in chosen]
        images = {
            camera: np.concatenate([np.asarray(batch[f"images/{camera}"]) for batch in batches])
            for camera in policy.cameras
        }
        # One sentence for all: only what is seen may differ.
        sentence = sentence or batches[0]["instruction"][0]
        features.append(policy_encoder(policy, images, sentence, batches[0]["embodiment"][0]))
        owners.append(np.repeat(chosen, _FRAMES))
    found = asdict(domain_probe(features, owners, np.random.Generator(np.random.PCG64(0))))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _opened(policy: Policy, path: str) -> Unseen:
    """All episodes of a store, at the windows that the policy looks at."""
    spec = replace(window_spec(policy.config), validation_fraction=0.0)
    blend = Blend([Source(path)], spec, 0, "stream")
    return Unseen(path, blend, policy.execute, np.arange(blend.sources[0].episodes), 0, ())
