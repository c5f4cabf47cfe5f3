"""Camera errors of a blend's images, each from the stream that its episode recorded: the same in every window."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from trajectories.photometric import Photometric
from trajectories.sources import OpenSource, WindowSpec

# Episodes whose draw is kept; each was read from the episode's metadata.
_KEPT = 1 << 14
# Where an episode says, in `extra`, which errors its stored images have already.
ERRORS = "camera_errors"


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
            seeds, drawn = errors
            for column in range(history):
                at = max(step - (history - 1 - column) * stride, 0)
                noise = noise_at(seeds, camera, at)
                seen[row, column] = self._photometric.apply(seen[row, column][None], drawn, noise)[0]

    def _draw(self, source: int, episode: int, camera: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """An episode's seeds and draw of one camera's errors; None where it recorded no stream, or has errors."""
        meta = self._sources[source].store.meta(episode)
        if "sensor_noise" not in meta.seeds.get("keys", {}) or ERRORS in meta.extra:
            return None
        return meta.seeds, drawn_errors(self._photometric, meta.seeds, camera)


def drawn_errors(photometric: Photometric, seeds: dict[str, Any], camera: int) -> dict[str, Any]:
    """What an episode keeps of one camera's errors, see `Photometric.draw`.

    Args:
        photometric: what it is drawn from.
        seeds: the episode's, with the key of its stream "sensor_noise".
        camera: number of the camera.
    """
    return photometric.draw(_generator(seeds, camera))


def noise_at(seeds: dict[str, Any], camera: int, step: int) -> np.random.Generator:
    """Where the noise of one frame comes from: a stream for each step, so a frame looks the same in every window."""
    return _generator(seeds, camera, 1 + step)


def _generator(seeds: dict[str, Any], *below: int) -> np.random.Generator:
    key = (*seeds["keys"]["sensor_noise"], *below)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seeds["seed"], spawn_key=key)))
