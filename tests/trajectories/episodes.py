"""Small valid episodes for the tests of this folder."""

from typing import Any

import numpy as np

from trajectories.schema import Episode, EpisodeMeta

CAMERAS = ("front", "wrist")


def make_meta(scene: int = 0, **changes: Any) -> EpisodeMeta:
    fields: dict[str, Any] = {
        "task": "lift",
        "embodiment": "panda",
        "domain": "sim",
        "control_rate": 20.0,
        "instruction": "lift the red cube",
        "paraphrases": ("pick up the red cube", "raise the red cube"),
        "outcome": "success",
        "operator": "augmentation",
        "action_source": "commanded",
        "scene": scene,
        "seeds": {"namespace": "generation", "seed": 0, "attempt": 0, "keys": {"scene": [0, 1, scene, 0, 0]}},
        "ledger": {"friction": 0.5 + scene, "colour": [0.1, 0.2, 0.3]},
    }
    return EpisodeMeta(**{**fields, **changes})


def make_episode(
    scene: int = 0, steps: int = 23, size: int = 12, joints: int = 7, cameras: tuple[str, ...] = CAMERAS, **meta: Any
) -> Episode:
    """A valid episode whose numbers depend on its scene."""
    rng = np.random.default_rng(scene)
    quaternion = rng.normal(size=(steps, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    pose = np.concatenate([rng.normal(size=(steps, 3)), quaternion], axis=1).astype(np.float32)
    action = np.concatenate([rng.normal(size=(steps, joints)), rng.uniform(size=(steps, 1))], axis=1)
    arrays = {
        "observation/joint_position": rng.normal(size=(steps, joints)).astype(np.float32),
        "observation/joint_velocity": rng.normal(size=(steps, joints)).astype(np.float32),
        "observation/gripper_opening": rng.uniform(size=(steps, 1)).astype(np.float32),
        "observation/tool_pose_in_base": pose,
        "action/executed": action.astype(np.float32),
        "action/intended": (action * 0.5).astype(np.float32),
        "action/tool_pose_in_base": pose[::-1].copy(),
        "objects/cube": pose.copy(),
        "subtask": (np.arange(steps) >= steps // 2).astype(np.int8),
        "state": rng.normal(size=(steps + 1, 40)),
        "model/geom_friction": rng.uniform(size=(1, 5, 3)),
    }
    for camera in cameras:
        arrays[f"images/{camera}"] = rng.integers(0, 256, (steps, size, size, 3), dtype=np.uint8)
    return Episode(arrays, make_meta(scene, **meta))


def scene_records(scenes: range) -> list[dict[str, Any]]:
    return [{"scene": scene, "outcome": "success", "attempts": 1} for scene in scenes]
