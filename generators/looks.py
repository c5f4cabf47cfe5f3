"""Other looks of an episode: what happened stays to the bit, colours, light and cameras are drawn anew.

A scene has any number of looks, counted from 0, each drawn from the scene's stream `appearance` at the attempt of that
number. So look 3 of a scene is the same whoever asks for it, and asking for more changes none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handful import InputError, stream_key
from scenes.appearance import fields_from_ledger
from scenes.randomization import AXES, Randomization
from scenes.scene import LOOK_GROUPS, draw_look, rebuild_scene
from scenes.workspace import Workspace
from trajectories import Episode

# Every axis that changes what is seen and nothing that happens.
LOOK_AXES = tuple(axis.name for axis in AXES.values() if axis.group in LOOK_GROUPS)


@dataclass(frozen=True)
class Looks:
    """The looks that each episode is to have.

    Attributes:
        count: how many.
        randomization: what they are drawn from.
        changed: axes of which even the first look is drawn anew; the others keep in it what the scene drew.
    """

    count: int
    randomization: Randomization
    changed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"appearances must be at least 1, got {self.count}")

    def of(self, workspace: Workspace, episode: Episode) -> Iterator[Episode]:
        """The episode in each of its looks, without images; the first is its own where nothing is changed.

        Raises:
            InputError: it has several looks already, or no ledger of a scene.
        """
        own = episode.meta.look
        if own and self.count > 1:
            raise InputError(
                f"scene {episode.meta.scene} is seen in its look {own} already; draw {self.count} looks of the data "
                "set that it was drawn from"
            )
        for look in range(own, own + self.count):
            axes = self.changed if look == own else LOOK_AXES
            yield _seen_in(workspace, episode, self.randomization, look, axes) if axes else episode


def _seen_in(
    workspace: Workspace,
    episode: Episode,
    randomization: Randomization,
    look: int,
    axes: frozenset[str] | tuple[str, ...],
) -> Episode:
    scene = rebuild_scene(episode.meta)
    scene = draw_look(workspace, scene, randomization, look, axes)
    fields = fields_from_ledger(scene.ledger, workspace.model, workspace.slots, workspace.task, workspace.embodiment)
    arrays = dict(episode.arrays)
    for name, value in fields.items():
        arrays[f"model/{name}"] = np.asarray(value, arrays[f"model/{name}"].dtype)[None]
    seeds: dict[str, Any] = dict(episode.meta.seeds)
    key = list(stream_key(scene.namespace, workspace.task.name, scene.index, "appearance", look))
    seeds["keys"] = {**seeds["keys"], "appearance": key}
    return Episode(arrays, replace(episode.meta, ledger=scene.ledger, seeds=seeds))
