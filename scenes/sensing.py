"""What sensors report, and when: joint angles with the noise of the scene's encoders, frames that come late or not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handful import keyed_uniform, name_salt
from scenes.randomization.drawing import value_of
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


def sees_late(ledger: Mapping[str, Any]) -> bool:
    """Whether a scene's cameras show what was, not what is. Imported data does not say: it is as it was seen."""
    camera = ledger.get("camera", {})
    return any(value_of(camera, axis) > 0 for axis in ("camera_latency", "frame_drops"))


def seen_steps(ledger: Mapping[str, Any], steps: np.ndarray, rate: float) -> np.ndarray:
    """Which control steps' frames are seen at control steps (n,): the same ones, unless the scene's cameras are late.

    A camera takes a frame before each control step. A late one is whole control steps old: the two ages next to the
    latency alternate by chance, so that it is right on average. Where a frame was lost, the last one before it is seen;
    the first is never lost. All of it follows from the ledger, so frames drawn later are those that a policy would see.

    Args:
        ledger: of the scene.
        steps: numbers of control steps since the episode's start.
        rate: control steps per second [Hz].
    """
    if not sees_late(ledger):
        return steps
    age, drops = value_of(ledger["camera"], "camera_latency") * rate, value_of(ledger["camera"], "frame_drops")
    key = np.array(ledger["physics"]["jitter_seed"], np.uint64)

    def chance(name: str, numbers: np.ndarray) -> np.ndarray:
        return keyed_uniform(key, np.uint64(name_salt(name)) + numbers.astype(np.uint64))

    taken = np.arange(steps.max() + 1)
    there = np.maximum.accumulate(np.where(chance("frame_drops", taken) < drops, 0, taken))
    late = np.floor(age + chance("camera_latency", steps)).astype(int)
    return np.asarray(there[np.maximum(steps - late, 0)])
