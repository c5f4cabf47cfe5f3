"""`handful doctor`: can this machine do the work, and if not, what to install.

Each GL backend is tried in a process of its own, since a broken driver crashes or hangs the process that asks it, and
since MuJoCo binds to one backend per process.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from handful import __version__

# Packages of Debian and Ubuntu that bring software rendering.
_GL_PACKAGES = {"egl": "libegl1 libgl1-mesa-dri", "osmesa": "libosmesa6"}
_GL_TIMEOUT = 60.0
_RAY_TIMEOUT = 120.0
# Free disk below this is reported [bytes]: an environment and a small data set.
_LEAST_DISK = 5e9

_RENDER = """
import mujoco
from OpenGL import GL
xml = "<mujoco><worldbody><light pos='0 0 2'/><geom type='sphere' size='.2' rgba='1 0 0 1'/></worldbody></mujoco>"
model = mujoco.MjModel.from_xml_string(xml)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(data)
red, green, blue = renderer.render()[16, 16]
name = GL.glGetString(GL.GL_RENDERER).decode()
renderer.close()
if not red > green:
    raise SystemExit(f"{name} draws a red ball as ({red}, {green}, {blue})")
print(name)
"""

_RAY = """
import ray
ray.init("local", num_cpus=1, include_dashboard=False, logging_level="ERROR", object_store_memory=100 * 1024**2)
print(ray.get(ray.remote(lambda: 6 * 7).remote()))
"""


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    # What was found.
    detail: str
    # What to do about it; empty where nothing needs doing.
    fix: str = ""
    # Whether the work is impossible without it.
    required: bool = True


def diagnose(full: bool = False) -> dict[str, Any]:
    """Run all checks.

    Args:
        full: also start Ray, which takes seconds.

    Returns:
        `ok` (every required check passed) and `checks`, each a dict of `Check`'s fields.
    """
    backends = [_check_gl(backend) for backend in _GL_PACKAGES]
    checks = [_check_python(), *_check_versions(), *backends, _check_rendering(backends), _check_torch()]
    if full:
        checks.append(_check_ray())
    checks += [_check_disk(Path.cwd()), _check_cores()]
    return {"ok": all(check.ok for check in checks if check.required), "checks": [asdict(check) for check in checks]}


def machine() -> dict[str, Any]:
    """What a figure must be read with: processor, cores, memory, system and versions; no host name and no path."""
    names = ("mujoco", "torch", "numpy", "zarr", "ray")
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "handful": __version__,
        **{name: version for name in names if (version := _version(name)) is not None},
    }


def _check_python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    fix = "" if ok else "install Python 3.11 or 3.12 and make .venv with it"
    return Check("python", ok, platform.python_version(), fix)


def _check_versions() -> list[Check]:
    """The installed version of each dependency against the range that the project asks for."""
    from packaging.requirements import Requirement

    checks = []
    for line in metadata.requires("handful") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        ok = found is not None and requirement.specifier.contains(found, prereleases=True)
        wanted = f"; needs {requirement.specifier}" if requirement.specifier else ""
        fix = "" if ok else f"pip install '{requirement}'"
        checks.append(Check(requirement.name, ok, (found or "not installed") + wanted, fix))
    return checks


def _check_gl(backend: str) -> Check:
    fix = f"sudo apt-get install {_GL_PACKAGES[backend]}"
    environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
    code, output = _run_python(_RENDER, environment, _GL_TIMEOUT)
    if code is None:
        return Check(backend, False, f"hangs: no frame within {_GL_TIMEOUT:.0f} s", fix, required=False)
    if code != 0:
        return Check(backend, False, output or f"died with exit code {code}", fix, required=False)
    return Check(backend, True, output, required=False)


def _check_rendering(backends: list[Check]) -> Check:
    working = [check.name for check in backends if check.ok]
    if working:
        return Check("rendering", True, f"with {working[0]}")
    packages = " ".join(_GL_PACKAGES.values())
    return Check("rendering", False, "neither EGL nor OSMesa draws a frame", f"sudo apt-get install {packages}")


def _check_torch() -> Check:
    program = (
        "import torch; x = torch.ones(8, 8); assert float((x @ x).sum()) == 512.0; cpu = torch.get_num_threads();"
        "print(torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {cpu} threads')"
    )
    code, output = _run_python(program, dict(os.environ), _GL_TIMEOUT)
    fix = "" if code == 0 else "pip install torch --index-url https://download.pytorch.org/whl/cpu"
    return Check("torch works", code == 0, output or "no answer", fix)


def _check_ray() -> Check:
    code, output = _run_python(_RAY, dict(os.environ), _RAY_TIMEOUT)
    ok = code == 0 and output == "42"
    fix = "" if ok else "everything but --address works without Ray; 'pip install ray[default]' reinstalls it"
    return Check("ray starts", ok, "ran a task" if ok else output or "no answer", fix, required=False)


def _check_disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    ok = free >= _LEAST_DISK
    fix = "" if ok else "free some: stores and environments take gigabytes"
    return Check("disk", ok, f"{free / 1e9:.0f} GB free here", fix, required=False)


def _check_cores() -> Check:
    return Check("cores", True, f"{cores()}, {_processor()}", required=False)


def _run_python(program: str, environment: dict[str, str], timeout: float) -> tuple[int | None, str]:
    """Exit code (None: it hung) and the last line of output, of stderr where the program failed."""
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return None, ""
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode, lines[-1].strip() if lines else ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cores() -> int:
    """Cores that this process may use, which is fewer than the machine has under a batch system."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()
