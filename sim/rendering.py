"""Frames from stored states, on any machine that has some OpenGL.

Rendering is by far the dearest part of a visual data set, so it happens after the physics and only for what is kept:
a stored state row and the scene's model are enough to draw every camera. The defaults of MuJoCo (a 4096 shadow map,
four samples per pixel) cost some thirty times more than a small frame needs, hence the named qualities here.

The GL backend is tried out in a process of its own (a broken driver may hang or abort) and the answer is kept in the
environment variable MUJOCO_GL, which child processes inherit. All renderers of a process share one GL context: freeing
MuJoCo's GPU objects while another context is current would delete the other's textures by number.
"""

import atexit
import importlib
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import mujoco
import numpy as np

from handful import InputError, JobError, unknown_name

Quality = Literal["fast", "standard", "high"]

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION.value
_PROBE_SECONDS = 60.0
_BACKENDS: dict[str, tuple[str, ...]] = {"linux": ("egl", "osmesa"), "darwin": ("cgl",), "win32": ("glfw",)}
_PACKAGES = "install libegl1 and libgl1-mesa-dri (for EGL) or libosmesa6 (for OSMesa)"

# Draws one red pixel: a driver that loads but cannot draw is of no use.
_PROBE = """
import importlib, sys
import mujoco, numpy as np
context = importlib.import_module("mujoco." + sys.argv[1]).GLContext(16, 16)
context.make_current()
model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><geom type="box" size="9 9 .1"/><camera name="c" pos="0 0 1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
gpu = mujoco.MjrContext(model, 100)
mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, gpu)
scene, camera = mujoco.MjvScene(model, 10), mujoco.MjvCamera()
camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
rect, pixels = mujoco.MjrRect(0, 0, 16, 16), np.zeros((16, 16, 3), np.uint8)
mujoco.mjr_render(rect, scene, gpu)
mujoco.mjr_readPixels(pixels, None, rect, gpu)
gpu.free()
context.free()
sys.exit(0 if pixels.any() else "nothing was drawn")
"""


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
    "fast": _Quality(shadow_size=0, samples=0, reflections=False, slices=20, stacks=10),
    "standard": _Quality(shadow_size=512, samples=0, reflections=False, slices=28, stacks=16),
    "high": _Quality(shadow_size=4096, samples=8, reflections=True, slices=48, stacks=32),
}


def probe_backend(backend: str) -> str | None:
    """Draw a frame with `backend` (egl, osmesa, ...) in a process of its own.

    Returns:
        None if it works, else one line saying what went wrong.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, backend],
            env=environment | {"MUJOCO_GL": backend},
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no frame within {_PROBE_SECONDS:g} s"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with status {done.returncode}"


def choose_backend() -> str:
    """Name the GL backend of this process: MUJOCO_GL where it is set, else the first that can draw.

    The answer is written to MUJOCO_GL, so neither this process nor its children try again.

    Raises:
        InputError: MUJOCO_GL names no backend of this platform.
        JobError: no backend can draw; the message names the packages to install.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    candidates = _BACKENDS.get(sys.platform, ("glfw",))
    if chosen:
        if chosen not in (*candidates, "glfw"):
            raise unknown_name("MUJOCO_GL backend", chosen, {*candidates, "glfw"})
        return chosen
    failures = {}
    for backend in candidates:
        failure = probe_backend(backend)
        if failure is None:
            os.environ["MUJOCO_GL"] = backend
            return backend
        failures[backend] = failure
    reasons = "; ".join(f"{backend}: {why}" for backend, why in failures.items())
    raise JobError(f"no OpenGL backend can draw ({reasons}); {_PACKAGES}")


class _SharedContext:
    """The process's one GL context, made on first use and freed at exit."""

    def __init__(self) -> None:
        self.backend = choose_backend()
        self.process = os.getpid()
        self.users: weakref.WeakSet[FrameRenderer] = weakref.WeakSet()
        # Mesa's software renderer: on small frames its threads cost more than they bring. Pixels are the same.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        try:
            # The size matters for OSMesa's window buffer alone, which is never drawn to.
            self._context: Any = importlib.import_module(f"mujoco.{self.backend}").GLContext(16, 16)
            self._context.make_current()
        except Exception as error:  # each backend's binding raises its own kinds
            raise JobError(f"cannot open OpenGL through {self.backend} ({error}); {_PACKAGES}") from error
        # Registered after the binding's own exit hook, hence run before it.
        atexit.register(self.free)

    def make_current(self) -> None:
        if os.getpid() != self.process:
            raise JobError("OpenGL was opened before this process was forked; start workers with 'spawn'")
        self._context.make_current()

    def free(self) -> None:
        if os.getpid() != self.process:
            return
        for user in list(self.users):
            user.close()
        self._context.free()


_shared: _SharedContext | None = None


def _shared_context() -> _SharedContext:
    global _shared  # noqa: PLW0603  one GL context per process is the point
    if _shared is None:
        _shared = _SharedContext()
    _shared.make_current()
    return _shared


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
    """Draws the cameras of stored states. A context manager; any number may be open, used from one thread.

    Args:
        model: a model with the textures and meshes of every scene to be drawn.
        height: rows of a frame [pixels].
        width: columns of a frame [pixels].
        quality: "fast" has neither shadows nor multisampling, "standard" a small shadow map, "high" everything.
        groups: the geom groups that are drawn.

    Raises:
        InputError: for an unknown quality, a size below 1, or a MUJOCO_GL that names no backend.
        JobError: OpenGL cannot be used here.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        height: int,
        width: int,
        quality: Quality = "fast",
        groups: Sequence[int] = (0, 1, 2),
    ) -> None:
        if quality not in QUALITIES:
            raise unknown_name("render quality", quality, QUALITIES)
        if height < 1 or width < 1:
            raise InputError(f"a frame must have at least one pixel, got {height} x {width}")
        self._gpu: mujoco.MjrContext | None = None
        context = _shared_context()
        self._gpu = _gpu_resources(model, quality, height, width)
        context.users.add(self)
        if (self._gpu.offHeight, self._gpu.offWidth) != (height, width):
            self.close()
            raise JobError(f"this OpenGL cannot draw frames of {height} x {width} pixels")
        self.gl_renderer = _gl_renderer()
        self._sizes = _sizes(model)
        self._data = mujoco.MjData(model)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 8)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = QUALITIES[quality].shadow_size > 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = QUALITIES[quality].reflections
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[list(groups)] = 1
        self._option.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)

    def render(self, model: mujoco.MjModel, state_row: np.ndarray, cameras: Sequence[str]) -> dict[str, np.ndarray]:
        """Draw one state.

        Args:
            model: the scene's model, with the structure of the constructor's and values of its own.
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
        gpu = self._gpu
        if gpu is None:
            raise JobError("this renderer was closed; open another")
        ids = [_camera_id(model, name) for name in cameras]
        if _sizes(model) != self._sizes:
            raise InputError("the scene's model has another structure than the one this renderer was opened with")
        states = np.ascontiguousarray(states, np.float64)
        length = mujoco.mj_stateSize(model, _STATE)
        if states.ndim != 2 or states.shape[1] != length:
            raise InputError(f"states have shape {states.shape}; this model needs (T, {length})")

        _shared_context()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, gpu)
        frames = [np.empty((len(states), *self._pixels.shape), np.uint8) for _ in ids]
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        for t, row in enumerate(states):
            mujoco.mj_setState(model, self._data, row, _STATE)
            mujoco.mj_kinematics(model, self._data)
            mujoco.mj_comPos(model, self._data)
            mujoco.mj_camlight(model, self._data)
            for camera_id, out in zip(ids, frames, strict=True):
                self._camera.fixedcamid = camera_id
                # The camera comes first: infinite planes and the headlight follow the one the scene already has.
                mujoco.mjv_updateCamera(model, self._data, self._camera, self._scene)
                mujoco.mjv_updateScene(model, self._data, self._option, None, self._camera, everything, self._scene)
                mujoco.mjr_render(self._viewport, self._scene, gpu)
                mujoco.mjr_readPixels(self._pixels, None, self._viewport, gpu)
                out[t] = self._pixels[::-1]  # OpenGL's first row is the lowest
        return dict(zip(cameras, frames, strict=True))

    def close(self) -> None:
        """Free the GPU's memory; a second call does nothing."""
        if self._gpu is not None:
            _shared_context()
            self._gpu.free()
            self._gpu = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sizes(model: mujoco.MjModel) -> tuple[int, ...]:
    """What must agree for one model's scene to be drawn with another's GPU resources."""
    return model.nq, model.nv, model.ngeom, model.nmat, model.ntex, model.nmesh, model.ncam, model.nlight


def _camera_id(model: mujoco.MjModel, name: str) -> int:
    camera_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, name)
    if camera_id < 0:
        raise unknown_name("camera", name, (model.camera(i).name for i in range(model.ncam)))
    return camera_id


def _gl_renderer() -> str:
    """GL_RENDERER of the current context: pixels are comparable only between equal ones."""
    # It chooses its platform at import, hence only after the backend is known.
    from OpenGL import GL  # type: ignore[import-untyped]

    return bytes(GL.glGetString(GL.GL_RENDERER)).decode()
