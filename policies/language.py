"""Words to numbers: a word-level tokenizer built from the training sentences and stored with the policy.

A policy trained from scratch knows no language but its data's. A word it never read becomes UNKNOWN, and the caller can
ask which words those are, so that an evaluation can report them instead of passing off a guess as understanding.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from handful import InputError

PADDING, UNKNOWN = 0, 1
_RESERVED = 2
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[^\sa-z0-9]")


def split_words(sentence: str) -> list[str]:
    """Lower-case words, numbers and punctuation marks, in order."""
    return _WORD.findall(sentence.lower())


@dataclass(frozen=True)
class Vocabulary:
    """The words a policy knows; the id of `words[i]` is i + 2, after padding and unknown."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words):
            raise InputError("a vocabulary's words must differ")

    @classmethod
    def build(cls, sentences: Iterable[str]) -> "Vocabulary":
        """All words of the sentences, sorted, so that the order of the data does not matter."""
        words = sorted({word for sentence in sentences for word in split_words(sentence)})
        if not words:
            raise InputError("there is no instruction to learn words from; every episode needs one")
        return cls(tuple(words))

    def __len__(self) -> int:
        """Number of ids, padding and unknown included."""
        return len(self.words) + _RESERVED

    def unknown_words(self, sentence: str) -> list[str]:
        """The sentence's words that training never showed, in order."""
        known = set(self.words)
        return [word for word in split_words(sentence) if word not in known]

    def encode(self, sentences: Sequence[str], length: int) -> Tensor:
        """Ids (B, length) int64, padded with 0.

        Raises:
            InputError: a sentence has no words, or more than `length`.
        """
        index = {word: i + _RESERVED for i, word in enumerate(self.words)}
        rows: dict[str, list[int]] = {}
        for sentence in sentences:
            if sentence in rows:
                continue
            ids = [index.get(word, UNKNOWN) for word in split_words(sentence)]
            if not ids:
                raise InputError("an instruction is empty; say what to do, e.g. 'lift the red cube'")
            if len(ids) > length:
                raise InputError(f"instruction '{sentence}' has {len(ids)} words; this policy reads at most {length}")
            rows[sentence] = ids + [PADDING] * (length - len(ids))
        return torch.tensor([rows[sentence] for sentence in sentences], dtype=torch.int64).reshape(-1, length)
