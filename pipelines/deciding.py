"""From what a robot senses to a chunk of joint targets: the same for rollouts in simulation and for a robot's loop."""

from collections.abc import Mapping, Sequence

import numpy as np

from policies.limits import JointLimits
from policies.policy import Policy
from sim.embodiment import Embodiment
from sim.tracking import Tracker
from trajectories.poses import pose_features


class Decider:
    """A policy on a robot.

    Args:
        policy: what decides.
        robot: the robot; one that the policy was trained on.
        domain: name of the domain that the policy is told; None leaves it open.
        rest: a chunk that leads less far than this from the command in force, on average, is not carried out [m].
    """

    def __init__(
        self,
        policy: Policy,
        robot: Embodiment,
        domain: str | None = None,
        rest: float = 0.012,
    ) -> None:
        self.policy, self.robot, self.domain, self.rest = policy, robot, domain, rest
        self._track = Tracker(robot.chain)

    @property
    def noise_shape(self) -> tuple[int, int]:
        """Shape of the noise of one decision."""
        return self.policy.horizon, self.policy.noise_size(self.robot.name)

    def __call__(
        self,
        images: Mapping[str, np.ndarray],
        joints: np.ndarray,
        opening: np.ndarray,
        instructions: Sequence[str],
        command: np.ndarray,
        noise: np.ndarray,
        history_mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Decide for n arms.

        Args:
            images: camera -> (n, H, W, 3) uint8; (n, T, H, W, 3) for a policy with a history, the oldest first.
            joints: (n, J) measured angles [rad]; (n, T, J) with a history.
            opening: (n,) of the grippers, 1 = open; (n, T) with a history.
            instructions: n sentences.
            command: (n, J) joint targets in force [rad].
            noise: (n, *`noise_shape`) float32, standard normal.
            history_mask: (n, T) bool, false for what lies before the start; None without a history.

        Returns:
            (n, horizon, J + 1) joint targets [rad] and gripper opening; NaN in rows where the policy's output is not
            finite.
        """
        tool = self.robot.chain.forward(joints)
        proprio = np.concatenate([joints, opening[..., None], pose_features(tool)], axis=-1).astype(np.float32)
        robot = self.robot.name
        actions = self.policy.act(images, proprio, instructions, robot, self.domain, noise, False, history_mask)
        joints = joints[:, -1] if joints.ndim == 3 else joints
        chunk = np.full((*actions.shape[:2], len(self.robot.joints) + 1), np.nan)
        good = np.isfinite(actions).all(axis=(1, 2))
        absolute = self.policy.action_space == "tool_delta"
        chunk[good] = self._to_joints(joints[good], actions[good]) if absolute else actions[good]
        return self._at_rest(command, chunk)

    def _at_rest(self, command: np.ndarray, chunk: np.ndarray) -> np.ndarray:
        """The chunk, with the command in force in place of motion that is not worth its while."""
        chain = self.robot.chain
        way = chain.forward(chunk[..., :-1])[..., :3].mean(axis=1) - chain.forward(command)[:, :3]
        still = np.linalg.norm(way, axis=1) < self.rest
        chunk[still, :, :-1] = command[still, None]
        return chunk

    def _to_joints(self, joints: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Joint targets (n, horizon, J + 1) of tool-pose actions (n, horizon, 8), for arms at (n, J)."""
        return np.concatenate([self._track(actions[..., :7].astype(float), joints), actions[..., 7:]], axis=-1)


def joint_limits(robot: Embodiment, acceleration: float = 0.0) -> JointLimits:
    """A robot's limits of position and speed, with one of acceleration for all joints [rad/s^2]; 0: none."""
    chain = robot.chain
    bound = np.full(len(chain.lower), acceleration or np.inf)
    return JointLimits(chain.lower, chain.upper, chain.max_speed, bound)
