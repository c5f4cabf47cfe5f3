"""`square`: a square nut with a handle is picked up by the handle and let down over a square peg.

The nut is 72 mm square and 26 mm high, with a hole of 44 mm and a handle that reaches 96 mm from the hole's middle. The
square peg, of 34 mm and 60 mm high, leaves 5 mm all round. A round peg stands on the other side: the nut would fit over
it too, but there it is misplaced.
"""

import numpy as np

from scenes.distractors import DISTRACTORS
from scenes.placement import Region, place, radius
from scenes.props import Prop, Shape, turns_about_z
from scenes.task import Reset, Subtask, Task, World, pick
from sim.transforms import Array, quat_rotate

HALF, HOLE, HEIGHT = 0.036, 0.022, 0.026  # half the nut's edge, half its hole's, its height [m]
HANDLE = (0.036, 0.096, 0.010)  # where the handle begins and ends, and half its width [m]
PEG, PEG_HEIGHT = 0.017, 0.060  # half the square peg's edge and the round one's radius; height of both [m]
MASS = 0.08  # [kg]

# How far the nut's middle may stand off the peg's, and how high above lying flat [m].
OFFSET, HEIGHT_TOLERANCE = 0.009, 0.004
_BESIDE = 0.005  # kept free beside the handle of a nut that is let down [m]
_UPRIGHT = np.cos(np.radians(5.0))
_STEEL = (0.42, 0.44, 0.48, 1.0)


def _nut() -> Prop:
    bar, middle, z = (HALF - HOLE) / 2, (HALF + HOLE) / 2, HEIGHT / 2
    begin, end, width = HANDLE
    # Masses by volume, so that the nut hangs from the hand as a solid one would.
    sizes = [(HALF, bar, z), (HALF, bar, z), (bar, HOLE, z), (bar, HOLE, z), ((end - begin) / 2, width, z)]
    places = [(0.0, middle, 0.0), (0.0, -middle, 0.0), (middle, 0.0, 0.0), (-middle, 0.0, 0.0)]
    volume = [float(np.prod(size)) for size in sizes]
    shapes = tuple(
        Shape("box", size, pos, mass=MASS * part / sum(volume))
        for size, pos, part in zip(sizes, [*places, ((begin + end) / 2, 0.0, 0.0)], volume, strict=True)
    )
    # Straight down on the handle's outer part, its fingers along the handle's sides, either way round.
    at = (begin + end) / 2 + 0.004, 0.0, 0.004
    grasps = ((*at, 0.0, 1.0, 0.0, 0.0), (*at, 0.0, 0.0, 1.0, 0.0))
    return Prop("nut", "nut", "red", shapes, (end, HALF, z), grasps=grasps)


def _peg(name: str, shape: Shape, turns: int) -> Prop:
    return Prop(name, "peg", None, (shape,), (PEG, PEG, PEG_HEIGHT / 2), turns_about_z(turns), fixed=True)


_SQUARE_PEG = _peg("square_peg", Shape("box", (PEG, PEG, PEG_HEIGHT / 2), rgba=_STEEL), 4)
_ROUND_PEG = _peg("round_peg", Shape("cylinder", (PEG, PEG_HEIGHT / 2), rgba=_STEEL), 8)


class Square(Task):
    """Put the square nut over the square peg and let it go."""

    name = "square"
    # The pegs first: the nut is placed where they leave room.
    props = (_SQUARE_PEG, _ROUND_PEG, _nut())
    subtasks = (
        Subtask("grasp", "grasp", "nut", sentence="pick up the square nut by its handle"),
        Subtask("insert", "place", "peg", held="nut", sentence="put the square nut over the square peg"),
    )
    ends_in_release = True
    horizon = 240
    placing_error = 0.0007
    levels = {  # noqa: RUF012  read-only table of the class
        "D0": Reset(
            Region((0.38, 0.50), (-0.06, 0.06), (-0.6, 0.6)),
            elsewhere={
                "square_peg": Region((0.55, 0.55), (0.13, 0.13)),
                "round_peg": Region((0.55, 0.55), (-0.13, -0.13)),
            },
        ),
        "D1": Reset(
            Region((0.32, 0.56), (-0.12, 0.12), (-1.2, 1.2)),
            (-0.03, 0.03),
            DISTRACTORS,
            elsewhere={
                "square_peg": Region((0.48, 0.60), (0.10, 0.20), (-0.3, 0.3)),
                "round_peg": Region((0.48, 0.60), (-0.20, -0.10)),
                **dict.fromkeys((d.name for d in DISTRACTORS), Region((0.32, 0.68), (-0.30, 0.30), (-2.0, 2.0))),
            },
        ),
        "D2": Reset(
            Region((0.32, 0.60), (-0.20, 0.20), (-np.pi, np.pi)),
            (-0.05, 0.05),
            DISTRACTORS,
            elsewhere={
                "square_peg": Region((0.42, 0.62), (-0.20, 0.20), (-np.pi / 4, np.pi / 4)),
                "round_peg": Region((0.42, 0.62), (-0.20, 0.20)),
                **dict.fromkeys((d.name for d in DISTRACTORS), Region((0.32, 0.70), (-0.34, 0.34), (-np.pi, np.pi))),
            },
        ),
    }
    # The handle sticks out over the table: a peg or a nut within its reach of a peg would be struck.
    apart = 0.115
    sentences = (
        "put the square nut on the square peg",
        "place the square nut over the square peg",
        "pick up the square nut by its handle and put it on the square peg",
        "slide the square nut down onto the square peg",
        "fit the nut with the square hole over the square peg",
        "take the square nut and set it down on the square peg",
        "the square nut goes over the square peg",
        "lift the nut by the handle and place its hole over the square peg",
    )
    held_out = (
        "take the nut by its handle and slide it over the square peg",
        "set the square nut down over the square peg",
        "pick up the nut with the square hole and place it on the square peg",
        "fit the square nut onto the square peg",
        "lift the square nut and put it down over the square peg",
    )
    unseen = (
        "thread the square nut onto its matching post",
        "grasp the grip of the nut and drop the ring over the angular pin",
        "insert the square peg into the hole of the nut",
        "mount the square nut where it belongs",
    )

    def draw_poses(self, rng: np.random.Generator) -> dict[str, Array]:
        """Draw where the objects stand; distractors out of reach of the handle of a nut on a peg, see `Task`."""
        own = place(type(self).props, self.regions(), rng, self.apart)
        reach = float(np.hypot(HANDLE[1], HANDLE[2])) + max((radius(d) for d in self.reset.distractors), default=0.0)
        taken = [(self.prop(name), pose) for name, pose in own.items()]
        return {**own, **place(self.reset.distractors, self.regions(), rng, reach + _BESIDE, taken)}

    def casts(self) -> tuple[dict[str, str], ...]:
        """There is one nut and one square peg."""
        return ({"nut": "nut", "peg": "square_peg"},)

    def fixed_roles(self) -> dict[str, str]:
        """The only ones."""
        return self.casts()[0]

    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        """The fixed ones."""
        return self.fixed_roles()

    def placement(self, subtask: Subtask, roles: dict[str, str]) -> Array:
        """The nut flat on the table, the peg through its hole."""
        return np.array([0.0, 0.0, (HEIGHT - PEG_HEIGHT) / 2, 1.0, 0.0, 0.0, 0.0])

    def goal(self, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """The nut lies flat on the table, right way up, with the square peg through its hole."""
        nut, peg = (pick(world.objects, self.objects, roles[role]) for role in ("nut", "peg"))
        offset = np.linalg.norm(nut[:, :2] - peg[:, :2], axis=1)
        height = np.abs(nut[:, 2] - HEIGHT / 2 - world.table_height)
        upright = quat_rotate(nut[:, 3:], np.array([0.0, 0.0, 1.0]))[:, 2] > _UPRIGHT
        return (offset < OFFSET) & (height < HEIGHT_TOLERANCE) & upright
