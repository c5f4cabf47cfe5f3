"""Frames for episodes that have states: drawn after the fact, so that only what is kept costs rendering."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import mujoco

from handful import InputError
from scenes.workspace import Workspace
from sim.batch import model_field
from sim.rendering import FrameRenderer
from trajectories import Episode


def with_images(episode: Episode, model: mujoco.MjModel, renderer: FrameRenderer, cameras: Sequence[str]) -> Episode:
    """The episode with camera frames drawn from its states.

    Args:
        episode: an episode with `state`.
        model: its scene's own model.
        renderer: opened with the task's model.
        cameras: names of the cameras.

    Returns:
        A new episode; its metadata says how each camera stood.
    """
    frames = renderer.render_states(model, episode.arrays["state"][:-1], cameras)
    described = {}
    for name, stack in frames.items():
        camera = model.camera(name)
        fixed = int(camera.bodyid[0]) == 0
        pose = [float(v) for v in (*camera.pos, *camera.quat)] if fixed else None
        described[name] = {
            "height": stack.shape[1],
            "width": stack.shape[2],
            "fovy": float(camera.fovy[0]),
            "pose_in_base": pose,
        }
    arrays = {**episode.arrays, **{f"images/{name}": stack for name, stack in frames.items()}}
    return Episode(arrays, replace(episode.meta, gl_renderer=renderer.gl_renderer, cameras=described))


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
            model_field(model, key.removeprefix("model/"))[:] = value[0]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def render_episodes(
    workspace: Workspace, episodes: Sequence[Episode], cameras: Sequence[str], resolution: int
) -> list[Episode]:
    """Stored episodes with frames of `resolution` x `resolution` pixels from the given cameras."""
    with FrameRenderer(workspace.model, resolution, resolution) as renderer:
        return [with_images(episode, model_of(workspace, episode), renderer, cameras) for episode in episodes]
