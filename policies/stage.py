"""How far the policy thinks it is: the sentence of the subtask under way, and progress.

A small perceptron on the prefix's summary. By default it reads and does not teach: its gradient stops at the summary,
so that a policy with it acts like one without. Subtasks are told apart as classes, one for each sentence that the
training data has; what the data does not tell is not learnt from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn


@dataclass(frozen=True)
class Subtasks:
    """The sentences that a policy can say, and which of them belong to an instruction."""

    # Each once.
    sentences: tuple[str, ...] = ()
    # Instruction -> its subtasks in order, as places in `sentences`.
    steps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def build(cls, steps: Mapping[str, Sequence[str]]) -> "Subtasks":
        """From the sentences of the subtasks of each instruction."""
        sentences = tuple(sorted({sentence for told in steps.values() for sentence in told}))
        return cls(sentences, {key: tuple(map(sentences.index, told)) for key, told in sorted(steps.items())})

    def joined(self, other: "Subtasks") -> "Subtasks":
        """These sentences in their places, then those of `other` that are new; where both know an instruction, `other`
        is right.
        """
        sentences = (*self.sentences, *(one for one in other.sentences if one not in self.sentences))
        places = [sentences.index(one) for one in other.sentences]
        theirs = {key: tuple(places[i] for i in told) for key, told in other.steps.items()}
        return Subtasks(sentences, {**self.steps, **theirs})

    def index(self, instruction: str, subtask: int) -> int:
        """Place of the sentence of a subtask; -1 where it is not known."""
        told = self.steps.get(instruction, ())
        return told[subtask] if 0 <= subtask < len(told) else -1

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        return {"sentences": list(self.sentences), "steps": {key: list(told) for key, told in self.steps.items()}}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Subtasks":
        """The inverse of `to_json`."""
        return cls(tuple(record["sentences"]), {key: tuple(told) for key, told in record["steps"].items()})


@dataclass
class Stage:
    """What the policy says of B rows."""

    sentences: Tensor  # (B, S) logits of the sentences
    progress: Tensor  # (B,) in [0, 1], share of the episode that is over


class StageHead(nn.Module):
    """From the summary to a `Stage`."""

    def __init__(self, width: int, sentences: int, teaches: bool):
        """Build.

        Args:
            width: of the summary.
            sentences: S, those that can be said.
            teaches: whether its gradient reaches the prefix.
        """
        super().__init__()
        self.teaches = teaches
        self.hidden = nn.Linear(width, width)
        self.say = nn.Linear(width, sentences)
        self.progress = nn.Linear(width, 1)

    def forward(self, summary: Tensor) -> Stage:
        """Read the (B, width) summary."""
        hidden = nnf.silu(self.hidden(summary if self.teaches else summary.detach()))
        return Stage(self.say(hidden), self.progress(hidden)[:, 0].sigmoid())

    def losses(self, summary: Tensor, subtask: Tensor, progress: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the sentence [nats], over rows that have one, and squared error of the progress.

        Args:
            summary: (B, width).
            subtask: (B,) int64, the sentence of the subtask under way; -1 where the data has none.
            progress: (B,) in [0, 1].
        """
        stage = self(summary)
        told = nnf.cross_entropy(stage.sentences, subtask, ignore_index=-1, reduction="sum")
        return {
            "subtask": told / (subtask >= 0).sum().clamp(min=1),
            "progress": torch.mean((stage.progress - progress) ** 2),
        }
