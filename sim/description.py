"""A robot of your own in words: the YAML file that says which parts of an MJCF file are what.

Nothing is guessed: a key that is missing, unknown or of the wrong kind is refused by name. What the file means for the
model is worked out in `described`. `docs/embodiments.md` shows every key.
"""

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from handful import InputError, unknown_name

Triple = tuple[float, float, float]
Quat = tuple[float, float, float, float]


@dataclass(frozen=True)
class Base:
    """Where the robot's root body stands in the table's frame: x forward, z up, z = 0 where the table's top is."""

    pos: Triple = (0.0, 0.0, 0.0)
    quat: Quat = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Attachment:
    """A hand in an MJCF file of its own."""

    # The file, written like the arm's.
    mjcf: str
    # Site of the arm at which its root body goes, frame on frame.
    to: str
    # Put before every name of the hand, also where this description means it.
    prefix: str = ""
    # The hand's body; may be left out where the file's world has one only.
    root: str = ""


@dataclass(frozen=True)
class Arm:
    """The arm's joints, base to tip, and their servos. Lists have one entry per joint; one number holds for all."""

    joints: tuple[str, ...]
    # Angles in which an episode starts, the tool pointing down [rad].
    home: tuple[float, ...]
    # Speed limits [rad/s].
    speed: tuple[float, ...]
    # Position servos: stiffness [N m/rad], damping [N m s/rad].
    stiffness: tuple[float, ...]
    damping: tuple[float, ...]
    # Torque limits [N m]; may be left out where the MJCF limits the joints' forces (actuatorfrcrange).
    torque: tuple[float, ...] | None = None
    # Range of each joint [rad]; left out: the MJCF's, and a whole turn either way for a joint without.
    range: tuple[tuple[float, float], ...] | None = None
    # What the MJCF's values are replaced by, where given: motor inertia [kg m^2], joint damping, dry friction [N m].
    armature: tuple[float, ...] | None = None
    joint_damping: tuple[float, ...] | None = None
    joint_friction: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Pad:
    """A collision shape added to a finger, where the MJCF's own do not hold things well."""

    body: str
    type: Literal["box", "sphere", "capsule", "cylinder", "ellipsoid"]
    # MuJoCo's geom size [m].
    size: tuple[float, ...]
    pos: Triple = (0.0, 0.0, 0.0)
    quat: Quat = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Gripper:
    """The fingers, which all move alike: their joints' position is the gripper's one servo's."""

    joints: tuple[str, ...]
    # Position of each joint when closed and when open [m] or [rad].
    closed: float
    open: float
    # How fast they move [m/s] or [rad/s].
    speed: float
    # Most that the servo pushes with, all fingers together [N] or [N m]; its stiffness and damping on their mean.
    force: float
    stiffness: float
    damping: float
    # Bodies that may touch objects: fingers, not the palm.
    bodies: tuple[str, ...]
    # Sliding friction of these.
    friction: float = 1.0
    # Inertia [kg] or [kg m^2] and damping of each finger's drive, where they replace the MJCF's.
    armature: float | None = None
    joint_damping: float | None = None
    # Collision shapes that are added; with `only_pads` they replace those that the bodies have.
    pads: tuple[Pad, ...] = ()
    only_pads: bool = False


@dataclass(frozen=True)
class Tool:
    """The tool's centre, between the fingertips: z points out of the hand, the fingers close along y."""

    # Either of them, and the pose in it.
    site: str | None = None
    body: str | None = None
    pos: Triple = (0.0, 0.0, 0.0)
    quat: Quat = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Hand:
    """The hand's outline in the tool's frame, see `sim.embodiment.HandShape`, and the body that is its palm."""

    body: str
    palm_centre: Triple
    palm_half: Triple
    tip_half_width: float
    tip_depth: float
    tip_length: float
    reach: float


@dataclass(frozen=True)
class Camera:
    """The camera on the hand, in the frame of a body, see `sim.embodiment.CameraView`."""

    body: str
    pos: Triple
    target: Triple
    up: Triple
    fovy: float


@dataclass(frozen=True)
class Description:
    """A robot in words; the MJCF file means every name that is not explained otherwise."""

    # The name that is stored with every episode.
    name: str
    # The MJCF file: relative to the YAML file, or "package://<Python package>/<path inside it>".
    mjcf: str
    arm: Arm
    gripper: Gripper
    tool: Tool
    hand: Hand
    wrist_camera: Camera
    # The robot's body; may be left out where the file's world has one only.
    root: str = ""
    base: Base = Base()
    attach: Attachment | None = None
    # Further joints, and where each is held for good [m] or [rad].
    locked: dict[str, float] | None = None


def read_description(path: Path) -> Description:
    """Read a robot's YAML file.

    Raises:
        InputError: it cannot be read, or a key is missing, unknown or of the wrong kind; the message names it.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read the robot {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    try:
        found: Description = _read(Description, content, "")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return found


def _read(kind: Any, value: Any, field: str) -> Any:
    """A value of a YAML file as what a type says; lists of one number per joint stay to be counted."""
    if get_origin(kind) in (Union, UnionType):
        return None if value is None else _read(next(k for k in get_args(kind) if k is not NoneType), value, field)
    if hasattr(kind, "__dataclass_fields__"):
        return _read_section(kind, value, field)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _read_list(inner, value, field)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(field, "names and numbers", value)
        return {str(key): _read(inner[1], item, f"{field}.{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in inner:
            raise unknown_name(field, str(value), inner)
        return value
    if kind is float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value != value
            or abs(value) == float("inf")
        ):
            raise _wrong(field, "a number", value)
        return float(value)
    if not isinstance(value, kind) or (kind is str and not value):
        raise _wrong(field, {str: "a name", bool: "true or false"}[kind], value)
    return value


def _read_section(kind: Any, value: Any, field: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(field or "the file", "keys and values", value)
    hints, known = get_type_hints(kind), {item.name: item for item in fields(kind)}
    for key in value:
        if key not in known:
            raise unknown_name("key", f"{field}.{key}" if field else str(key), [_path(field, name) for name in known])
    missing = [_path(field, name) for name, item in known.items() if name not in value and item.default is MISSING]
    if missing:
        raise InputError(f"it says nothing about {', '.join(missing)}")
    return kind(**{key: _read(hints[key], item, _path(field, key)) for key, item in value.items()})


def _read_list(inner: tuple[Any, ...], value: Any, field: str) -> Any:
    """Of a fixed length, as its type says; or of any, where one number stands for a list of it alone."""
    if inner[-1] is Ellipsis:
        if isinstance(value, int | float) and inner[0] is float:
            value = [value]
        if not isinstance(value, list) or not value:
            raise _wrong(field, "a list", value)
        return tuple(_read(inner[0], item, f"{field}[{i}]") for i, item in enumerate(value))
    if not isinstance(value, list) or len(value) != len(inner):
        raise _wrong(field, f"a list of {len(inner)}", value)
    return tuple(_read(kind, item, f"{field}[{i}]") for i, (kind, item) in enumerate(zip(inner, value, strict=True)))


def _path(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key


def _wrong(field: str, wanted: str, value: Any) -> InputError:
    return InputError(f"{field} must be {wanted}, got {value!r}")
