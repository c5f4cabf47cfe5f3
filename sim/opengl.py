"""One working OpenGL context per process, found without risking the process.

A backend is tried out in a process of its own (a broken driver may hang or abort) and the answer is kept in the
environment variable MUJOCO_GL, which child processes inherit. All renderers of a process share one context: freeing
MuJoCo's GPU objects while another context is current would delete the other's textures by number.
"""

import atexit
import importlib
import os
import subprocess
import sys
import weakref
from typing import Any

from handful import JobError, unknown_name

_PROBE_SECONDS = 60.0
_BACKENDS: dict[str, tuple[str, ...]] = {"linux": ("egl", "osmesa"), "darwin": ("cgl",), "win32": ("glfw",)}
_PACKAGES = "install libegl1 and libgl1-mesa-dri (for EGL) or libosmesa6 (for OSMesa)"

# Draws a box seen from above: a driver that loads but cannot draw is of no use.
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


class SharedContext:
    """The process's one GL context, made on first use and freed at exit."""

    def __init__(self) -> None:
        self.backend = choose_backend()
        self.process = os.getpid()
        self.users: weakref.WeakSet[Any] = weakref.WeakSet()
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

    def release(self) -> None:
        """Let another thread use the context: it can be current in one thread alone."""
        if self.backend == "egl":
            from mujoco import egl
            from OpenGL import EGL  # type: ignore[import-untyped]

            none = EGL.EGL_NO_SURFACE
            EGL.eglMakeCurrent(egl.EGL_DISPLAY, none, none, EGL.EGL_NO_CONTEXT)
        elif self.backend == "osmesa":
            from OpenGL import GL, osmesa

            osmesa.OSMesaMakeCurrent(None, None, GL.GL_FLOAT, 0, 0)

    def free(self) -> None:
        if os.getpid() != self.process:
            return
        for user in list(self.users):
            user.close()
        self._context.free()


_shared: SharedContext | None = None


def shared_context() -> SharedContext:
    global _shared  # noqa: PLW0603  one GL context per process is the point
    if _shared is None:
        _shared = SharedContext()
    _shared.make_current()
    return _shared


def release_context() -> None:
    """Leave the context to another thread; a thread that has drawn calls this before it ends."""
    if _shared is not None:
        _shared.release()


def gl_renderer() -> str:
    """GL_RENDERER of the current context: pixels are comparable only between equal ones."""
    # It chooses its platform at import, hence only after the backend is known.
    from OpenGL import GL

    return bytes(GL.glGetString(GL.GL_RENDERER)).decode()
