"""What makes scenes into episodes, and what comes of a chunk of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from generators.demos import Demo
from generators.execution import MotionNoise
from generators.library import Library
from generators.options import PlanOptions
from generators.perception import Perception
from generators.rendering import Drawing
from handful import InputError
from scenes.workspace import TIMESTEP, Workspace, check_timestep
from trajectories import Episode


@dataclass(frozen=True)
class Options:
    """Everything that shapes a data set besides its seed and demos."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    noise: MotionNoise = field(default_factory=MotionNoise)
    perception: Perception = field(default_factory=Perception)
    cameras: tuple[str, ...] = ()
    resolution: int = 84
    # Beside the images of each camera: how far away everything is, and what it is.
    depth: bool = False
    segmentation: bool = False
    # Looks of each kept episode.
    appearances: int = 1
    # Length of a physics step [s].
    physics_step: float = TIMESTEP
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("appearances", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_timestep(self.physics_step)

    @property
    def drawing(self) -> Drawing | None:
        """What is drawn of a kept episode; None: nothing."""
        return Drawing(self.cameras, self.resolution, self.depth, self.segmentation) if self.cameras else None


@dataclass(frozen=True)
class Recipe:
    """What makes scenes into episodes.

    Attributes:
        workspace: the task's world.
        demos: the seed demonstrations.
        library: their segments.
        seed: the plan's seed.
        options: how.
    """

    workspace: Workspace
    demos: list[Demo]
    library: Library
    seed: int
    options: Options


@dataclass
class ChunkResult:
    """What a chunk of scenes gave.

    Attributes:
        episodes: the kept ones, in scene order, without images unless `Engine.make` drew them.
        scenes: per scene the record that docs/contracts.md describes.
        failed: with `keep_failed`, the failed tries as episodes without images, in scene order and then in theirs.
        dumps: scene index -> arrays of the states before a divergence.
        physics_steps: engine steps taken.
    """

    episodes: list[Episode] = field(default_factory=list)
    scenes: list[dict[str, Any]] = field(default_factory=list)
    failed: list[Episode] = field(default_factory=list)
    dumps: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    physics_steps: int = 0
