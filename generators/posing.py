"""Scenes posed by what was recorded: how demos without states, such as imported ones, come to have images.

Nothing is simulated. At every step the arm stands at the recorded joint angles, the gripper at its recorded opening,
and the objects where they were recorded; all else is the task's own scene.
"""

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np

from handful import InputError, Namespace
from scenes.domains import get_domain
from scenes.scene import Scene, draw_scene
from scenes.workspace import TABLE_TOP, Workspace
from trajectories import Episode

# Who draws what the recording does not say; a recorded demo's scene, so evaluation never meets it.
_NAMESPACE: Namespace = "recording"
# What `EpisodeMeta.extra` says of where the images come from.
IMAGES, POSED = "images", "posed"


def posed(workspace: Workspace, episode: Episode) -> Episode:
    """An episode with the states and model values of the scene that shows what was recorded.

    Args:
        workspace: the task's world with the robot of the episode.
        episode: with joint angles, gripper opening and the pose of every object of the task, in the robot's base frame.

    Returns:
        A new episode with `state`, `model/*` and the ledger of a scene without randomisation, of which looks can be
        drawn; the velocities in its states are 0.

    Raises:
        InputError: it has no pose of one of the objects, or another number of joints.
    """
    _check(workspace, episode)
    scene = _placed(workspace, draw_scene(workspace, get_domain("none"), _NAMESPACE, 0, episode.meta.scene), episode)
    qpos = _positions(workspace, scene, episode)
    model, rows = workspace.model, []
    data, spec = mujoco.MjData(model), mujoco.mjtState.mjSTATE_INTEGRATION
    for step, position in enumerate(qpos):
        data.qpos, data.time = position, step / episode.meta.control_rate
        row = np.empty(mujoco.mj_stateSize(model, spec))
        mujoco.mj_getState(model, data, row, spec)
        rows.append(row)
    arrays = {**episode.arrays, "state": np.stack(rows)}
    for name, value in scene.fields(workspace).items():
        arrays[f"model/{name}"] = np.asarray(value)[None]
    extra: dict[str, Any] = {"roles": {}, **episode.meta.extra, IMAGES: POSED}
    seeds = scene.seeds(workspace.task.name, 0)
    meta = replace(episode.meta, ledger=scene.ledger, seeds=seeds, model_hash=workspace.model_hash, extra=extra)
    return Episode(arrays, meta)


def as_recorded(episode: Episode) -> Episode:
    """A posed episode without the states that served for drawing it: no simulation has ever been in them."""
    arrays = {key: value for key, value in episode.arrays.items() if key != "state" and not key.startswith("model/")}
    extra = {name: value for name, value in episode.meta.extra.items() if name != "roles" or value}
    return Episode(arrays, replace(episode.meta, model_hash=None, extra=extra))


def _check(workspace: Workspace, episode: Episode) -> None:
    robot, meta = workspace.embodiment, episode.meta
    missing = [f"objects/{name}" for name in workspace.task.own if f"objects/{name}" not in episode.arrays]
    if missing:
        raise InputError(
            f"episode of scene {meta.scene} of '{meta.task}' has no {', '.join(missing)}, so its scene cannot be posed"
        )
    joints = episode.arrays["observation/joint_position"].shape[1]
    if joints != len(robot.home):
        raise InputError(
            f"episode of scene {meta.scene} of '{meta.task}' has {joints} joints; '{robot.name}' has {len(robot.home)}"
        )


def _placed(workspace: Workspace, scene: Scene, episode: Episode) -> Scene:
    """The scene with its objects where the episode began, relative to the table's surface."""
    poses = dict(scene.ledger["poses"])
    for name in workspace.task.own:
        pose = episode.arrays[f"objects/{name}"][0].astype(float)
        pose[2] -= TABLE_TOP
        poses[name] = pose.tolist()
    return replace(scene, ledger={**scene.ledger, "poses": poses})


def _positions(workspace: Workspace, scene: Scene, episode: Episode) -> np.ndarray:
    """The model's positions at each step and, as at the last, after it (T + 1, nq)."""
    robot, model, arrays = workspace.embodiment, workspace.model, episode.arrays
    qpos = np.tile(scene.qpos(workspace), (len(episode), 1))
    columns, _ = robot.joint_addresses(model)
    qpos[:, columns] = arrays["observation/joint_position"]
    qpos[:, robot.finger_addresses(model)] = robot.finger_position(arrays["observation/gripper_opening"].astype(float))
    for name, column in workspace.object_qpos.items():
        qpos[:, column : column + 7] = arrays[f"objects/{name}"]
    return np.concatenate([qpos, qpos[-1:]])
