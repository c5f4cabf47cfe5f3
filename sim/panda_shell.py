"""What the Franka Emika Panda looks like, drawn with MuJoCo's primitive shapes.

The kinematics, inertia and collision shapes of the robot are elsewhere; this is its paint and panels.

Shapes are given in the frame of the link that carries them (metres). The links follow the Panda's published chain:
each joint turns about its link's z; `hand` sits on the flange; each finger slides along its own +y, so the right
finger's frame is the left one's turned half a turn about z.
"""

from typing import Literal

import mujoco

from handful import unknown_name
from sim import shell
from sim.shell import VISUAL_GROUP, Paint, Shape, Triple

__all__ = ["MATERIALS", "SHELL", "VISUAL_GROUP", "add_materials", "add_shell"]

Material = Literal["panda_white", "panda_dark", "panda_grey", "panda_accent"]

MATERIALS: dict[str, Paint] = {
    "panda_white": Paint((0.91, 0.92, 0.93, 1.0), 0.35, 0.5),
    "panda_dark": Paint((0.13, 0.14, 0.15, 1.0), 0.3, 0.4),
    "panda_grey": Paint((0.52, 0.54, 0.57, 1.0), 0.3, 0.4),
    "panda_accent": Paint((0.10, 0.45, 0.85, 1.0), 0.3, 0.4),
}


def _capsule(start: Triple, end: Triple, radius: float, material: Material = "panda_white") -> Shape:
    return shell.capsule(start, end, radius, material)


def _cylinder(start: Triple, end: Triple, radius: float, material: Material = "panda_white") -> Shape:
    return shell.cylinder(start, end, radius, material)


def _ellipsoid(pos: Triple, radii: Triple, material: Material = "panda_white") -> Shape:
    return shell.ellipsoid(pos, radii, material)


def _box(pos: Triple, half: Triple, material: Material = "panda_white") -> Shape:
    return shell.box(pos, half, material)


_FINGER = (
    _box((0.0, 0.0145, 0.012), (0.0105, 0.0075, 0.012), "panda_grey"),
    _box((0.0, 0.0075, 0.037), (0.0095, 0.0075, 0.017), "panda_dark"),
)

SHELL: dict[str, tuple[Shape, ...]] = {
    "link0": (
        _cylinder((0, 0, 0), (0, 0, 0.012), 0.095, "panda_grey"),
        _capsule((-0.095, -0.022, 0.05), (-0.095, 0.022, 0.05), 0.05),
        _capsule((-0.09, 0, 0.05), (0, 0, 0.06), 0.06),
        _box((-0.143, 0, 0.048), (0.006, 0.036, 0.026), "panda_dark"),
        _ellipsoid((0, 0, 0.035), (0.078, 0.085, 0.115)),
        _cylinder((0, 0, 0.06), (0, 0, 0.134), 0.0585),
        _cylinder((0, 0, 0.133), (0, 0, 0.143), 0.0595, "panda_dark"),
        _ellipsoid((0.0655, 0, 0.1), (0.003, 0.016, 0.004), "panda_accent"),
    ),
    "link1": (
        _cylinder((0, 0, -0.190), (0, 0, 0), 0.0585),
        _cylinder((0, -0.056, 0), (0, 0.056, 0), 0.062),
        _cylinder((0, -0.064, 0), (0, 0.064, 0), 0.0605, "panda_dark"),
    ),
    "link2": (
        _ellipsoid((0, 0, 0.064), (0.0595, 0.0595, 0.032)),
        _ellipsoid((0, 0, -0.064), (0.0595, 0.0595, 0.032)),
        _cylinder((0, 0, 0), (0, -0.186, 0), 0.0575),
        _cylinder((0, -0.185, 0), (0, -0.195, 0), 0.0585, "panda_dark"),
    ),
    "link3": (
        _capsule((0, 0, -0.121), (0, 0, -0.055), 0.0575),
        _capsule((0, 0, -0.06), (0.0825, 0, 0), 0.055),
        _cylinder((0.0825, -0.048, 0), (0.0825, 0.048, 0), 0.060),
        _cylinder((0.0825, -0.056, 0), (0.0825, 0.056, 0), 0.0585, "panda_dark"),
    ),
    "link4": (
        _ellipsoid((0, 0, 0.056), (0.0575, 0.0575, 0.030)),
        _ellipsoid((0, 0, -0.056), (0.0575, 0.0575, 0.030)),
        _capsule((0, 0, 0), (-0.0825, 0.065, 0), 0.055),
        _cylinder((-0.0825, 0.06, 0), (-0.0825, 0.118, 0), 0.0565),
        _cylinder((-0.0825, 0.117, 0), (-0.0825, 0.127, 0), 0.0575, "panda_dark"),
    ),
    "link5": (
        _cylinder((0, 0, -0.258), (0, 0, -0.22), 0.0565),
        _ellipsoid((0, 0, -0.22), (0.0565, 0.0565, 0.085)),
        _capsule((0, 0.018, -0.20), (0, 0.060, -0.09), 0.038),
        _capsule((0, 0.060, -0.09), (0, 0.040, 0), 0.036),
        _cylinder((0, -0.044, 0), (0, 0.058, 0), 0.051),
        _cylinder((0, -0.051, 0), (0, 0.065, 0), 0.0497, "panda_dark"),
    ),
    "link6": (
        _ellipsoid((0, 0, 0.051), (0.049, 0.049, 0.026)),
        _ellipsoid((0, 0, -0.065), (0.049, 0.049, 0.022)),
        _capsule((0, 0, 0), (0.088, 0, 0), 0.045),
        _capsule((0.088, 0.025, 0), (0.088, -0.020, 0), 0.046),
        _cylinder((0.088, -0.020, 0), (0.088, -0.056, 0), 0.046),
    ),
    "link7": (
        _cylinder((0, 0, 0.055), (0, 0, 0.062), 0.047, "panda_dark"),
        _cylinder((0, 0, 0.062), (0, 0, 0.094), 0.045),
        _box((0.04, 0, 0.078), (0.02, 0.02, 0.012)),
        _cylinder((0, 0, 0.093), (0, 0, 0.107), 0.0325, "panda_grey"),
    ),
    "hand": (
        _box((0, 0, 0.0435), (0.031, 0.1, 0.0145)),
        _ellipsoid((0, 0, 0.030), (0.030, 0.098, 0.032)),
        _box((0, 0, 0.0605), (0.018, 0.092, 0.004), "panda_dark"),
    ),
    "left_finger": _FINGER,
    "right_finger": _FINGER,
}


def add_materials(spec: mujoco.MjSpec) -> None:
    """Add the shell's materials to `spec`; a second call changes nothing."""
    shell.add_materials(spec, MATERIALS)


def add_shell(body: mujoco.MjsBody, link: str) -> None:
    """Add the visible shapes of `link` to `body`, without contact, mass or inertia.

    Args:
        body: the body whose frame is the link's; its spec must hold the materials (`add_materials`).
        link: one of `SHELL`'s names. The geoms are named `shell_<link>_<i>`.

    Raises:
        InputError: for an unknown link.
    """
    if link not in SHELL:
        raise unknown_name("link", link, SHELL)
    shell.add_shell(body, link, SHELL[link])
