"""Cubes on a table, and where a scene stands, for tests of planning."""

import numpy as np

from generators.situations import Situation
from scenes.cubes import EDGE
from scenes.task import get_task
from sim.panda import PANDA

LIFT = get_task("lift")
DOWN = [0.0, 1.0, 0.0, 0.0]
TABLE = -0.0031


def cube(x: float, y: float, yaw: float = 0.0, z: float = EDGE / 2 + TABLE) -> np.ndarray:
    return np.array([x, y, z, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])


def situation(
    reference: np.ndarray, held: np.ndarray | None = None, obstacles: list[np.ndarray] | None = None
) -> Situation:
    return Situation(
        tool=PANDA.chain.forward(PANDA.home),
        before=PANDA.chain.forward(PANDA.home),
        command=PANDA.home.copy(),
        since=None,
        gripper=1.0 if held is None else 0.0,
        reference=reference,
        held=held,
        reference_prop=LIFT.props[0],
        held_prop=None if held is None else LIFT.props[0],
        obstacles=(LIFT.props[0],) * len(obstacles or []),
        poses=np.array(obstacles or []).reshape(-1, 7),
        load=0.0 if held is None else EDGE,
        table_height=TABLE,
        hand=PANDA.hand,
    )
