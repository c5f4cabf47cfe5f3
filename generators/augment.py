"""The engine: seed demonstrations in, verified episodes of new scenes out, a chunk of scenes at a time.

Each scene goes through its subtasks: plan a path, follow it, keep it with objects that move, check at its end, go on.
What failed is tried again from where its subtask began, with other choices. Only what the judge accepts is rendered and
kept; everything random comes from the scene's own named streams, so a chunk is a pure function of the plan and its
index.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from generators.chunk import Chunk
from generators.crossing import fitted
from generators.demos import Demo
from generators.execution import MotionNoise
from generators.library import Library
from generators.looks import Looks
from generators.pilot import Pilot
from generators.recipe import ChunkResult, Options, Recipe
from generators.rendering import drawn_when_read
from generators.segmentation import segment
from scenes.domains import Domain
from scenes.scene import draw_scene
from scenes.workspace import Workspace
from trajectories import Episode

__all__ = ["ChunkResult", "Engine", "MotionNoise", "Options"]


class Engine:
    """Augments demonstrations of one task.

    Args:
        workspace: the task's world.
        demos: the seed demonstrations, of this robot or of others.
        domain: what scenes are drawn from.
        seed: the plan's seed.
        options: how.
        pilot: how well each demo served in scenes made before; None: there were none.

    Raises:
        InputError: a demo does not show the task, or none shows what the task may ask for.
    """

    def __init__(
        self,
        workspace: Workspace,
        demos: list[Demo],
        domain: Domain,
        seed: int,
        options: Options | None = None,
        pilot: Pilot | None = None,
    ) -> None:
        self.workspace, self.demos, self.domain, self.seed = workspace, demos, domain, seed
        self.options = options or Options()
        self.task, self.robot = workspace.task, workspace.embodiment
        plan = self.options.plan
        parts = [segment(demo, self.task, plan.signals, plan.search_cuts) for demo in demos]
        # Each demo's segments.
        self.cut = [[replace(part, demo=fitted(part.demo, self.robot)) for part in found] for found in parts]
        self.library = Library(self.cut, self.task, self.robot.chain, pilot)
        self._recipe = Recipe(workspace, demos, self.library, seed, self.options)

    def simulate(self, indices: list[int], keep_failed: bool = False) -> ChunkResult:
        """Generate scenes `indices` of the plan, without images.

        Args:
            indices: which; what a scene gives does not depend on the others.
            keep_failed: keep failed tries as well, apart from the episodes.
        """
        scenes = [draw_scene(self.workspace, self.domain, "generation", self.seed, i) for i in indices]
        return Chunk(self._recipe, scenes, keep_failed).run()

    @contextmanager
    def drawn(self, episodes: Sequence[Episode]) -> Iterator[list[Episode]]:
        """Kept episodes in each of their looks, with frames that are drawn as they are read, within the context."""
        drawing = self.options.drawing
        if drawing is None:
            yield list(episodes)
            return
        looks = Looks(self.options.appearances, self.domain.randomization)
        with drawing.open(self.workspace) as renderer:
            yield [
                drawn_when_read(self.workspace, seen, renderer, drawing)
                for episode in episodes
                for seen in looks.of(self.workspace, episode)
            ]

    def make(self, indices: list[int], keep_failed: bool = False) -> ChunkResult:
        """As `simulate`, with all frames in memory."""
        result = self.simulate(indices, keep_failed)
        with self.drawn(result.episodes) as episodes:
            read = [{key: np.asarray(value) for key, value in episode.arrays.items()} for episode in episodes]
        result.episodes = [Episode(arrays, episode.meta) for arrays, episode in zip(read, episodes, strict=True)]
        return result
