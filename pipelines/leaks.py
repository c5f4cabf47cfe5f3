"""Has a policy met the twin that it is measured in? Its training data, held against the twins of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handful import HandfulError
from scenes.domains import Domain
from scenes.randomization import Randomization
from scenes.twins import leak
from trajectories import open_dataset


def training_leaks(sources: Sequence[Mapping[str, Any]], domains: Sequence[Domain]) -> list[str]:
    """A sentence for each twin that training data reaches into, and for each source of which that cannot be said.

    Args:
        sources: of a checkpoint's record; "path" is looked at.
        domains: that the policy is to be measured in.
    """
    twins = [domain for domain in domains if domain.name.startswith("twin/")]
    if not twins:
        return []
    drawn: dict[str, Randomization] = {}
    notes = []
    for source in sources:
        name = Path(source["path"]).name
        try:
            plan = open_dataset(source["path"]).plan
        except HandfulError as error:
            notes.append(f"whether '{name}' has met these twins cannot be said: {error}")
            continue
        # Imported data and recordings were not drawn from a stated randomisation.
        if "randomization" in plan:
            drawn[name] = Randomization(plan["randomization"])
    for domain in twins:
        for name, randomization in drawn.items():
            sentence = leak(randomization, domain.randomization).sentence(domain.name, name)
            if sentence is not None:
                notes.append(sentence)
    return notes
