"""Frames from stored states.

Rendering is by far the dearest part of a visual data set, so it happens after the physics and only for what is kept:
a stored state row and the scene's model are enough to draw every camera. The defaults of MuJoCo (a 4096 shadow map,
four samples per pixel) cost some thirty times more than a small frame needs, hence the named qualities here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import mujoco
import numpy as np

from handful import InputError, JobError, unknown_name
from sim.cameras import Channel, Frames, Mount, View, camera_names, check_channels, mount_of
from sim.opengl import gl_renderer, shared_context
from sim.transforms import compose, matrix_from_quat

Quality = Literal["fast", "standard", "high"]

_ALL = mujoco.mjtCatBit.mjCAT_ALL.value
# Geoms out of sight are moved to this group while a frame is drawn.
_NEVER_DRAWN = mujoco.mjNGROUP - 1
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION.value


@dataclass(frozen=True)
class _Quality:
    # Edge of the square shadow map [pixels]; 0 draws no shadows.
    shadow_size: int
    # Samples per pixel; 0 is no multisampling.
    samples: int
    # Mirror-like materials are drawn twice.
    reflections: bool
    # Segments around and along the built-in curved shapes.
    slices: int
    stacks: int


QUALITIES: dict[Quality, _Quality] = {
    "fast": _Quality(shadow_size=0, samples=0, reflections=False, slices=16, stacks=8),
    "standard": _Quality(shadow_size=512, samples=0, reflections=False, slices=28, stacks=16),
    "high": _Quality(shadow_size=4096, samples=8, reflections=True, slices=48, stacks=32),
}


def prepare_visual(spec: mujoco.MjSpec, quality: Quality, height: int = 480, width: int = 640) -> None:
    """Write a quality and a frame size into a model under construction.

    MuJoCo reads these settings once, when GPU resources are made. `FrameRenderer` applies its own quality whatever the
    model says, so a spec needs this only for other programs that draw it, such as MuJoCo's viewer.
    """
    _apply_quality(spec.visual, quality, height, width)


def _apply_quality(visual: Any, quality: Quality, height: int, width: int) -> None:
    """Set the fields that `MjSpec.visual` and `MjModel.vis` share."""
    if quality not in QUALITIES:
        raise unknown_name("render quality", quality, QUALITIES)
    chosen = QUALITIES[quality]
    visual.global_.offheight, visual.global_.offwidth = height, width
    visual.quality.shadowsize = chosen.shadow_size
    visual.quality.offsamples = chosen.samples
    visual.quality.numslices, visual.quality.numstacks = chosen.slices, chosen.stacks


_VISUAL_FIELDS = (
    ("global_", ("offheight", "offwidth")),
    ("quality", ("shadowsize", "offsamples", "numslices", "numstacks")),
)


def _gpu_resources(model: mujoco.MjModel, quality: Quality, height: int, width: int) -> mujoco.MjrContext:
    """Upload the model's textures and shapes at `quality`; the model is left as it was."""
    before = [(part, name, getattr(getattr(model.vis, part), name)) for part, names in _VISUAL_FIELDS for name in names]
    try:
        _apply_quality(model.vis, quality, height, width)
        return mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
    finally:
        for part, name, value in before:
            setattr(getattr(model.vis, part), name, value)


class FrameRenderer:
    """Draws the cameras of stored states with MuJoCo's OpenGL, as a `sim.cameras.Renderer`.

    A context manager; any number may be open, used from one thread.

    Args:
        model: a model with the textures and meshes of every scene to be drawn.
        height: rows of a frame [pixels].
        width: columns of a frame [pixels].
        quality: "fast" has neither shadows nor multisampling, "standard" a small shadow map, "high" everything.
        groups: the geom groups that are drawn, each in 0 to 4.
        views: further cameras by name, beside those of the model.

    Raises:
        InputError: for an unknown quality, a size below 1, a view named as a camera of the model, or a MUJOCO_GL that
            names no backend.
        JobError: OpenGL cannot be used here.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        height: int,
        width: int,
        quality: Quality = "fast",
        groups: Sequence[int] = (0, 1, 2),
        views: Mapping[str, View] | None = None,
    ) -> None:
        if quality not in QUALITIES:
            raise unknown_name("render quality", quality, QUALITIES)
        if height < 1 or width < 1:
            raise InputError(f"a frame must have at least one pixel, got {height} x {width}")
        if not set(groups) <= set(range(_NEVER_DRAWN)):
            raise InputError(f"geom groups to draw are 0 to {_NEVER_DRAWN - 1}, got {tuple(groups)}")
        self._nominal, self._views = model, dict(views or {})
        for name in self._views:
            if name in camera_names(model):
                raise InputError(f"there is a camera '{name}' already; give the view another name")
        self._gpu: mujoco.MjrContext | None = None
        context = shared_context()
        self._gpu = _gpu_resources(model, quality, height, width)
        self._gpu.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        context.users.add(self)
        if (self._gpu.offHeight, self._gpu.offWidth) != (height, width):
            self.close()
            raise JobError(f"this OpenGL cannot draw frames of {height} x {width} pixels")
        self.gl_renderer = gl_renderer()
        self._sizes = _sizes(model)
        self._data = mujoco.MjData(model)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 8)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = QUALITIES[quality].shadow_size > 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = QUALITIES[quality].reflections
        # What is out of sight may still cast a shadow or be mirrored.
        self._culls = QUALITIES[quality] == QUALITIES["fast"]
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[list(groups)] = 1
        self._option.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)
        self._depth = np.empty((height, width), np.float32)

    def render(self, model: mujoco.MjModel, state_row: np.ndarray, cameras: Sequence[str]) -> dict[str, np.ndarray]:
        """Draw one state.

        Args:
            model: the scene's model, with the structure of the constructor's and values of its own. It is as before
                afterwards, but must not be used by another thread meanwhile.
            state_row: the full integrator state (S,), as `mj_getState` gives it for mjSTATE_INTEGRATION.
            cameras: names of the model's cameras.

        Returns:
            One (H, W, 3) uint8 frame per camera, first row on top.

        Raises:
            InputError: an unknown camera, a row of another length, a model of another structure.
        """
        frames = self.render_states(model, np.asarray(state_row)[None], cameras)
        return {camera: frame[0] for camera, frame in frames.items()}

    def render_states(self, model: mujoco.MjModel, states: np.ndarray, cameras: Sequence[str]) -> dict[str, np.ndarray]:
        """Draw a sequence of states (T, S); returns (T, H, W, 3) uint8 per camera. See `render`."""
        seen = self.capture(model, states, cameras)
        return {name: frames.rgb for name, frames in seen.items() if frames.rgb is not None}

    def capture(
        self,
        model: mujoco.MjModel,
        states: np.ndarray,
        cameras: Sequence[str],
        channels: Sequence[Channel] = ("rgb",),
    ) -> dict[str, Frames]:
        """Draw a sequence of states (T, S) in any of the channels; colour and depth come from the same pass.

        Args:
            model: as for `render`.
            states: full integrator states.
            cameras: names of the model's cameras or of views.
            channels: "rgb", "depth", "segmentation".

        Raises:
            InputError: as for `render`, and for an unknown channel.
        """
        gpu = self._gpu
        if gpu is None:
            raise JobError("this renderer was closed; open another")
        check_channels(channels)
        if _sizes(model) != self._sizes:
            raise InputError("the scene's model has another structure than the one this renderer was opened with")
        eyes = [self._eye(model, name) for name in cameras]
        states = np.ascontiguousarray(states, np.float64)
        length = mujoco.mj_stateSize(model, _STATE)
        if states.ndim != 2 or states.shape[1] != length:
            raise InputError(f"states have shape {states.shape}; this model needs (T, {length})")
        shared_context()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, gpu)
        size = (len(states), *self._depth.shape)
        frames = [
            Frames(
                np.empty((*size, 3), np.uint8) if "rgb" in channels else None,
                np.empty(size, np.float32) if "depth" in channels else None,
                np.empty(size, np.int16) if "segmentation" in channels else None,
            )
            for _ in eyes
        ]
        geom_group = model.geom_group.copy()
        try:
            for t, row in enumerate(states):
                mujoco.mj_setState(model, self._data, row, _STATE)
                mujoco.mj_kinematics(model, self._data)
                mujoco.mj_comPos(model, self._data)
                mujoco.mj_camlight(model, self._data)
                for eye, out in zip(eyes, frames, strict=True):
                    # The camera comes first: infinite planes and the headlight follow the one the scene has.
                    self._look(model, eye)
                    if self._culls:
                        model.geom_group[:] = np.where(self._in_view(model), geom_group, _NEVER_DRAWN)
                    mujoco.mjv_updateScene(model, self._data, self._option, None, self._camera, _ALL, self._scene)
                    self._draw(gpu, out, t)
        finally:
            model.geom_group[:] = geom_group
        return dict(zip(cameras, frames, strict=True))

    def _eye(self, model: mujoco.MjModel, name: str) -> int | Mount:
        """Number of a camera of the model, or how a view is mounted in this scene."""
        camera_id: int = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, name)
        return camera_id if camera_id >= 0 else mount_of(model, name, self._views, self._nominal)

    def _look(self, model: mujoco.MjModel, eye: int | Mount) -> None:
        """Give the scene its camera."""
        if isinstance(eye, int):
            self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, eye
            mujoco.mjv_updateCamera(model, self._data, self._camera, self._scene)
            return
        # Of the scene's two cameras, one for each eye, MuJoCo draws the mean.
        self._camera.type = mujoco.mjtCamera.mjCAMERA_USER
        pose = compose(np.concatenate([self._data.xpos[eye.body], self._data.xquat[eye.body]]), eye.pose)
        axes, scale = matrix_from_quat(pose[3:]), model.stat.extent
        near, far = model.vis.map.znear * scale, model.vis.map.zfar * scale
        top = near * np.tan(np.radians(eye.fovy) / 2)
        for side in self._scene.camera:
            side.pos, side.forward, side.up = pose[:3], -axes[:, 2], axes[:, 1]
            side.frustum_near, side.frustum_far, side.frustum_bottom, side.frustum_top = near, far, -top, top
            side.frustum_center, side.frustum_width, side.orthographic = 0.0, 0.0, 0

    def _draw(self, gpu: mujoco.MjrContext, out: Frames, t: int) -> None:
        """Draw the scene and read what is wanted of it; OpenGL's first row is the lowest."""
        if out.rgb is not None or out.depth is not None:
            mujoco.mjr_render(self._viewport, self._scene, gpu)
            pixels = None if out.rgb is None else self._pixels
            mujoco.mjr_readPixels(pixels, None if out.depth is None else self._depth, self._viewport, gpu)
            if out.rgb is not None:
                out.rgb[t] = self._pixels[::-1]
            if out.depth is not None:
                # The buffer holds 1 at the near plane, 0 at the far one, and in between goes with one over distance.
                near, far = (getattr(self._scene.camera[0], f"frustum_{end}") for end in ("near", "far"))
                out.depth[t] = near * far / (near + self._depth[::-1].astype(float) * (far - near))
        if out.segmentation is not None:
            flags = self._scene.flags
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
            mujoco.mjr_render(self._viewport, self._scene, gpu)
            mujoco.mjr_readPixels(self._pixels, None, self._viewport, gpu)
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
            drawn = self._pixels[::-1].astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)
            geoms = np.full(self._scene.ngeom + 1, -1, np.int16)
            for geom in self._scene.geoms[: self._scene.ngeom]:
                if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                    geoms[geom.segid + 1] = geom.objid
            out.segmentation[t] = geoms[drawn]

    def _in_view(self, model: mujoco.MjModel) -> np.ndarray:
        """Which geoms (ngeom,) the camera may see: those whose bounding sphere reaches into its pyramid of view.

        Half of the robot is out of most pictures, and on a CPU its vertices are what a small frame costs.
        """
        eye = mujoco.mjv_averageCamera(*self._scene.camera)
        near, centre, low, high = eye.frustum_near, eye.frustum_center, eye.frustum_bottom, eye.frustum_top
        half = eye.frustum_width or (high - low) / 2 * self._viewport.width / self._viewport.height
        (fx, fy, fz), (ux, uy, uz) = eye.forward.tolist(), eye.up.tolist()
        axes = np.array(  # right, up, forward
            [[fy * uz - fz * uy, fz * ux - fx * uz, fx * uy - fy * ux], [ux, uy, uz], [fx, fy, fz]]
        )
        # Outward normals of the four sides, (right, up, forward).
        sides = np.array([[near, 0, -(centre + half)], [-near, 0, centre - half], [0, near, -high], [0, -near, low]])
        sides /= np.sqrt((sides * sides).sum(axis=1, keepdims=True))
        outside = (self._data.geom_xpos - eye.pos) @ (sides @ axes).T
        # A bound of 0 means a plane without end.
        return (outside.max(axis=1) <= model.geom_rbound) | (model.geom_rbound == 0.0)

    def close(self) -> None:
        """Free the GPU's memory; a second call does nothing."""
        if self._gpu is not None:
            shared_context()
            self._gpu.free()
            self._gpu = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sizes(model: mujoco.MjModel) -> tuple[int, ...]:
    """What must agree for one model's scene to be drawn with another's GPU resources."""
    return model.nq, model.nv, model.ngeom, model.nmat, model.ntex, model.nmesh, model.ncam, model.nlight
