"""A hand on the arm, for tests: drives scenes of a batch to tool poses, a control step at a time."""

from collections.abc import Callable

import mujoco
import numpy as np

from scenes.domains import Domain, get_domain
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.workspace import Workspace, build_workspace
from sim.batch import BatchSim
from sim.kinematics import solve_inverse
from sim.transforms import interpolate, quat_about_z, quat_multiply

LANE = np.array([0])
DOWN = np.array([0.0, 1.0, 0.0, 0.0])


def nothing() -> None:
    """Called after each step unless a test has something to look at."""


class Arm:
    """One scene, driven."""

    def __init__(self, task: str = "lift", domain: str | Domain = "none", seed: int = 0, index: int = 0) -> None:
        self.workspace: Workspace = build_workspace(task)
        self.sim = BatchSim(self.workspace.model, self.workspace.embodiment, 1)
        drawn_from = get_domain(domain) if isinstance(domain, str) else domain
        self.scene: Scene = draw_scene(self.workspace, drawn_from, "recording", seed, index)
        load_scenes(self.sim, self.workspace, LANE, [self.scene])
        self.command = self.sim.joint_position(LANE)
        self.gripper = 1.0
        self.after_step: Callable[[], None] = nothing

    @property
    def tool(self) -> np.ndarray:
        """Tool pose (7,) as it is."""
        return self.workspace.embodiment.chain.forward(self.sim.true_joint_position(LANE))[0]

    def object(self, name: str) -> np.ndarray:
        """An object's pose (7,)."""
        column = self.workspace.object_qpos[name]
        return self.sim.qpos[0, column : column + 7].copy()

    def place_object(self, name: str, pose: np.ndarray) -> None:
        """Put an object somewhere, at rest."""
        column, dof = self.workspace.object_qpos[name], self.workspace.object_qvel[name]
        self.sim.qpos[0, column : column + 7] = pose
        self.sim.qvel[0, dof : dof + 6] = 0.0
        self.sim.batch.forward(LANE)

    def above(self, name: str, height: float) -> np.ndarray:
        """The tool pose that grasps an object from above, `height` over its centre."""
        pose = self.object(name)
        yaw = 2 * np.arctan2(pose[6], pose[3])
        return np.array([*pose[:2], pose[2] + height, *quat_multiply(quat_about_z(yaw), DOWN)])

    def wait(self, steps: int) -> None:
        """Repeat the last command."""
        for _ in range(steps):
            self.sim.step(LANE, np.concatenate([self.command, [[self.gripper]]], axis=1))
            self.after_step()

    def go(self, pose: np.ndarray, steps: int) -> None:
        """Move the tool along a straight line."""
        start = self.workspace.embodiment.chain.forward(self.command)[0]
        self.follow(interpolate(start, np.asarray(pose, float), np.linspace(0, 1, steps + 1)[1:]))

    def follow(self, poses: np.ndarray) -> None:
        """Move the tool through poses (T, 7), one per control step."""
        robot = self.workspace.embodiment
        found = solve_inverse(robot.chain, poses, np.tile(self.command, (len(poses), 1)), robot.home, iterations=40)
        assert found.reached().all(), "the test asks for a pose out of reach"
        for q in found.q:
            self.command = q[None]
            self.wait(1)

    def grip(self, opening: float, steps: int = 15) -> None:
        """Move the fingers."""
        self.gripper = opening
        self.wait(steps)

    def grasp(self, name: str) -> None:
        """Go to an object and close on it."""
        self.go(self.above(name, 0.10), 30)
        self.go(self.above(name, 0.0), 20)
        self.grip(0.0)

    def contacts(self) -> list[tuple[str, str, float, float]]:
        """Now touching: geom, geom, penetration [m], normal force [N]."""
        model = self.sim.batch.get_model(0)
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, self.sim.state[0], mujoco.mjtState.mjSTATE_INTEGRATION.value)
        mujoco.mj_forward(model, data)
        found = []
        for c in range(data.ncon):
            force = np.zeros(6)
            mujoco.mj_contactForce(model, data, c, force)
            first, second = (model.geom(g).name for g in data.contact[c].geom)
            found.append((first, second, float(-data.contact[c].dist), float(force[0])))
        return found
