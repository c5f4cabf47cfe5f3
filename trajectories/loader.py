"""Training samples from a blend of stores: batches as a pure function of (seed, step, size).

Nothing of a batch depends on what was drawn before it, so a run resumes at any step, batches can be made ahead or by
several processes, and none of that changes a sample.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from handful import InputError
from trajectories.memory import available_memory
from trajectories.photometric import Photometric
from trajectories.sources import OpenSource, Source, WindowSpec, low_dimensional, open_sources
from trajectories.statistics import Statistics, describe

Batch = dict[str, Any]
Split = Literal["train", "validation"]
_SPLITS: tuple[Split, ...] = ("train", "validation")
_NUMBERS = ("proprio", "action", "action_tool")
# Sets the loader's random streams apart from every other use of the same seed.
_STREAM = 0x10AD
# Share of the free memory that resident data may take.
_MEMORY_SHARE = 0.6


class Blend:
    """Several stores, mixed by weight, as windows to learn from.

    A batch of B windows holds

        images/<camera>   (B, H, W, 3)        uint8    at the window's first step
        proprio           (B, J + 10)         float32  joints [rad], gripper, tool position [m], 6-D rotation
        action            (B, horizon, J + 1) float32  absolute joint targets [rad], gripper opening
        action_tool       (B, horizon, 10)    float32  target tool position [m], 6-D rotation, gripper opening
        action_mask       (B, horizon)        bool     false past the episode's end, where the last action is repeated
        instruction, embodiment, domain       lists of B str
        source            (B,)                int64    index of the store
        progress          (B,)                float32  t / T
        subtask           (B,)                int64    index of the subtask under way
    """

    def __init__(
        self,
        sources: Sequence[Source],
        spec: WindowSpec,
        seed: int,
        resident: bool = True,
        photometric: Photometric | None = None,
    ) -> None:
        """Open and check the stores, and read what is kept in memory.

        Args:
            sources: the stores with their weights.
            spec: what a sample is.
            seed: of the draws, >= 0.
            resident: keep all images in memory; otherwise each is read when it is drawn (about 1 ms per image).
            photometric: camera errors added to the images of episodes that recorded a sensor-noise stream; imported
                episodes have none and come with their own camera's errors.

        Raises:
            InputError: a store is missing, empty or does not fit; or memory does not suffice.
            JobError: a store is damaged.
        """
        if seed < 0:
            raise InputError(f"seed must be >= 0, got {seed}")
        self.spec = spec
        self.seed = seed
        self.sources: list[OpenSource] = open_sources(sources, spec)
        self._photometric = photometric
        self._require_memory(resident)
        self._lay_out()
        self._images = {camera: self._read_images(camera) for camera in spec.cameras} if resident else None

    @property
    def proprio_size(self) -> int:
        """Number of columns of `proprio`."""
        return self.sources[0].joints + 10

    @property
    def action_size(self) -> int:
        """Number of columns of `action`."""
        return self.sources[0].joints + 1

    def image_size(self, camera: str) -> tuple[int, int]:
        """Height and width of a camera's images [pixels]."""
        height, width, _ = self.sources[0].store.row_shape(f"images/{camera}")
        return height, width

    def batch(self, step: int, size: int, split: Split = "train") -> Batch:
        """Draw the windows of one step: a store by weight, then any step of its episodes, then a paraphrase.

        Args:
            step: index of the batch, >= 0.
            size: number of windows; the first windows of a larger batch are those of a smaller one.
            split: the episodes to draw from.

        Raises:
            InputError: a store has no episode in the split.
        """
        if split not in _SPLITS:
            raise InputError(f"unknown split '{split}'; there is: {', '.join(_SPLITS)}")
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_STREAM, _SPLITS.index(split), step))
        draws = np.random.Generator(np.random.PCG64(sequence)).random((size, 3))
        source = np.minimum(np.searchsorted(self._cumulative, draws[:, 0], side="right"), len(self.sources) - 1)
        frames = np.empty(size, np.int64)
        for index in np.unique(source):
            candidates = self._candidates[split][index]
            if not len(candidates):
                raise InputError(f"store '{self.sources[index].path}' has no episode held out for {split}")
            chosen = source == index
            frames[chosen] = candidates[(draws[chosen, 1] * len(candidates)).astype(np.int64)]
        return self._gather(frames, draws[:, 2])

    def validation(self, source: int, size: int = 64) -> Iterator[Batch]:
        """The held-out windows of one store, always the same: every half horizon of each held-out episode.

        Args:
            source: index of the store.
            size: windows per batch; the last batch may be smaller.
        """
        candidates = self._candidates["validation"][source]
        stride = max(1, self.spec.horizon // 2)
        frames = candidates[(candidates - self._first[self._episode[candidates]]) % stride == 0]
        for start in range(0, len(frames), size):
            chosen = frames[start : start + size]
            yield self._gather(chosen, np.zeros(len(chosen)))

    def source_statistics(self, source: int) -> dict[str, Statistics]:
        """Statistics of `proprio`, `action` and `action_tool` over the training episodes of one store."""
        frames = self._candidates["train"][source]
        return {name: describe([self._numbers[name][frames]]) for name in _NUMBERS}

    def statistics(self) -> dict[str, Statistics]:
        """The same over the whole blend, each store counting with its weight."""
        groups = [self._candidates["train"][index] for index in range(len(self.sources))]
        shares = [source.share for source in self.sources]
        return {name: describe([self._numbers[name][frames] for frames in groups], shares) for name in _NUMBERS}

    def _require_memory(self, resident: bool) -> None:
        frames = sum(source.frames for source in self.sources)
        pixels = sum(3 * height * width for height, width in map(self.image_size, self.spec.cameras))
        # Numbers, and about 32 bytes of indices per frame.
        row = 4 * (self.proprio_size + self.action_size + 10) + 32 + (pixels if resident else 0)
        free = available_memory()
        if free is not None and frames * row > _MEMORY_SHARE * free:
            need = f"{frames * row / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
            advice = "load with resident=False to read images from the disk" if resident else "use fewer episodes"
            raise InputError(f"keeping {frames} frames resident takes {need}; {advice}")

    def _lay_out(self) -> None:
        """Concatenate all stores along one axis of frames, so that a batch is one gather."""
        lengths = np.concatenate([source.lengths for source in self.sources])
        ends = np.cumsum(lengths)
        self._first = ends - lengths
        self._last = ends - 1
        self._lengths = lengths
        self._episode = np.repeat(np.arange(len(lengths)), lengths)
        # Index of each episode's store, and of the store's first episode.
        self._source = np.repeat(np.arange(len(self.sources)), [s.episodes for s in self.sources])
        self._offset = np.cumsum([0, *(s.episodes for s in self.sources)])[:-1]
        self._cumulative = np.cumsum([source.share for source in self.sources])

        metas = [meta for source in self.sources for meta in source.metas]
        self._metas = metas
        # Each sentence once, also where the paraphrases repeat the instruction.
        self._texts = [tuple(dict.fromkeys((meta.instruction, *meta.paraphrases))) for meta in metas]

        held_out = np.concatenate([source.held_out for source in self.sources])
        frame_source, frame_held_out = self._source[self._episode], held_out[self._episode]
        self._candidates: dict[Split, list[np.ndarray]] = {
            split: [
                np.flatnonzero((frame_source == index) & (frame_held_out == (split == "validation")))
                for index in range(len(self.sources))
            ]
            for split in _SPLITS
        }
        rows = [
            low_dimensional(source, episode, self.spec) for source in self.sources for episode in range(source.episodes)
        ]
        self._numbers = {name: np.concatenate([row[name] for row in rows]) for name in (*_NUMBERS, "subtask")}

    def _read_images(self, camera: str) -> np.ndarray:
        images = np.empty((len(self._episode), *self.image_size(camera), 3), np.uint8)
        for episode, (first, length) in enumerate(zip(self._first, self._lengths, strict=True)):
            images[first : first + length] = self._stored_images(camera, episode, 0, int(length))
        return images

    def _stored_images(self, camera: str, episode: int, start: int, stop: int) -> np.ndarray:
        source = self._source[episode]
        return self.sources[source].store.read(int(episode - self._offset[source]), f"images/{camera}", start, stop)

    def _gather(self, frames: np.ndarray, paraphrase: np.ndarray) -> Batch:
        episodes = self._episode[frames]
        steps = frames - self._first[episodes]
        chunk = frames[:, None] + np.arange(self.spec.horizon)
        mask = chunk <= self._last[episodes][:, None]
        chunk = np.minimum(chunk, self._last[episodes][:, None])
        metas = [self._metas[episode] for episode in episodes]
        texts = [self._texts[episode] for episode in episodes]
        batch: Batch = {f"images/{camera}": self._window_images(camera, frames) for camera in self.spec.cameras}
        batch |= {
            "proprio": self._numbers["proprio"][frames],
            "action": self._numbers["action"][chunk],
            "action_tool": self._numbers["action_tool"][chunk],
            "action_mask": mask,
            "instruction": [text[int(u * len(text))] for text, u in zip(texts, paraphrase, strict=True)],
            "embodiment": [meta.embodiment for meta in metas],
            "domain": [meta.domain for meta in metas],
            "source": self._source[episodes],
            "progress": (steps / self._lengths[episodes]).astype(np.float32),
            "subtask": self._numbers["subtask"][frames].astype(np.int64),
        }
        return batch

    def _window_images(self, camera: str, frames: np.ndarray) -> np.ndarray:
        if self._images is not None:
            images = self._images[camera][frames]
        else:
            images = np.empty((len(frames), *self.image_size(camera), 3), np.uint8)
            # In order of frames, so that neighbours are read one after the other.
            for row in np.argsort(frames, kind="stable"):
                episode = int(self._episode[frames[row]])
                step = int(frames[row] - self._first[episode])
                images[row] = self._stored_images(camera, episode, step, step + 1)[0]
        if self._photometric is not None:
            for row, frame in enumerate(frames):
                images[row] = self._as_seen(self._photometric, camera, int(frame), images[row])
        return images

    def _as_seen(self, photometric: Photometric, camera: str, frame: int, image: np.ndarray) -> np.ndarray:
        """One image with the camera errors of its episode, from the stream that the episode recorded."""
        episode = int(self._episode[frame])
        seeds = self._metas[episode].seeds
        key = seeds.get("keys", {}).get("sensor_noise")
        if key is None:
            return image
        # One stream per camera for the episode's draw, and one below it for each step's noise.
        stream = (*key, self.spec.cameras.index(camera))
        drawn = photometric.draw(_generator(seeds["seed"], stream))
        noise = _generator(seeds["seed"], (*stream, 1 + frame - int(self._first[episode])))
        return photometric.apply(image[None], drawn, noise)[0]


def _generator(seed: int, key: tuple[int, ...]) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
