"""The room that every task stands in: floor, walls, lights, cameras and a palette of procedural textures.

Compiled once; what differs between scenes is written into the model's fields by `appearance`. Nothing here touches
anything. Names in the model: geoms `floor`, `wall_back`, `wall_front`, `wall_left`, `wall_right`; lights `light_key`,
`light_fill` and two lamps, off unless a scene switches them on; cameras `front`, `wrist`; materials `world_*` and
`fine_*` (see `TEXTURES`).
"""

from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np

from handful import InputError
from sim.embodiment import CameraView, Embodiment
from sim.transforms import quat_from_matrix


@dataclass(frozen=True)
class Texture:
    """A pattern that MuJoCo makes at compile time, near-white so that the surface's own colour tints it."""

    # One repeat along the surface's x and y [m]; unequal edges stretch marks into grain.
    edges: tuple[float, float]
    # The pattern's two greys, each in [0, 1].
    light: float
    dark: float
    # Squares of both greys; without it everything is light.
    checker: bool = False
    # Dark marks: a frame round each repeat, a cross in it, or random dots.
    mark: Literal["none", "edge", "cross", "random"] = "none"
    # Fraction of the texels that random dots cover.
    density: float = 0.0


# Material -> its pattern; None is a plain surface.
TEXTURES: dict[str, Texture | None] = {
    "world_plain": None,
    "world_checker": Texture((0.16, 0.16), 1.0, 0.75, checker=True),
    "world_wood": Texture((1.2, 0.12), 1.0, 0.78, mark="random", density=0.25),
    "world_planks": Texture((0.9, 0.11), 1.0, 0.6, mark="edge"),
    "world_speckle": Texture((0.5, 0.5), 1.0, 0.7, mark="random", density=0.12),
    "world_grid": Texture((0.1, 0.1), 0.92, 0.65, mark="cross"),
    "world_terrazzo": Texture((0.35, 0.35), 1.0, 0.55, mark="random", density=0.35),
}
TABLE_MATERIAL = "world_plain"

# The same for small things: marks of a centimetre, so faint that a colour word stays true. "plain" is no material.
OBJECT_TEXTURES: dict[str, Texture | None] = {
    "plain": None,
    "fine_checker": Texture((0.02, 0.02), 1.0, 0.82, checker=True),
    "fine_speckle": Texture((0.05, 0.05), 1.0, 0.75, mark="random", density=0.2),
    "fine_stripes": Texture((0.3, 0.012), 1.0, 0.75, mark="edge"),
}

WALLS = ("wall_back", "wall_front", "wall_left", "wall_right")
# Lights that a scene may switch on besides the key and the fill light.
LAMPS = ("light_lamp_1", "light_lamp_2")
_ROOM, _CEILING, _FLOOR = 2.5, 2.2, -0.75  # half the room's edge, height of its walls, height of its floor [m]
_TEXELS = 64


FRONT_CAMERA = CameraView("world", (1.05, 0.0, 0.5), (0.47, 0.0, 0.094), (0.0, 0.0, 1.0), 42.0)


def add_world(spec: mujoco.MjSpec) -> None:
    """Add room, lights and the palette of materials to a spec; nothing here touches anything.

    The headlight is switched off (its values cannot differ between scenes) and the clipping planes are set for a table.
    """
    spec.visual.headlight.active = 0
    spec.stat.extent = 1.5
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    for name, texture in (TEXTURES | OBJECT_TEXTURES).items():
        if name == "plain":
            continue
        material = spec.add_material(name=name, specular=0.2, shininess=0.2)
        if texture is not None:
            _add_texture(spec, name, texture)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
            material.texuniform = True
            material.texrepeat = [1.0 / edge for edge in texture.edges]
    sky = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    spec.add_texture(name="sky", type=sky, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT, rgb1=[0.7] * 3, width=8, height=48)
    _add_plane(spec, "floor", (0.0, 0.0, _FLOOR), (0.0, 0.0, 1.0), (_ROOM, _ROOM))
    height, middle = (_CEILING - _FLOOR) / 2, (_CEILING + _FLOOR) / 2
    inward = ((1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 1.0, 0.0))
    for name, normal in zip(WALLS, inward, strict=True):
        _add_plane(spec, name, (-_ROOM * normal[0], -_ROOM * normal[1], middle), normal, (height, _ROOM))
    spec.worldbody.add_light(
        name="light_key", type=mujoco.mjtLightType.mjLIGHT_SPOT, cutoff=60.0, exponent=1.0, castshadow=True
    )
    for name in ("light_fill", *LAMPS):
        light = spec.worldbody.add_light(name=name, type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False)
        light.active = name not in LAMPS


def _add_texture(spec: mujoco.MjSpec, name: str, texture: Texture) -> None:
    # Built in rather than filled from a buffer: a model with buffer textures cannot be written to XML.
    builtin = mujoco.mjtBuiltin.mjBUILTIN_CHECKER if texture.checker else mujoco.mjtBuiltin.mjBUILTIN_FLAT
    spec.add_texture(
        name=name,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=builtin,
        rgb1=[texture.light] * 3,
        rgb2=[texture.dark if texture.checker else texture.light] * 3,
        mark=getattr(mujoco.mjtMark, f"mjMARK_{texture.mark.upper()}"),
        markrgb=[texture.dark] * 3,
        random=texture.density,
        width=_TEXELS,
        height=_TEXELS,
    )


def _add_plane(
    spec: mujoco.MjSpec,
    name: str,
    pos: tuple[float, float, float],
    normal: tuple[float, float, float],
    half: tuple[float, float],
) -> None:
    """A rectangle, seen from the side of its normal; `half` is its extent up (or along x) and sideways [m]."""
    sideways = np.cross(normal, (0.0, 0.0, 1.0)) if normal[2] == 0.0 else np.array([0.0, 1.0, 0.0])
    frame = np.column_stack([np.cross(sideways, normal), sideways, normal])
    spec.worldbody.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[*half, 1.0],
        pos=pos,
        quat=quat_from_matrix(frame),
        material=TABLE_MATERIAL,
        contype=0,
        conaffinity=0,
    )


def cameras(robot: Embodiment, front: CameraView = FRONT_CAMERA) -> dict[str, CameraView]:
    """The cameras of every scene by name: one in front of the table, one on the robot's hand."""
    return {"front": front, "wrist": robot.wrist_camera}


def add_cameras(spec: mujoco.MjSpec, robot: Embodiment, front: CameraView = FRONT_CAMERA) -> None:
    """Add the cameras `front` and `wrist`; the robot must be in the spec."""
    for name, view in cameras(robot, front).items():
        body = spec.body(view.body)
        if body is None:
            raise InputError(f"camera '{name}' sits on body '{view.body}', which this spec does not have")
        body.add_camera(name=name, pos=view.pos, quat=view.quat, fovy=view.fovy)
