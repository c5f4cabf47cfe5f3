"""The robots there are, by name."""

from handful import unknown_name
from sim.embodiment import Embodiment
from sim.panda import PANDA

ROBOTS: dict[str, Embodiment] = {robot.name: robot for robot in (PANDA,)}


def get_embodiment(name: str) -> Embodiment:
    """Look a robot up by name.

    Raises:
        InputError: no such robot; the message lists them.
    """
    if name not in ROBOTS:
        raise unknown_name("embodiment", name, ROBOTS)
    return ROBOTS[name]
