"""How far boxes are apart, many pairs at once: the hand, what it holds, and what stands about are all told as boxes."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from scenes.props import Prop, Shape
from sim.transforms import Array, compose, matrix_from_quat

_EXTENT = {
    "box": lambda s: (s[0], s[1], s[2]),
    "cylinder": lambda s: (s[0], s[0], s[1]),
    "capsule": lambda s: (s[0], s[0], s[0] + s[1]),
    "sphere": lambda s: (s[0], s[0], s[0]),
    "ellipsoid": lambda s: (s[0], s[1], s[2]),
}


@dataclass(frozen=True)
class Boxes:
    """Boxes in one frame; leading dimensions broadcast.

    Attributes:
        pose: (..., 7) of their centres.
        half: (..., 3) half edges [m].
    """

    pose: Array
    half: Array

    def at(self, pose: Array) -> "Boxes":
        """The same boxes (..., B) where their frame is at poses (..., 7) of another."""
        found = compose(pose[..., None, :], self.pose)
        return Boxes(found, np.broadcast_to(self.half, (*found.shape[:-1], 3)))


@lru_cache(maxsize=256)
def around(prop: Prop) -> Boxes:
    """The boxes round each shape of a prop that touches anything, in the prop's frame (B,)."""
    shapes = [shape for shape in prop.shapes if shape.collides]
    return Boxes(np.array([[*s.pos, *s.quat] for s in shapes]), np.array([_half(s) for s in shapes]))


def _half(shape: Shape) -> tuple[float, float, float]:
    half: tuple[float, float, float] = _EXTENT[shape.type](shape.size)
    return half


def gap(a: Boxes, b: Boxes) -> Array:
    """How far pairs of boxes are apart at the least [m], (...,); negative where they overlap.

    The largest gap along one of the 15 axes that can part two boxes (Gottschalk, Lin, Manocha, "OBBTree", SIGGRAPH
    1996). It is never more than their distance, and positive for every pair that is apart.
    """
    turn_a, turn_b = matrix_from_quat(a.pose[..., 3:]), matrix_from_quat(b.pose[..., 3:])
    away = b.pose[..., :3] - a.pose[..., :3]
    # By component, in a's frame: where b is, and its axes as columns.
    at = [_dot(turn_a[..., i], away) for i in range(3)]
    axis = [[_dot(turn_a[..., i], turn_b[..., j]) for j in range(3)] for i in range(3)]
    size = [[np.abs(axis[i][j]) for j in range(3)] for i in range(3)]
    ha, hb = [a.half[..., i] for i in range(3)], [b.half[..., i] for i in range(3)]
    found = np.full(at[0].shape, -np.inf)
    for i in range(3):
        reach = hb[0] * size[i][0] + hb[1] * size[i][1] + hb[2] * size[i][2]
        found = np.maximum(found, np.abs(at[i]) - ha[i] - reach)
        along = np.abs(at[0] * axis[0][i] + at[1] * axis[1][i] + at[2] * axis[2][i])
        reach = ha[0] * size[0][i] + ha[1] * size[1][i] + ha[2] * size[2][i]
        found = np.maximum(found, along - hb[i] - reach)
    for i in range(3):
        i1, i2 = (i + 1) % 3, (i + 2) % 3
        for j in range(3):
            j1, j2 = (j + 1) % 3, (j + 2) % 3
            # Along a's edge i times b's edge j; of no length where these are parallel, and then it parts nothing new.
            length = np.sqrt(np.maximum(1.0 - axis[i][j] ** 2, 0.0))
            way = np.abs(at[i2] * axis[i1][j] - at[i1] * axis[i2][j])
            reach = ha[i1] * size[i2][j] + ha[i2] * size[i1][j] + hb[j1] * size[i][j2] + hb[j2] * size[i][j1]
            found = np.where(length > 1e-3, np.maximum(found, (way - reach) / np.maximum(length, 1e-3)), found)
    return found


def _dot(a: Array, b: Array) -> Array:
    """Products (...,) of vectors (..., 3), by component."""
    product: Array = a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]
    return product
