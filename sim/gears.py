"""What lies between a motor and its joint: play in the gears, and dry friction that has to be broken loose."""

import numpy as np

from sim.transforms import Array

# Speed at which most of the excess of breakaway over sliding friction is gone [rad/s].
STRIBECK_SPEED = 0.1


def through_play(motor: Array, joint: Array, gap: Array) -> tuple[Array, np.ndarray]:
    """Where gears with play lead their joints: the play operator of Krasnosel'skii and Pokrovskii.

    A motor moves its joint only once it has crossed the gap, so a joint stays behind by half the gap and, when the
    motion turns round, stands still until the whole gap is crossed. Without a gap it follows to the bit.

    Args:
        motor: (K, n, J) where the motors are, one moment after the other [rad].
        joint: (n, J) where the joints were before [rad].
        gap: (n, J) play between the two, all of it [rad].

    Returns:
        Where the joints are led, (K, n, J), and whether their motor has hold of them, (K, n, J).
    """
    led, held, half = np.empty_like(motor), np.empty(motor.shape, bool), gap / 2
    for k, position in enumerate(motor):
        led[k] = np.minimum(np.maximum(joint, position - half), position + half)
        held[k] = (led[k] != joint) | (gap == 0)
        joint = led[k]
    return led, held


def friction_torque(speed: Array, sliding: Array, breakaway: Array) -> Array:
    """Dry friction by Stribeck's curve: F(v) = Fc (1 + (s - 1) exp(-(v / vs)^2)), vs = `STRIBECK_SPEED`.

    Args:
        speed: (n, J) of the joints [rad/s].
        sliding: (n, J) friction Fc of a moving joint [N m].
        breakaway: (n,) factor s by which it is larger at rest, >= 1.

    Returns:
        The largest torque that friction opposes to motion, (n, J) [N m].
    """
    return sliding * (1.0 + (breakaway[:, None] - 1.0) * np.exp(-((speed / STRIBECK_SPEED) ** 2)))
