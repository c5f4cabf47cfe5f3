"""Frames for episodes that have states: drawn after the fact, so that only what is kept costs rendering.

Frames take a thousand times the memory of all else, so those of a whole chunk are never held at once: each camera of
each episode is drawn at the moment in which it is written.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import mujoco
import numpy as np

from handful import InputError
from scenes.instances import Instances, instances_of
from scenes.sensing import seen_steps
from scenes.views import views_for
from scenes.workspace import Workspace
from sim.batch import model_field
from sim.cameras import Channel, Frames, Renderer, describe, mount_of, open_renderer, poses_in_base
from sim.transforms import Array
from trajectories import Episode, EpisodeMeta

# Depth is stored in whole millimetres; what is farther than they reach is as far as they reach.
_FARTHEST = np.iinfo(np.uint16).max
# Where a channel's frames are stored, and as what.
_FAMILY: dict[Channel, str] = {"rgb": "images", "depth": "depth", "segmentation": "segmentation"}
_DTYPE: dict[Channel, type[np.generic]] = {"rgb": np.uint8, "depth": np.uint16, "segmentation": np.uint8}


@dataclass(frozen=True)
class Drawing:
    """What is drawn of an episode.

    Attributes:
        cameras: names of the cameras.
        resolution: side of the square frames [pixels].
        depth: how far away everything is, beside the images of each camera.
        segmentation: what everything is, beside them.
    """

    cameras: tuple[str, ...]
    resolution: int
    depth: bool = False
    segmentation: bool = False

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What is drawn of each camera."""
        wanted: dict[Channel, bool] = {"rgb": True, "depth": self.depth, "segmentation": self.segmentation}
        return tuple(channel for channel, yes in wanted.items() if yes)

    def open(self, workspace: Workspace) -> Renderer:
        """A renderer of a workspace's scenes."""
        return open_renderer(workspace.model, self.resolution, self.resolution, views=views_for(workspace))


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
    seen = renderer.capture(model, _looked_at(episode), cameras, channels)
    instances, arrays = instances_of(workspace), dict(without_frames(episode).arrays)
    for name, frames in seen.items():
        for channel in channels:
            arrays[f"{_FAMILY[channel]}/{name}"] = _stored(frames, channel, instances)
    drawn = next(stack for stack in vars(next(iter(seen.values()))).values() if stack is not None)
    meta = _described(workspace, episode.meta, model, renderer, cameras, channels, drawn.shape[1:3])
    return Episode(arrays, meta)


def drawn_when_read(workspace: Workspace, episode: Episode, renderer: Renderer, drawing: Drawing) -> Episode:
    """As `with_images`, of a stored episode; but the frames of each camera are drawn whenever they are looked at.

    Args:
        workspace: the world that it was made in.
        episode: with `state` and the scene's stored values.
        renderer: from `drawing.open`, and open for as long as the episode's frames are wanted.
        drawing: what to draw.

    Raises:
        InputError: it was made by another model, or has no stored values.
    """
    model, instances = model_of(workspace, episode), instances_of(workspace)
    side, arrays = drawing.resolution, dict(without_frames(episode).arrays)
    for channel in drawing.channels:
        shape = (len(episode), side, side, *((3,) if channel == "rgb" else ()))
        for camera in drawing.cameras:

            def draw(camera: str = camera, channel: Channel = channel) -> np.ndarray:
                scene = model_of(workspace, episode)
                seen = renderer.capture(scene, _looked_at(episode), [camera], [channel])
                return _stored(seen[camera], channel, instances)

            arrays[f"{_FAMILY[channel]}/{camera}"] = cast(np.ndarray, _Undrawn(draw, shape, _DTYPE[channel]))
    meta = _described(workspace, episode.meta, model, renderer, drawing.cameras, drawing.channels, (side, side))
    return Episode(arrays, meta)


class _Undrawn:
    """Frames of one channel of one camera: dtype and shape are known, the frames are drawn at every use."""

    def __init__(self, draw: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._draw, self.shape, self.ndim, self.dtype = draw, shape, len(shape), np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        frames = self._draw()
        return frames if dtype is None else frames.astype(dtype, copy=False)

    def __getitem__(self, item: Any) -> Any:
        return np.asarray(self)[item]


def _looked_at(episode: Episode) -> Array:
    """The states that the frames of an episode show, (T, S): the present ones, unless the scene's cameras are late."""
    states = episode.arrays["state"][:-1]
    return states[seen_steps(episode.meta.ledger, np.arange(len(states)), episode.meta.control_rate)]


def without_frames(episode: Episode) -> Episode:
    """The episode as it was before anything was drawn of it."""
    families = tuple(f"{family}/" for family in _FAMILY.values())
    arrays = {key: value for key, value in episode.arrays.items() if not key.startswith(families)}
    extra = {name: value for name, value in episode.meta.extra.items() if name != "instances"}
    return Episode(arrays, replace(episode.meta, gl_renderer=None, cameras={}, extra=extra))


def _stored(frames: Frames, channel: Channel, instances: Instances) -> np.ndarray:
    """What is stored of what a camera saw."""
    if channel == "depth" and frames.depth is not None:
        return np.rint(1000.0 * frames.depth).clip(0, _FARTHEST).astype(np.uint16)
    if channel == "segmentation" and frames.segmentation is not None:
        return instances.label(frames.segmentation)
    assert frames.rgb is not None  # the renderer gives what it was asked for
    return frames.rgb


def _described(
    workspace: Workspace,
    meta: EpisodeMeta,
    model: mujoco.MjModel,
    renderer: Renderer,
    cameras: Sequence[str],
    channels: Sequence[Channel],
    size: tuple[int, int],
) -> EpisodeMeta:
    """The metadata of an episode of which something is drawn: how each camera stands, what the numbers mean."""
    views, extra = views_for(workspace), {name: value for name, value in meta.extra.items() if name != "instances"}
    if "segmentation" in channels:
        extra["instances"] = list(instances_of(workspace).names)
    described = {name: describe(model, mount_of(model, name, views, workspace.model), *size) for name in cameras}
    return replace(meta, gl_renderer=renderer.gl_renderer, cameras=described, extra=extra)


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
