"""What a robot looks like, drawn with MuJoCo's primitive shapes.

Primitives are used instead of meshes so that no asset has to be downloaded, a scene compiles in milliseconds, and a
small frame stays cheap to draw: every shape costs render time, so there are as few as still make a robot recognisable.
Shapes are given in the frame of the link that carries them (metres).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import mujoco

Triple = tuple[float, float, float]

# The group that holds what is only seen; collision shapes live in another.
VISUAL_GROUP = 2


@dataclass(frozen=True)
class Paint:
    """A material of a shell."""

    # Colour, each in [0, 1].
    rgba: tuple[float, float, float, float]
    # Strength and sharpness of highlights, each in [0, 1].
    specular: float
    shininess: float


_TYPES = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}


@dataclass(frozen=True)
class Shape:
    """One visible primitive in a link's frame."""

    # MuJoCo's geom type.
    type: Literal["sphere", "capsule", "cylinder", "ellipsoid", "box"]
    # MuJoCo's geom size [m]; the radius alone where `fromto` gives the rest.
    size: tuple[float, ...]
    # Name of its material.
    material: str
    # Centre [m]; ignored where `fromto` is given.
    pos: Triple = (0.0, 0.0, 0.0)
    # Orientation (w, x, y, z); ignored where `fromto` is given.
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    # Both ends of the axis [m], for capsules and cylinders.
    fromto: tuple[float, float, float, float, float, float] | None = None


def capsule(start: Triple, end: Triple, radius: float, material: str) -> Shape:
    """A capsule round the line between two points."""
    return Shape("capsule", (radius,), material, fromto=(*start, *end))


def cylinder(start: Triple, end: Triple, radius: float, material: str) -> Shape:
    """A cylinder round the line between two points."""
    return Shape("cylinder", (radius,), material, fromto=(*start, *end))


def ellipsoid(pos: Triple, radii: Triple, material: str) -> Shape:
    """An ellipsoid along the frame's axes."""
    return Shape("ellipsoid", radii, material, pos)


def box(pos: Triple, half: Triple, material: str) -> Shape:
    """A box along the frame's axes."""
    return Shape("box", half, material, pos)


def add_materials(spec: mujoco.MjSpec, materials: Mapping[str, Paint]) -> None:
    """Add materials to a spec; those that it has already stay as they are."""
    for name, paint in materials.items():
        if spec.material(name) is None:
            spec.add_material(name=name, rgba=paint.rgba, specular=paint.specular, shininess=paint.shininess)


def add_shell(body: mujoco.MjsBody, link: str, shapes: Sequence[Shape]) -> None:
    """Add visible shapes to a body, without contact, mass or inertia.

    Args:
        body: the body whose frame is the link's; its spec must hold the materials.
        link: what the link is called. The geoms are named `shell_<link>_<i>`.
        shapes: the shapes.
    """
    for i, shape in enumerate(shapes):
        geom = body.add_geom(
            name=f"shell_{link}_{i}",
            type=_TYPES[shape.type],
            size=(*shape.size, 0.0, 0.0)[:3],
            pos=shape.pos,
            quat=shape.quat,
            material=shape.material,
            contype=0,
            conaffinity=0,
            group=VISUAL_GROUP,
            mass=0.0,
        )
        if shape.fromto is not None:
            geom.fromto = shape.fromto
