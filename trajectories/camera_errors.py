"""Camera errors of a blend's images, each from the stream that its episode recorded: the same in every window."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from trajectories.photometric import Photometric
from trajectories.sources import OpenSource, WindowSpec

# Episodes whose draw is kept; each was read from the episode's metadata.
_KEPT = 1 << 14


class CameraErrors:
    """Adds camera errors to batches. Safe to use from several threads."""

    def __init__(self, photometric: Photometric, sources: Sequence[OpenSource], spec: WindowSpec) -> None:
        self._photometric, self._sources, self._spec = photometric, sources, spec
        self._drawn = lru_cache(_KEPT)(self._draw)

    def add(self, batch: dict[str, Any], source: np.ndarray, episode: np.ndarray, moment: np.ndarray) -> None:
        """Change the images of a batch in place.

        Args:
            batch: with `images/<camera>`, or without.
            source: of each window, (B,).
            episode: in the source, (B,).
            moment: step in the episode, (B,).
        """
        for camera, name in enumerate(self._spec.cameras):
            if f"images/{name}" in batch:
                self._disturb(batch[f"images/{name}"], camera, source, episode, moment)

    def _disturb(
        self, images: np.ndarray, camera: int, source: np.ndarray, episode: np.ndarray, moment: np.ndarray
    ) -> None:
        history, stride = self._spec.history, self._spec.history_stride
        seen = images.reshape(len(images), history, *images.shape[-3:])
        for row, window in enumerate(zip(source.tolist(), episode.tolist(), moment.tolist(), strict=True)):
            number, which, step = window
            errors = self._drawn(number, which, camera)
            if errors is None:
                continue
            seed, stream, drawn = errors
            for column in range(history):
                # One stream below the episode's for each step's noise, so a frame looks the same in every window.
                at = max(step - (history - 1 - column) * stride, 0)
                noise = _generator(seed, (*stream, 1 + at))
                seen[row, column] = self._photometric.apply(seen[row, column][None], drawn, noise)[0]

    def _draw(self, source: int, episode: int, camera: int) -> tuple[int, tuple[int, ...], dict[str, Any]] | None:
        """An episode's seed, stream and draw of one camera's errors; None where it recorded no stream."""
        seeds = self._sources[source].store.meta(episode).seeds
        key = seeds.get("keys", {}).get("sensor_noise")
        if key is None:
            return None
        stream = (*key, camera)
        return seeds["seed"], stream, self._photometric.draw(_generator(seeds["seed"], stream))


def _generator(seed: int, key: tuple[int, ...]) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
