"""How the cube tasks' scenes vary in looks: colours, textures, lights, camera poses.

The room is compiled once (see `room`); every scene then only writes its own values into model fields that
`mujoco.batch` holds per scene. A draw first fills a ledger, a plain JSON table of absolute values by the names in the
model, and the fields are computed from the ledger alone, so a scene can be rebuilt and drawn again from what was stored
beside it. The table's geom is `table_top`, a cube's `<cube>_geom`.
"""

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from handful import InputError, unknown_name
from scenes.props import Prop
from scenes.room import (
    FRONT_CAMERA,
    TABLE_MATERIAL,
    TEXTURES,
    WALLS,
    add_cameras,
    add_world,
    cameras,
)
from sim.embodiment import CameraView, Embodiment, Rgba
from sim.transforms import Array, quat_from_rotvec, quat_multiply

__all__ = [
    "COLOURS", "DEFAULT", "FIELDS", "FRONT_CAMERA", "NONE", "TABLE_MATERIAL", "TEXTURES", "TWIN_DEV_0",
    "AppearanceRanges", "CameraJitter", "Ledger", "add_cameras", "add_world", "cameras", "draw",
    "fields_from_ledger", "sample",
]  # fmt: skip

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


# The model fields that a draw may change.
FIELDS = (
    *("geom_rgba", "geom_matid", "mat_rgba", "cam_pos", "cam_quat", "cam_fovy"),
    *("light_pos", "light_dir", "light_diffuse", "light_ambient", "light_specular"),
)


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


def draw(
    ranges: AppearanceRanges,
    rng: np.random.Generator,
    model: mujoco.MjModel,
    props: Sequence[Prop],
    robot: Embodiment,
) -> tuple[Ledger, dict[str, np.ndarray]]:
    """Draw one scene's looks.

    Args:
        ranges: what may vary and how far.
        rng: the scene's appearance stream.
        model: the task's nominal model; it is not changed.
        props: the task's objects.
        robot: the robot.

    Returns:
        The ledger (every value, JSON-able) and what `fields_from_ledger` makes of it.

    Raises:
        InputError: for an unknown colour, or an object that the model does not have.
    """
    ledger = sample(ranges, rng, props, robot)
    return ledger, fields_from_ledger(ledger, model)


def sample(ranges: AppearanceRanges, rng: np.random.Generator, props: Sequence[Prop], robot: Embodiment) -> Ledger:
    """Draw the ledger: absolute colours, positions, orientations and strengths by the names in the model."""
    objects = {}
    for prop in props:
        if prop.colour is None:
            continue
        if prop.colour not in COLOURS:
            raise unknown_name("colour", prop.colour, COLOURS)
        hue = COLOURS[prop.colour] + rng.uniform(*ranges.cube_hue)
        rgba = _rgba(hue, rng.uniform(*ranges.cube_saturation), rng.uniform(*ranges.cube_value))
        for name, shape in zip(prop.geoms, prop.shapes, strict=True):
            if shape.rgba is None:
                objects[name] = {"colour": prop.colour, "rgba": rgba}
    table = _surface(rng, ranges.table_materials, ranges.table_hue, ranges.table_saturation, ranges.table_value)
    room = ranges.room_materials, ranges.room_hue, ranges.room_saturation, ranges.room_value
    surfaces = {"table_top": table, "floor": _surface(rng, *room)}
    walls = _surface(rng, *room)
    surfaces |= dict.fromkeys(WALLS, walls)
    return {
        "cubes": objects,
        "surfaces": surfaces,
        "robot": _robot(ranges, rng, robot.paint),
        "lights": _lights(ranges, rng),
        "cameras": {name: _camera(view, getattr(ranges, name), rng) for name, view in cameras(robot).items()},
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


def _robot(ranges: AppearanceRanges, rng: np.random.Generator, paint: Mapping[str, Rgba]) -> dict[str, list[float]]:
    tint = rng.uniform(*ranges.robot_value) * (0.8 + 0.2 * _warm(rng.uniform(*ranges.robot_warmth)))
    return {name: [*np.clip(np.multiply(rgba[:3], tint), 0.0, 1.0).tolist(), 1.0] for name, rgba in paint.items()}


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
            "ambient": [0.0, 0.0, 0.0],
            "specular": (specular * colour).tolist(),
        },
        # The light from everywhere comes with the fill light, which casts no shadow: shadows stay lit by it.
        "light_fill": {
            "dir": (-opposite).tolist(),
            "diffuse": fill.tolist(),
            "ambient": ambient.tolist(),
            "specular": [0.0, 0.0, 0.0],
        },
    }


def _camera(view: CameraView, jitter: CameraJitter, rng: np.random.Generator) -> dict[str, Any]:
    shift = [rng.uniform(*r) for r in jitter.position]
    turn = np.radians([rng.uniform(*r) for r in jitter.rotation])
    return {
        "pos": np.add(view.pos, shift).tolist(),
        "quat": quat_multiply(view.quat, quat_from_rotvec(turn)).tolist(),
        "fovy": view.fovy + rng.uniform(*jitter.fovy),
    }
