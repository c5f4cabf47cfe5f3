"""The stores that a policy learns from: their weights, what makes them fit together, and who is held out.

Stores blend only if a number means the same in all of them. Differing control rates, cameras, image sizes or joint
counts are refused by name before any data is read, never padded or resampled silently.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from handful import InputError, unknown_name
from trajectories.canonical import canonical_json
from trajectories.poses import pose_features
from trajectories.schema import EpisodeMeta
from trajectories.store import Store


@dataclass(frozen=True)
class Source:
    """A store and how often it is drawn from, relative to the others of the blend."""

    path: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("a data source needs a path: PATH or PATH:weight")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise InputError(f"the weight of '{self.path}' must be a positive number, got {self.weight}")

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read "PATH" or "PATH:weight". A path may hold colons, as long as no number follows the last one."""
        path, colon, tail = text.rpartition(":")
        try:
            weight = float(tail)
        except ValueError:
            return cls(text)
        return cls(path, weight) if colon else cls(text)


@dataclass(frozen=True)
class WindowSpec:
    """What one training sample is: a moment of an episode, and the actions from there on."""

    # Cameras whose images are given, in this order.
    cameras: tuple[str, ...]
    # Number of actions in a chunk [control steps].
    horizon: int = 16
    # Learn what was meant, or what was carried out after motion noise.
    action: Literal["intended", "executed"] = "intended"
    # Share of each source's scenes held out for validation; at least one scene unless 0.
    validation_fraction: float = 0.05

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"horizon must be at least 1 control step, got {self.horizon}")
        if self.action not in ("intended", "executed"):
            raise unknown_name("action", self.action, ("intended", "executed"))
        if not 0 <= self.validation_fraction < 1:
            raise InputError(f"validation_fraction must be at least 0 and below 1, got {self.validation_fraction}")
        if len(set(self.cameras)) != len(self.cameras):
            raise InputError(f"cameras must differ, got {', '.join(self.cameras)}")


@dataclass(frozen=True)
class OpenSource:
    """A store of the blend, opened and checked."""

    path: str
    # Share of the samples that are drawn from it; the shares of a blend add up to 1.
    share: float
    store: Store = field(repr=False)
    metas: list[EpisodeMeta] = field(repr=False)
    # Control steps of each episode, (episodes,).
    lengths: np.ndarray = field(repr=False)
    # Whether each episode is held out for validation, (episodes,).
    held_out: np.ndarray = field(repr=False)

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.metas)

    @property
    def frames(self) -> int:
        """Number of control steps."""
        return int(self.lengths.sum())

    @property
    def control_rate(self) -> float:
        """Control rate [Hz]."""
        return self.metas[0].control_rate

    @property
    def tasks(self) -> list[str]:
        """Tasks that occur, sorted."""
        return sorted({meta.task for meta in self.metas})

    @property
    def embodiments(self) -> list[str]:
        """Embodiments that occur, sorted."""
        return sorted({meta.embodiment for meta in self.metas})

    @property
    def domains(self) -> list[str]:
        """Domains that occur, sorted."""
        return sorted({meta.domain for meta in self.metas})

    @property
    def joints(self) -> int:
        """Number of arm joints."""
        return self.store.row_shape("observation/joint_position")[0]


def hold_out(metas: Sequence[EpisodeMeta], fraction: float) -> np.ndarray:
    """Choose the scenes held out for validation, the same in every run and blend: (episodes,) bool.

    All episodes of a scene are on one side. Scenes are ranked by a hash of their task, index and dataset seed, so the
    choice neither follows the order of recording nor changes with the training seed.
    """

    def rank(meta: EpisodeMeta) -> str:
        return hashlib.sha256(canonical_json([meta.task, meta.scene, meta.seeds.get("seed")])).hexdigest()

    ranks = [rank(meta) for meta in metas]
    scenes = sorted(set(ranks))
    count = 0 if fraction == 0 or len(scenes) < 2 else min(max(1, round(fraction * len(scenes))), len(scenes) - 1)
    chosen = set(scenes[:count])
    return np.array([r in chosen for r in ranks], dtype=bool)


def open_sources(sources: Sequence[Source], spec: WindowSpec) -> list[OpenSource]:
    """Open the stores of a blend and check that they fit the spec and each other.

    Raises:
        InputError: a store is missing, empty, lacks a camera, or does not fit another; names the stores.
    """
    if not sources:
        raise InputError("a blend needs at least one store")
    paths = [str(Path(source.path).resolve()) for source in sources]
    twice = [source.path for source, path in zip(sources, paths, strict=True) if paths.count(path) > 1]
    if twice:
        raise InputError(f"store '{twice[0]}' is given more than once; give it once, with the sum of the weights")
    total = sum(source.weight for source in sources)
    opened = []
    for source in sources:
        store = Store.open(source.path)
        if len(store) == 0:
            raise InputError(f"store '{source.path}' holds no episodes; generate or import some first")
        if spec.cameras and not store.cameras():
            wanted = ",".join(spec.cameras)
            raise InputError(
                f"store '{source.path}' holds no images; make it with: handful generate --cameras {wanted}"
            )
        for camera in spec.cameras:
            if camera not in store.cameras():
                raise unknown_name(f"camera in store '{source.path}'", camera, store.cameras())
        metas = [store.meta(index) for index in range(len(store))]
        rates = sorted({meta.control_rate for meta in metas})
        if len(rates) > 1:
            raise InputError(
                f"store '{source.path}' mixes control rates {rates[0]:g} and {rates[-1]:g} Hz; split it first"
            )
        held_out = hold_out(metas, spec.validation_fraction)
        opened.append(OpenSource(source.path, source.weight / total, store, metas, store.episode_lengths(), held_out))
    first = opened[0]
    for other in opened[1:]:
        _check_fit(first, other, spec)
    return opened


def _check_fit(first: OpenSource, other: OpenSource, spec: WindowSpec) -> None:
    pair = f"stores '{first.path}' and '{other.path}' cannot be blended:"
    if other.control_rate != first.control_rate:
        rates = f"{first.control_rate:g} and {other.control_rate:g} Hz"
        raise InputError(f"{pair} their control rates are {rates}; resample one of them first")
    if other.joints != first.joints:
        arms = [f"{s.joints} joints ({', '.join(s.embodiments)})" for s in (first, other)]
        raise InputError(f"{pair} their arms have {arms[0]} and {arms[1]}; blend stores of arms with as many joints")
    for camera in spec.cameras:
        sizes = [s.store.row_shape(f"images/{camera}") for s in (first, other)]
        if sizes[0] != sizes[1]:
            names = [f"{height}x{width}" for height, width, _ in sizes]
            raise InputError(f"{pair} camera '{camera}' is {names[0]} in one and {names[1]} in the other")


def low_dimensional(source: OpenSource, episode: int, spec: WindowSpec) -> dict[str, np.ndarray]:
    """The numbers of one episode of T steps as they are learnt from.

    Returns:
        float32 arrays: `proprio` (T, J + 10): joints [rad], gripper opening, tool position [m], 6-D rotation;
        `action` (T, J + 1): joint targets [rad], gripper; `action_tool` (T, 10): target tool position [m], 6-D
        rotation, gripper; and `subtask` (T,) int8.
    """
    store = source.store
    tool = pose_features(store.read(episode, "observation/tool_pose_in_base"))
    action = store.read(episode, f"action/{spec.action}")
    aim = pose_features(store.read(episode, "action/tool_pose_in_base"))
    joints = store.read(episode, "observation/joint_position")
    gripper = store.read(episode, "observation/gripper_opening")
    return {
        "proprio": np.concatenate([joints, gripper, tool], axis=1).astype(np.float32),
        "action": action,
        "action_tool": np.concatenate([aim, action[:, -1:]], axis=1).astype(np.float32),
        "subtask": store.read(episode, "subtask"),
    }
