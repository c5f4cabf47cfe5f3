"""Where in a compiled world each randomised value goes: names of what differs, addresses in the model."""

from dataclasses import dataclass

import mujoco
import numpy as np

from scenes.props import Prop
from scenes.randomization.drawing import Elements
from scenes.room import LAMPS, WALLS, cameras
from scenes.task import Task
from sim.embodiment import OBJECT_BIT, Embodiment
from sim.transforms import Array, matrix_from_quat


@dataclass(frozen=True, eq=False)
class Slots:
    """Addresses in one model.

    Attributes:
        elements: what has values of its own.
        distractors: names of the props that the task is not about.
        objects: geoms that objects touch with.
        pads: geoms of the fingers.
        table, table_body: the table.
        bodies: free object -> body.
        drags: free object -> first of its six degrees of freedom.
        upright: free object -> rotation matrix (3, 3) from its frame to that of its mass.
        geoms: object -> its geoms.
        boxes: object -> rows of its bounding volumes.
        arm_joints, arm_dofs, servos, gripper: of the robot.
        surfaces: "floor" and "walls" -> geoms.
        materials: name -> material; -1 is no material.
        paint: the robot's panels -> material.
        lights: name -> light.
        cameras: name -> camera.
    """

    elements: Elements
    distractors: tuple[str, ...]
    objects: np.ndarray
    pads: list[int]
    table: int
    table_body: int
    bodies: dict[str, int]
    drags: dict[str, int]
    upright: dict[str, Array]
    geoms: dict[str, list[int]]
    boxes: dict[str, slice]
    arm_joints: list[int]
    arm_dofs: np.ndarray
    servos: list[int]
    gripper: int
    surfaces: dict[str, list[int]]
    materials: dict[str, int]
    paint: dict[str, int]
    lights: dict[str, int]
    cameras: dict[str, int]


def find_slots(model: mujoco.MjModel, task: Task, robot: Embodiment) -> Slots:
    """Look up where everything is in a task's model."""
    bodies = {prop.name: int(model.body(prop.name).id) for prop in task.props}
    free = {prop.name: bodies[prop.name] for prop in task.props if not prop.fixed}
    joints = [int(model.joint(name).id) for name in robot.joints]
    volumes = {name: int(model.body_bvhadr[body]) for name, body in bodies.items()}
    names = [model.material(i).name for i in range(model.nmat)]
    return Slots(
        elements=elements_of(task, robot),
        distractors=tuple(prop.name for prop in task.props if prop.name not in task.own),
        objects=np.flatnonzero(model.geom_contype == OBJECT_BIT),
        pads=[int(model.geom(name).id) for name in robot.finger_geoms],
        table=int(model.geom("table_top").id),
        table_body=int(model.body("table").id),
        bodies=free,
        drags={name: int(model.body_dofadr[body]) for name, body in free.items()},
        upright={name: matrix_from_quat(model.body_iquat[body]).T for name, body in free.items()},
        geoms={prop.name: [int(model.geom(geom).id) for geom in prop.geoms] for prop in task.props},
        boxes={name: slice(at, at + int(model.body_bvhnum[bodies[name]])) for name, at in volumes.items()},
        arm_joints=joints,
        arm_dofs=model.jnt_dofadr[joints],
        servos=[int(model.actuator(name).id) for name in robot.actuators],
        gripper=int(model.actuator(robot.gripper_actuator).id),
        surfaces={"floor": [int(model.geom("floor").id)], "walls": [int(model.geom(name).id) for name in WALLS]},
        materials={"plain": -1, **{name: i for i, name in enumerate(names)}},
        paint={name: names.index(name) for name in robot.paint},
        lights={model.light(i).name: i for i in range(model.nlight)},
        cameras={model.camera(i).name: i for i in range(model.ncam)},
    )


def elements_of(task: Task, robot: Embodiment) -> Elements:
    """What has values of its own in the scenes of a task with a robot."""

    def named(props: tuple[Prop, ...]) -> tuple[str, ...]:
        return tuple(prop.name for prop in props)

    own = tuple(prop for prop in task.props if prop.name in task.own)
    views = cameras(robot)
    return Elements(
        (
            ("joint", robot.joints),
            ("body", named(tuple(prop for prop in task.props if not prop.fixed))),
            ("object", named(own)),
            ("resizable", named(tuple(prop for prop in own if prop.resizable))),
            ("distractor", tuple(name for name in named(task.props) if name not in task.own)),
            ("surface", ("floor", "walls")),
            ("lamp", LAMPS),
            ("camera", tuple(name for name, view in views.items() if view.body == "world")),
            ("robot camera", tuple(name for name, view in views.items() if view.body != "world")),
        )
    )
