"""Time-warp: a demo's slow motion run faster, where nothing delicate is near."""

import numpy as np

from generators.planning import BRIDGE, Layout
from sim.transforms import interpolate

# At the demo's own speed within so many of its steps of where room is scarce, at full speed from so many further on.
_NEAR, _RAMP = 10, 10


def warped(layout: Layout, factor: float) -> Layout:
    """A layout whose demo part runs up to `factor` times as fast, away from the gripper's event and what is met.

    Bridges keep their time: they have a speed of their own. Each step of the result names the demo's step nearest to
    it, so `source/step` tells how fast it went.
    """
    if factor == 1.0:
        return layout
    last = len(layout.gripper) - 1
    times, now = [0.0], 0.0
    while now < last:
        nearest = round(now)
        share = np.clip((layout.away[nearest] - _NEAR) / _RAMP, 0.0, 1.0) if layout.demo[nearest] != BRIDGE else 0.0
        if share == 0.0:  # every step of its own, so that the event is one of them
            now = float(nearest)
        now = min(now + 1.0 + float(share) * (factor - 1.0), float(last))
        times.append(now)
    at = np.array(times)
    low = np.minimum(at.astype(int), max(last - 1, 0))
    high, part, near = np.minimum(low + 1, last), at - low, np.round(at).astype(int)
    guess = layout.guess
    if guess is not None:
        guess = guess[low] + part[:, None] * (guess[high] - guess[low])
    return Layout(
        interpolate(layout.tool[low], layout.tool[high], part),
        layout.gripper[near],
        layout.demo[near],
        layout.step[near],
        guess,
        layout.away[near],
        int(np.argmax(at >= layout.event)),
        int(np.argmax(at >= layout.met)),
    )
