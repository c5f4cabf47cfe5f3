"""A bench on which a robot shows what it can do: a table, a cube, the controller that every task uses.

Nothing here knows a task. The bench stands where a task's table does, with the same contact settings.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.batch import Actuation, BatchSim
from sim.embodiment import HAND_BIT, OBJECT_BIT, TABLE_BIT, Embodiment
from sim.kinematics import solve_inverse
from sim.transforms import Array, interpolate, inverse, quat_about_z, quat_multiply, quat_rotate

LANE = np.array([0])
DOWN = (0.0, 1.0, 0.0, 0.0)
_OUT_OF_THE_WAY = (0.85, 0.5)


@dataclass(frozen=True)
class Bench:
    """What stands on the bench.

    Attributes:
        table: height of its surface in the robot's base frame [m].
        edge: of the cube [m].
        mass: of the cube [kg].
        friction: sliding friction of the cube, and of the fingers.
    """

    table: float = -0.0031
    edge: float = 0.0468
    mass: float = 0.08
    friction: float = 0.4


class Trial:
    """A robot on a bench, at home, with its gripper open.

    Args:
        robot: the robot.
        bench: what it stands at.

    Attributes:
        command: (1, J) joint targets [rad].
        opening: what the gripper is told.
    """

    def __init__(self, robot: Embodiment, bench: Bench | None = None) -> None:
        self.robot, self.bench = robot, bench or Bench()
        self.model = bench_model(robot, self.bench)
        self.sim = BatchSim(self.model, robot, 1)
        self.cube_column = int(self.model.jnt_qposadr[self.model.joint("cube_free").id])
        self.restart()

    def restart(self, cube: tuple[float, float] = _OUT_OF_THE_WAY) -> None:
        """Begin anew at home, the cube at (x, y) on the table [m]."""
        qpos = np.array(self.model.qpos0)
        qpos[self.robot.joint_addresses(self.model)[0]] = self.robot.home
        qpos[self.robot.finger_addresses(self.model)] = self.robot.finger_open
        height = self.bench.table + self.bench.edge / 2 + 0.0002
        qpos[self.cube_column : self.cube_column + 7] = [*cube, height, 1.0, 0.0, 0.0, 0.0]
        self.sim.reset(LANE, qpos[None], Actuation(np.zeros(1)))
        self.command, self.opening = self.robot.home[None].copy(), 1.0
        self.wait(2)

    @property
    def tool(self) -> Array:
        """Tool pose (7,) as it is."""
        return self.robot.chain.forward(self.sim.true_joint_position(LANE))[0]

    @property
    def cube(self) -> Array:
        """The cube's pose (7,)."""
        return np.array(self.sim.qpos[0, self.cube_column : self.cube_column + 7])

    def cube_in_tool(self) -> Array:
        """The cube's centre (3,) in the tool's frame [m]."""
        back = inverse(self.tool)
        return back[:3] + quat_rotate(back[3:], self.cube[:3])

    def step(self) -> None:
        """Hold the command for one control step."""
        self.sim.step(LANE, np.concatenate([self.command, [[self.opening]]], axis=1))

    def wait(self, steps: int) -> None:
        """Hold the command."""
        for _ in range(steps):
            self.step()

    def solve(self, poses: Array) -> Array | None:
        """Joint angles (T, J) along tool poses (T, 7), each solved from the last; None where one is not reached."""
        current, path = self.command, []
        for pose in poses:
            found = solve_inverse(self.robot.chain, pose[None], current, self.robot.home, 30, posture_gain=0.05)
            if not found.reached()[0]:
                return None
            current = found.q
            path.append(current[0])
        return np.array(path)

    def line(self, goal: Array, speed: float = 0.2) -> Array:
        """Tool poses (T, 7) from the commanded one straight to `goal` (7,), smoothly; `speed` is their mean [m/s]."""
        start = self.robot.chain.forward(self.command)[0]
        rate = self.sim.timing.rate
        steps = max(4, int(np.ceil(np.linalg.norm(goal[:3] - start[:3]) / speed * rate)))
        s = np.arange(1, steps + 1) / steps
        return interpolate(start, goal, s**3 * (10.0 - 15.0 * s + 6.0 * s**2))

    def go(self, goal: Array, speed: float = 0.2) -> bool:
        """Move the tool straight to a pose; returns whether the arm can, and slows down where it must."""
        path = self.solve(self.line(goal, speed))
        if path is None:
            return False
        for joints in self.paced(path):
            self.command = joints[None]
            self.step()
        return True

    def paced(self, path: Array, share: float = 0.9) -> Array:
        """A joint path (T, J) at a pace that uses no more than a share of any joint's speed limit."""
        steps = np.abs(np.diff(np.concatenate([self.command, path]), axis=0)) * self.sim.timing.rate
        excess = float((steps / self.robot.chain.max_speed).max()) / share
        if excess <= 1.0:
            return path
        whole = np.concatenate([self.command, path])
        at = np.linspace(0.0, len(path), int(np.ceil(len(path) * excess)) + 1)[1:]
        return np.stack([np.interp(at, np.arange(len(whole)), whole[:, j]) for j in range(whole.shape[1])], axis=1)

    def data(self) -> mujoco.MjData:
        """The engine's data of this moment, with positions, contacts and forces worked out."""
        data = mujoco.MjData(self.model)
        mujoco.mj_setState(self.model, data, self.sim.state[0], mujoco.mjtState.mjSTATE_INTEGRATION.value)
        mujoco.mj_forward(self.model, data)
        return data

    def touching(self) -> list[tuple[int, int, float, float]]:
        """Contacts of this moment: geom, geom, penetration [m], normal force [N]."""
        data, found = self.data(), []
        for c in range(data.ncon):
            force = np.zeros(6)
            mujoco.mj_contactForce(self.model, data, c, force)
            first, second = (int(g) for g in data.contact[c].geom)
            found.append((first, second, float(-data.contact[c].dist), float(force[0])))
        return found


def pointing_down(x: float, y: float, z: float, yaw: float = 0.0) -> Array:
    """A tool pose (7,) that points at the table, the hand's x forward at no yaw."""
    return np.array([x, y, z, *quat_multiply(quat_about_z(yaw), DOWN)])


def bench_model(robot: Embodiment, bench: Bench) -> mujoco.MjModel:
    """The compiled model of a robot at a bench."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 3.0
    robot.add(spec)
    contact = {"condim": 3, "solref": [0.005, 1.0], "solimp": [0.95, 0.99, 0.001, 0.5, 2.0]}
    table = spec.worldbody.add_body(name="table")
    table.add_geom(
        name="table_top",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.5, 0.6, 0.02],
        pos=[0.45, 0.0, bench.table - 0.02],
        contype=TABLE_BIT,
        conaffinity=0,
        **contact,
    )
    cube = spec.worldbody.add_body(name="cube")
    cube.add_freejoint(name="cube_free")
    cube.add_geom(
        name="cube_geom",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[bench.edge / 2] * 3,
        mass=bench.mass,
        friction=[bench.friction, 0.005, 0.0001],
        contype=OBJECT_BIT,
        conaffinity=TABLE_BIT | OBJECT_BIT | HAND_BIT,
        **contact,
    )
    view = robot.wrist_camera
    if spec.body(view.body) is not None:
        spec.body(view.body).add_camera(name="bench_wrist", pos=view.pos, quat=view.quat, fovy=view.fovy)
    for name in robot.finger_geoms:
        if spec.geom(name) is not None:
            spec.geom(name).friction[0] = bench.friction
    return spec.compile()
