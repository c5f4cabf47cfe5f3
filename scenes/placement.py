"""Where objects start: uniform over regions of the table, apart from each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from handful import InputError, JobError
from scenes.props import Prop
from sim.transforms import Array, quat_about_z

Range = tuple[float, float]

# Refusals of one object before all are placed anew, and how often that is done.
_TRIES, _STARTS = 1000, 50
# Kept free between the circles round two objects at the least [m].
_GAP = 0.005


@dataclass(frozen=True)
class Region:
    """A part of the table in which an object's centre may lie, and how it may be turned.

    Attributes:
        x, y: ranges in the robot's base frame [m].
        yaw: range of turns about the vertical [rad].
    """

    x: Range
    y: Range
    yaw: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            if not (np.isfinite([low, high]).all() and low <= high):
                raise InputError(f"a region's {name} goes from {low} to {high}; give the smaller end first")

    def draw(self, rng: np.random.Generator) -> Array:
        """A centre (2,) in it [m]."""
        return np.array([rng.uniform(*self.x), rng.uniform(*self.y)])


def radius(prop: Prop) -> float:
    """Radius of a circle round a prop as it stands [m]."""
    return float(np.hypot(*prop.half[:2]))


def check_room(props: Sequence[Prop], regions: Mapping[str, Region], apart: float = 0.0) -> None:
    """Refuse regions that cannot hold what is to stand in them.

    Raises:
        InputError: a prop has no region; or two props that must keep apart have regions so small that they cannot.
    """
    for prop in props:
        if prop.name not in regions:
            raise InputError(f"'{prop.name}' has no region to stand in; there are regions for: {', '.join(regions)}")
    for i, one in enumerate(props):
        for other in props[:i]:
            if one.fixed and other.fixed:
                continue  # they stand where they are put, touching or not
            spans = []
            for axis in ("x", "y"):
                a, b = getattr(regions[one.name], axis), getattr(regions[other.name], axis)
                spans.append(max(a[1] - b[0], b[1] - a[0]))
            need = _distance(one, other, apart)
            if np.hypot(*spans) < need:
                raise InputError(
                    f"'{one.name}' and '{other.name}' are to stand {need:.3f} m apart, but their regions are at most "
                    f"{np.hypot(*spans):.3f} m apart; widen or separate them"
                )


def place(
    props: Sequence[Prop],
    regions: Mapping[str, Region],
    rng: np.random.Generator,
    apart: float = 0.0,
    taken: Sequence[tuple[Prop, Array]] = (),
) -> dict[str, Array]:
    """Draw where props stand, one after another, each again until it keeps its distance.

    Args:
        props: what is to stand on the table, in the order in which they are drawn.
        regions: prop -> where it may stand.
        rng: the scene's stream.
        apart: least distance between centres [m]; never less than the circles round two props need.
        taken: what stands there already, each with its pose.

    Returns:
        name -> (7,) pose relative to the table's surface.

    Raises:
        JobError: no arrangement was found.
    """
    for _ in range(_STARTS):
        placed = list(taken)
        for prop in props:
            pose = _place_one(prop, regions[prop.name], rng, apart, placed)
            if pose is None:
                break
            placed.append((prop, pose))
        else:
            return {prop.name: pose for prop, pose in placed[len(taken) :]}
    raise JobError(f"could not place {', '.join(p.name for p in props)} apart from each other in their regions")


def _place_one(
    prop: Prop, region: Region, rng: np.random.Generator, apart: float, placed: Sequence[tuple[Prop, Array]]
) -> Array | None:
    for _ in range(_TRIES):
        centre = region.draw(rng)
        if all(np.hypot(*(centre - pose[:2])) >= _distance(prop, other, apart) for other, pose in placed):
            return np.array([*centre, prop.half[2], *quat_about_z(rng.uniform(*region.yaw))])
    return None


def _distance(one: Prop, other: Prop, apart: float) -> float:
    return max(apart, radius(one) + radius(other) + _GAP)
