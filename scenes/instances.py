"""What a segmentation's numbers mean: the same thing has the same number in every scene of a task.

0 is nothing, then come room, table and robot, then the task's objects in their order, distractors last.
"""

from dataclasses import dataclass, field

import numpy as np

from scenes.workspace import Workspace

SURROUNDINGS = ("nothing", "room", "table", "robot")


@dataclass(frozen=True)
class Instances:
    """The things that can be told apart in a task's pictures.

    Attributes:
        names: what each number stands for.
        of_geom: (G + 1,) uint8 number of each geom's thing; the last is that of no geom.
    """

    names: tuple[str, ...]
    of_geom: np.ndarray = field(repr=False, compare=False)

    def label(self, geoms: np.ndarray) -> np.ndarray:
        """Numbers of things, uint8, for a segmentation by geoms, where -1 is none."""
        found: np.ndarray = self.of_geom[geoms]
        return found


def instances_of(workspace: Workspace) -> Instances:
    """The things in a workspace."""
    model, objects = workspace.model, workspace.task.objects
    names = (*SURROUNDINGS, *objects)
    body_number = np.full(model.nbody, names.index("robot"), np.uint8)
    body_number[0] = names.index("room")
    for name in ("table", *objects):
        body_number[model.body(name).id] = names.index(name)
    return Instances(names, np.append(body_number[model.geom_bodyid], np.uint8(0)))
