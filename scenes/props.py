"""The things that tasks are about: rigid objects of primitive shapes, free to move or fixed in place.

A prop's frame is its own: z up as it stands at rest. Its symmetries are the turns after which it looks and handles the
same; a demo of one side then serves every other. A prop that is fixed has no joint, and a scene only says where it is.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

import mujoco
import numpy as np

from handful import InputError
from sim.embodiment import HAND_BIT, OBJECT_BIT, TABLE_BIT
from sim.transforms import Array, compose, quat_about_z, quat_rotate

# A tool pose in an object's frame: at its centre, pointing down.
FROM_ABOVE = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)

# How far a centre of mass stands off the frame at least, so that the engine keeps the two apart [m].
_OFF_CENTRE = 2e-6

_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}


@dataclass(frozen=True)
class Shape:
    """One primitive of a prop, in the prop's frame.

    Attributes:
        type: MuJoCo's geom type.
        size: MuJoCo's geom size [m].
        pos: centre [m].
        quat: orientation (w, x, y, z).
        mass: [kg]; of no meaning in a fixed prop.
        rgba: its own colour; None for the prop's drawn colour.
        collides: whether it touches anything; not what is only printed on the prop, which has no mass.
    """

    type: Literal["box", "cylinder", "capsule", "sphere", "ellipsoid"]
    size: tuple[float, ...]
    pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    mass: float = 0.0
    rgba: tuple[float, float, float, float] | None = None
    collides: bool = True


@dataclass(frozen=True)
class Prop:
    """A rigid object of a task.

    Attributes:
        name: the body's name; a free prop's joint is `<name>_free`.
        noun: what sentences call it, such as "cube".
        colour: its colour word, one of `scenes.appearance.COLOURS`; None for a prop whose shapes all have their own.
        shapes: what it is made of.
        half: half the edges of a box round it, centred on its frame [m].
        symmetries: quaternions (S, 4) of the turns about its own axes that leave it the same; the first is none.
        fixed: whether it cannot move.
        grasps: tool poses (7,) in its frame from which closing the fingers holds it; the tool's z points out of the
            hand, the fingers close along its y. By default one: straight down at its centre.
        resizable: whether a scene may make it a little larger or smaller; not where something has to fit.
    """

    name: str
    noun: str
    colour: str | None
    shapes: tuple[Shape, ...]
    half: tuple[float, float, float]
    symmetries: tuple[tuple[float, float, float, float], ...] = ((1.0, 0.0, 0.0, 0.0),)
    fixed: bool = False
    grasps: tuple[tuple[float, ...], ...] = (FROM_ABOVE,)
    resizable: bool = False

    def __post_init__(self) -> None:
        if not self.shapes:
            raise InputError(f"prop '{self.name}' has no shapes; give at least one")
        for shape in self.shapes:
            if min(shape.size) <= 0:
                raise InputError(f"prop '{self.name}' has a {shape.type} of size {shape.size}; sizes are more than 0 m")
            if not self.fixed and shape.collides and shape.mass <= 0:
                raise InputError(f"prop '{self.name}' has a {shape.type} of {shape.mass} kg; a free prop needs mass")
        for grasp in self.grasps:
            if len(grasp) != 7 or abs(np.linalg.norm(grasp[3:]) - 1.0) > 1e-6:
                raise InputError(f"prop '{self.name}' has a grasp {grasp}; a pose is x y z, then a unit quaternion")
        if min(self.half) <= 0:
            raise InputError(f"prop '{self.name}' has half edges {self.half}; they are more than 0 m")

    @property
    def geoms(self) -> tuple[str, ...]:
        """Names of its geoms in the model, one per shape."""
        return (f"{self.name}_geom", *(f"{self.name}_geom_{i}" for i in range(1, len(self.shapes))))

    @property
    def joint(self) -> str:
        """Name of a free prop's joint."""
        return f"{self.name}_free"

    @property
    def make(self) -> Hashable:
        """What it is to the hand, whatever it is called and coloured: props of one make are handled alike."""
        shapes = tuple(replace(shape, rgba=None, mass=0.0) for shape in self.shapes if shape.collides)
        return shapes, self.half, self.symmetries, self.grasps

    @property
    def turns(self) -> Array:
        """Its symmetries as an array (S, 4)."""
        return np.array(self.symmetries)

    @cached_property
    def hold_points(self) -> Array:
        """Where the tool's centre is as it is held, in its frame, (G, 3) [m]."""
        return np.unique(np.array(self.grasps)[:, :3], axis=0)

    def grasp_poses(self) -> Array:
        """Its grasps under each of its symmetries, (G * S, 7) in its frame."""
        turns = np.concatenate([np.zeros((len(self.symmetries), 3)), self.turns], axis=1)
        return compose(turns[:, None], np.array(self.grasps)[None]).reshape(-1, 7)

    def hold_distance(self, pose: Array, point: Array) -> Array:
        """How far points (..., 3) are from where the object at poses (..., 7) is held by its nearest grasp [m]."""
        return hold_distances(pose, self.hold_points, point)

    def spread(self) -> float:
        """How far it reaches sideways from where it is held, at the most [m]."""
        offsets = np.unique(np.array(self.grasps)[:, :2], axis=0)
        return float(np.linalg.norm(np.abs(offsets) + np.array(self.half[:2]), axis=1).max())

    def outline(self) -> Array:
        """Points (P, 3) of its box, in its frame: corners, edge middles, face centres [m]."""
        grid = np.array([p for p in np.ndindex(3, 3, 3) if p != (1, 1, 1)], float) - 1.0
        return grid * np.array(self.half)

    def add(self, spec: mujoco.MjSpec) -> None:
        """Put it into a spec."""
        body = spec.worldbody.add_body(name=self.name)
        if not self.fixed:
            body.add_freejoint(name=self.joint)
            _set_inertia(body, self)
        for name, shape in zip(self.geoms, self.shapes, strict=True):
            geom = body.add_geom(
                name=name,
                type=_TYPES[shape.type],
                size=[*shape.size, *[0.0] * (3 - len(shape.size))],
                mass=0.0 if self.fixed else shape.mass,
                contype=OBJECT_BIT,
                conaffinity=TABLE_BIT | OBJECT_BIT | HAND_BIT,
                condim=3,
                friction=[1.0, 0.005, 0.0001],
                solref=[0.005, 1.0],
                solimp=[0.95, 0.99, 0.001, 0.5, 2.0],
            )
            if shape.pos != (0.0, 0.0, 0.0):
                geom.pos = shape.pos
            if shape.quat != (1.0, 0.0, 0.0, 0.0):
                geom.quat = shape.quat
            if shape.rgba is not None:
                geom.rgba = shape.rgba
            if not shape.collides:
                geom.contype = geom.conaffinity = 0


def _set_inertia(body: mujoco.MjsBody, prop: Prop) -> None:
    """Write down a prop's inertia as its shapes give it, with the centre of mass off the frame by a hair's breadth.

    The engine treats a body whose centre of mass is its origin as a special case, compiled in; one that is a scene's to
    shift must not be.
    """
    mass, centre, quat, inertia = _inertia(prop.shapes)
    body.explicitinertial = True
    body.mass, body.inertia, body.iquat = mass, inertia, quat
    body.ipos = np.add(centre, (0.0, 0.0, _OFF_CENTRE)) if np.linalg.norm(centre) < _OFF_CENTRE else centre


@lru_cache(maxsize=256)
def _inertia(shapes: tuple[Shape, ...]) -> tuple[float, Array, Array, Array]:
    """Mass, centre of mass (3,), principal axes (4,) and moments about them (3,), as the compiler finds them."""
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body()
    for shape in shapes:
        size = [*shape.size, *[0.0] * (3 - len(shape.size))]
        body.add_geom(type=_TYPES[shape.type], size=size, pos=shape.pos, quat=shape.quat, mass=shape.mass)
    model = spec.compile()
    return float(model.body_mass[1]), model.body_ipos[1], model.body_iquat[1], model.body_inertia[1]


def turns_about_z(count: int) -> tuple[tuple[float, float, float, float], ...]:
    """The symmetries of something that looks the same after each of `count` equal turns about z."""
    quats = quat_about_z(np.arange(count) * (2.0 * np.pi / count))
    return tuple(tuple(map(float, quat)) for quat in quats)  # type: ignore[misc]


def cube(name: str, colour: str, edge: float, mass: float) -> Prop:
    """A cube of the given edge [m] and mass [kg], standing on any of its faces."""
    half = edge / 2
    shape = Shape("box", (half, half, half), mass=mass)
    return Prop(name, "cube", colour, (shape,), (half, half, half), turns_about_z(4), resizable=True)


def hold_distances(pose: Array, hold_points: Array, point: Array) -> Array:
    """How far points (..., 3) are from the nearest of objects' hold points (..., G, 3), the objects at (..., 7) [m]."""
    held = pose[..., None, :3] + quat_rotate(pose[..., None, 3:], hold_points)
    return np.linalg.norm(held - point[..., None, :], axis=-1).min(axis=-1)


def by_name(props: Sequence[Prop], name: str) -> Prop:
    """The prop of a name.

    Raises:
        KeyError: there is none.
    """
    return {prop.name: prop for prop in props}[name]
