"""What the planner sees of the objects: poses, off by as much as a pose estimator's are. The judge sees the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from handful import InputError
from scenes.task import World
from sim.transforms import quat_multiply


@dataclass(frozen=True)
class Perception:
    """How far off the poses are that the planner sees, drawn anew at each look and for each object."""

    # Each coordinate by up to this, uniformly [m].
    position: float = 0.0
    # Turned about a random axis by up to this, uniformly [rad].
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.position < 0.1:
            raise InputError(f"perception.position must be at least 0 and below 0.1 m, got {self.position}")
        if not 0 <= self.angle < 1:
            raise InputError(f"perception.angle must be at least 0 and below 1 rad, got {self.angle}")

    def slack(self, lever: float) -> float:
        """How far apart two looks at the same pose can seem, with angles at a lever [m]."""
        return 2.0 * (np.sqrt(3.0) * self.position + lever * self.angle)

    def look(self, world: World, streams: Sequence[np.random.Generator]) -> World:
        """What is seen of n scenes.

        Args:
            world: the scenes as they are.
            streams: their n "sensor_noise" streams; nothing is drawn where nothing is off.
        """
        if self.position == 0 and self.angle == 0:
            return world
        objects = {name: pose.copy() for name, pose in world.objects.items()}
        for row, stream in enumerate(streams):
            for pose in objects.values():
                pose[row, :3] += stream.uniform(-self.position, self.position, 3)
                axis = stream.standard_normal(3)
                half = stream.uniform(-self.angle, self.angle) / 2
                turn = np.concatenate([[np.cos(half)], np.sin(half) * axis / np.linalg.norm(axis)])
                pose[row, 3:] = quat_multiply(turn, pose[row, 3:])
        return replace(world, objects=objects)
