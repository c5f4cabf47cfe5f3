"""The stores that a policy learns from: their weights, what makes them fit together, and who is held out.

Stores blend only if a number means the same in all of them. Differing control rates, cameras or image sizes are refused
by name before any data is read, never resampled silently. Arms may differ in their joints: rows are then as wide as the
widest, and say how many joints are theirs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from handful import InputError, unknown_name
from trajectories.blocks import addresses
from trajectories.dataset import Dataset, open_dataset
from trajectories.holdout import hold_out
from trajectories.index import Index
from trajectories.poses import pose_features

# Addresses of different sources never meet: source s begins at s * SOURCE_SPAN.
SOURCE_SPAN = 1 << 40


@dataclass(frozen=True)
class Source:
    """A store and how often it is drawn from, relative to the others of the blend."""

    path: str
    # At the start of the run, and all along where there is no `end`.
    weight: float = 1.0
    # At the end of the run, linear in between; None: the same all along.
    end: float | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("a data source needs a path: PATH, PATH:weight or PATH:start..end")
        if self.end is None:
            if not (math.isfinite(self.weight) and self.weight > 0):
                raise InputError(f"the weight of '{self.path}' must be a positive number, got {self.weight}")
        elif not (0 <= self.weight < math.inf and 0 <= self.end < math.inf and self.weight + self.end > 0):
            raise InputError(
                f"the weights of '{self.path}' must be two numbers of at least 0, not both 0, "
                f"got {self.weight:g}..{self.end:g}"
            )

    @property
    def last(self) -> float:
        """The weight at the end of the run."""
        return self.weight if self.end is None else self.end

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read "PATH", "PATH:weight" or "PATH:start..end", the weights at the start and the end of the run.

        A path may hold colons, as long as no number follows the last one.
        """
        path, colon, tail = text.rpartition(":")
        start, dots, end = tail.partition("..")
        try:
            weight, last = float(start), float(end) if dots else None
        except ValueError:
            return cls(text)
        return cls(path, weight, last) if colon else cls(text)


# Where the tool pose is that an action aims at.
_AIMS = {"intended": "action/tool_pose_in_base", "executed": "action/executed_tool_pose_in_base"}


@dataclass(frozen=True)
class WindowSpec:
    """What one training sample is: a moment of an episode, what led up to it, and the actions from there on."""

    # Cameras whose images are given, in this order.
    cameras: tuple[str, ...]
    # Number of actions in a chunk [control steps].
    horizon: int = 16
    # Learn what was meant, or what was carried out after motion noise.
    action: Literal["intended", "executed"] = "intended"
    # Share of each source's scenes held out for validation; at least one scene unless 0.
    validation_fraction: float = 0.05
    # Observations in a sample: the latest, and those before it.
    history: int = 1
    # From one of them to the next [control steps].
    history_stride: int = 1

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"horizon must be at least 1 control step, got {self.horizon}")
        if self.history < 1:
            raise InputError(f"history must be at least 1 observation, got {self.history}")
        if self.history_stride < 1:
            raise InputError(f"history_stride must be at least 1 control step, got {self.history_stride}")
        if self.action not in ("intended", "executed"):
            raise unknown_name("action", self.action, ("intended", "executed"))
        if not 0 <= self.validation_fraction < 1:
            raise InputError(f"validation_fraction must be at least 0 and below 1, got {self.validation_fraction}")
        if len(set(self.cameras)) != len(self.cameras):
            raise InputError(f"cameras must differ, got {', '.join(self.cameras)}")

    @property
    def reach(self) -> int:
        """How far back the oldest observation of a sample lies [control steps]."""
        return (self.history - 1) * self.history_stride

    @property
    def number_keys(self) -> tuple[str, ...]:
        """Keys that the numbers of a sample are made of."""
        return (
            "observation/joint_position",
            "observation/gripper_opening",
            "observation/tool_pose_in_base",
            f"action/{self.action}",
            _AIMS[self.action],
            "subtask",
        )


@dataclass(frozen=True)
class OpenSource:
    """A store or view of the blend, opened and checked."""

    path: str
    # Share of the samples that are drawn from it at the start and at the end of a run; those of a blend add up to 1.
    first_share: float
    last_share: float
    store: Dataset = field(repr=False)
    index: Index = field(repr=False)
    # Keys that the numbers of a sample are made of.
    number_keys: tuple[str, ...]
    # Whether each episode is held out for validation, (episodes,).
    held_out: np.ndarray = field(repr=False)
    # Steps that are read together, a multiple of what is stored together.
    block_rows: int
    # Address of each episode's first step on the blend's line of addresses, (episodes,) int64.
    address: np.ndarray = field(repr=False)
    # Episodes in order of address, (episodes,) int64.
    by_address: np.ndarray = field(repr=False)

    @property
    def share(self) -> float:
        """Share of the samples that are drawn from it, start and end counting alike."""
        return 0.5 * (self.first_share + self.last_share)

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.index)

    @property
    def lengths(self) -> np.ndarray:
        """Control steps of each episode, (episodes,) int32."""
        return self.index.length

    @property
    def frames(self) -> int:
        """Number of control steps."""
        return int(self.lengths.sum(dtype=np.int64))

    @property
    def control_rate(self) -> float:
        """Control rate [Hz]."""
        return float(self.index.control_rate[0])

    @property
    def tasks(self) -> list[str]:
        """Tasks that occur, sorted."""
        return sorted(self._values("task"))

    @property
    def embodiments(self) -> list[str]:
        """Embodiments that occur, sorted."""
        return sorted(self._values("embodiment"))

    @property
    def domains(self) -> list[str]:
        """Domains that occur, sorted."""
        return sorted(self._values("domain"))

    @property
    def sentences(self) -> list[str]:
        """Instructions and their paraphrases that occur, sorted, each once."""
        return sorted({sentence for text in self._values("text") for sentence in text})

    @property
    def steps(self) -> dict[str, tuple[str, ...]]:
        """What is done in each subtask, by instruction: sentences in the subtasks' order.

        They are those of the first episode of each text. An instruction that means one thing in one episode and another
        in the next is left out, as is one whose episode does not say.
        """
        column = self.index.categories["text"]
        steps: dict[str, tuple[str, ...]] = {}
        for code, episode in zip(*np.unique(column.codes, return_index=True), strict=True):
            told = tuple(self.store.meta(int(episode)).extra.get("subtasks", ()))
            for sentence in column.values[code]:
                steps[sentence] = told if steps.get(sentence, told) == told else ()
        return {sentence: told for sentence, told in steps.items() if told}

    @property
    def joints(self) -> int:
        """Number of arm joints."""
        return self.store.row_shape("observation/joint_position")[0]

    def window_bytes(self, cameras: Sequence[str]) -> int:
        """Memory that one step takes: its images and its numbers."""
        pixels = sum(math.prod(self.store.row_shape(f"images/{camera}")) for camera in cameras)
        return pixels + 4 * ((self.joints + 10) + (self.joints + 1) + 10) + 1

    def _values(self, category: str) -> list:
        # A selection of episodes may lack some of the values.
        found = self.index.categories[category]
        return [found.values[code] for code in np.unique(found.codes)]


def open_sources(sources: Sequence[Source], spec: WindowSpec) -> list[OpenSource]:
    """Open the stores and views of a blend and check that they fit the spec and each other.

    Raises:
        InputError: a store is missing, empty, lacks a camera, or does not fit another; names the stores.
    """
    if not sources:
        raise InputError("a blend needs at least one store")
    paths = [str(Path(source.path).resolve()) for source in sources]
    twice = [source.path for source, path in zip(sources, paths, strict=True) if paths.count(path) > 1]
    if twice:
        raise InputError(f"store '{twice[0]}' is given more than once; give it once, with the sum of the weights")
    shares = []
    for place, weights in (("start", [s.weight for s in sources]), ("end", [s.last for s in sources])):
        if not sum(weights):
            raise InputError(f"the weights of all stores are 0 at the {place} of the run; one must be positive")
        shares.append([weight / sum(weights) for weight in weights])
    opened = [
        _open(source, first, last, number, spec)
        for number, (source, first, last) in enumerate(zip(sources, *shares, strict=True))
    ]
    for other in opened[1:]:
        _check_fit(opened[0], other, spec)
    return opened


def widest(sources: Sequence[OpenSource]) -> int:
    """Joints of the widest arm."""
    return max(source.joints for source in sources)


def _open(source: Source, first: float, last: float, number: int, spec: WindowSpec) -> OpenSource:
    store = open_dataset(source.path)
    if len(store) == 0:
        raise InputError(f"store '{source.path}' holds no episodes; generate or import some first")
    if spec.cameras and not store.cameras():
        wanted = ",".join(spec.cameras)
        raise InputError(f"store '{source.path}' holds no images; make it with: handful generate --cameras {wanted}")
    for camera in spec.cameras:
        if camera not in store.cameras():
            raise unknown_name(f"camera in store '{source.path}'", camera, store.cameras())
    index = store.index()
    rates = np.unique(index.control_rate)
    if len(rates) > 1:
        raise InputError(
            f"store '{source.path}' mixes control rates {rates[0]:g} and {rates[-1]:g} Hz; take one of them: "
            f'handful data filter {source.path} --where "control_rate == {rates[-1]:g}" --out VIEW'
        )
    _check_aims(store, source.path, spec)
    held_out = hold_out(index, spec.validation_fraction)
    rows = _block_rows(store, spec)
    # Between parts there is more room than is ever bridged to read two runs of rows as one.
    numbers = _number_keys(store, spec)
    room = max(store.chunk_rows(key) for key in (*numbers, *(f"images/{camera}" for camera in spec.cameras)))
    address = addresses(index.part, index.first, index.length, rows, room) + number * SOURCE_SPAN
    by_address = np.argsort(address, kind="stable")
    return OpenSource(source.path, first, last, store, index, numbers, held_out, rows, address, by_address)


def _number_keys(store: Dataset, spec: WindowSpec) -> tuple[str, ...]:
    """`spec.number_keys` as a store has them: imported data has no tool poses but those of what was meant."""
    known = _AIMS["executed"] in set(store.keys())
    return tuple(_AIMS["intended"] if key == _AIMS["executed"] and not known else key for key in spec.number_keys)


def _check_aims(store: Dataset, path: str, spec: WindowSpec) -> None:
    """What is learnt as carried out has tool poses of its own, unless it is what was meant."""
    if spec.action == "intended" or _AIMS["executed"] in set(store.keys()):
        return
    for episode in range(len(store)):
        if not np.array_equal(store.read(episode, "action/executed"), store.read(episode, "action/intended")):
            raise InputError(
                f"store '{path}' was made by an earlier version, without the tool poses of executed actions "
                f"('{_AIMS['executed']}'), and in episode {episode} they are not what was meant; make it again, "
                "or learn action=intended"
            )


def _block_rows(store: Dataset, spec: WindowSpec) -> int:
    """Steps to read together: a chunk of images, or of actions where there are none."""
    keys = [f"images/{camera}" for camera in spec.cameras] or [f"action/{spec.action}"]
    chunk = max(store.chunk_rows(key) for key in keys)
    # What lies before a block is read with it for the history's sake, so it must not be most of what is read.
    return chunk * max(1, 2 * -(-spec.reach // chunk)) if spec.cameras else chunk


def _check_fit(first: OpenSource, other: OpenSource, spec: WindowSpec) -> None:
    pair = f"stores '{first.path}' and '{other.path}' cannot be blended:"
    if other.control_rate != first.control_rate:
        rates = f"{first.control_rate:g} and {other.control_rate:g} Hz"
        raise InputError(f"{pair} their control rates are {rates}; resample one of them first")
    same = sorted(set(first.embodiments) & set(other.embodiments))
    if same and other.joints != first.joints:
        raise InputError(f"{pair} '{same[0]}' has {first.joints} joints in one and {other.joints} in the other")
    for camera in spec.cameras:
        sizes = [s.store.row_shape(f"images/{camera}") for s in (first, other)]
        if sizes[0] != sizes[1]:
            names = [f"{height}x{width}" for height, width, _ in sizes]
            raise InputError(
                f"{pair} camera '{camera}' is {names[0]} in one and {names[1]} in the other; "
                "make both at one --resolution, or leave the camera out"
            )


def features(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Recorded numbers of T steps as they are learnt from.

    Args:
        raw: `OpenSource.number_keys` -> rows, in their order.

    Returns:
        float32 arrays: `proprio` (T, J + 10): joints [rad], gripper opening, tool position [m], 6-D rotation;
        `action` (T, J + 1): joint targets [rad], gripper; `action_tool` (T, 10): target tool position [m], 6-D
        rotation, gripper; and `subtask` (T,) int8.
    """
    joints, gripper, tool, action, aim, subtask = raw.values()
    return {
        "proprio": np.concatenate([joints, gripper, pose_features(tool)], axis=1).astype(np.float32),
        "action": action,
        "action_tool": np.concatenate([pose_features(aim), action[:, -1:]], axis=1).astype(np.float32),
        "subtask": subtask,
    }
