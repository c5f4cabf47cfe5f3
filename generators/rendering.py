"""Frames for episodes that have states: drawn after the fact, so that only what is kept costs rendering."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np

from handful import InputError
from scenes.instances import instances_of
from scenes.views import views_for
from scenes.workspace import Workspace
from sim.batch import model_field
from sim.cameras import Channel, Renderer, describe, mount_of, open_renderer, poses_in_base
from sim.transforms import Array
from trajectories import Episode

# Depth is stored in whole millimetres; what is farther than they reach is as far as they reach.
_FARTHEST = np.iinfo(np.uint16).max


def with_images(
    workspace: Workspace,
    episode: Episode,
    model: mujoco.MjModel,
    renderer: Renderer,
    cameras: Sequence[str],
    channels: Sequence[Channel] = ("rgb",),
) -> Episode:
    """The episode with camera frames drawn from its states.

    Args:
        workspace: the world that it was made in.
        episode: an episode with `state`.
        model: its scene's own model.
        renderer: opened with the workspace's model and views.
        cameras: names of the cameras.
        channels: what to draw of each: "rgb", "depth", "segmentation".

    Returns:
        A new episode; its metadata says how each camera stood, and what a segmentation's numbers mean.
    """
    seen = renderer.capture(model, episode.arrays["state"][:-1], cameras, channels)
    views, instances = views_for(workspace), instances_of(workspace)
    arrays, described, extra = dict(episode.arrays), {}, dict(episode.meta.extra)
    for name, frames in seen.items():
        if frames.rgb is not None:
            arrays[f"images/{name}"] = frames.rgb
        if frames.depth is not None:
            arrays[f"depth/{name}"] = np.rint(1000.0 * frames.depth).clip(0, _FARTHEST).astype(np.uint16)
        if frames.segmentation is not None:
            arrays[f"segmentation/{name}"] = instances.label(frames.segmentation)
            extra["instances"] = list(instances.names)
        drawn = next(stack for stack in vars(frames).values() if stack is not None)
        described[name] = describe(model, mount_of(model, name, views, workspace.model), *drawn.shape[1:3])
    meta = replace(episode.meta, gl_renderer=renderer.gl_renderer, cameras=described, extra=extra)
    return Episode(arrays, meta)


def camera_poses(workspace: Workspace, episode: Episode, camera: str) -> Array:
    """Where a camera is before each action and after the last, (T + 1, 7) in the robot's base frame [m].

    Args:
        workspace: the world that the episode was made in.
        episode: with `state` and the scene's stored values.
        camera: a camera of the model, or one of the further views; whether it moves or not.
    """
    model = model_of(workspace, episode)
    mount = mount_of(model, camera, views_for(workspace), workspace.model)
    return poses_in_base(model, episode.arrays["state"], mount)


def model_of(workspace: Workspace, episode: Episode) -> mujoco.MjModel:
    """The model of a stored episode's scene: the task's, with the values that were stored.

    Raises:
        InputError: the episode was made by another model, or has no stored values.
    """
    if episode.meta.model_hash != workspace.model_hash:
        raise InputError(
            f"an episode of '{episode.meta.task}' was made by another model "
            f"({str(episode.meta.model_hash)[:12]}, not {workspace.model_hash[:12]}); it cannot be drawn again"
        )
    model = copy.copy(workspace.model)
    for key, value in episode.arrays.items():
        if key.startswith("model/"):
            # Of bounding volumes, those within meshes come last and are nobody's to change.
            model_field(model, key.removeprefix("model/"))[: len(value[0])] = value[0]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def render_episodes(
    workspace: Workspace, episodes: Sequence[Episode], cameras: Sequence[str], resolution: int
) -> list[Episode]:
    """Stored episodes with frames of `resolution` x `resolution` pixels from the given cameras."""
    with open_renderer(workspace.model, resolution, resolution, views=views_for(workspace)) as renderer:
        return [with_images(workspace, e, model_of(workspace, e), renderer, cameras) for e in episodes]
