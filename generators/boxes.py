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

# Each axis' next, and the one after that.
_ONE_ON, _TWO_ON = np.array([1, 2, 0]), np.array([2, 0, 1])


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
    # By component first, what is left of the shapes of one length: (7, ...), (3, ...), and axes as columns (3, 3, ...).
    rank = max(x.ndim for x in (a.pose, a.half, b.pose, b.half))
    pose_a, ha, pose_b, hb = (x[(None,) * (rank - x.ndim)] for x in (a.pose, a.half, b.pose, b.half))
    turn_a, turn_b = (_last_first(matrix_from_quat(pose[..., 3:]), 2) for pose in (pose_a, pose_b))
    pose_a, ha, pose_b, hb = (_last_first(x, 1) for x in (pose_a, ha, pose_b, hb))
    away = pose_b[:3] - pose_a[:3]
    # In a's frame: where b is (3, ...), and its axes as columns (3, 3, ...).
    at = _dot(turn_a, away[:, None])
    axis = _dot(turn_a[:, :, None], turn_b[:, None])
    size = np.abs(axis)
    from_a = np.abs(at) - ha - _dot(hb, size.swapaxes(0, 1))
    from_b = np.abs(_dot(at, axis)) - hb - _dot(ha, size)
    # Along a's edge i times b's edge j; of no length where these are parallel, and then it parts nothing new.
    length = np.sqrt(np.maximum(1.0 - axis**2, 0.0))
    way = np.abs(at[_TWO_ON, None] * axis[_ONE_ON] - at[_ONE_ON, None] * axis[_TWO_ON])
    reach = ha[_ONE_ON, None] * size[_TWO_ON] + ha[_TWO_ON, None] * size[_ONE_ON]
    reach = reach + hb[_ONE_ON] * size[:, _TWO_ON] + hb[_TWO_ON] * size[:, _ONE_ON]
    across = np.where(length > 1e-3, (way - reach) / np.maximum(length, 1e-3), -np.inf)
    return np.maximum(np.maximum(from_a, from_b).max(axis=0), across.max(axis=(0, 1)))


def _last_first(x: Array, count: int) -> Array:
    """An array whose last axes come first."""
    rest = x.ndim - count
    return np.ascontiguousarray(x.transpose(*range(rest, x.ndim), *range(rest)))


def _dot(a: Array, b: Array) -> Array:
    """Products of vectors (3, ...), by component."""
    product: Array = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product
