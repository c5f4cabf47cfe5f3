"""Evaluations in the course of training, and which checkpoint they make the policy.

The rule is fixed before training starts, and is recorded with the figures of all candidates: the best of many is better
than its own figure foretells, so it has to be measured anew, in other scenes and never in a twin that it was chosen by.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from handful import InputError
from policies.policy import Policy


@dataclass(frozen=True)
class Rate:
    """Successes of a policy in one task and domain."""

    successes: int
    episodes: int

    @property
    def rate(self) -> float:
        """Share of the episodes that succeeded."""
        return self.successes / self.episodes


# Given the policy and the step: what was measured -> its figure. The same policy at the same step gives the same.
Evaluate = Callable[[Policy, int], Mapping[str, Rate]]


@dataclass(frozen=True)
class Evaluation:
    """What to measure in the course of training."""

    run: Evaluate
    # What is measured, as the checkpoint will say; a run whose policy is chosen by it goes on with the same alone.
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("an evaluation in training needs something to measure")


def candidate(step: int, results: Mapping[str, Rate]) -> dict[str, Any]:
    """What a checkpoint keeps of one evaluation."""
    figures = {name: {"successes": r.successes, "episodes": r.episodes} for name, r in results.items()}
    mean = sum(r.rate for r in results.values()) / len(results)
    return {"step": step, "mean_rate": mean, "results": figures}


def best_step(candidates: list[dict[str, Any]]) -> int | None:
    """The step with the highest mean rate over all that was measured, the latest of equals; None without any."""
    if not candidates:
        return None
    return int(max(candidates, key=lambda c: (c["mean_rate"], c["step"]))["step"])
