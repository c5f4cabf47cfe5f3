"""Recorded episodes that a policy has not learnt from: what its errors and features are measured on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handful import HandfulError, InputError, unknown_name
from trajectories import open_dataset
from trajectories.holdout import hold_out
from trajectories.index import Index
from trajectories.loader import Blend
from trajectories.sources import Source, WindowSpec

if TYPE_CHECKING:
    from policies.config import TrainConfig
    from policies.policy import Policy


@dataclass(frozen=True)
class Unseen:
    """Episodes of one store that a policy has not learnt from.

    Attributes:
        path: of the store.
        blend: of that store alone, read as the policy's training data was.
        stride: control steps from one of the policy's decisions to the next.
        episodes: (n,) their indices in the store, in order.
        learnt: how many others of the store were left out, because the policy learnt from their scenes.
        notes: what could not be found out.
    """

    path: str
    blend: Blend
    stride: int
    episodes: np.ndarray
    learnt: int
    notes: tuple[str, ...]

    @property
    def domains(self) -> list[str]:
        """Names of the domains that these episodes are from."""
        category = self.blend.sources[0].index.categories["domain"]
        return sorted({category.values[code] for code in category.codes[self.episodes]})

    def chunks(self, episode: int) -> Mapping[str, Any]:
        """The windows of an episode at which the policy would decide, in the loader's layout."""
        return self._at(episode, np.arange(0, self._length(episode), self.stride))

    def frames(self, episode: int, count: int) -> Mapping[str, Any]:
        """`count` windows of an episode, evenly spread over it."""
        length = self._length(episode)
        return self._at(episode, ((np.arange(count) + 0.5) * length / count).astype(np.int64))

    def _length(self, episode: int) -> int:
        return int(self.blend.sources[0].lengths[episode])

    def _at(self, episode: int, moments: np.ndarray) -> Mapping[str, Any]:
        return self.blend.windows(0, np.full(len(moments), episode), moments)


def unseen(policy: "Policy", path: str, most: int) -> Unseen:
    """Open a store, and choose episodes of scenes that a policy has not learnt from.

    Args:
        policy: whose checkpoint says what it learnt from, and which scenes were held out then.
        path: of a store or view.
        most: episodes to choose, evenly spread over those there are.

    Raises:
        InputError: the store does not fit the policy, or every scene of it was learnt from.
    """
    if most < 1:
        raise InputError(f"at least 1 episode must be measured on, got {most}")
    blend = Blend([Source(path)], window_spec(policy.config), 0, "stream")
    _check_fit(policy, path, blend)
    index = blend.sources[0].index
    met, notes = _learnt_scenes(policy)
    free = np.array([key not in met for key in _keys(index)], bool)
    if not free.any():
        raise InputError(f"the policy learnt from every scene of '{path}'; measure it on data that was held out")
    candidates = np.flatnonzero(free)
    chosen = np.unique(np.linspace(0, len(candidates) - 1, min(most, len(candidates))).round().astype(int))
    return Unseen(path, blend, policy.execute, candidates[chosen], int((~free).sum()), tuple(notes))


def window_spec(config: "TrainConfig") -> WindowSpec:
    """The windows that a policy is trained on."""
    span = max((config.horizon, *(step + 1 for step in config.waypoints)))
    shown = (config.model.history, config.model.history_stride)
    return WindowSpec(config.cameras, span, config.action, config.validation_fraction, *shown)


def _check_fit(policy: "Policy", path: str, blend: Blend) -> None:
    index, known = blend.sources[0].index, policy.preparer.normalisers
    for name in _used(index, "embodiment"):
        if name not in known:
            raise unknown_name(f"robot of '{path}'; the policy does not know", name, known)
    rate = float(index.control_rate[0])
    if rate != policy.control_rate:
        raise InputError(f"'{path}' was recorded at {rate:g} Hz, and the policy acts at {policy.control_rate:g} Hz")
    for camera, size in policy.resolution.items():
        if blend.image_size(camera) != size:
            height, width = blend.image_size(camera)
            raise InputError(
                f"camera '{camera}' of '{path}' has {height} x {width} pixels, and the policy looks at "
                f"{size[0]} x {size[1]}; make it again with: handful render {path} --resolution {size[0]} --out NEW"
            )


def _learnt_scenes(policy: "Policy") -> tuple[set[tuple[str, int, int]], list[str]]:
    """Scenes that a policy learnt from, and a sentence for each source of which that cannot be said."""
    met: set[tuple[str, int, int]] = set()
    notes = []
    for source in policy.record["sources"]:
        try:
            index = open_dataset(source["path"]).index()
        except HandfulError as error:
            notes.append(f"which scenes of '{Path(source['path']).name}' it learnt from cannot be said: {error}")
            continue
        kept = ~hold_out(index, policy.config.validation_fraction)
        met.update(key for key, taught in zip(_keys(index), kept, strict=True) if taught)
    return met, notes


def _keys(index: Index) -> Iterator[tuple[str, int, int]]:
    """What tells the scenes of episodes apart, wherever they are stored: task, seed, number."""
    task = index.categories["task"]
    for code, seed, scene in zip(task.codes.tolist(), index.seed.tolist(), index.scene.tolist(), strict=True):
        yield task.values[code], seed, scene


def _used(index: Index, category: str) -> list[str]:
    found = index.categories[category]
    return sorted({found.values[code] for code in found.codes})
