"""What a robustness suite found: each condition beside the baseline, scene by scene; are sentences obeyed?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.metrics.pairs import holm, mcnemar, outcomes_of_pairs, paired_difference
from pipelines.statistics import wilson_interval
from pipelines.tables import rate_text

# Names of conditions that are not named after a group of axes.
BASELINE, LANGUAGE, SWAP, DISTRACTORS, ALL = "baseline", "language", "swap", "distractors", "all"


def against_baseline(done: Mapping[str, np.ndarray], alpha: float) -> list[dict[str, Any]]:
    """Each condition beside the baseline, scene by scene.

    Args:
        done: condition -> (n,) whether each scene succeeded, the baseline among them.
        alpha: of all comparisons together (Holm).
    """
    base = done[BASELINE]
    rows = []
    for name, found in done.items():
        n, successes = len(found), int(found.sum())
        row: dict[str, Any] = {"condition": name, "successes": successes, "episodes": n}
        if name != BASELINE:
            won, lost = outcomes_of_pairs(found, base)
            row |= {
                "difference": (won - lost) / n,
                "ci": list(paired_difference(won, lost, n)),
                "pairs": {"condition_alone": won, "baseline_alone": lost},
                "p_value": mcnemar(won, lost),
            }
        rows.append(row)
    compared = [row for row in rows if "p_value" in row]
    for row, adjusted in zip(compared, holm([row["p_value"] for row in compared]), strict=True):
        row["p_holm"] = adjusted
        row["verdict"] = "undecided" if adjusted > alpha else "worse" if row["difference"] < 0 else "better"
    return rows


def obeyed(before: Sequence[Mapping[str, Any]], swapped: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether a policy follows the sentence or its habit: what it picked up once another object was asked for.

    Args:
        before: rows of the baseline.
        swapped: rows of the same scenes in which another object is asked for.

    Returns:
        "episodes"; "named" and "old", each with its count and `ci`: rollouts in which the object that is asked for,
        or the one that the baseline asks for, was picked up first. That is before any success, so no rollout succeeds
        at the old object that is not counted.
    """
    n = len(swapped)
    named = sum(row["taken"] == row["asked"] for row in swapped)
    old = sum(row["taken"] == was["asked"] for row, was in zip(swapped, before, strict=True))
    return {
        "episodes": n,
        **{
            name: {"episodes": count, "ci": list(wilson_interval(count, n))}
            for name, count in (("named", named), ("old", old))
        },
    }


def swap_text(found: Mapping[str, Any]) -> str:
    """What `obeyed` found, as a sentence."""
    named, old = (rate_text(found[name]["episodes"], found["episodes"]) for name in ("named", "old"))
    return f"swap, another object is asked for: the policy first picked up that one in {named}, the old one in {old}"
