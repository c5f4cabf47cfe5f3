"""The task `pick_place`: four groceries on one side of the table, a tray of four bins on the other.

The milk carton belongs into the blue bin, the bread into the yellow one, the cereal box into the green one and the can
into the red one; a scene asks for one of them. All fit between the Panda's fingers (at most 8 cm), and none is so tall
that the palm would meet it while the hand takes the one beside it.
"""

import math
from dataclasses import dataclass

import numpy as np

from scenes.distractors import DISTRACTORS
from scenes.placement import Region, place
from scenes.props import Prop, Shape, cube, turns_about_z
from scenes.task import Reset, Subtask, Task, World, pick
from sim.transforms import Array, compose, inverse, quat_about_z, quat_rotate

# A bin's inside and wall, half its outer edge, its floor's thickness and its height [m].
INSIDE, WALL, FLOOR, HEIGHT = 0.104, 0.004, 0.004, 0.030
HALF = INSIDE / 2 + WALL
# Between the centres of two neighbouring groceries: an open finger has room beside what it takes [m].
APART = 0.12
# How far an object that stands in a bin may be off its floor [m], and how far it may lean.
HEIGHT_TOLERANCE = 0.003
UPRIGHT = math.cos(math.radians(5.0))

_WHITE, _BLUE, _SILVER = (0.95, 0.95, 0.93, 1.0), (0.16, 0.36, 0.80, 1.0), (0.78, 0.79, 0.81, 1.0)
_RED, _GREEN, _YELLOW = (0.82, 0.10, 0.12, 1.0), (0.20, 0.62, 0.28, 1.0), (0.97, 0.83, 0.25, 1.0)
_CRUST, _CRUMB, _BAKED = (0.78, 0.53, 0.26, 1.0), (0.96, 0.86, 0.66, 1.0), (0.58, 0.34, 0.14, 1.0)

Rgba = tuple[float, float, float, float]
Triple = tuple[float, float, float]


def _print(half: Triple, pos: Triple, rgba: Rgba) -> Shape:
    """Something printed on a package: a sheet that stands off it by less than the eye sees, and touches nothing."""
    return Shape("box", half, pos, rgba=rgba, collides=False)


def _from_above(height: float, quarter: bool = False) -> tuple[float, ...]:
    """A grasp straight down, so far above an object's middle [m], across its y or, turned by a quarter, its x."""
    turn = math.sqrt(0.5)
    return (0.0, 0.0, height, *((0.0, turn, turn, 0.0) if quarter else (0.0, 1.0, 0.0, 0.0)))


def milk(name: str) -> Prop:
    """A carton of 42 x 42 x 76 mm with a gabled top and a blue band."""
    side, top = 0.021, 0.038
    slope = side / math.sqrt(2.0)
    eighth = (math.cos(math.pi / 8), math.sin(math.pi / 8), 0.0, 0.0)
    shapes = (
        Shape("box", (side, side, 0.0265), (0.0, 0.0, -0.0115), mass=0.09, rgba=_WHITE),
        # A square bar on edge makes the gable; its lower half is inside the carton.
        Shape("box", (side, slope, slope), (0.0, 0.0, 0.015), eighth, mass=0.008, rgba=_BLUE),
        Shape("box", (side, 0.0015, 0.003), (0.0, 0.0, top - 0.003), mass=0.002, rgba=_WHITE),
        _print((side + 0.0003, side + 0.0003, 0.007), (0.0, 0.0, -0.018), _BLUE),
    )
    grasps = (_from_above(0.005), _from_above(0.005, quarter=True))
    return Prop(name, "milk carton", None, shapes, (side, side, top), turns_about_z(2), grasps=grasps)


def bread(name: str) -> Prop:
    """A loaf of 80 x 48 x 52 mm with a rounded, darker top and three cuts in it."""
    length, width = 0.040, 0.024
    cuts = tuple(_print((0.0025, 0.013, 0.0004), (x, 0.0, 0.026), _CRUMB) for x in (-0.02, 0.0, 0.02))
    ends = tuple(_print((0.0004, width - 0.003, 0.019), (x, 0.0, -0.005), _CRUMB) for x in (-length, length))
    shapes = (
        Shape("box", (length, width, 0.0225), (0.0, 0.0, -0.0035), mass=0.085, rgba=_CRUST),
        Shape("box", (length - 0.003, width - 0.003, 0.0035), (0.0, 0.0, 0.0225), mass=0.015, rgba=_BAKED),
        *cuts,
        *ends,
    )
    return Prop(name, "bread", None, shapes, (length, width, 0.026), turns_about_z(2), grasps=(_from_above(0.015),))


def cereal(name: str) -> Prop:
    """A flat box of 64 x 28 x 76 mm, standing, with a bowl on its front and back."""
    wide, deep, tall = 0.032, 0.014, 0.038
    shapes = (
        Shape("box", (wide, deep, tall), mass=0.08, rgba=_GREEN),
        _print((wide - 0.004, deep + 0.0003, 0.008), (0.0, 0.0, 0.024), _YELLOW),
        _print((0.016, deep + 0.0003, 0.005), (0.0, 0.0, -0.014), _WHITE),
        _print((0.010, deep + 0.0003, 0.003), (0.0, 0.0, -0.022), _WHITE),
        _print((0.014, deep + 0.0004, 0.003), (0.0, 0.0, -0.006), _CRUST),
    )
    return Prop(name, "cereal box", None, shapes, (wide, deep, tall), turns_about_z(2), grasps=(_from_above(0.005),))


def can(name: str) -> Prop:
    """A can of 44 mm across and 68 mm high with a white band and silver ends."""
    radius, tall = 0.022, 0.034
    shapes = (
        Shape("cylinder", (radius, tall), mass=0.1, rgba=_RED),
        Shape("cylinder", (radius + 0.0003, 0.006), (0.0, 0.0, 0.002), rgba=_WHITE, collides=False),
        *(
            Shape("cylinder", (radius - 0.002, 0.0005), (0.0, 0.0, z), rgba=_SILVER, collides=False)
            for z in (-tall, tall)
        ),
    )
    grasps = (_from_above(0.006),)
    return Prop(name, "can", None, shapes, (radius, radius, tall), turns_about_z(8), grasps=grasps)


def bin_of(name: str, colour: str) -> Prop:
    """An open bin, fixed in place: a floor and four walls."""
    high, middle = HEIGHT / 2, HALF - WALL / 2
    shapes = (
        Shape("box", (HALF, HALF, FLOOR / 2), (0.0, 0.0, FLOOR / 2 - high)),
        *(Shape("box", (WALL / 2, HALF, high), (x, 0.0, 0.0)) for x in (-middle, middle)),
        *(Shape("box", (HALF - WALL, WALL / 2, high), (0.0, y, 0.0)) for y in (-middle, middle)),
    )
    return Prop(name, "bin", colour, shapes, (HALF, HALF, high), turns_about_z(4), fixed=True)


# Bin -> where it is in the tray [m]: far from the robot or near it, left or right.
TRAY = {
    "bin_milk": (HALF, HALF),
    "bin_bread": (HALF, -HALF),
    "bin_cereal": (-HALF, HALF),
    "bin_can": (-HALF, -HALF),
}
# Object -> the bin it belongs into.
BELONGS = {"milk": "bin_milk", "bread": "bin_bread", "cereal": "bin_cereal", "can": "bin_can"}

# So low that an open finger passes over them; and no cylinder, which would look like a can.
_IN_THE_WAY = (cube("distractor_1", "purple", 0.03, 0.05), *DISTRACTORS[1:])


# Where the tray stands unless a level moves it.
_TRAY_AT = Region((0.44, 0.44), (0.13, 0.13))


@dataclass(frozen=True)
class TrayReset(Reset):
    """How far scenes lie apart, with the tray.

    Attributes:
        tray: where the tray's middle may be, and how it may be turned.
        swaps: whether objects and tray may change sides, y for -y.
    """

    tray: Region = _TRAY_AT
    swaps: bool = False


class PickPlace(Task):
    """Put the named object into the bin where it belongs, upright."""

    name = "pick_place"
    props = (
        milk("milk"),
        bread("bread"),
        cereal("cereal"),
        can("can"),
        bin_of("bin_milk", "blue"),
        bin_of("bin_bread", "yellow"),
        bin_of("bin_cereal", "green"),
        bin_of("bin_can", "red"),
    )
    subtasks = (
        Subtask("grasp", "grasp", "target", signal="grasp", sentence="pick up the {target}"),
        Subtask("place", "place", "bin", held="target", sentence="put the {target} into the {bin} bin"),
    )
    ends_in_release = True
    horizon = 300
    apart = APART
    levels = {  # noqa: RUF012  read-only table of the class
        "D0": TrayReset(Region((0.34, 0.54), (-0.25, -0.04), (-1.0, 1.0))),
        "D1": TrayReset(
            Region((0.28, 0.68), (-0.40, 0.02), (-2.0, 2.0)),
            (-0.03, 0.03),
            _IN_THE_WAY,
            tray=Region((0.41, 0.47), (0.13, 0.17), (-0.2, 0.2)),
        ),
        "D2": TrayReset(
            Region((0.28, 0.70), (-0.42, 0.02), (-np.pi, np.pi)),
            (-0.05, 0.05),
            _IN_THE_WAY,
            tray=Region((0.39, 0.49), (0.13, 0.19), (-0.4, 0.4)),
            swaps=True,
        ),
    }
    sentences = (
        "put the {target} into its bin",
        "place the {target} in the {bin} bin",
        "pick up the {target} and put it into its bin",
        "move the {target} to the bin where it belongs",
        "sort the {target} into the {bin} bin",
        "take the {target} and set it down in its bin",
        "the {target} belongs in the {bin} bin, put it there",
        "pick the {target} and place it in its bin",
        "put the {target} away into the {bin} bin",
        "grab the {target} and put it in the {bin} bin",
    )
    held_out = (
        "take the {target} and put it into the {bin} bin",
        "place the {target} in the bin where it belongs",
        "pick up the {target} and set it down in the {bin} bin",
        "grab the {target} and sort it into its bin",
        "move the {target} into the {bin} bin",
    )
    unseen = (
        "drop off the {target} in the {bin} container",
        "store the {target} in its compartment",
        "transfer the {target} to the {bin} box of the tray",
        "clear up the {target} for me",
        "stow the {target} in its bin",
    )

    @property
    def reset(self) -> TrayReset:
        """How this level's scenes are drawn."""
        reset = self.levels[self.level]
        assert isinstance(reset, TrayReset)  # the table above has no other
        return reset

    def casts(self) -> tuple[dict[str, str], ...]:
        """Any of the four is the target, with its own bin."""
        return tuple({"target": name, "bin": bin_name} for name, bin_name in BELONGS.items())

    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        """Any of them, equally often."""
        casts = self.casts()
        return casts[rng.integers(len(casts))]

    def regions(self) -> dict[str, Region]:
        """Where everything may start, on whichever side."""
        reset = self.reset
        regions = dict.fromkeys(self.objects, _widened(reset.region, reset.swaps))
        for name, offset in TRAY.items():
            regions[name] = _bin_region(reset.tray, offset, reset.swaps)
        return regions

    def draw_poses(self, rng: np.random.Generator) -> dict[str, Array]:
        """Draw the tray, then the objects on the other side of the table; see `Task`."""
        reset = self.reset
        mirrored = reset.swaps and rng.random() < 0.5
        centre, yaw = reset.tray.draw(rng), rng.uniform(*reset.tray.yaw)
        if mirrored:
            centre[1] = -centre[1]
        tray = np.array([*centre, HEIGHT / 2, *quat_about_z(yaw)])
        bins = {name: compose(tray, [x, y, 0.0, 1.0, 0.0, 0.0, 0.0]) for name, (x, y) in TRAY.items()}
        regions = dict.fromkeys(self.objects, _mirrored(reset.region) if mirrored else reset.region)
        poses = bins
        groceries = [self.prop(name) for name in BELONGS]
        for props, apart in ((groceries, self.apart), (reset.distractors, 0.0)):
            taken = [(self.prop(name), pose) for name, pose in poses.items()]
            poses = {**poses, **place(props, regions, rng, apart, taken)}
        return poses

    def placement(self, subtask: Subtask, roles: dict[str, str]) -> Array:
        """In the middle of the bin, on its floor."""
        height = self.prop(roles["target"]).half[2] + FLOOR - HEIGHT / 2
        return np.array([0.0, 0.0, height, 1.0, 0.0, 0.0, 0.0])

    def goal(self, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """The target stands upright on its bin's floor, between the walls."""
        target, into = (pick(world.objects, self.objects, roles[role]) for role in ("target", "bin"))
        inside = compose(inverse(into), target)
        half = np.array([prop.half[2] for prop in self.props])[roles["target"]]
        between = (np.abs(inside[:, :2]) < INSIDE / 2).all(axis=1)
        on_floor = np.abs(inside[:, 2] - (half + FLOOR - HEIGHT / 2)) < HEIGHT_TOLERANCE
        return between & on_floor & (quat_rotate(inside[:, 3:], np.array([0.0, 0.0, 1.0]))[:, 2] > UPRIGHT)

    def words(self, roles: dict[str, str]) -> dict[str, str]:
        """Sentences name the object and, some of them, the bin's colour."""
        return {"target": self.prop(roles["target"]).noun, "bin": self.colours[roles["bin"]]}


def _mirrored(region: Region) -> Region:
    low, high = region.y
    return Region(region.x, (-high, -low), region.yaw)


def _widened(region: Region, swaps: bool) -> Region:
    """A region, with its mirror image where sides may be swapped."""
    low, high = region.y
    return Region(region.x, (min(low, -high), max(high, -low)), region.yaw) if swaps else region


def _bin_region(tray: Region, offset: tuple[float, float], swaps: bool) -> Region:
    """Where a bin's middle can be while the tray's is in its region and turned as that allows."""
    turns = np.linspace(*tray.yaw, 33)
    x = np.cos(turns) * offset[0] - np.sin(turns) * offset[1]
    y = np.sin(turns) * offset[0] + np.cos(turns) * offset[1]

    def hull(axis: tuple[float, float], shift: Array) -> tuple[float, float]:
        return float(axis[0] + shift.min()), float(axis[1] + shift.max())

    ways = [hull(tray.y, y), hull(_mirrored(tray).y, y)] if swaps else [hull(tray.y, y)]
    across = (min(low for low, _ in ways), max(high for _, high in ways))
    return Region(hull(tray.x, x), across, tray.yaw)
