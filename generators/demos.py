"""Seed demonstrations in memory, as augmentation needs them, read from a store of any origin."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generators.contacts import recorded_contacts
from handful import InputError
from scenes.task import Task
from sim.transforms import Array
from trajectories import Dataset, Episode, open_dataset


@dataclass(frozen=True)
class Demo:
    """One demonstration of T steps.

    Attributes:
        index: its number among the demos in use, as stored in `source/demo`.
        store: digest of the plan that made the store, or of the recipe of the view, it came from.
        episode: its number in the store it came from.
        operator: who recorded it.
        embodiment: the robot that shows it.
        joints: (T, J) measured joint angles before each action [rad]; None where they are of no use, since another
            robot is to do the same.
        target: (T, 7) tool pose in the base frame that each action aims at.
        tool: (T, 7) measured tool pose in the base frame before each action.
        gripper: (T,) commanded gripper opening [0, 1].
        opening: (T,) measured gripper opening [0, 1] before each action.
        objects: object -> (T, 7) pose in the base frame.
        signals: name -> (T,) whether that subtask was marked as done.
        roles: role -> object.
        touched: object -> (T,) whether a finger touches it; None where the demo does not tell.
    """

    index: int
    store: str
    episode: int
    operator: str
    embodiment: str
    joints: Array | None
    target: Array
    tool: Array
    gripper: Array
    opening: Array
    objects: dict[str, Array]
    signals: dict[str, np.ndarray]
    roles: dict[str, str]
    touched: dict[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.gripper)


def load_demos(path: str | Path, task: Task, control_rate: float) -> list[Demo]:
    """Read every demonstration of a task from a store, of whichever robot.

    Args:
        path: the store, or a view.
        task: the task they must show.
        control_rate: the rate they must have been recorded at [Hz].

    Raises:
        InputError: no such store, an empty one, demos of another task, rate, or without the task's objects.
    """
    store = open_dataset(path)
    if len(store) == 0:
        raise InputError(f"'{path}' holds no demonstrations; record or import some first")
    return [_load(store, i, path, task, control_rate) for i in range(len(store))]


def _load(store: Dataset, i: int, path: str | Path, task: Task, control_rate: float) -> Demo:
    meta = store.meta(i)
    if meta.task != task.name:
        raise InputError(
            f"demo {i} in '{path}' shows the task '{meta.task}', not '{task.name}'; give demos of '{task.name}'"
        )
    if abs(meta.control_rate - control_rate) > 1e-6:
        raise InputError(f"demo {i} in '{path}' was recorded at {meta.control_rate} Hz; this needs {control_rate} Hz")
    stored = store.keys()
    keys = [k for k in stored if not k.startswith(("images/", "depth/", "segmentation/"))]
    return demo_of(store.episode(i, keys), task, i, path, store.plan_digest)


def demo_of(episode: Episode, task: Task, index: int, path: str | Path, store: str) -> Demo:
    """An episode as a demonstration.

    Args:
        episode: with the objects' poses; images are not needed, states and model values tell contacts.
        task: the task it shows.
        index: its number in the store.
        path: the store, for messages.
        store: digest of the store's plan.

    Raises:
        InputError: it lacks the task's objects, or their roles.
    """
    arrays, meta, i = episode.arrays, episode.meta, index
    missing = [name for name in task.own if f"objects/{name}" not in arrays]
    if missing:
        raise InputError(f"demo {i} in '{path}' lacks the poses of {', '.join(missing)}; '{task.name}' needs them")
    roles = meta.extra.get("roles") or task.fixed_roles()
    if roles is None:
        raise InputError(f"demo {i} in '{path}' does not say which object plays which role in '{task.name}'")
    return Demo(
        index=i,
        store=store,
        episode=i,
        operator=meta.operator,
        embodiment=meta.embodiment,
        joints=arrays["observation/joint_position"].astype(float),
        target=_unit(arrays["action/tool_pose_in_base"]),
        tool=_unit(arrays["observation/tool_pose_in_base"]),
        gripper=arrays["action/intended"][:, -1].astype(float),
        opening=arrays["observation/gripper_opening"][:, 0].astype(float),
        objects={name: _unit(arrays[f"objects/{name}"]) for name in task.own},
        signals={k.removeprefix("signals/"): v for k, v in arrays.items() if k.startswith("signals/")},
        roles=roles,
        touched=recorded_contacts(episode),
    )


def _unit(pose: np.ndarray) -> Array:
    """Poses (T, 7) in float64, quaternions of norm 1 again after their rest in float32."""
    pose = pose.astype(float)
    pose[:, 3:] /= np.linalg.norm(pose[:, 3:], axis=1, keepdims=True)
    return pose
