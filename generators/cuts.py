"""Where one subtask's motion is cut from the next."""

from generators.demos import Demo
from generators.holds import Hold, Motion

WINDOW = 5


def cut_after_grasp(demo: Demo, motion: Motion, hold: Hold) -> int | None:
    """One past the last step of a grasp whose object is then moved on."""
    rigid = [t for t in range(hold.lifted, hold.release) if motion.is_rigid(t, min(t + WINDOW, hold.release - 1))]
    return rigid[0] + 1 if rigid else None
