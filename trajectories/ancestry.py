"""What a stored episode was made from, as the plans along the way say: a compaction of a rendering of a generation.

A plan that builds on other stores holds their plans under "plans", so a store can say how it came to be when these are
long gone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trajectories.dataset import Dataset
from trajectories.schema import EpisodeMeta
from trajectories.views import View

Plan = Mapping[str, Any]


def lineages(dataset: Dataset, episode: int) -> list[tuple[Plan, ...]]:
    """How an episode may have come to be: plans from that of the store which holds it to that which began it.

    More than one only where a store was put together from several that drew the same scenes.
    """
    store: Dataset = dataset.whereabouts(episode)[0] if isinstance(dataset, View) else dataset
    meta = dataset.meta(episode)
    return [line for line in _lines(store.plan) if _began(line[-1], meta)]


def lines_beneath(dataset: Dataset) -> list[tuple[Plan, ...]]:
    """Every way in which what a data set holds came to be, as `lineages` has it for one episode."""
    stores: list[Dataset] = list(dataset.stores) if isinstance(dataset, View) else [dataset]
    return [line for store in stores for line in _lines(store.plan)]


def _lines(plan: Plan) -> Iterator[tuple[Plan, ...]]:
    beneath = plan.get("plans")
    if not beneath:
        yield (plan,)
        return
    for older in beneath:
        for line in _lines(older):
            yield (plan, *line)


def _began(plan: Plan, meta: EpisodeMeta) -> bool:
    """Whether a plan may have begun an episode: nothing that it says contradicts what the episode says."""
    task, seed = str(plan.get("task", meta.task)), meta.seeds.get("seed")
    same_level = task.partition(":")[2] in ("", meta.extra.get("level", ""))
    return task.partition(":")[0] == meta.task and same_level and plan.get("seed", seed) == seed
