"""What a controller, a planner and a policy need to know about a robot, whatever its model looks like."""

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.kinematics import Chain
from sim.transforms import Array


@dataclass(frozen=True)
class Embodiment:
    """A robot arm with a parallel gripper, standing at the origin of the world.

    Attributes:
        name: the name stored with every episode.
        chain: kinematics and joint limits of the arm's J joints.
        home: (J,) angles in which an episode starts [rad].
        joints: names of the arm's joints, base to tip.
        actuators: names of their position servos, in the same order.
        fingers: names of the finger joints; an opening of 1 is `finger_travel` on each.
        gripper_actuator: name of the gripper's position servo, whose input is one finger's travel [m].
        finger_travel: travel of one finger from closed to open [m].
        finger_speed: how fast the gripper's setpoint moves, per finger [m/s].
        tool_site: name of the site at the tool centre.
        hand_body: body that carries the fingers and the wrist camera.
        finger_geoms: names of collision geoms that may touch objects.
    """

    name: str
    chain: Chain
    home: Array
    joints: tuple[str, ...]
    actuators: tuple[str, ...]
    fingers: tuple[str, ...]
    gripper_actuator: str
    finger_travel: float
    finger_speed: float
    tool_site: str
    hand_body: str
    finger_geoms: tuple[str, ...]

    def action_size(self) -> int:
        """Length of an action: joint targets, then the gripper's opening."""
        return len(self.joints) + 1

    def joint_addresses(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Columns of the arm's joints in qpos and in qvel."""
        ids = [model.joint(name).id for name in self.joints]
        return model.jnt_qposadr[ids], model.jnt_dofadr[ids]

    def finger_addresses(self, model: mujoco.MjModel) -> np.ndarray:
        """Columns of the finger joints in qpos."""
        return model.jnt_qposadr[[model.joint(name).id for name in self.fingers]]
