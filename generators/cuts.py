"""Where a grasp is cut from what follows it: searched in each demo, since no distance suits every operator.

Before the cut the motion is carried over with the object that is taken up, after it with the one that it is taken to.
Cut too early, and the object still stands on the table or still slips into place between the fingers, and what follows
drags it. Cut too late, and a part of the way to the demo's own goal leads astray in a new scene. So the first step is
sought from which on the object is clear of what stands round it and rigid in the hand.
"""

from generators.holds import Hold, Motion

# An object this far above where it stood is clear of what stands round it [m]; with half a centimetre, and with eight,
# fewer first tries succeed. Where a demo lifts no higher, a share of its height has to do.
AIR, _SHARE = 0.04, 0.75
WINDOW = 5  # it must be clear and rigid for so many further steps


def cut_after_grasp(motion: Motion, hold: Hold) -> int | None:
    """One past the last step of a grasp; None where the object is never clear of the table and rigid in the hand.

    Args:
        motion: how its object moves.
        hold: when it is in the hand.
    """
    rise = motion.poses[:, 2] - motion.poses[hold.event, 2]
    clear = rise > min(AIR + 4.0 * motion.noise, _SHARE * float(rise[hold.event : hold.release].max()))
    for t in range(hold.event, hold.release - WINDOW):
        if clear[t : t + WINDOW + 1].all() and motion.is_rigid(t, t + WINDOW):
            return t + 1
    return None
