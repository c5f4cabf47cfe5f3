"""What makes a comparison less than it looks: said beside the figures, not found out by a reviewer.

A flag does not stop a comparison. It is a sentence that travels with its result.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Below this, the interval of a correlation is most of [-1, 1].
FEW_POLICIES = 6


def few_policies(count: int) -> list[str]:
    """Correlations of a handful of policies say next to nothing."""
    if count >= FEW_POLICIES:
        return []
    return [f"only {count} policies: a correlation of fewer than {FEW_POLICIES} says very little; see its interval"]


def repeats(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rollouts that are copies of one another: a deterministic policy in one world, run n times, is one rollout.

    Args:
        rows: of an evaluation's table; those without a digest of what happened are not looked at.
    """
    digests = Counter(row["digest"] for row in rows if row.get("digest"))
    copies = sum(count - 1 for count in digests.values())
    if not copies:
        return []
    return [
        f"{copies:,} of {sum(digests.values()):,} rollouts repeat another one exactly: they are one observation, "
        f"so n is {len(digests):,} at most"
    ]


def counted_twice(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same scene of the same seed more than once in one domain."""
    scenes = Counter((row["domain"], row["seed"], row["scene"]) for row in rows)
    twice = sum(count - 1 for count in scenes.values())
    return [f"{twice:,} scenes are in the table more than once"] if twice else []


def mixed_versions(versions: Iterable[str | None], what: str = "MuJoCo") -> list[str]:
    """Rollouts of several versions of the simulator: contact dynamics change between them."""
    known = sorted({version for version in versions if version})
    return [f"rollouts of {what} {' and '.join(known)} are compared; contacts may differ"] if len(known) > 1 else []


def sealed_selection(domains: Iterable[str], chosen_by: str | None) -> list[str]:
    """A policy or checkpoint that was chosen by its success in a twin kept for the test.

    Args:
        domains: what is evaluated in.
        chosen_by: the domain by which it was chosen, if any.
    """
    if chosen_by is None or not chosen_by.startswith("twin/test"):
        return []
    told = " and is measured there again: the rate is too high" if chosen_by in domains else ""
    return [f"the policy was chosen by its success in '{chosen_by}', which is kept for the test{told}"]


def shared_scenes(evaluation: Mapping[str, Any], training: Iterable[Mapping[str, Any]]) -> list[str]:
    """Scenes that were trained on and are evaluated on.

    Args:
        evaluation: `namespace`, `seed` and `scenes` (a collection of indices).
        training: the same of each source of training data.
    """
    flags = []
    for source in training:
        if (source["namespace"], source["seed"]) != (evaluation["namespace"], evaluation["seed"]):
            continue
        shared = len(set(source["scenes"]) & set(evaluation["scenes"]))
        if shared:
            flags.append(
                f"{shared:,} of {len(set(evaluation['scenes'])):,} scenes (namespace {evaluation['namespace']}, "
                f"seed {evaluation['seed']}) were trained on"
            )
    return flags
