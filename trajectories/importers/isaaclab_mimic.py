"""Demonstrations recorded in Isaac Lab Mimic's HDF5 layout.

Per episode `data/demo_<i>`: relative end-effector actions, the robot's and the objects' states, and the poses and
subtask signals that Mimic itself generates from. Two traps of the layout: `obs/joint_pos` is relative to the robot's
default posture, so the absolute angles come from `initial_state` plus the change since the first step; and `states`
are those after the step's action, while `obs` are those before it.

The recorded actions drive a soft relative controller whose targets lead the motion by centimetres, so they say little
about where the arm went. action[t] is therefore the configuration achieved at t + 1, and recorded as such.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from handful import InputError, __version__
from trajectories.canonical import file_sha256
from trajectories.importers.admission import Admission
from trajectories.importers.hdf5 import (
    children,
    demo_group,
    demo_names,
    json_object,
    opened,
    read_array,
    require_file,
    text_attribute,
)
from trajectories.importers.rehearsal import rehearse
from trajectories.importers.subtasks import subtask_index
from trajectories.poses import poses_from_matrices
from trajectories.schema import Episode, EpisodeMeta
from trajectories.store import Store

# The environment whose name contains the word recorded the task.
_TASK_WORDS = {"stack_three": "Stack", "lift": "Lift"}
_CONTROL_RATE = 20.0
_ARM_JOINTS = 7
# Finger joint position of the open Franka hand [m].
_OPEN_FINGER = 0.04
# The same angle stored twice may differ by rounding [rad].
_SAME_ANGLE = 1e-4
# Pose of the robot's base in the frame of all other poses: poses in the world are then poses in the base.
_AT_ORIGIN = np.array([0, 0, 0, 1, 0, 0, 0])
_DATAGEN = "obs/datagen_info"
_ANNOTATE = "annotate the demos with Mimic first"


@dataclass(frozen=True)
class _Demo:
    """One recorded episode of T steps, as it stands in the file."""

    name: str
    actions: np.ndarray  # (T, 7)
    joints: np.ndarray  # (T, 9): arm [rad], fingers [m], absolute
    velocities: np.ndarray  # (T, 9)
    tool: np.ndarray  # (T, 4, 4), in the robot's base
    objects: dict[str, np.ndarray]  # (T, 4, 4) each, in the robot's base
    signals: dict[str, np.ndarray]  # (T,) bool each


def import_isaaclab_mimic(
    path: str | Path,
    task: str,
    store_path: str | Path,
    instruction: str,
    paraphrases: Sequence[str],
    subtasks: Sequence[str],
    source_name: str = "isaaclab-mimic",
) -> dict[str, int]:
    """Import an Isaac Lab Mimic HDF5 file of Franka demonstrations into a new store.

    The whole file is read and checked before anything is written.

    Args:
        path: the HDF5 file.
        task: the task's name; the file's environment must be one of it.
        store_path: where the store is made, or resumed.
        instruction: the sentence for every episode.
        paraphrases: others that mean the same.
        subtasks: names of the subtasks in order. All but the last end where the signal of their name rises.
        source_name: the domain is called "real/<source_name>".

    Returns:
        {"episodes": ..., "frames": ...}

    Raises:
        InputError: the file is damaged, of another layout or task, or its numbers are not usable.
    """
    path = Path(path)
    require_file(path)
    sentences = (instruction, *paraphrases)
    rehearse(f"{__name__}:check_file", path, task, json.dumps(sentences), json.dumps(list(subtasks)), source_name)
    episodes = read_episodes(path, task, sentences, subtasks, source_name)
    plan = {
        "import": "isaaclab-mimic",
        "file": file_sha256(path),
        "task": task,
        "source": source_name,
        "instruction": instruction,
        "paraphrases": list(paraphrases),
        "subtasks": list(subtasks),
    }
    store = Store.create(store_path, plan)
    store.commit(0, episodes, _records(episodes))
    store.seal(None)
    return {"episodes": len(store), "frames": store.frames}


def check_file(path: Path, task: str, sentences: str, subtasks: str, source_name: str) -> None:
    """Read and check the whole file, and forget it: what a rehearsal does. Lists come as JSON."""
    read_episodes(path, task, json.loads(sentences), json.loads(subtasks), source_name)


def _records(episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    tried = {"outcome": "success", "attempts": ["success"]}
    return [{"scene": index, **tried, "demo": item.meta.extra["demo"]} for index, item in enumerate(episodes)]


def read_episodes(
    path: Path, task: str, sentences: Sequence[str], subtasks: Sequence[str], source_name: str
) -> list[Episode]:
    """Read and check the whole file.

    Raises:
        InputError: see `import_isaaclab_mimic`.
    """
    with opened(path) as file, np.errstate(over="ignore", invalid="ignore"):
        names = demo_names(path, file)
        environment = _environment(path, file, task)
        meta = EpisodeMeta(
            task=task,
            embodiment="panda",
            domain=f"real/{source_name}",
            control_rate=_CONTROL_RATE,
            instruction=sentences[0],
            paraphrases=tuple(sentences[1:]),
            outcome="success",
            operator="human",
            action_source="achieved_next",
            versions={"handful": __version__},
            extra={"recorded_in": environment, "how": "human teleoperation inside a simulator (Isaac Lab)"},
        )
        demos = [_read_demo(path, demo_group(path, file, name), name) for name in names]
        episodes = [_episode(path, demo, index, meta, subtasks) for index, demo in enumerate(demos)]
    admission = Admission(path)
    for episode in episodes:
        admission.check(episode)
    return episodes


def _environment(path: Path, file: h5py.File, task: str) -> str:
    """The name of the environment that recorded the file, checked to be one of the task."""
    name = json_object(path, "data.attrs['env_args']", text_attribute(path, file["data"], "env_args")).get("env_name")
    if not isinstance(name, str):
        raise InputError(f"'{path}' does not say in data.attrs['env_args'] which environment recorded it")
    word = _TASK_WORDS.get(task)
    if word is None:
        known = ", ".join(sorted(_TASK_WORDS))
        raise InputError(f"Isaac Lab Mimic files are imported for the tasks {known}; got '{task}'")
    if word not in name:
        raise InputError(f"'{path}' was recorded in '{name}', which is not task '{task}' (its name lacks '{word}')")
    return name


def _transforms(path: Path, group: h5py.Group, name: str, steps: int) -> np.ndarray:
    matrices = read_array(path, group, name, (steps, 4, 4)).astype(np.float64)
    rotations = matrices[:, :3, :3]
    error = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max()
    # So that a sum that is no number is refused as well.
    if not error <= 1e-3 or np.linalg.det(rotations).min() < 0:
        raise InputError(f"'{path}': '{group.name.lstrip('/')}/{name}' holds matrices that are no rotations")
    return matrices


def _read_demo(path: Path, group: h5py.Group, name: str) -> _Demo:
    if not group.attrs.get("success", True):
        raise InputError(f"'{path}': 'data/{name}' is marked as failed; take it out of the file")
    actions = read_array(path, group, "actions", (None, 7))
    steps = len(actions)
    if steps < 2:
        raise InputError(f"'{path}': 'data/{name}' has {steps} steps; a demo needs at least 2")
    columns = _ARM_JOINTS + 2
    initial = read_array(path, group, "initial_state/articulation/robot/joint_position", (1, columns))
    base = read_array(path, group, "initial_state/articulation/robot/root_pose", (1, 7))[0]
    if np.abs(base - _AT_ORIGIN).max() > 1e-4:
        raise InputError(
            f"'{path}': in 'data/{name}' the robot's base is at {base.round(4).tolist()}, not at the origin"
        )
    relative = read_array(path, group, "obs/joint_pos", (steps, columns))
    joints = initial.astype(np.float64) + (relative - relative[0])
    if "states/articulation/robot/joint_position" in group:
        after = read_array(path, group, "states/articulation/robot/joint_position", (steps, columns))
        if np.abs(after[:-1] - joints[1:]).max() > _SAME_ANGLE:
            raise InputError(f"'{path}': in 'data/{name}' the joint angles of 'states' and of 'obs' disagree")
    objects = children(path, group, f"{_DATAGEN}/object_pose", _ANNOTATE)
    signals = children(path, group, f"{_DATAGEN}/subtask_term_signals", _ANNOTATE)
    return _Demo(
        name=name,
        actions=actions,
        joints=joints,
        velocities=read_array(path, group, "obs/joint_vel", (steps, columns)),
        tool=_transforms(path, group, f"{_DATAGEN}/eef_pose/franka", steps),
        objects={n: _transforms(path, group, f"{_DATAGEN}/object_pose/{n}", steps) for n in objects},
        signals={n: read_array(path, group, f"{_DATAGEN}/subtask_term_signals/{n}", (steps,)) != 0 for n in signals},
    )


def _next(rows: np.ndarray) -> np.ndarray:
    """Row t + 1 at row t; the last is repeated."""
    return np.concatenate([rows[1:], rows[-1:]])


def _episode(path: Path, demo: _Demo, index: int, meta: EpisodeMeta, subtasks: Sequence[str]) -> Episode:
    arm = demo.joints[:, :_ARM_JOINTS].astype(np.float32)
    opening = np.clip(demo.joints[:, _ARM_JOINTS:].mean(axis=1, keepdims=True) / _OPEN_FINGER, 0, 1)
    command = (demo.actions[:, 6:] > 0).astype(np.float32)
    action = np.concatenate([_next(arm), command], axis=1)
    tool = poses_from_matrices(demo.tool).astype(np.float32)
    arrays: dict[str, Any] = {
        "observation/joint_position": arm,
        "observation/joint_velocity": demo.velocities[:, :_ARM_JOINTS].astype(np.float32),
        "observation/gripper_opening": opening.astype(np.float32),
        "observation/tool_pose_in_base": tool,
        "action/executed": action,
        "action/intended": action.copy(),
        "action/tool_pose_in_base": _next(tool),
        "subtask": subtask_index(demo.signals, subtasks, f"'{path}': 'data/{demo.name}'"),
    }
    arrays |= {f"objects/{name}": poses_from_matrices(m).astype(np.float32) for name, m in demo.objects.items()}
    arrays |= {f"signals/{name}": signal for name, signal in demo.signals.items()}
    extra = {**meta.extra, "demo": demo.name}
    return Episode(arrays, EpisodeMeta.from_json({**meta.to_json(), "scene": index, "extra": extra}))
