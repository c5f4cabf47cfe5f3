"""Keeping a path with the objects: what is left of it moves with its reference, and with what shifts in the hand."""

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

    def shift(self, now: "Anchor") -> float:
        """How far things have moved since [m]."""
        far = _displacement(self.reference, now.reference)
        if self.held is not None and now.held is not None:
            far = max(far, _displacement(self.held, now.held))
        return far

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


def _displacement(a: Array, b: Array) -> float:
    return float(np.linalg.norm(b[:3] - a[:3]) + LEVER * angle_between(a[3:], b[3:]))
