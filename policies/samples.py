"""From the loader's physical batches to the network's tensors: one way for training, validation and inference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from handful import InputError, unknown_name
from policies.language import Vocabulary
from policies.normalisation import Normaliser, statistics_hash


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

    def to(self, device: torch.device) -> "Sample":
        """The same on a device."""
        images = {camera: value.to(device) for camera, value in self.images.items()}
        rest = (self.words, self.proprio, self.embodiment, self.domain, self.actions, self.valid, self.waypoints)
        return Sample(images, *(value.to(device) for value in rest))


@dataclass(frozen=True)
class Preparer:
    """Knows the words, robots, domains and statistics of one policy."""

    vocabulary: Vocabulary
    # Longest instruction [words].
    words: int
    cameras: tuple[str, ...]
    # Embodiment name -> statistics; the order gives the index.
    normalisers: Mapping[str, Normaliser]
    # Known domains; index + 1 goes to the network.
    domains: tuple[str, ...]
    # Steps ahead of the auxiliary head.
    waypoints: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The part of a checkpoint's JSON that says what the network's numbers mean."""
        return {
            "vocabulary": list(self.vocabulary.words),
            "words": self.words,
            "cameras": list(self.cameras),
            "embodiments": list(self.normalisers),
            "statistics": {name: n.to_json() for name, n in self.normalisers.items()},
            "statistics_hash": statistics_hash(self.normalisers),
            "domains": list(self.domains),
            "waypoints": list(self.waypoints),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Preparer":
        """The inverse of `to_json`.

        Raises:
            InputError: the record says nothing about statistics for one of its embodiments.
        """
        statistics = record.get("statistics", {})
        missing = [name for name in record["embodiments"] if name not in statistics]
        if missing or not record["embodiments"]:
            raise InputError(f"the checkpoint has no normalisation statistics for {', '.join(missing) or 'any robot'}")
        return cls(
            Vocabulary(tuple(record["vocabulary"])),
            record["words"],
            tuple(record["cameras"]),
            {name: Normaliser.from_json(statistics[name]) for name in record["embodiments"]},
            tuple(record["domains"]),
            tuple(record["waypoints"]),
        )

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
        pieces = []
        for name in sorted(set(names)):
            rows = np.array([i for i, other in enumerate(names) if other == name])
            part = {key: batch[key][rows] for key in ("proprio", "action", "action_tool", "action_mask")}
            normaliser = self.normalisers[name]
            pieces.append(
                (
                    rows,
                    normaliser.proprio(part["proprio"]),
                    normaliser.actions(part),
                    normaliser.waypoints(part, self.waypoints),
                )
            )
        order = np.argsort(np.concatenate([rows for rows, *_ in pieces]), kind="stable")
        proprio, actions, far = (np.concatenate([p[i] for p in pieces])[order] for i in (1, 2, 3))
        return Sample(
            # Already tensors where the data is resident on the device.
            images={camera: torch.as_tensor(batch[f"images/{camera}"]) for camera in self.cameras},
            words=self.vocabulary.encode(batch["instruction"], self.words),
            proprio=torch.from_numpy(proprio),
            embodiment=torch.tensor(indices),
            domain=torch.tensor([self.domains.index(d) + 1 if d in self.domains else 0 for d in batch["domain"]]),
            actions=torch.from_numpy(actions),
            valid=torch.from_numpy(np.ascontiguousarray(batch["action_mask"][:, : actions.shape[1]])),
            waypoints=torch.from_numpy(far),
        )


def fit_normalisers(batches: Sequence[Mapping[str, Any]], space: Any, horizon: int, waypoints: tuple[int, ...]) -> dict:
    """A `Normaliser` per embodiment that occurs in the batches, by sorted name."""
    names = sorted({name for batch in batches for name in batch["embodiment"]})
    if not names:
        raise InputError("statistics need at least one window of data; there is none")
    result = {}
    for name in names:
        parts = []
        for batch in batches:
            rows = np.array([other == name for other in batch["embodiment"]])
            parts.append({k: batch[k][rows] for k in ("proprio", "action", "action_tool", "action_mask")})
        result[name] = Normaliser.fit(space, parts, horizon, waypoints)
    return result
