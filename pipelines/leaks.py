"""Has a policy met what it is measured in? Its training data, held against the twins and scenes of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful import HandfulError
from pipelines.metrics.flags import shared_scenes
from scenes.domains import Domain
from scenes.randomization import Randomization
from scenes.task import split_task
from scenes.twins import leak
from trajectories import open_dataset
from trajectories.dataset import Dataset


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


def scene_leaks(sources: Sequence[Mapping[str, Any]], task: str, seed: int, episodes: int) -> list[str]:
    """A sentence for each source that has episodes of the scenes of an evaluation: only the first `episodes` are meant.

    Sources that are gone are left to `training_leaks`.

    Args:
        sources: of a checkpoint's record; "path" is looked at.
        task: that is evaluated, with its level.
        seed: of the evaluation.
        episodes: scenes 0 to this are evaluated on.
    """
    measured = {"namespace": "evaluation", "seed": seed, "scenes": range(episodes)}
    notes = []
    for source in sources:
        try:
            dataset = open_dataset(source["path"])
            scenes = _evaluation_scenes(dataset, split_task(task)[0], seed, episodes)
        except HandfulError:
            continue
        trained = {"namespace": "evaluation", "seed": seed, "scenes": scenes}
        notes += [f"'{Path(source['path']).name}': {flag}" for flag in shared_scenes(measured, [trained])]
    return notes


def _evaluation_scenes(dataset: Dataset, task: str, seed: int, episodes: int) -> list[int]:
    """Scenes of the namespace of evaluation below `episodes` of which a data set has episodes."""
    if dataset.plan.get("kind") == "generation":
        return []  # drawn in the namespace of generation
    index = dataset.index()
    tasks = index.categories["task"]
    named = np.array([value == task for value in tasks.values], bool)
    near = np.flatnonzero(named[tasks.codes] & (index.seed == seed) & (index.scene >= 0) & (index.scene < episodes))
    return [int(index.scene[i]) for i in near if dataset.meta(int(i)).seeds.get("namespace") == "evaluation"]
