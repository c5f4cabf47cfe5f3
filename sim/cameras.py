"""Cameras: where they are, what their optics do, and the one interface to whatever draws them.

A model has cameras of its own. Any number of further views can be drawn beside them without a place in the model, so a
stored episode can be looked at from where no camera stood when it was made. Camera axes are MuJoCo's: x right, y up,
looking along -z.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, Self, get_args

import mujoco
import numpy as np

from handful import InputError, unknown_name
from sim.embodiment import CameraView
from sim.transforms import Array, compose, matrix_from_quat, quat_conjugate, quat_multiply

Channel = Literal["rgb", "depth", "segmentation"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

# Turns MuJoCo's camera axes into those of computer vision: x right, y down, looking along +z.
VISION_FROM_CAMERA: Array = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0])

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION.value
# Renderers of other packages announce themselves under this group of entry points.
_RENDERERS = "handful.renderers"


@dataclass(frozen=True)
class View:
    """A camera beside the model's own.

    Attributes:
        mount: where it is and what it looks at.
        follows: name of the model's camera whose deviation in a scene it shares, so that it is randomised alike; None:
            it stays as mounted.
    """

    mount: CameraView
    follows: str | None = None


@dataclass(frozen=True)
class Mount:
    """A camera as it is in one scene.

    Attributes:
        body: number of the body that carries it.
        pose: (7,) in that body's frame [m].
        fovy: vertical field of view [degrees].
    """

    body: int
    pose: Array
    fovy: float


@dataclass(frozen=True)
class Frames:
    """What one camera saw of T states; None where it was not asked for.

    Attributes:
        rgb: (T, H, W, 3) uint8, first row on top.
        depth: (T, H, W) float32, distance along the viewing axis [m]; where nothing is, that of the far plane.
        segmentation: (T, H, W) int16, number of the geom that is seen; -1: none.
    """

    rgb: np.ndarray | None = None
    depth: np.ndarray | None = None
    segmentation: np.ndarray | None = None


class Renderer(Protocol):
    """What draws states. Nothing else of the project touches a graphics library."""

    # What it calls itself: pixels are comparable only between equal ones.
    gl_renderer: str

    def capture(
        self,
        model: mujoco.MjModel,
        states: np.ndarray,
        cameras: Sequence[str],
        channels: Sequence[Channel] = ("rgb",),
    ) -> dict[str, Frames]:
        """Draw states (T, S) of a scene, a full integrator state each, by the values of the scene's own model."""

    def render(self, model: mujoco.MjModel, state_row: np.ndarray, cameras: Sequence[str]) -> dict[str, np.ndarray]:
        """Draw one state (S,): one (H, W, 3) uint8 per camera."""

    def render_states(self, model: mujoco.MjModel, states: np.ndarray, cameras: Sequence[str]) -> dict[str, np.ndarray]:
        """Draw states (T, S): (T, H, W, 3) uint8 per camera."""

    def close(self) -> None:
        """Free what it holds."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def renderer_names() -> list[str]:
    """Names of the renderers there are: ours, and those that installed packages announce."""
    return ["mujoco", *sorted({entry.name for entry in entry_points(group=_RENDERERS)} - {"mujoco"})]


def open_renderer(
    model: mujoco.MjModel,
    height: int,
    width: int,
    quality: str = "fast",
    views: Mapping[str, View] | None = None,
    renderer: str = "mujoco",
) -> Renderer:
    """Open a renderer by name.

    Another one is added by a package with an entry point in the group "handful.renderers": its name, and a callable
    that takes (model, height, width, quality, views=...) and returns a `Renderer`.

    Raises:
        InputError: no such renderer, and whatever it refuses.
        JobError: it does not work here.
    """
    if renderer == "mujoco":
        from sim.rendering import FrameRenderer

        return FrameRenderer(model, height, width, quality, views=views)  # type: ignore[arg-type]
    for entry in entry_points(group=_RENDERERS):
        if entry.name == renderer:
            opened: Renderer = entry.load()(model, height, width, quality, views=views)
            return opened
    raise unknown_name("renderer", renderer, renderer_names())


def check_channels(channels: Sequence[str]) -> None:
    """Refuse channels that there are not.

    Raises:
        InputError: naming the channel.
    """
    for channel in channels:
        if channel not in CHANNELS:
            raise unknown_name("channel", channel, CHANNELS)


def mount_of(model: mujoco.MjModel, name: str, views: Mapping[str, View], nominal: mujoco.MjModel) -> Mount:
    """How a camera is mounted in a scene.

    Args:
        model: the scene's own model.
        name: a camera of the model, or one of `views`.
        views: further views.
        nominal: the task's model, from which scenes deviate.

    Raises:
        InputError: there is no such camera.
    """
    camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, name)
    if camera >= 0:
        return _own(model, camera)
    if name not in views:
        raise unknown_name("camera", name, [*camera_names(model), *views])
    view = views[name]
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY.value, view.mount.body)
    if body < 0:
        known = [model.body(i).name for i in range(model.nbody)]
        raise unknown_name(f"body of camera '{name}'", view.mount.body, known)
    pose, fovy = np.array([*view.mount.pos, *view.mount.quat]), view.mount.fovy
    if view.follows is not None:
        leader = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, view.follows)
        if leader < 0:
            raise unknown_name(f"camera that '{name}' follows", view.follows, camera_names(model))
        here, meant = _own(model, leader), _own(nominal, leader)
        pose[:3] += here.pose[:3] - meant.pose[:3]
        pose[3:] = quat_multiply(pose[3:], quat_multiply(quat_conjugate(meant.pose[3:]), here.pose[3:]))
        fovy += here.fovy - meant.fovy
    return Mount(body, pose, fovy)


def _own(model: mujoco.MjModel, camera: int) -> Mount:
    pose = np.concatenate([model.cam_pos[camera], model.cam_quat[camera]])
    return Mount(int(model.cam_bodyid[camera]), pose, float(model.cam_fovy[camera]))


def camera_names(model: mujoco.MjModel) -> list[str]:
    """Names of a model's own cameras."""
    return [model.camera(i).name for i in range(model.ncam)]


def intrinsics(height: int, width: int, fovy: float) -> Array:
    """The (3, 3) matrix of a camera's optics [pixels]; the centre of the first pixel is at (0.5, 0.5).

    Args:
        height: rows of a frame.
        width: columns of a frame.
        fovy: vertical field of view [degrees].
    """
    focal = height / 2 / np.tan(np.radians(fovy) / 2)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def poses_in_base(model: mujoco.MjModel, states: np.ndarray, mount: Mount) -> Array:
    """Where a camera was in each of T states (T, S): (T, 7) in the robot's base frame [m]."""
    data, poses = mujoco.MjData(model), np.empty((len(states), 7))
    for row, pose in zip(np.ascontiguousarray(states, float), poses, strict=True):
        mujoco.mj_setState(model, data, row, _STATE)
        mujoco.mj_kinematics(model, data)
        pose[:] = compose(np.concatenate([data.xpos[mount.body], data.xquat[mount.body]]), mount.pose)
    return poses


def project(points: Array, pose: Array, matrix: Array) -> Array:
    """Where points are seen, and how far: (..., 3) column and row [pixels], depth [m].

    Args:
        points: (..., 3) in the base frame [m].
        pose: (7,) of the camera in the base frame.
        matrix: (3, 3) intrinsics.
    """
    vision = compose(pose, VISION_FROM_CAMERA)
    local = (np.asarray(points) - vision[:3]) @ matrix_from_quat(vision[3:])
    return np.concatenate([(local @ matrix.T)[..., :2] / local[..., 2:], local[..., 2:]], axis=-1)


def describe(model: mujoco.MjModel, mount: Mount, height: int, width: int) -> dict[str, Any]:
    """A camera as an episode's metadata keeps it; a moving camera has no one pose in the base frame."""
    pose = [float(v) for v in mount.pose]
    return {
        "height": height,
        "width": width,
        "fovy": mount.fovy,
        "intrinsics": intrinsics(height, width, mount.fovy).tolist(),
        "body": model.body(mount.body).name,
        "pose_in_body": pose,
        "pose_in_base": pose if mount.body == 0 else None,
    }


def check_outside(model: mujoco.MjModel, data: mujoco.MjData, name: str, mount: Mount) -> None:
    """Refuse a camera inside something that is drawn.

    Args:
        model: the world.
        data: with the kinematics of the pose in which to look.
        name: the camera's name, for the message.
        mount: where it is.

    Raises:
        InputError: naming the camera and what it is inside of.
    """
    eye = compose(np.concatenate([data.xpos[mount.body], data.xquat[mount.body]]), mount.pose)[:3]
    near = float(model.vis.map.znear * model.stat.extent)
    for geom in range(model.ngeom):
        if model.geom_group[geom] > 2 or model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE:
            continue
        local = (eye - data.geom_xpos[geom]) @ data.geom_xmat[geom].reshape(3, 3)
        if _distance(model, geom, local) < near:
            what = model.geom(geom).name or f"geom {geom}"
            body = model.body(model.geom_bodyid[geom]).name
            raise InputError(
                f"camera '{name}' is inside '{what}' of '{body}', or nearer to it than its near plane of "
                f"{1000 * near:.0f} mm; move it from ({', '.join(f'{v:.3f}' for v in eye)})"
            )


def _distance(model: mujoco.MjModel, geom: int, point: Array) -> float:
    """About how far a point (3,) in a geom's frame is outside it [m]; at most 0 inside."""
    size, kind = model.geom_size[geom], mujoco.mjtGeom(model.geom_type[geom])
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return float(np.linalg.norm(point) - size[0])
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        axis = np.array([0.0, 0.0, np.clip(point[2], -size[1], size[1])])
        return float(np.linalg.norm(point - axis) - size[0])
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return float((np.linalg.norm(point / size) - 1.0) * size.min())
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        beyond = np.array([np.hypot(*point[:2]) - size[0], abs(point[2]) - size[1]])
    elif kind == mujoco.mjtGeom.mjGEOM_BOX:
        beyond = np.abs(point) - size
    else:  # a mesh by its bounding box
        centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
        beyond = np.abs(point - centre) - half
    return float(np.linalg.norm(beyond.clip(0.0)) + min(0.0, beyond.max()))
