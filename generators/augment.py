"""The engine: seed demonstrations in, verified episodes of new scenes out, a chunk of scenes at a time.

Each scene goes through its subtasks: plan a path, follow it, keep it with objects that move, check at its end, go on.
What failed is tried again from where its subtask began, with other choices. Only what the judge accepts is rendered and
kept; everything random comes from the scene's own named streams, so a chunk is a pure function of the plan and its
index.
"""

from dataclasses import replace

from generators.chunk import Chunk
from generators.crossing import fitted
from generators.demos import Demo
from generators.execution import MotionNoise
from generators.library import Library
from generators.recipe import ChunkResult, Options, Recipe
from generators.segmentation import segment
from scenes.domains import Domain
from scenes.scene import draw_scene
from scenes.workspace import Workspace

__all__ = ["ChunkResult", "Engine", "MotionNoise", "Options"]


class Engine:
    """Augments demonstrations of one task.

    Args:
        workspace: the task's world.
        demos: the seed demonstrations, of this robot or of others.
        domain: what scenes are drawn from.
        seed: the plan's seed.
        options: how.

    Raises:
        InputError: a demo does not show the task, or none shows what the task may ask for.
    """

    def __init__(
        self, workspace: Workspace, demos: list[Demo], domain: Domain, seed: int, options: Options | None = None
    ) -> None:
        self.workspace, self.demos, self.domain, self.seed = workspace, demos, domain, seed
        self.options = options or Options()
        self.task, self.robot = workspace.task, workspace.embodiment
        plan = self.options.plan
        parts = [segment(demo, self.task, plan.signals, plan.search_cuts) for demo in demos]
        cut = [[replace(part, demo=fitted(part.demo, self.robot)) for part in found] for found in parts]
        self.library = Library(cut, self.task)
        self._recipe = Recipe(workspace, demos, self.library, seed, self.options)

    def make(self, indices: list[int], keep_failed: bool = False) -> ChunkResult:
        """Generate scenes `indices` of the plan.

        Args:
            indices: which; what a scene gives does not depend on the others.
            keep_failed: keep failed tries as well, apart from the episodes.
        """
        scenes = [draw_scene(self.workspace, self.domain, "generation", self.seed, i) for i in indices]
        return Chunk(self._recipe, scenes, keep_failed).run()
