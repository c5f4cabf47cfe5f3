"""Physical randomisation: what a scene's friction, masses, servos, timing and table are drawn from.

As for looks, a draw is a ledger of plain numbers first; the model fields follow from the ledger alone.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from handful import InputError
from sim.embodiment import OBJECT_BIT, Embodiment

Range = tuple[float, float]


@dataclass(frozen=True)
class PhysicsRanges:
    """Uniform ranges of each physical value; a range of equal ends fixes it."""

    # Sliding friction of the objects. A contact has the larger of both surfaces' values.
    object_friction: Range = (0.4, 1.0)
    # Sliding friction of the finger pads.
    pad_friction: Range = (0.4, 1.0)
    # Sliding friction of the table.
    table_friction: Range = (0.4, 1.0)
    # Factor on each object's mass and inertia, drawn uniformly in the logarithm.
    mass_factor: Range = (0.5, 2.0)
    # Factor on the arm servos' stiffness and damping.
    servo_gain_factor: Range = (0.8, 1.25)
    # Delay from command to setpoint [s].
    latency: Range = (0.0, 0.040)
    # Offset of the table's surface [m].
    table_height: Range = (-0.010, 0.010)
    # Offset of each joint's zero, the same through an episode [rad].
    joint_offset: Range = (0.0, 0.0)
    # Standard deviation of noise on measured joint angles [rad].
    proprioceptive_noise: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            if low > high:
                raise InputError(f"physics range '{name}' is inverted: {low} to {high}; give the smaller end first")


NONE = PhysicsRanges(
    object_friction=(0.8, 0.8),
    pad_friction=(0.8, 0.8),
    table_friction=(0.8, 0.8),
    mass_factor=(1.0, 1.0),
    servo_gain_factor=(1.0, 1.0),
    latency=(0.0, 0.0),
    table_height=(0.0, 0.0),
)
DEFAULT = PhysicsRanges()


def draw(ranges: PhysicsRanges, rng: np.random.Generator, objects: tuple[str, ...], joints: int) -> dict[str, Any]:
    """Draw one scene's physical values.

    Args:
        ranges: what to draw from.
        rng: the scene's stream.
        objects: names of the free objects, each of which gets its own mass.
        joints: number of arm joints.

    Returns:
        The ledger: axis name -> number, or name -> {object: number}, or list of numbers per joint.
    """
    low, high = np.log(ranges.mass_factor)
    return {
        "object_friction": float(rng.uniform(*ranges.object_friction)),
        "pad_friction": float(rng.uniform(*ranges.pad_friction)),
        "table_friction": float(rng.uniform(*ranges.table_friction)),
        "mass_factor": {name: float(np.exp(rng.uniform(low, high))) for name in objects},
        "servo_gain_factor": float(rng.uniform(*ranges.servo_gain_factor)),
        "latency": float(rng.uniform(*ranges.latency)),
        "table_height": float(rng.uniform(*ranges.table_height)),
        "joint_offset": [float(v) for v in rng.uniform(*ranges.joint_offset, joints)],
        "proprioceptive_noise": float(rng.uniform(*ranges.proprioceptive_noise)),
    }


def fields_from_ledger(ledger: dict[str, Any], model: mujoco.MjModel, embodiment: Embodiment) -> dict[str, np.ndarray]:
    """The model fields that a ledger stands for: field name -> the scene's whole array."""
    friction = model.geom_friction.copy()
    mass, inertia = model.body_mass.copy(), model.body_inertia.copy()
    # Fixed objects as well: a contact has the larger friction of both surfaces.
    friction[model.geom_contype == OBJECT_BIT, 0] = ledger["object_friction"]
    for name, factor in ledger["mass_factor"].items():
        mass[model.body(name).id] *= factor
        inertia[model.body(name).id] *= factor
    for name in embodiment.finger_geoms:
        friction[model.geom(name).id, 0] = ledger["pad_friction"]
    friction[model.geom("table_top").id, 0] = ledger["table_friction"]
    gain, bias = model.actuator_gainprm.copy(), model.actuator_biasprm.copy()
    servos = [model.actuator(name).id for name in embodiment.actuators]
    gain[servos, 0] *= ledger["servo_gain_factor"]
    bias[servos, 1:3] *= ledger["servo_gain_factor"]
    position = model.body_pos.copy()
    position[model.body("table").id, 2] += ledger["table_height"]
    return {
        "geom_friction": friction,
        "body_mass": mass,
        "body_inertia": inertia,
        "actuator_gainprm": gain,
        "actuator_biasprm": bias,
        "body_pos": position,
    }
