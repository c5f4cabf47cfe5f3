"""What a scene's drawn looks do to its model: colours, patterns, lights, cameras.

The room is compiled once (see `room`); every scene only writes its own values into model fields that `mujoco.batch`
holds per scene. They follow from the ledger alone, so a scene can be drawn again from what was stored beside it.
"""

import colorsys
import math
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from handful import unknown_name
from scenes.props import Prop
from scenes.room import FRONT_CAMERA, LAMPS
from scenes.slots import Slots
from scenes.task import Task
from sim.embodiment import Embodiment
from sim.transforms import Array, quat_from_rotvec, quat_multiply

# Hue [turns] of each colour word; saturation and value are drawn, so the word stays true.
COLOURS: dict[str, float] = {
    "red": 0.0,
    "orange": 0.08,
    "yellow": 0.15,
    "green": 0.34,
    "blue": 0.625,
    "purple": 0.78,
}

# The model fields that these axes may change.
FIELDS = (
    *("geom_rgba", "geom_matid", "mat_rgba", "cam_pos", "cam_quat", "cam_fovy"),
    *("light_pos", "light_dir", "light_diffuse", "light_ambient", "light_specular", "light_castshadow", "light_active"),
)
# How far in hue a distractor keeps from what the task's objects are called [turns].
_APART = 0.06
# What the saturation and value of a colour word are without randomisation.
_SATURATION, _VALUE = 0.9, 0.85


def fields_from_ledger(
    ledger: Mapping[str, Mapping[str, Any]], model: mujoco.MjModel, slots: Slots, task: Task, robot: Embodiment
) -> dict[str, np.ndarray]:
    """The model fields that a ledger's looks stand for: field name -> the scene's whole array.

    Args:
        ledger: the values of the groups "appearance", "light" and "camera".
        model: the task's nominal model; it is not changed.
        slots: where things are in it.
        task: the task.
        robot: the robot.

    Raises:
        InputError: a prop's colour is no colour word.
    """
    fields = {name: getattr(model, name).copy() for name in FIELDS}
    looks = ledger["appearance"]
    _paint_props(looks, fields, slots, task)
    _paint_surfaces(looks, fields, slots)
    tint = looks["robot_value"] * (0.8 + 0.2 * _warm(looks["robot_warmth"]))
    for name, row in slots.paint.items():
        fields["mat_rgba"][row] = [*np.clip(np.multiply(robot.paint[name][:3], tint), 0.0, 1.0), 1.0]
    _set_lights(ledger["light"], fields, slots)
    _set_cameras(ledger["camera"], fields, slots)
    return fields


def hue_of(word: str) -> float:
    """The hue of a colour word [turns].

    Raises:
        InputError: it is none.
    """
    if word not in COLOURS:
        raise unknown_name("colour", word, COLOURS)
    return COLOURS[word]


def _paint_props(looks: Mapping[str, Any], fields: dict[str, np.ndarray], slots: Slots, task: Task) -> None:
    taken = [hue_of(prop.colour) for prop in task.props if prop.colour and prop.name not in slots.distractors]
    for prop in task.props:
        kind = "distractor" if prop.name in slots.distractors else "object"
        hue, saturation, value = (looks[f"{kind}_{part}"][prop.name] for part in ("hue", "saturation", "value"))
        material = slots.materials[looks[f"{kind}_material"][prop.name]]
        for geom, rgba in zip(slots.geoms[prop.name], _colours(prop, hue, saturation, value, kind, taken), strict=True):
            fields["geom_rgba"][geom] = rgba
            if material >= 0:
                fields["geom_matid"][geom] = material


def _colours(
    prop: Prop, hue: float, saturation: float, value: float, kind: str, taken: list[float]
) -> list[list[float]]:
    """The colour of each of a prop's shapes: its word's, or the shape's own, changed as much as the word's would be."""
    own = None if prop.colour is None else hue_of(prop.colour) + hue
    if own is not None and kind == "distractor":
        own = _away_from(own, taken)
    drawn = []
    for shape in prop.shapes:
        if shape.rgba is not None:
            h, s, v = colorsys.rgb_to_hsv(*shape.rgba[:3])
            rgb = _rgba(h + hue, min(1.0, s * saturation / _SATURATION), min(1.0, v * value / _VALUE))
            drawn.append([*rgb[:3], shape.rgba[3]])
        else:
            # A shape without a colour in a prop without a word is grey.
            drawn.append(_rgba(own, saturation, value) if own is not None else _rgba(0.0, 0.0, value))
    return drawn


def _away_from(hue: float, taken: list[float]) -> float:
    """The nearest hue that is no closer than `_APART` to any of those taken."""
    for candidate in sorted(
        (hue, *(t + side for t in taken for side in (-_APART, _APART))), key=lambda c: _gap(c, hue)
    ):
        if all(_gap(candidate, t) >= _APART - 1e-9 for t in taken):
            return candidate
    return hue


def _gap(a: float, b: float) -> float:
    return abs((a - b + 0.5) % 1.0 - 0.5)


def _paint_surfaces(looks: Mapping[str, Any], fields: dict[str, np.ndarray], slots: Slots) -> None:
    parts = ("material", "hue", "saturation", "value")
    drawn = [([slots.table], [looks[f"table_{part}"] for part in parts])]
    for name, geoms in slots.surfaces.items():
        drawn.append((geoms, [looks[f"room_{part}"][name] for part in parts]))
    for geoms, (material, hue, saturation, value) in drawn:
        fields["geom_matid"][geoms] = slots.materials[material]
        fields["geom_rgba"][geoms] = _rgba(hue, saturation, value)


def _rgba(hue: float, saturation: float, value: float) -> list[float]:
    # MuJoCo takes a geom's exact default colour (0.5, 0.5, 0.5, 1) for "no colour given"; a drawn one never is.
    return [*colorsys.hsv_to_rgb(hue % 1.0, saturation, value), 1.0]


def _warm(warmth: float) -> Array:
    """RGB factors (3,) of light from cool (-1) over white (0) to warm (+1)."""
    return np.array([min(1.0, 1.0 + 0.3 * warmth), 1.0 - 0.1 * abs(warmth), min(1.0, 1.0 - 0.5 * warmth)])


def _towards(azimuth: float, elevation: float) -> Array:
    """The direction (3,) in which a light stands, by its angles [degrees]."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return np.array([math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)])


def _set_lights(light: Mapping[str, Any], fields: dict[str, np.ndarray], slots: Slots) -> None:
    key, fill = slots.lights["light_key"], slots.lights["light_fill"]
    towards, colour = _towards(light["light_azimuth"], light["light_elevation"]), _warm(light["light_warmth"])
    fields["light_pos"][key] = np.add(FRONT_CAMERA.target, light["light_distance"] * towards)
    fields["light_dir"][key] = -towards
    fields["light_diffuse"][key] = light["light_diffuse"] * colour
    fields["light_ambient"][key] = 0.0
    fields["light_specular"][key] = light["light_specular"] * colour
    fields["light_castshadow"][key] = light["light_shadow"]
    # The light from everywhere comes with the fill light, which casts no shadow: shadows stay lit by it.
    fields["light_dir"][fill] = [towards[0], towards[1], -towards[2]]
    fields["light_diffuse"][fill] = light["light_fill"] * colour
    fields["light_ambient"][fill] = light["light_ambient"] * colour
    fields["light_specular"][fill] = 0.0
    for i, name in enumerate(LAMPS):
        lamp = slots.lights[name]
        fields["light_active"][lamp] = i < light["lamps"]
        fields["light_dir"][lamp] = -_towards(light["lamp_azimuth"][name], light["lamp_elevation"][name])
        fields["light_diffuse"][lamp] = light["lamp_diffuse"][name] * _warm(light["lamp_warmth"][name])
        fields["light_ambient"][lamp] = fields["light_specular"][lamp] = 0.0


def _set_cameras(camera: Mapping[str, Any], fields: dict[str, np.ndarray], slots: Slots) -> None:
    for kind, names in (("camera", slots.elements.of("camera")), ("wrist", slots.elements.of("robot camera"))):
        for name in names:
            row = slots.cameras[name]
            turn = np.array([camera[f"{kind}_{part}"][name] for part in ("pitch", "yaw", "roll")])
            fields["cam_pos"][row] += [camera[f"{kind}_{axis}"][name] for axis in "xyz"]
            fields["cam_quat"][row] = quat_multiply(fields["cam_quat"][row], quat_from_rotvec(np.radians(turn)))
            fields["cam_fovy"][row] += camera[f"{kind}_fovy"][name]
