"""The engine: seed demonstrations in, verified episodes of new scenes out, a chunk of scenes at a time.

All scenes of a chunk advance in lock-step, subtask by subtask: plan every scene's path in one batch, execute until each
has done its subtask, check, go on. Scenes that failed are tried again from their beginning with other choices. Only
what the judge accepts is rendered and kept; everything random comes from the scene's own named streams, so a chunk is a
pure function of the plan and its index.
"""

from dataclasses import replace

from generators.chunk import Chunk, ChunkResult, Options, Recipe
from generators.crossing import fitted
from generators.demos import Demo
from generators.execution import MotionNoise
from generators.library import Library
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

    def make(self, indices: list[int]) -> ChunkResult:
        """Generate scenes `indices` of the plan."""
        scenes = [draw_scene(self.workspace, self.domain, "generation", self.seed, i) for i in indices]
        return Chunk(self._recipe, scenes).run()
