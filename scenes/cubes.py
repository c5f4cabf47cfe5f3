"""The cube tasks: `lift`, `stack`, `stack_three`; cubes and ranges are those of the Franka cube-stack benchmark.

Three cubes of 46.8 mm stand at x 0.40 to 0.60 m, y -0.10 to 0.10 m, yaw -1 to 1 rad, at least 0.10 m apart.
"""

import itertools

import numpy as np

from scenes.distractors import DISTRACTORS
from scenes.placement import Region
from scenes.props import cube
from scenes.task import Reset, Subtask, Task, World, pick
from sim.transforms import Array, quat_rotate

EDGE = 0.0468  # [m]
MASS = 0.08  # [kg]

X_RANGE, Y_RANGE, YAW_RANGE = (0.40, 0.60), (-0.10, 0.10), (-1.0, 1.0)
MIN_DISTANCE = 0.10  # between cube centres [m]

LIFT_HEIGHT = 0.08  # [m]
# How far a stacked cube's centre may stand off the one below [m]: less than half an edge, or it would fall.
STACK_OFFSET, STACK_HEIGHT_TOLERANCE = 0.02, 0.005
_UPRIGHT = np.cos(np.radians(10.0))


class _Cubes(Task):
    props = (
        cube("cube_1", "blue", EDGE, MASS),
        cube("cube_2", "red", EDGE, MASS),
        cube("cube_3", "green", EDGE, MASS),
    )
    levels = {  # noqa: RUF012  read-only table of the class
        "D0": Reset(Region(X_RANGE, Y_RANGE, YAW_RANGE)),
        "D1": Reset(Region((0.30, 0.70), (-0.20, 0.20), (-2.0, 2.0)), (-0.03, 0.03), DISTRACTORS),
        "D2": Reset(Region((0.30, 0.72), (-0.30, 0.30), (-np.pi, np.pi)), (-0.05, 0.05), DISTRACTORS),
    }
    apart = MIN_DISTANCE


class Lift(_Cubes):
    """Lift the cube of the named colour 8 cm off the table and hold it there."""

    name = "lift"
    subtasks = (Subtask("lift", "grasp", "target", sentence="lift the {target} cube"),)
    ends_in_release = False
    horizon = 160
    sentences = (
        "lift the {target} cube",
        "pick up the {target} cube",
        "raise the {target} block",
        "take the {target} cube off the table",
        "grab the {target} block and lift it",
        "please lift up the {target} cube",
        "hold the {target} cube in the air",
        "get the {target} block up from the table",
    )
    held_out = (
        "please grab the {target} cube and hold it in the air",
        "take the {target} block up from the table",
        "pick the {target} cube up",
        "lift the {target} block off the table",
        "get the {target} cube up and hold it",
    )
    unseen = (
        "hoist the {target} cube",
        "elevate the {target} block above the surface",
        "fetch me the {target} one",
        "bring the {target} cube to a higher position",
    )

    def casts(self) -> tuple[dict[str, str], ...]:
        """Any of the three cubes is the target."""
        return tuple({"target": name} for name in self.own)

    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        """Any of them, equally often."""
        return {"target": self.own[rng.integers(len(self.own))]}

    def goal(self, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """The target is in the air, between the fingers."""
        target = pick(world.objects, self.objects, roles["target"])
        height = target[:, 2] - EDGE / 2 - world.table_height
        near = np.linalg.norm(target[:, :3] - world.tool[:, :3], axis=1) < 0.04
        return (height >= LIFT_HEIGHT) & near


class Stack(_Cubes):
    """Stack the cube of one named colour on the cube of another; the third is left alone."""

    name = "stack"
    subtasks = (
        Subtask("grasp", "grasp", "upper", sentence="pick up the {upper} cube"),
        Subtask("stack", "place", "lower", held="upper", sentence="put the {upper} cube on the {lower} cube"),
    )
    ends_in_release = True
    horizon = 220
    sentences = (
        "stack the {upper} cube on the {lower} cube",
        "put the {upper} cube on the {lower} cube",
        "place the {upper} block on top of the {lower} block",
        "set the {upper} cube down on the {lower} one",
        "pick up the {upper} cube and put it on the {lower} cube",
        "take the {upper} block and stack it on the {lower} block",
        "the {upper} cube goes on top of the {lower} cube",
        "move the {upper} cube onto the {lower} cube",
    )
    held_out = (
        "stack the {upper} block on top of the {lower} one",
        "take the {upper} cube and place it on the {lower} cube",
        "pick up the {upper} block and set it down on the {lower} block",
        "move the {upper} one onto the {lower} block",
        "the {upper} block goes on the {lower} cube",
    )
    unseen = (
        "balance the {upper} cube atop its {lower} neighbour",
        "make {lower} the base and let {upper} rest above",
        "crown the {lower} block with the {upper} piece",
        "build a tower of two with {upper} above {lower}",
    )

    def casts(self) -> tuple[dict[str, str], ...]:
        """Any two of the three cubes, either way round."""
        return tuple({"upper": a, "lower": b} for a, b in itertools.permutations(self.own, 2))

    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        """Any of them, equally often."""
        casts = self.casts()
        return casts[rng.integers(len(casts))]

    def goal(self, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """The one stands upright on the other, and that on the table."""
        upper, lower = (pick(world.objects, self.objects, roles[role]) for role in ("upper", "lower"))
        return _on_table(lower, world) & stacked(upper, lower)


class StackThree(_Cubes):
    """Stack the red cube on the blue one and the green cube on the red one."""

    name = "stack_three"
    subtasks = (
        Subtask("grasp_1", "grasp", "middle", None, "grasp_1", "pick up the {middle} cube"),
        Subtask("stack_1", "place", "bottom", "middle", "stack_1", "put the {middle} cube on the {bottom} cube"),
        Subtask("grasp_2", "grasp", "top", None, "grasp_2", "pick up the {top} cube"),
        Subtask("stack_2", "place", "middle", "top", None, "put the {top} cube on the {middle} cube"),
    )
    ends_in_release = True
    horizon = 400
    sentences = (
        "stack the {middle} cube on the {bottom} cube and the {top} cube on the {middle} cube",
        "put the {middle} cube on the {bottom} cube, then the {top} cube on top",
        "build a tower: {bottom} at the bottom, {middle} in the middle, {top} on top",
        "make a stack of three cubes with {bottom} below, then {middle}, then {top}",
        "place the {middle} block on the {bottom} block and the {top} block on the {middle} block",
        "pile the cubes up in the order {bottom}, {middle}, {top}",
        "first the {middle} cube onto the {bottom} one, then the {top} cube onto the {middle} one",
        "tower the cubes: {top} on {middle} on {bottom}",
    )
    held_out = (
        "build a stack of three cubes: {bottom} below, {middle} in the middle, {top} on top",
        "first put the {middle} block on the {bottom} block, then place the {top} block on top",
        "make a tower with {bottom} at the bottom, then {middle}, then {top}",
        "pile the {top} cube on the {middle} one and the {middle} one on the {bottom} one",
        "stack the cubes in the order {bottom}, {middle}, {top}",
    )
    unseen = (
        "{bottom}, {middle}, {top}: that is how the column should rise from the table",
        "balance {top} over {middle} over {bottom}",
        "assemble a pillar from {bottom} upwards through {middle} to {top}",
        "let {bottom} carry {middle} and {middle} carry {top}",
    )

    def fixed_roles(self) -> dict[str, str]:
        """The order never changes."""
        return {"bottom": "cube_1", "middle": "cube_2", "top": "cube_3"}

    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        """The fixed ones."""
        return self.fixed_roles()

    def placed(self, k: int, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """The middle one stands on the lowest after the first placement, the top one on that after the second."""
        held, below = self.subtasks[k].held, self.subtasks[k].reference
        assert held is not None  # it is a placement
        upper, lower = (pick(world.objects, self.objects, roles[role]) for role in (held, below))
        bottom = pick(world.objects, self.objects, roles["bottom"])
        return _on_table(bottom, world) & stacked(upper, lower)

    def goal(self, world: World, roles: dict[str, np.ndarray]) -> np.ndarray:
        """Each cube stands upright on the one below, the lowest on the table."""
        bottom, middle, top = (pick(world.objects, self.objects, roles[r]) for r in ("bottom", "middle", "top"))
        return _on_table(bottom, world) & stacked(middle, bottom) & stacked(top, middle)


def _on_table(cube: Array, world: World) -> np.ndarray:
    """Whether each cube (n, 7) stands on the table, on any face."""
    return np.abs(cube[:, 2] - EDGE / 2 - world.table_height) < STACK_HEIGHT_TOLERANCE


def stacked(upper: Array, lower: Array) -> np.ndarray:
    """Whether each upper cube (n, 7) stands on its lower one (n, 7), both upright."""
    offset = np.linalg.norm(upper[:, :2] - lower[:, :2], axis=1)
    height = np.abs(upper[:, 2] - lower[:, 2] - EDGE)
    on_top = (offset < STACK_OFFSET) & (height < STACK_HEIGHT_TOLERANCE)
    # Asked in every control step of every scene, and mostly answered by now.
    return on_top & upright(np.stack([upper, lower])).all(axis=0) if on_top.any() else on_top


def upright(pose: Array) -> np.ndarray:
    """Whether one of the faces of cubes at poses (..., 7) points up within 10 degrees, (...,)."""
    axes = quat_rotate(pose[..., None, 3:], np.eye(3))
    return np.abs(axes[..., 2]).max(axis=-1) > _UPRIGHT
