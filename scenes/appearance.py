"""What the cube tasks' scenes look like, and how that varies from scene to scene.

The world around the robot (floor, walls, lights, cameras, a palette of procedural textures) is compiled once; every
scene then only writes its own values into model fields that `mujoco.batch` holds per scene. A draw first fills a
ledger, a plain JSON table of absolute values, and the fields are computed from the ledger alone, so a scene can be
rebuilt and drawn again from what was stored beside it.

Names in the model: geoms `floor`, `wall_back`, `wall_front`, `wall_left`, `wall_right`; lights `light_key`,
`light_fill`; cameras `front`, `wrist`; materials `world_*` (see `TEXTURES`). The table's geom is `table_top`, a cube's
`<cube>_geom`.
"""

import colorsys
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import mujoco
import numpy as np

from handful import InputError, unknown_name
from sim.panda_shell import MATERIALS as PANDA_MATERIALS
from sim.transforms import Array, quat_from_matrix, quat_from_rotvec, quat_multiply

Range = tuple[float, float]
Ledger = dict[str, Any]

# Hue [turns] of each colour word; saturation and value are drawn, so the word stays true.
COLOURS: dict[str, float] = {
    "red": 0.0,
    "orange": 0.08,
    "yellow": 0.15,
    "green": 0.34,
    "blue": 0.625,
    "purple": 0.78,
}


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

# The model fields that a draw may change.
FIELDS = (
    *("geom_rgba", "geom_matid", "mat_rgba", "cam_pos", "cam_quat", "cam_fovy"),
    *("light_pos", "light_dir", "light_diffuse", "light_ambient", "light_specular"),
)

_WALLS = ("wall_back", "wall_front", "wall_left", "wall_right")
_ROOM, _CEILING, _FLOOR = 2.5, 2.2, -0.75  # half the room's edge, height of its walls, height of its floor [m]
_TEXELS = 64


@dataclass(frozen=True)
class CameraView:
    """Where a camera is on its body and what it looks at, before any jitter."""

    # Name of the body that carries it.
    body: str
    # Position in that body's frame [m].
    pos: tuple[float, float, float]
    # Point in that body's frame that is in the middle of the image [m].
    target: tuple[float, float, float]
    # Direction in that body's frame that points up in the image.
    up: tuple[float, float, float]
    # Vertical field of view [degrees].
    fovy: float

    @property
    def quat(self) -> Array:
        """Orientation (4,) in the body's frame: MuJoCo's cameras look along -z with +y up."""
        backward = np.subtract(self.pos, self.target)
        backward /= np.linalg.norm(backward)
        right = np.cross(self.up, backward)
        right /= np.linalg.norm(right)
        return quat_from_matrix(np.column_stack([right, np.cross(backward, right), backward]))


FRONT_CAMERA = CameraView("world", (1.05, 0.0, 0.5), (0.47, 0.0, 0.094), (0.0, 0.0, 1.0), 42.0)
WRIST_CAMERA = CameraView("hand", (0.08, 0.0, 0.04), (0.035, 0.0, 0.151), (1.0, 0.0, 0.0), 75.0)
CAMERAS: dict[str, CameraView] = {"front": FRONT_CAMERA, "wrist": WRIST_CAMERA}


@dataclass(frozen=True)
class CameraJitter:
    """How a camera's pose differs from its nominal one. Camera axes: x right, y up, z backward."""

    # Shift along each of the body's axes [m].
    position: tuple[Range, Range, Range] = ((0.0, 0.0),) * 3
    # Turn about each of the camera's axes: pitch, yaw, roll [degrees].
    rotation: tuple[Range, Range, Range] = ((0.0, 0.0),) * 3
    # Added to the vertical field of view [degrees].
    fovy: Range = (0.0, 0.0)


@dataclass(frozen=True)
class AppearanceRanges:
    """Uniform ranges of everything that may look different. The defaults are the nominal scene, without variation."""

    # Added to the hue of a cube's named colour [turns].
    cube_hue: Range = (0.0, 0.0)
    # Saturation and value of a cube's colour.
    cube_saturation: Range = (0.9, 0.9)
    cube_value: Range = (0.85, 0.85)
    # Materials that the table may have, equally likely.
    table_materials: tuple[str, ...] = (TABLE_MATERIAL,)
    # Hue [turns], saturation and value of the table's colour.
    table_hue: Range = (0.6, 0.6)
    table_saturation: Range = (0.05, 0.05)
    table_value: Range = (0.7, 0.7)
    # The same for the room: the floor and the walls draw from these one after the other.
    room_materials: tuple[str, ...] = (TABLE_MATERIAL,)
    room_hue: Range = (0.6, 0.6)
    room_saturation: Range = (0.1, 0.1)
    room_value: Range = (0.6, 0.6)
    # Factor on the brightness of the robot's panels, and their tint from cool (-1) to warm (+1).
    robot_value: Range = (1.0, 1.0)
    robot_warmth: Range = (0.0, 0.0)
    # Where the key light stands, seen from the workspace: azimuth from +x towards +y and elevation [degrees],
    # distance [m].
    light_azimuth: Range = (40.0, 40.0)
    light_elevation: Range = (60.0, 60.0)
    light_distance: Range = (2.0, 2.0)
    # Strength of the key light, of the light from everywhere, of the fill light from the other side, of highlights.
    light_diffuse: Range = (0.6, 0.6)
    light_ambient: Range = (0.3, 0.3)
    light_fill: Range = (0.2, 0.2)
    light_specular: Range = (0.3, 0.3)
    # Colour of the light from cool (-1) to warm (+1).
    light_warmth: Range = (0.0, 0.0)
    # The cameras.
    front: CameraJitter = CameraJitter()
    wrist: CameraJitter = CameraJitter()

    def __post_init__(self) -> None:
        for name in (*self.table_materials, *self.room_materials):
            if name not in TEXTURES:
                raise unknown_name("world material", name, TEXTURES)
        for name, (low, high) in self.intervals().items():
            if not low <= high:
                raise InputError(f"{name} goes from {low} to {high}; the first must not be the larger one")

    def intervals(self) -> dict[str, Range]:
        """Every continuous range by name, the cameras' as e.g. `front.position.x`."""
        found: dict[str, Range] = {}
        for name, value in vars(self).items():
            if isinstance(value, CameraJitter):
                found |= {f"{name}.position.{axis}": r for axis, r in zip("xyz", value.position, strict=True)}
                turns = zip(("pitch", "yaw", "roll"), value.rotation, strict=True)
                found |= {f"{name}.rotation.{axis}": r for axis, r in turns} | {f"{name}.fovy": value.fovy}
            elif not name.endswith("_materials"):
                found[name] = value
        return found


NONE = AppearanceRanges()

DEFAULT = AppearanceRanges(
    cube_hue=(-0.015, 0.015),
    cube_saturation=(0.75, 1.0),
    cube_value=(0.7, 0.95),
    table_materials=("world_plain", "world_checker", "world_planks", "world_wood", "world_speckle", "world_grid"),
    table_hue=(0.12, 1.0),
    table_saturation=(0.0, 0.35),
    table_value=(0.45, 0.9),
    room_materials=("world_plain", "world_checker", "world_planks", "world_speckle"),
    room_hue=(0.0, 1.0),
    room_saturation=(0.0, 0.4),
    room_value=(0.3, 0.9),
    robot_value=(0.85, 1.05),
    robot_warmth=(-0.3, 0.3),
    light_azimuth=(-120.0, 120.0),
    light_elevation=(40.0, 80.0),
    light_distance=(1.5, 3.0),
    light_diffuse=(0.4, 0.65),
    light_ambient=(0.15, 0.3),
    light_fill=(0.1, 0.3),
    light_specular=(0.1, 0.5),
    light_warmth=(-0.3, 0.3),
    front=CameraJitter(((-0.03, 0.03),) * 3, ((-3.0, 3.0),) * 3, (-2.0, 2.0)),
    wrist=CameraJitter(((-0.005, 0.005),) * 3, ((-1.5, 1.5),) * 3, (-2.0, 2.0)),
)

# The look of the held-out twin `dev-0`: wherever it differs from DEFAULT, the two do not meet.
TWIN_DEV_0 = AppearanceRanges(
    cube_hue=DEFAULT.cube_hue,
    cube_saturation=(0.66, 0.72),
    cube_value=DEFAULT.cube_value,
    table_materials=("world_terrazzo",),
    table_hue=(0.07, 0.1),
    table_saturation=(0.4, 0.5),
    table_value=(0.38, 0.43),
    room_materials=DEFAULT.room_materials,
    room_hue=DEFAULT.room_hue,
    room_saturation=DEFAULT.room_saturation,
    room_value=(0.2, 0.27),
    robot_value=(0.78, 0.82),
    robot_warmth=DEFAULT.robot_warmth,
    light_azimuth=(130.0, 150.0),
    light_elevation=DEFAULT.light_elevation,
    light_distance=DEFAULT.light_distance,
    light_diffuse=(0.33, 0.38),
    light_ambient=DEFAULT.light_ambient,
    light_fill=DEFAULT.light_fill,
    light_specular=DEFAULT.light_specular,
    light_warmth=(0.4, 0.5),
    front=CameraJitter(
        ((0.05, 0.06), (0.075, 0.085), (0.05, 0.06)), ((-4.5, -4.0), (7.0, 8.0), (4.0, 5.0)), (3.0, 4.0)
    ),
    wrist=CameraJitter(((0.007, 0.009), (-0.009, -0.007), (-0.009, -0.007)), ((2.5, 3.0),) * 3, (3.0, 4.0)),
)


def add_world(spec: mujoco.MjSpec) -> None:
    """Add room, lights and the palette of materials to a spec; nothing here touches anything.

    The headlight is switched off (its values cannot differ between scenes) and the clipping planes are set for a table.
    """
    spec.visual.headlight.active = 0
    spec.stat.extent = 1.5
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    for name, texture in TEXTURES.items():
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
    for name, normal in zip(_WALLS, inward, strict=True):
        _add_plane(spec, name, (-_ROOM * normal[0], -_ROOM * normal[1], middle), normal, (height, _ROOM))
    spec.worldbody.add_light(
        name="light_key", type=mujoco.mjtLightType.mjLIGHT_SPOT, cutoff=75.0, exponent=1.0, castshadow=True
    )
    spec.worldbody.add_light(
        name="light_fill", type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False, ambient=[0.0] * 3
    )


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


def add_cameras(spec: mujoco.MjSpec) -> None:
    """Add the cameras `front` and `wrist`; the body `hand` must exist."""
    for name, view in CAMERAS.items():
        body = spec.body(view.body)
        if body is None:
            raise InputError(f"camera '{name}' sits on body '{view.body}', which this spec does not have")
        body.add_camera(name=name, pos=view.pos, quat=view.quat, fovy=view.fovy)


def draw(
    ranges: AppearanceRanges, rng: np.random.Generator, model: mujoco.MjModel, cube_colours: Mapping[str, str]
) -> tuple[Ledger, dict[str, np.ndarray]]:
    """Draw one scene's looks.

    Args:
        ranges: what may vary and how far.
        rng: the scene's appearance stream.
        model: the task's nominal model; it is not changed.
        cube_colours: cube -> colour word, one of `COLOURS`.

    Returns:
        The ledger (every value, JSON-able) and what `fields_from_ledger` makes of it.

    Raises:
        InputError: for an unknown colour, or a cube that the model does not have.
    """
    ledger = sample(ranges, rng, cube_colours)
    return ledger, fields_from_ledger(ledger, model)


def sample(ranges: AppearanceRanges, rng: np.random.Generator, cube_colours: Mapping[str, str]) -> Ledger:
    """Draw the ledger: absolute colours, positions, orientations and strengths by the names in the model."""
    cubes = {}
    for cube, colour in cube_colours.items():
        if colour not in COLOURS:
            raise unknown_name("colour", colour, COLOURS)
        hue = COLOURS[colour] + rng.uniform(*ranges.cube_hue)
        rgba = _rgba(hue, rng.uniform(*ranges.cube_saturation), rng.uniform(*ranges.cube_value))
        cubes[f"{cube}_geom"] = {"colour": colour, "rgba": rgba}
    table = _surface(rng, ranges.table_materials, ranges.table_hue, ranges.table_saturation, ranges.table_value)
    room = ranges.room_materials, ranges.room_hue, ranges.room_saturation, ranges.room_value
    surfaces = {"table_top": table, "floor": _surface(rng, *room)}
    walls = _surface(rng, *room)
    surfaces |= dict.fromkeys(_WALLS, walls)
    return {
        "cubes": cubes,
        "surfaces": surfaces,
        "robot": _robot(ranges, rng),
        "lights": _lights(ranges, rng),
        "cameras": {
            "front": _camera(FRONT_CAMERA, ranges.front, rng),
            "wrist": _camera(WRIST_CAMERA, ranges.wrist, rng),
        },
    }


def fields_from_ledger(ledger: Ledger, model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """One scene's model fields: name -> the whole array, equal to the model's wherever the ledger is silent.

    Raises:
        InputError: the ledger names something that the model does not have.
    """
    fields = {name: getattr(model, name).copy() for name in FIELDS}
    for name, cube in ledger["cubes"].items():
        fields["geom_rgba"][_id(model, "geom", name)] = cube["rgba"]
    for name, surface in ledger["surfaces"].items():
        geom = _id(model, "geom", name)
        fields["geom_rgba"][geom] = surface["rgba"]
        fields["geom_matid"][geom] = _id(model, "material", surface["material"])
    for name, rgba in ledger["robot"].items():
        fields["mat_rgba"][_id(model, "material", name)] = rgba
    for kind, prefix in (("light", "light"), ("camera", "cam")):
        for name, values in ledger[f"{kind}s"].items():
            row = _id(model, kind, name)
            for key, value in values.items():
                fields[f"{prefix}_{key}"][row] = value
    return fields


def _id(model: mujoco.MjModel, kind: str, name: str) -> int:
    try:
        return int(getattr(model, kind)(name).id)
    except KeyError as error:
        raise InputError(f"the scene's looks name {kind} '{name}', which this model does not have") from error


def _rgba(hue: float, saturation: float, value: float) -> list[float]:
    # MuJoCo takes a geom's exact default colour (0.5, 0.5, 0.5, 1) for "no colour given"; a drawn one never is.
    return [*map(float, colorsys.hsv_to_rgb(hue % 1.0, saturation, value)), 1.0]


def _surface(
    rng: np.random.Generator, materials: tuple[str, ...], hue: Range, saturation: Range, value: Range
) -> dict[str, Any]:
    material = materials[rng.integers(len(materials))]
    return {"material": material, "rgba": _rgba(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value))}


def _warm(warmth: float) -> Array:
    """RGB factors (3,) of light from cool (-1) over white (0) to warm (+1)."""
    return np.array([min(1.0, 1.0 + 0.3 * warmth), 1.0 - 0.1 * abs(warmth), min(1.0, 1.0 - 0.5 * warmth)])


def _robot(ranges: AppearanceRanges, rng: np.random.Generator) -> dict[str, list[float]]:
    tint = rng.uniform(*ranges.robot_value) * (0.8 + 0.2 * _warm(rng.uniform(*ranges.robot_warmth)))
    return {
        name: [*np.clip(np.multiply(material.rgba[:3], tint), 0.0, 1.0).tolist(), 1.0]
        for name, material in PANDA_MATERIALS.items()
    }


def _lights(ranges: AppearanceRanges, rng: np.random.Generator) -> dict[str, dict[str, list[float]]]:
    azimuth, elevation = np.radians([rng.uniform(*ranges.light_azimuth), rng.uniform(*ranges.light_elevation)])
    towards = np.array([math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), 0.0])
    towards[2] = math.sin(elevation)
    position = np.array(FRONT_CAMERA.target) + rng.uniform(*ranges.light_distance) * towards
    strengths = [rng.uniform(*r) for r in (ranges.light_diffuse, ranges.light_ambient, ranges.light_fill)]
    specular, colour = rng.uniform(*ranges.light_specular), _warm(rng.uniform(*ranges.light_warmth))
    diffuse, ambient, fill = (strength * colour for strength in strengths)
    opposite = np.array([-towards[0], -towards[1], towards[2]])
    return {
        "light_key": {
            "pos": position.tolist(),
            "dir": (-towards).tolist(),
            "diffuse": diffuse.tolist(),
            "ambient": ambient.tolist(),
            "specular": (specular * colour).tolist(),
        },
        "light_fill": {"dir": (-opposite).tolist(), "diffuse": fill.tolist(), "specular": [0.0, 0.0, 0.0]},
    }


def _camera(view: CameraView, jitter: CameraJitter, rng: np.random.Generator) -> dict[str, Any]:
    shift = [rng.uniform(*r) for r in jitter.position]
    turn = np.radians([rng.uniform(*r) for r in jitter.rotation])
    return {
        "pos": np.add(view.pos, shift).tolist(),
        "quat": quat_multiply(view.quat, quat_from_rotvec(turn)).tolist(),
        "fovy": view.fovy + rng.uniform(*jitter.fovy),
    }
