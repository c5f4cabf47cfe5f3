"""Frames as the cameras of an episode's own domain would have given them: with noise, blur, exposure, white balance.

Stored frames are clean, because errors can be added when they are looked at and never taken out. Demos that stand in
for real ones are the exception: a real camera's frames come with its errors, and whoever learns from them must not be
able to tell by their absence. What was drawn is in the episode's `extra["camera_errors"]`, by camera.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from handful import InputError
from scenes.domains import get_domain
from trajectories import Episode, EpisodeMeta
from trajectories.camera_errors import ERRORS, drawn_errors, noise_at
from trajectories.photometric import Photometric


def camera_errors_of(meta: EpisodeMeta) -> Photometric:
    """What the cameras of an episode's domain do to a frame.

    Raises:
        InputError: the domain is none of ours, the episode recorded no stream to draw errors from, or it has some.
    """
    if "sensor_noise" not in meta.seeds.get("keys", {}):
        raise InputError(f"scene {meta.scene} of '{meta.task}' recorded no stream of sensor noise to draw errors from")
    if ERRORS in meta.extra:
        raise InputError(f"scene {meta.scene} of '{meta.task}' is seen with camera errors already")
    return Photometric(**dataclasses.asdict(get_domain(meta.domain).sensor))


def with_camera_errors(episode: Episode, cameras: Sequence[str]) -> Episode:
    """The episode as its domain's cameras see it; frames are worked out whenever they are looked at.

    The errors are those that the loader adds for the same domain: one draw per episode and camera, fresh noise for each
    step, from the streams below the episode's `sensor_noise`.

    Args:
        episode: with clean images.
        cameras: whose.

    Raises:
        InputError: see `camera_errors_of`.
    """
    photometric = camera_errors_of(episode.meta)
    arrays, said = dict(episode.arrays), {}
    for number, camera in enumerate(cameras):
        key = f"images/{camera}"
        drawn = drawn_errors(photometric, episode.meta.seeds, number)
        arrays[key] = _Seen(arrays[key], photometric, drawn, episode.meta.seeds, number)  # type: ignore[assignment]
        said[camera] = drawn
    extra = {**episode.meta.extra, ERRORS: said}
    return Episode(arrays, dataclasses.replace(episode.meta, extra=extra))


class _Seen:
    """Frames (T, H, W, 3) uint8 with errors: dtype and shape are known, the frames are made at every use."""

    def __init__(
        self, clean: Any, photometric: Photometric, drawn: dict[str, Any], seeds: dict[str, Any], camera: int
    ) -> None:
        self._clean, self._photometric, self._drawn = clean, photometric, drawn
        self._seeds, self._camera = seeds, camera
        self.shape, self.ndim, self.dtype = clean.shape, len(clean.shape), np.dtype(np.uint8)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        frames = np.asarray(self._clean)
        seen = [
            self._photometric.apply(frame[None], self._drawn, noise_at(self._seeds, self._camera, step))
            for step, frame in enumerate(frames)
        ]
        result = np.concatenate(seen) if seen else frames
        return result if dtype is None else result.astype(dtype, copy=False)

    def __getitem__(self, item: Any) -> Any:
        return np.asarray(self)[item]
