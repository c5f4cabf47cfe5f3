"""The axes along which scenes differ: one table that says of each what it is, its nominal value and its bounds.

Physical and visual axes are drawn per scene and kept in its ledger. Those of the group "sensor" belong to a camera's
electronics: frames are stored without them, and whoever reads frames draws them from the scene's sensor stream.
"""

from dataclasses import dataclass
from typing import Literal

from handful import InputError, unknown_name
from scenes.randomization.distributions import Choice, Distribution, Fixed, LogUniform, Uniform, Value
from scenes.room import OBJECT_TEXTURES, TEXTURES

Group = Literal["physics", "appearance", "light", "camera", "sensor"]
# What gets a value of its own: the scene; each joint of the arm; each free object; each object of the task; each of
# these whose size may differ; each distractor; floor and walls; each lamp; each camera in the room; each on the robot.
Per = Literal[
    "scene", "joint", "body", "object", "resizable", "distractor", "surface", "lamp", "camera", "robot camera"
]

# The axes of the Colosseum benchmark (Pumacay et al., RSS 2024).
COLOSSEUM = (
    "manipulated object colour",
    "receiver object colour",
    "manipulated object texture",
    "receiver object texture",
    "manipulated object size",
    "receiver object size",
    "light colour",
    "table colour",
    "table texture",
    "distractor",
    "background texture",
    "camera pose",
    "object friction",
    "object mass",
)


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        name: what it is called in overrides and ledgers.
        group: which axes it stands with.
        per: what gets a value of its own.
        unit: of its values.
        nominal: the value without randomisation.
        low, high: the least and the largest value that make sense; equal where it chooses among `choices`.
        choices: the values that exist, where it is no number.
        logarithmic: whether a range given as [low, high] is uniform in the logarithm.
        says: what it is, in a few words.
        colosseum: the axes of that benchmark which it covers.
        sparse: whether ledgers go without it where it is nominal in every scene, as in data from before there was it.
    """

    name: str
    group: Group
    per: Per
    unit: str
    nominal: Value
    low: float
    high: float
    says: str
    choices: tuple[Value, ...] = ()
    logarithmic: bool = False
    colosseum: tuple[str, ...] = ()
    sparse: bool = False

    def check(self, distribution: Distribution) -> None:
        """Refuse a distribution that could draw what this axis cannot be.

        Raises:
            InputError: naming the axis, the offender and what is valid.
        """
        for value in distribution.support:
            if self.choices:
                if value not in self.choices or isinstance(distribution, Uniform | LogUniform):
                    raise unknown_name(f"value of axis '{self.name}':", str(value), map(str, self.choices))
            elif isinstance(value, str | bool) or not self.low <= value <= self.high:
                raise InputError(
                    f"axis '{self.name}' cannot be {value!r}; it is a number from {self.low:g} to {self.high:g}"
                    f"{f' [{self.unit}]' if self.unit else ''}"
                )

    def distribution(self, given: object) -> Distribution:
        """A distribution from how people write one: a value, [low, high], or a mapping such as {uniform: [0, 1]}.

        Args:
            given: a number, name or yes/no (always this); two numbers (a range, uniform, or log-uniform where the axis
                is a factor); a list of values of an axis that chooses; {"fixed": v}, {"uniform": [l, h]},
                {"log_uniform": [l, h]} or {"choice": [...], "weights": [...]}; or a distribution.

        Raises:
            InputError: naming the axis and what would be right.
        """
        try:
            made = self._read(given)
            self.check(made)
        except InputError as error:
            if f"axis '{self.name}'" in str(error):
                raise
            raise InputError(f"axis '{self.name}': {error}") from None
        return made

    def _read(self, given: object) -> Distribution:
        if isinstance(given, Distribution):
            return given
        if isinstance(given, str | bool | int | float):
            return Fixed(given)
        if isinstance(given, list | tuple):
            if self.choices:
                return Choice(tuple(given))
            if len(given) != 2:
                raise InputError(f"a range is [low, high], got {list(given)}")
            if given[0] == given[1]:
                return Fixed(given[0])
            return (LogUniform if self.logarithmic else Uniform)(*given)
        if isinstance(given, dict):
            return _named(given)
        raise InputError(f"{given!r} is no distribution; give a value, [low, high], or e.g. {{uniform: [0, 1]}}")


def _named(given: dict[object, object]) -> Distribution:
    kinds = {"fixed": Fixed, "uniform": Uniform, "log_uniform": LogUniform, "choice": Choice}
    names = [str(name) for name in given if name != "weights"]
    if len(names) != 1:
        raise InputError(f"a distribution has one of {', '.join(kinds)}, got {', '.join(names) or 'none'}")
    if names[0] not in kinds:
        raise unknown_name("distribution", names[0], kinds)
    value, weights = given[names[0]], given.get("weights")
    if weights is not None and names[0] != "choice":
        raise InputError(f"weights belong to a choice, not to '{names[0]}'")
    if names[0] == "fixed" and isinstance(value, str | bool | int | float):
        return Fixed(value)
    if names[0] == "choice" and isinstance(value, list | tuple) and isinstance(weights, list | tuple | None):
        return Choice(tuple(value), tuple(weights or ()))
    if names[0] in ("uniform", "log_uniform") and isinstance(value, list | tuple) and len(value) == 2:
        return (Uniform if names[0] == "uniform" else LogUniform)(*value)
    shape = {"fixed": "one value", "choice": "a list of values"}.get(names[0], "[low, high]")
    raise InputError(f"'{names[0]}' takes {shape}, got {value!r}")


def _factor(name: str, per: Per, low: float, high: float, says: str, colosseum: tuple[str, ...] = ()) -> Axis:
    return Axis(name, "physics", per, "factor", 1.0, low, high, says, logarithmic=True, colosseum=colosseum)


def _camera(kind: str, per: Per, what: str) -> tuple[Axis, ...]:
    turns = (("pitch", "x axis, up and down"), ("yaw", "y axis, left and right"), ("roll", "line of sight"))
    axes = [
        Axis(f"{kind}_{axis}", "camera", per, "m", 0.0, -0.5, 0.5, f"shift of {what} along {axis} of its body",
             colosseum=("camera pose",))
        for axis in "xyz"
    ]  # fmt: skip
    axes += [
        Axis(f"{kind}_{name}", "camera", per, "degrees", 0.0, -45.0, 45.0, f"turn of {what} about its {about}",
             colosseum=("camera pose",))
        for name, about in turns
    ]  # fmt: skip
    fovy = f"added to the vertical field of view of {what}"
    return (*axes, Axis(f"{kind}_fovy", "camera", per, "degrees", 0.0, -20.0, 20.0, fovy))


_COLOUR = ("manipulated object colour", "receiver object colour")
_TEXTURE = ("manipulated object texture", "receiver object texture")
_SIZE = ("manipulated object size", "receiver object size")

_TABLE: tuple[Axis, ...] = (
    # What objects are like.
    Axis("object_friction", "physics", "scene", "", 0.8, 0.0, 1.0, "sliding friction of the objects",
         colosseum=("object friction",)),
    Axis("pad_friction", "physics", "scene", "", 0.8, 0.0, 1.0, "sliding friction of the fingers"),
    Axis("table_friction", "physics", "scene", "", 0.8, 0.0, 1.0, "sliding friction of the table"),
    Axis("spin_friction", "physics", "scene", "m", 0.005, 0.0, 0.05, "torsional friction of objects and fingers"),
    _factor("mass_factor", "body", 0.05, 20.0, "on an object's mass and inertia", ("object mass",)),
    *(
        Axis(f"mass_offset_{axis}", "physics", "body", "half edges", 0.0, -0.9, 0.9,
             f"shift of an object's centre of mass along its {axis}, as a share of half its edge")
        for axis in "xyz"
    ),
    Axis("object_damping", "physics", "scene", "N s/m", 0.0, 0.0, 1.0, "drag on objects"),
    Axis("object_size", "physics", "resizable", "factor", 1.0, 0.75, 1.25, "on an object's edges, its mass unchanged",
         colosseum=_SIZE),
    Axis("distractor_size", "physics", "distractor", "factor", 1.0, 0.5, 1.0, "on a distractor's edges",
         colosseum=("distractor",)),
    Axis("table_height", "physics", "scene", "m", 0.0, -0.5, 1.0, "offset of the table's surface"),
    Axis("gravity_tilt_x", "physics", "scene", "degrees", 0.0, -20.0, 20.0, "tilt of gravity towards +x"),
    Axis("gravity_tilt_y", "physics", "scene", "degrees", 0.0, -20.0, 20.0, "tilt of gravity towards +y"),
    # What the robot is like.
    _factor("servo_gain_factor", "scene", 0.1, 5.0, "on the arm servos' stiffness and damping"),
    _factor("joint_damping", "scene", 0.0625, 16.0, "on the damping of the arm's joints"),
    Axis("torque_limit", "physics", "scene", "factor", 1.0, 0.2, 1.0, "on the torque limits of the arm"),
    Axis("grip_force", "physics", "scene", "factor", 1.0, 0.05, 1.0, "on the gripper's largest force"),
    Axis("grip_speed", "physics", "scene", "factor", 1.0, 0.2, 2.0, "on how fast the fingers move"),
    Axis("latency", "physics", "scene", "s", 0.0, 0.0, 0.12, "delay from command to setpoint"),
    Axis("control_jitter", "physics", "scene", "s", 0.0, 0.0, 0.03,
         "each control step is late by up to this much more"),
    Axis("joint_offset", "physics", "joint", "rad", 0.0, -0.2, 0.2, "error of each encoder's zero, kept in a scene"),
    Axis("proprioceptive_noise", "physics", "scene", "rad", 0.0, 0.0, 0.1, "standard deviation of measured angles"),
    Axis("backlash", "physics", "joint", "rad", 0.0, 0.0, 0.1, "play between a motor and its joint, kept in a scene",
         sparse=True),
    Axis("joint_friction", "physics", "joint", "torque limits", 0.0, 0.0, 0.4,
         "dry friction of a moving joint, as a share of its torque limit", sparse=True),
    Axis("stiction", "physics", "scene", "factor", 1.0, 1.0, 3.0, "on that friction where a joint is at rest",
         sparse=True),
    # How its world is computed.
    Axis("solver_cone", "physics", "scene", "", "elliptic", 0.0, 0.0, "shape of the contacts' friction cones",
         ("elliptic", "pyramidal"), sparse=True),
    Axis("solver_impratio", "physics", "scene", "", 3.0, 0.5, 100.0,
         "how much stiffer friction is than contact along its normal", logarithmic=True, sparse=True),
    Axis("solver_iterations", "physics", "scene", "", 100, 1.0, 200.0, "most iterations of the constraint solver",
         sparse=True),
    Axis("solver_tolerance", "physics", "scene", "", 1e-8, 1e-12, 0.1, "improvement below which it stops",
         logarithmic=True, sparse=True),
    Axis("solver_integrator", "physics", "scene", "", "implicitfast", 0.0, 0.0, "how motion is integrated",
         ("implicitfast", "implicit", "euler"), sparse=True),
    Axis("contact_softness", "physics", "scene", "factor", 1.0, 1.0, 6.0, "on the time constant of contacts",
         logarithmic=True, sparse=True),
    # What things look like.
    Axis("object_hue", "appearance", "object", "turns", 0.0, -0.04, 0.04, "added to the hue of an object's colour word",
         colosseum=_COLOUR),
    Axis("object_saturation", "appearance", "object", "0 to 1", 0.9, 0.6, 1.0, "saturation of an object's colour",
         colosseum=_COLOUR),
    Axis("object_value", "appearance", "object", "0 to 1", 0.85, 0.5, 1.0, "brightness of an object's colour",
         colosseum=_COLOUR),
    Axis("object_material", "appearance", "object", "", "plain", 0.0, 0.0, "pattern on an object",
         tuple(OBJECT_TEXTURES), colosseum=_TEXTURE),
    Axis("distractor_hue", "appearance", "distractor", "turns", 0.0, -0.5, 0.5,
         "added to a distractor's hue, which then leaves those of the task's objects", colosseum=("distractor",)),
    Axis("distractor_saturation", "appearance", "distractor", "0 to 1", 0.9, 0.0, 1.0, "saturation of a distractor",
         colosseum=("distractor",)),
    Axis("distractor_value", "appearance", "distractor", "0 to 1", 0.85, 0.2, 1.0, "brightness of a distractor",
         colosseum=("distractor",)),
    Axis("distractor_material", "appearance", "distractor", "", "plain", 0.0, 0.0, "pattern on a distractor",
         tuple(OBJECT_TEXTURES), colosseum=("distractor",)),
    Axis("table_material", "appearance", "scene", "", "world_plain", 0.0, 0.0, "pattern of the table", tuple(TEXTURES),
         colosseum=("table texture",)),
    Axis("table_hue", "appearance", "scene", "turns", 0.6, 0.0, 1.0, "hue of the table", colosseum=("table colour",)),
    Axis("table_saturation", "appearance", "scene", "0 to 1", 0.05, 0.0, 1.0, "its saturation",
         colosseum=("table colour",)),
    Axis("table_value", "appearance", "scene", "0 to 1", 0.7, 0.05, 1.0, "its brightness",
         colosseum=("table colour",)),
    Axis("room_material", "appearance", "surface", "", "world_plain", 0.0, 0.0, "pattern of the floor, of the walls",
         tuple(TEXTURES), colosseum=("background texture",)),
    Axis("room_hue", "appearance", "surface", "turns", 0.6, 0.0, 1.0, "hue of the floor, of the walls"),
    Axis("room_saturation", "appearance", "surface", "0 to 1", 0.1, 0.0, 1.0, "their saturation"),
    Axis("room_value", "appearance", "surface", "0 to 1", 0.6, 0.05, 1.0, "their brightness"),
    Axis("robot_value", "appearance", "scene", "factor", 1.0, 0.2, 1.5, "on the brightness of the robot's panels"),
    Axis("robot_warmth", "appearance", "scene", "-1 to 1", 0.0, -1.0, 1.0, "their tint, from cool to warm"),
    # The light.
    Axis("light_azimuth", "light", "scene", "degrees", 40.0, -180.0, 180.0,
         "where the key light stands, from +x towards +y"),
    Axis("light_elevation", "light", "scene", "degrees", 60.0, 10.0, 90.0, "how high it stands"),
    Axis("light_distance", "light", "scene", "m", 2.0, 0.5, 10.0, "how far away it stands"),
    Axis("light_diffuse", "light", "scene", "strength", 0.6, 0.0, 1.5, "strength of the key light"),
    Axis("light_ambient", "light", "scene", "strength", 0.3, 0.0, 1.0, "of the light from everywhere"),
    Axis("light_fill", "light", "scene", "strength", 0.2, 0.0, 1.0, "of the light from the other side"),
    Axis("light_specular", "light", "scene", "strength", 0.3, 0.0, 1.0, "of highlights"),
    Axis("light_warmth", "light", "scene", "-1 to 1", 0.0, -1.0, 1.0, "colour of the light, from cool to warm",
         colosseum=("light colour",)),
    Axis("light_shadow", "light", "scene", "", True, 0.0, 0.0, "whether the key light casts shadows", (True, False)),
    Axis("lamps", "light", "scene", "", 0, 0.0, 0.0, "how many further lamps are on", (0, 1, 2)),
    Axis("lamp_azimuth", "light", "lamp", "degrees", 0.0, -180.0, 180.0, "where a lamp stands"),
    Axis("lamp_elevation", "light", "lamp", "degrees", 60.0, 10.0, 90.0, "how high it stands"),
    Axis("lamp_diffuse", "light", "lamp", "strength", 0.2, 0.0, 1.0, "its strength"),
    Axis("lamp_warmth", "light", "lamp", "-1 to 1", 0.0, -1.0, 1.0, "its colour, from cool to warm",
         colosseum=("light colour",)),
    # Cameras.
    *_camera("camera", "camera", "a camera in the room"),
    *_camera("wrist", "robot camera", "a camera on the robot"),
    Axis("camera_latency", "camera", "scene", "s", 0.0, 0.0, 0.25, "age of a frame as it is looked at, on average",
         sparse=True),
    Axis("frame_drops", "camera", "scene", "share", 0.0, 0.0, 0.5, "frames that are lost: an older one is seen instead",
         sparse=True),
    # What a camera does to a frame.
    Axis("noise_std", "sensor", "scene", "full scale", 0.0, 0.0, 1.0, "standard deviation of pixel noise"),
    Axis("blur_sigma", "sensor", "scene", "pixels", 0.0, 0.0, 20.0, "standard deviation of Gaussian blur"),
    Axis("exposure_ev", "sensor", "scene", "stops", 0.0, -10.0, 10.0, "exposure error"),
    Axis("white_balance", "sensor", "scene", "share", 0.0, -0.99, 10.0, "gain error of red, and of blue"),
    Axis("jpeg_quality", "sensor", "scene", "", 100, 1.0, 100.0, "quality of JPEG compression; 100 is none"),
)  # fmt: skip

AXES: dict[str, Axis] = {axis.name: axis for axis in _TABLE}
GROUPS: tuple[Group, ...] = ("physics", "appearance", "light", "camera", "sensor")


def get_axis(name: str) -> Axis:
    """Look an axis up.

    Raises:
        InputError: there is none of that name; says which is nearest.
    """
    if name not in AXES:
        raise unknown_name("axis", name, AXES)
    return AXES[name]


def axes_called(names: tuple[str, ...]) -> tuple[Axis, ...]:
    """The axes that names stand for, each an axis or a group of them.

    Raises:
        InputError: a name is neither.
    """
    found: dict[str, Axis] = {}
    for name in names:
        if name not in AXES and name not in GROUPS:
            raise unknown_name("axis or group", name, (*GROUPS, *AXES))
        found |= {axis.name: axis for axis in _TABLE if name in (axis.name, axis.group)}
    return tuple(found.values())
