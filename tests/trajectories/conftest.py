"""Small valid episodes and stores for the tests of this folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trajectories.schema import Episode, EpisodeMeta
from trajectories.store import Store

CAMERAS = ("front", "wrist")


def _meta(scene: int = 0, **changes: Any) -> EpisodeMeta:
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
        "seeds": {"namespace": "generation", "seed": 0, "attempt": 0, "keys": {"sensor_noise": [0, 1, scene, 5, 0]}},
        "ledger": {"friction": 0.5 + scene, "colour": [0.1, 0.2, 0.3]},
    }
    return EpisodeMeta(**{**fields, **changes})


def _episode(
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
        "action/executed_tool_pose_in_base": np.roll(pose, 3, axis=0),
        "objects/cube": pose.copy(),
        "subtask": (np.arange(steps) >= steps // 2).astype(np.int8),
        "state": rng.normal(size=(steps + 1, 40)),
        "model/geom_friction": rng.uniform(size=(1, 5, 3)),
    }
    for camera in cameras:
        arrays[f"images/{camera}"] = rng.integers(0, 256, (steps, size, size, 3), dtype=np.uint8)
    return Episode(arrays, _meta(scene, **meta))


def _scene_records(scenes: range) -> list[dict[str, Any]]:
    return [{"scene": scene, "outcome": "success", "attempts": 1} for scene in scenes]


def _store(path: Path, chunks: Sequence[Sequence[Episode]], plan: dict[str, Any] | None = None) -> Store:
    """A store with one part per list of episodes; each part tries one more scene than it keeps."""
    store = Store.create(path, plan or {"task": "lift", "seed": 0})
    scene = 0
    for part, episodes in enumerate(chunks):
        count = len(episodes) + 1
        store.commit(part, episodes, _scene_records(range(scene, scene + count)))
        scene += count
    return store


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    return _episode


@pytest.fixture
def make_store() -> Callable[..., Store]:
    return _store


@pytest.fixture
def scene_records() -> Callable[[range], list[dict[str, Any]]]:
    return _scene_records


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Reads a whole folder: path -> bytes."""
    return lambda path: {
        p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if not p.is_dir()
    }
