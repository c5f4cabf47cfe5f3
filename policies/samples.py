"""From the loader's physical batches to the network's tensors: one way for training, validation and inference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from handful import unknown_name
from policies.language import Vocabulary
from policies.normalisation import Normaliser
from policies.stage import Subtasks
from policies.statistics import RobotStatistics, rows_of


@dataclass
class Sample:
    """One batch, normalised; images still as recorded."""

    images: dict[str, Tensor]  # camera -> (B, H, W, 3) uint8
    words: Tensor  # (B, W) int64
    proprio: Tensor  # (B, P) float32
    embodiment: Tensor  # (B,) int64
    domain: Tensor  # (B,) int64, 0 = not said
    actions: Tensor  # (B, H, A) float32
    valid: Tensor  # (B, H) bool
    waypoints: Tensor  # (B, K, 3) float32
    subtask: Tensor  # (B,) int64, the sentence of the subtask under way, -1 = not known
    progress: Tensor  # (B,) float32, share of the episode that is over
    # With a history, images are (B, T, H, W, 3) and proprio (B, T, P), the oldest first; which are of the episode.
    history_mask: Tensor | None = None  # (B, T) bool


@dataclass(frozen=True)
class Preparer:
    """Knows the words, robots, domains and statistics of one policy."""

    vocabulary: Vocabulary
    # Longest instruction [words].
    words: int
    cameras: tuple[str, ...]
    # What the numbers of each robot are scaled by.
    statistics: RobotStatistics
    # Known domains; index + 1 goes to the network.
    domains: tuple[str, ...]
    # Steps ahead of the auxiliary head.
    waypoints: tuple[int, ...]
    # What it can say of subtasks.
    subtasks: Subtasks = field(default_factory=Subtasks)

    def to_json(self) -> dict[str, Any]:
        """The part of a checkpoint's JSON that says what the network's numbers mean."""
        return {
            "vocabulary": list(self.vocabulary.words),
            "words": self.words,
            "cameras": list(self.cameras),
            **self.statistics.to_json(),
            "domains": list(self.domains),
            "waypoints": list(self.waypoints),
            "subtasks": self.subtasks.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Preparer":
        """The inverse of `to_json`.

        Raises:
            InputError: the record says nothing about statistics for one of its embodiments.
        """
        return cls(
            Vocabulary(tuple(record["vocabulary"])),
            record["words"],
            tuple(record["cameras"]),
            RobotStatistics.from_json(record),
            tuple(record["domains"]),
            tuple(record["waypoints"]),
            Subtasks.from_json(record["subtasks"]),
        )

    @property
    def normalisers(self) -> Mapping[str, Normaliser]:
        """Embodiment name -> statistics of all its data; the order gives the index."""
        return self.statistics.robots

    def embodiment_index(self, name: str) -> int:
        """Index of an embodiment, or an error that lists those this policy drives."""
        if name not in self.normalisers:
            raise unknown_name("embodiment", name, self.normalisers)
        return list(self.normalisers).index(name)

    def domain_index(self, name: str | None) -> int:
        """Number of a domain; 0 where it is not said."""
        if name is None:
            return 0
        if name not in self.domains:
            raise unknown_name("domain", name, self.domains)
        return self.domains.index(name) + 1

    def prepare(self, batch: Mapping[str, Any]) -> Sample:
        """A loader batch as tensors. Domains that training did not show count as not said."""
        names: Sequence[str] = batch["embodiment"]
        indices = [self.embodiment_index(name) for name in names]
        count, ahead = len(names), next(iter(self.normalisers.values())).action_mean.shape[0]
        widest = max(n.proprio_size for n in self.normalisers.values())
        numbers = max(n.action_size for n in self.normalisers.values())
        # What a narrower robot does not have stays 0.
        proprio = np.zeros((*batch["proprio"].shape[:-1], widest), np.float32)
        actions = np.zeros((count, ahead, numbers), np.float32)
        far = np.zeros((count, len(self.waypoints), 3), np.float32)
        pairs = list(zip(names, batch["domain"], strict=True))
        for pair in sorted(set(pairs)):
            rows = np.array([i for i, other in enumerate(pairs) if other == pair])
            normaliser = self.statistics.of(*pair)
            part = rows_of(batch, rows, normaliser.proprio_size - 10)
            given = batch["proprio"][rows][..., : normaliser.proprio_size]
            proprio[rows, ..., : normaliser.proprio_size] = normaliser.proprio(given)
            actions[rows, :, : normaliser.action_size] = normaliser.actions(part)
            far[rows] = normaliser.waypoints(part, self.waypoints)
        subtasks = zip(batch["instruction"], batch["subtask"].tolist(), strict=True)
        return Sample(
            # Already tensors where the data is resident on the device.
            images={camera: torch.as_tensor(batch[f"images/{camera}"]) for camera in self.cameras},
            words=self.vocabulary.encode(batch["instruction"], self.words),
            proprio=torch.from_numpy(proprio),
            embodiment=torch.tensor(indices),
            domain=torch.tensor([self.domains.index(d) + 1 if d in self.domains else 0 for d in batch["domain"]]),
            actions=torch.from_numpy(actions),
            valid=torch.from_numpy(np.ascontiguousarray(batch["action_mask"][:, :ahead])),
            waypoints=torch.from_numpy(far),
            subtask=torch.tensor([self.subtasks.index(*told) for told in subtasks]),
            progress=torch.from_numpy(batch["progress"]),
            history_mask=torch.from_numpy(batch["history_mask"]) if "history_mask" in batch else None,
        )
