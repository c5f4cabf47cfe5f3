"""The robots there are, by name."""

from handful import unknown_name
from sim.embodiment import Embodiment
from sim.panda import PANDA
from sim.ur5e import UR5E

ROBOTS: dict[str, Embodiment] = {robot.name: robot for robot in (PANDA, UR5E)}


def get_embodiment(name: str) -> Embodiment:
    """Look a robot up by name.

    Raises:
        InputError: no such robot; the message lists them.
    """
    if name not in ROBOTS:
        raise unknown_name("embodiment", name, ROBOTS)
    return ROBOTS[name]
