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
    for row, (scene, stream) in enumerate(zip(scenes, streams, strict=True)):
        std = scene.ledger["physics"]["proprioceptive_noise"]
        if std:
            joints[row] += std * stream.standard_normal(joints.shape[1])
    return joints
