"""Keeping a path with the objects: what is left of it moves with its reference, and with what shifts in the hand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.transforms import Array, angle_between, compose, interpolate, inverse

# An angle counts as a displacement at this lever [m].
LEVER = 0.03
# A path goes over into its moved self within so many control steps.
_BLEND = 10


@dataclass(frozen=True)
class Anchor:
    """What a path was planned against.

    Attributes:
        reference: (7,) pose of the reference object, as seen.
        held: (7,) pose of the held object in the tool, as seen; None while grasping.
    """

    reference: Array
    held: Array | None

    def moved(self, tool: Array, steps: int, now: "Anchor") -> Array:
        """A path's remaining tool poses (n, 7), so that from step `steps` on they fit where things are now.

        While grasping, the tool moves with the reference. While placing, it is what is held that moves so, and the tool
        makes up for how that has shifted in the hand, as planning does (docs/generation.md).
        """
        goal = compose(compose(now.reference, inverse(self.reference)), tool)
        if self.held is not None and now.held is not None:
            goal = compose(goal, compose(self.held, inverse(now.held)))
        progress = np.minimum(1.0, np.arange(1, len(tool) + 1) / max(1, min(steps, _BLEND)))
        smooth = progress**3 * (10.0 - 15.0 * progress + 6.0 * progress**2)
        return interpolate(tool, goal, smooth)


def shifts(then: Sequence[Anchor], now: Sequence[Anchor]) -> Array:
    """How far things have moved from one anchor to the other, in each of n scenes (n,) [m]."""
    far = _displacement([a.reference for a in then], [a.reference for a in now])
    pairs = [(a.held, b.held) for a, b in zip(then, now, strict=True)]
    rows = [row for row, (a, b) in enumerate(pairs) if a is not None and b is not None]
    if rows:
        held = _displacement(*zip(*(pairs[row] for row in rows), strict=True))
        far[rows] = np.maximum(far[rows], held)
    return far


def _displacement(then: Sequence[Array], now: Sequence[Array]) -> Array:
    a, b = np.array(then), np.array(now)
    displaced: Array = np.linalg.norm(b[:, :3] - a[:, :3], axis=1) + LEVER * angle_between(a[:, 3:], b[:, 3:])
    return displaced
