"""What the robot's own sensors report: joint angles with the noise of the scene's encoders."""

from collections.abc import Sequence

import numpy as np

from scenes.scene import Scene
from sim.batch import BatchSim
from sim.transforms import Array


def measure_joints(
    sim: BatchSim, ids: np.ndarray, scenes: Sequence[Scene], streams: Sequence[np.random.Generator]
) -> Array:
    """Joint angles (n, J) as a policy would see them [rad]: in the encoders' angles, with the scenes' sensor noise.

    A scene without such noise draws nothing from its stream.

    Args:
        sim: the batch.
        ids: where the scenes are, (n,).
        scenes: the n scenes.
        streams: their n "sensor_noise" streams.
    """
    joints = sim.joint_position(ids)
    std = np.array([scene.ledger["physics"]["proprioceptive_noise"] for scene in scenes])
    rows = np.flatnonzero(std)
    noise = np.empty((len(rows), joints.shape[1]))
    for row, drawn in zip(rows, noise, strict=True):
        streams[int(row)].standard_normal(out=drawn)
    joints[rows] += std[rows, None] * noise
    return joints
