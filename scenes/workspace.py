"""The compiled world of a task: robot, table, objects, cameras, lights; and how to read it.

One model serves every scene of a task: what differs between scenes is written into the batch's per-scene model fields,
so nothing is compiled per episode.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol

import mujoco
import numpy as np

from handful import InputError
from scenes import room
from scenes.framing import front_view
from scenes.slots import Slots, find_slots
from scenes.task import Task, World, get_task
from sim.batch import BatchSim, ControlTiming
from sim.embodiment import TABLE_BIT, Embodiment
from sim.limbs import Limbs, limbs_of
from sim.robots import get_embodiment
from sim.transforms import Array
from sim.trimming import Trimmed, trim

TABLE_TOP = -0.0031  # nominal height of the table's surface in the robot's base frame [m]
TIMESTEP = 0.002  # of the physics [s]
LONGEST_TIMESTEP = 0.005  # with longer ones the servos and contacts are no longer what they are [s]
_TABLE_HALF = (0.5, 0.6, 0.02)  # [m]

# An object's spin counts as speed at this lever arm [m].
_SPIN_ARM = 0.05


class Origin(Protocol):
    """What an episode's metadata says about where it was made."""

    @property
    def task(self) -> str: ...

    @property
    def embodiment(self) -> str: ...

    @property
    def extra(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Columns:
    """Where what is looked at in each control step stands, worked out once."""

    pose: np.ndarray  # (O, 7) columns in qpos of each free object's pose
    velocity: np.ndarray  # (O, 6) columns in qvel of its velocity
    touch: np.ndarray  # columns in sensordata of the sensors of forbidden contact
    table: int  # its body


@dataclass(frozen=True)
class Workspace:
    """A task's compiled model and the addresses of what matters in it.

    Attributes:
        task: the task.
        embodiment: the robot.
        model: the compiled model; never changed after this.
        spec: what it was compiled from.
        object_qpos: free object -> first column of its pose in qpos.
        object_qvel: free object -> first column of its velocity in qvel.
        fixed: fixed object -> its body.
    """

    task: Task
    embodiment: Embodiment
    model: mujoco.MjModel
    spec: mujoco.MjSpec = field(repr=False)
    object_qpos: dict[str, int] = field(default_factory=dict)
    object_qvel: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, int] = field(default_factory=dict)

    @cached_property
    def model_hash(self) -> str:
        """SHA-256 of the model's XML; writing that takes as long as compiling, so only where it is asked for."""
        return hashlib.sha256(self.spec.to_xml().encode()).hexdigest()

    @cached_property
    def trimmed(self) -> Trimmed:
        """The model that gives the same states sooner, for where nothing is drawn from the batch."""
        return trim(self.spec, self.model)

    @cached_property
    def limbs(self) -> Limbs:
        """The robot's outline."""
        return limbs_of(self.model, self.embodiment)

    @cached_property
    def slots(self) -> Slots:
        """Where in the model a scene's values go."""
        return find_slots(self.model, self.task, self.embodiment)

    @cached_property
    def _columns(self) -> "_Columns":
        return _Columns(
            pose=np.array(list(self.object_qpos.values()), int)[:, None] + np.arange(7),
            velocity=np.array(list(self.object_qvel.values()), int)[:, None] + np.arange(6),
            touch=np.array([self.model.sensor(name).adr[0] for name in ("robot_on_table", "palm_on_anything")]),
            table=self.model.body("table").id,
        )

    def observe(self, sim: BatchSim, ids: np.ndarray) -> World:
        """Read what is where in scenes `ids`, after a control step."""
        at, moving = self._columns, sim.qvel[ids][:, self._columns.velocity]
        pose = np.moveaxis(sim.qpos[ids][:, at.pose], 1, 0)
        poses: dict[str, Array] = dict(zip(self.object_qpos, pose, strict=True))
        linear, spin = np.linalg.norm(moving[..., :3], axis=2), np.linalg.norm(moving[..., 3:], axis=2)
        speeds: dict[str, Array] = dict(zip(self.object_qvel, np.maximum(linear, _SPIN_ARM * spin).T, strict=True))
        for name, fixed in self.fixed_poses(sim, ids).items():
            poses[name], speeds[name] = fixed, np.zeros(len(ids))
        tool = self.embodiment.chain.forward(sim.true_joint_position(ids))
        table = sim.batch.expand("body_pos")[ids, at.table, 2] + TABLE_TOP
        return World(poses, speeds, tool, sim.gripper_opening(ids), table)

    def fixed_poses(self, sim: BatchSim, ids: np.ndarray) -> dict[str, Array]:
        """Where the fixed objects are in scenes `ids`: name -> (n, 7)."""
        fields = [sim.batch.expand(key) for key in ("body_pos", "body_quat")] if self.fixed else []
        return {
            name: np.concatenate([field[ids, body] for field in fields], axis=1) for name, body in self.fixed.items()
        }

    def forbidden_contact(self, sim: BatchSim, ids: np.ndarray) -> np.ndarray:
        """Whether the robot touched the table, or its palm anything, during the last control step, (n,)."""
        return (sim.sensor_peak[ids[:, None], self._columns.touch] > 0).any(axis=1)


def build_workspace(task_name: str, embodiment: str = "panda", timestep: float = TIMESTEP) -> Workspace:
    """Compile a task's world with a robot. Cached per process: the model is shared and must not be written to.

    Args:
        task_name: the task, with its level after a colon where that is not D0.
        embodiment: name of the robot, or a file that describes one; see `sim.robots`.
        timestep: of the physics [s].

    Raises:
        InputError: `timestep` is out of range, or the control period is no whole number of such steps.
    """
    check_timestep(timestep)
    return _cached(task_name, embodiment, timestep)


@lru_cache(maxsize=8)
def _cached(task_name: str, embodiment: str, timestep: float) -> Workspace:
    return compile_workspace(task_name, embodiment, timestep)


def compile_workspace(task_name: str, embodiment: str = "panda", timestep: float = TIMESTEP) -> Workspace:
    """The same as `build_workspace`, compiled anew whatever was compiled before."""
    return assemble(get_task(task_name), get_embodiment(embodiment), timestep)


def assemble(task: Task, robot: Embodiment, timestep: float = TIMESTEP) -> Workspace:
    """The world of any task, of one as well that has no name of its own."""
    spec = mujoco.MjSpec()
    spec.modelname = f"handful_{task.name}"
    _set_options(spec, timestep)
    room.add_world(spec)
    robot.add(spec)
    _add_table(spec)
    for prop in task.props:
        prop.add(spec)
    room.add_cameras(spec, robot, front_view(task, TABLE_TOP))
    _add_contact_sensors(spec, robot)
    model = spec.compile()
    joints = {prop.name: model.joint(prop.joint).id for prop in task.props if not prop.fixed}
    return Workspace(
        task=task,
        embodiment=robot,
        model=model,
        spec=spec,
        object_qpos={name: int(model.jnt_qposadr[j]) for name, j in joints.items()},
        object_qvel={name: int(model.jnt_dofadr[j]) for name, j in joints.items()},
        fixed={prop.name: int(model.body(prop.name).id) for prop in task.props if prop.fixed},
    )


def workspace_of(meta: Origin) -> Workspace:
    """The workspace that a stored episode was made in, by its metadata: task, level, robot and physics step."""
    level = meta.extra.get("level", "D0")
    task = meta.task if level == "D0" else f"{meta.task}:{level}"
    return build_workspace(task, meta.embodiment, meta.extra.get("physics_step", TIMESTEP))


def check_timestep(timestep: float) -> None:
    """Refuse a timestep [s] that worlds cannot be stepped with.

    Raises:
        InputError: it is out of range, or the control period is no whole number of such steps.
    """
    if not 0.0 < timestep <= LONGEST_TIMESTEP:
        raise InputError(f"a physics step is more than 0 and at most {LONGEST_TIMESTEP} s, got {timestep}")
    ControlTiming().substeps(timestep)


def _set_options(spec: mujoco.MjSpec, timestep: float) -> None:
    spec.compiler.degree = False
    spec.option.timestep = timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    # Friction constraints stiffer than normal ones, so that a squeezed object creeps less.
    spec.option.impratio = 3.0
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    # The solver converges as soon without the last step's solution, and a start from it costs more than it saves.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART


def _add_table(spec: mujoco.MjSpec) -> None:
    table = spec.worldbody.add_body(name="table")
    table.add_geom(
        name="table_top",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=_TABLE_HALF,
        pos=[0.45, 0.0, TABLE_TOP - _TABLE_HALF[2]],
        contype=TABLE_BIT,
        conaffinity=0,
        condim=3,
        friction=[1.0, 0.005, 0.0001],
        solref=[0.005, 1.0],
        solimp=[0.95, 0.99, 0.001, 0.5, 2.0],
        material=room.TABLE_MATERIAL,
    )


def _add_contact_sensors(spec: mujoco.MjSpec, robot: Embodiment) -> None:
    found = 1 << mujoco.mjtConDataField.mjCONDATA_FOUND.value
    touching = {
        "robot_on_table": ("XBODY", robot.moving_root, "GEOM", "table_top"),
        "palm_on_anything": ("BODY", robot.hand_body, "UNKNOWN", ""),
    }
    for name, (kind, obj, ref_kind, ref) in touching.items():
        sensor = spec.add_sensor(name=name, type=mujoco.mjtSensor.mjSENS_CONTACT)
        sensor.objtype, sensor.objname = getattr(mujoco.mjtObj, f"mjOBJ_{kind}"), obj
        if ref:
            sensor.reftype, sensor.refname = getattr(mujoco.mjtObj, f"mjOBJ_{ref_kind}"), ref
        sensor.intprm[:3] = [found, 0, 1]
