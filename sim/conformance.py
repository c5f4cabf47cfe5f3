"""What every robot must do before a task can rely on it, whoever described it.

`check` puts a robot on a bench and returns what is wrong with it, a sentence per finding. A robot without findings has
the joints, bodies and shapes that it names, agrees with its own kinematics, reaches the table's workspace, follows its
servos, carries its own weight, holds a cube by friction alone with an honest grip, touches what it should and nothing
else, and sees its fingertips.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.embodiment import ARM_BIT, HAND_BIT, OBJECT_BIT, TABLE_BIT, Embodiment
from sim.kinematics import solve_inverse
from sim.transforms import Array, angle_between, quat_from_matrix, quat_rotate
from sim.trials import LANE, Bench, Trial, bench_model, pointing_down


@dataclass(frozen=True)
class Standard:
    """What is asked of a robot. The defaults are what tasks need.

    Attributes:
        frame_error: most that the tool's site may lie off the chain's forward kinematics [m], [rad].
        reach: x, y and z of the grid of tool positions to reach, and yaws [m], [rad].
        reached: least share of the grid that inverse kinematics must reach from home.
        tracking: most that the tool may trail a path [m]; it moves at `speed` [m/s], or as fast as joints allow.
        drift: most that the tool may sink while it should stand still [m].
        slip: most that a held cube may shift in the fingers [m].
        grip: least and most force of all fingers together on a held cube [N].
        penetration: most that fingers may press into it [m].
        uneven: most that finger joints may differ, as a share of their travel.
    """

    frame_error: float = 1e-5
    reach: tuple[tuple[float, ...], ...] = (
        (0.30, 0.40, 0.50, 0.60, 0.70),
        (-0.20, -0.10, 0.0, 0.10, 0.20),
        (0.02, 0.12, 0.25),
        (-1.0, -0.5, 0.0, 0.5, 1.0),
    )
    reached: float = 0.97
    tracking: float = 0.005
    speed: float = 0.25
    drift: float = 0.001
    slip: float = 0.005
    grip: tuple[float, float] = (4.0, 235.0)
    penetration: float = 0.0015
    uneven: float = 0.05


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a robot: which rule it breaks, and a sentence."""

    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.sentence}"


def check(robot: Embodiment, standard: Standard | None = None) -> list[Finding]:
    """Everything that is wrong with a robot; an empty list means that tasks can rely on it.

    Args:
        robot: the robot.
        standard: what is asked of it.
    """
    standard = standard or Standard()
    missing = [Finding("names", sentence) for sentence in _names(robot, bench_model(robot, Bench()))]
    if missing:
        return missing
    trial = Trial(robot)
    return [Finding(name, sentence) for name, rule in RULES.items() for sentence in rule(trial, standard)]


def _names(robot: Embodiment, model: mujoco.MjModel) -> Iterator[str]:
    wanted = {
        "joint": (mujoco.mjtObj.mjOBJ_JOINT, (*robot.joints, *robot.fingers)),
        "actuator": (mujoco.mjtObj.mjOBJ_ACTUATOR, (*robot.actuators, robot.gripper_actuator)),
        "site": (mujoco.mjtObj.mjOBJ_SITE, (robot.tool_site,)),
        "body": (mujoco.mjtObj.mjOBJ_BODY, (robot.moving_root, robot.hand_body, robot.wrist_camera.body)),
        "geom": (mujoco.mjtObj.mjOBJ_GEOM, robot.finger_geoms),
        "material": (mujoco.mjtObj.mjOBJ_MATERIAL, tuple(robot.paint)),
    }
    for kind, (what, names) in wanted.items():
        for name in names:
            if mujoco.mj_name2id(model, what, name) < 0:
                yield f"the model has no {kind} named '{name}'"
    if len(robot.joints) != len(robot.actuators) or len(robot.joints) != robot.chain.joint_count():
        yield (
            f"it has {len(robot.joints)} joints, {len(robot.actuators)} servos and a chain of "
            f"{robot.chain.joint_count()}; all must be as many"
        )


def _limits(trial: Trial, _: Standard) -> Iterator[str]:
    robot, model = trial.robot, trial.model
    for j, name in enumerate(robot.joints):
        low, high = robot.chain.lower[j], robot.chain.upper[j]
        if not low < robot.home[j] < high:
            yield f"home puts '{name}' at {robot.home[j]:.3f} rad, which is not within {low:.3f} to {high:.3f}"
        own = model.jnt_range[model.joint(name).id]
        if model.joint(name).limited[0] and (own[0] > low + 1e-6 or own[1] < high - 1e-6):
            yield f"the chain moves '{name}' over {low:.3f} to {high:.3f} rad, but the model stops it at {own}"
        if not robot.chain.max_speed[j] > 0:
            yield f"'{name}' has a speed limit of {robot.chain.max_speed[j]}; it must be more than 0 rad/s"
    for name in robot.fingers:
        low, high = model.jnt_range[model.joint(name).id]
        for what, value in (("closed", robot.finger_closed), ("open", robot.finger_open)):
            if model.joint(name).limited[0] and not low - 1e-6 <= value <= high + 1e-6:
                yield f"finger '{name}' is {what} at {value:.4f}, but moves from {low:.4f} to {high:.4f} only"
    approach = quat_rotate(robot.chain.forward(robot.home)[3:], np.array([0.0, 0.0, 1.0]))
    if approach[2] > -0.98:
        yield f"at home the tool's z points to {approach.round(2)}; it must point down at the table"


def _servos(trial: Trial, _: Standard) -> Iterator[str]:
    robot, model = trial.robot, trial.model
    for joint, name in (*zip(robot.joints, robot.actuators, strict=True), (None, robot.gripper_actuator)):
        servo = model.actuator(name)
        if servo.gainprm[0] <= 0 or servo.gainprm[0] != -servo.biasprm[1]:
            yield f"'{name}' is no position servo: its gain is {servo.gainprm[0]:g} and its bias {servo.biasprm[1]:g}"
        if not servo.forcelimited[0] or not np.isfinite(servo.forcerange).all():
            yield f"'{name}' has no force limit; give it its motor's"
        low, high = servo.ctrlrange
        ends = (robot.finger_closed, robot.finger_open)
        if joint is not None:
            ends = tuple(model.jnt_range[model.joint(joint).id])
            moved = servo.trntype[0] == mujoco.mjtTrn.mjTRN_JOINT.value and servo.trnid[0] == model.joint(joint).id
            if not moved:
                yield f"'{name}' does not drive '{joint}', in whose place it is listed"
        if servo.ctrllimited[0] and (low > min(ends) + 1e-6 or high < max(ends) - 1e-6):
            span = f"{min(ends):.3f} to {max(ends):.3f}"
            yield f"'{name}' takes targets from {low:.3f} to {high:.3f}, but actions ask for {span}"


def _kinematics(trial: Trial, standard: Standard) -> Iterator[str]:
    robot, model, data = trial.robot, trial.model, mujoco.MjData(trial.model)
    rng = np.random.default_rng(0)
    columns, site = robot.joint_addresses(model)[0], model.site(robot.tool_site).id
    for q in rng.uniform(robot.chain.lower, robot.chain.upper, (50, len(robot.joints))):
        data.qpos[columns] = q
        mujoco.mj_kinematics(model, data)
        pose = robot.chain.forward(q)
        off = float(np.linalg.norm(pose[:3] - data.site_xpos[site]))
        turned = float(angle_between(pose[3:], quat_from_matrix(data.site_xmat[site].reshape(3, 3))))
        if max(off, turned) > standard.frame_error:
            yield (
                f"at joint angles {q.round(3)} the site '{robot.tool_site}' is {1000 * off:.3f} mm and "
                f"{np.degrees(turned):.3f} degrees off the chain's tool"
            )
            return


def _reach(trial: Trial, standard: Standard) -> Iterator[str]:
    robot = trial.robot
    xs, ys, zs, yaws = standard.reach
    target = np.array([pointing_down(x, y, z, a) for x in xs for y in ys for z in zs for a in yaws])
    start = np.tile(robot.home, (len(target), 1))
    found = solve_inverse(robot.chain, target, start, robot.home, iterations=40)
    reached = found.reached()
    if reached.mean() < standard.reached:
        worst = target[~reached][0]
        yield (
            f"inverse kinematics reaches {reached.sum()} of {len(target)} tool poses over the table, not e.g. "
            f"{worst[:3].round(2)}; it must reach {standard.reached:.0%}"
        )
    pose = robot.chain.forward(found.q[reached])
    off = np.linalg.norm(pose[:, :3] - target[reached, :3], axis=1)
    if len(off) and off.max() > 1.1e-3:
        yield f"inverse kinematics says that it reached a pose from which it is {1000 * off.max():.1f} mm off"


def _tracking(trial: Trial, standard: Standard) -> Iterator[str]:
    for axis, name in enumerate("xyz"):
        trial.restart()
        goal = pointing_down(0.5, 0.0, 0.2)
        middle, errors = goal.copy(), []
        if not trial.go(goal):
            yield "the arm cannot go from home to the middle of the table in a straight line"
            return
        for swing in (0.1, -0.1, 0.0):
            goal = middle.copy()
            goal[axis] += swing
            path = trial.solve(trial.line(goal, standard.speed))
            if path is None:
                yield f"the arm cannot move its tool by {swing} m along {name} from {middle[:3]}"
                return
            for joints in trial.paced(path, 0.6):
                trial.command = joints[None]
                trial.step()
                errors.append(float(np.linalg.norm(trial.tool[:3] - trial.robot.chain.forward(joints)[:3])))
        if max(errors) > standard.tracking:
            yield (
                f"moving along {name} the tool trails its servos' targets by up to {1000 * max(errors):.1f} mm; "
                f"at most {1000 * standard.tracking:g} mm will do"
            )
        if trial.sim.diverged[0]:
            yield f"the simulation diverged while the arm moved along {name}"


def _weight(trial: Trial, standard: Standard) -> Iterator[str]:
    trial.restart()
    for pose in (None, pointing_down(0.65, 0.0, 0.15)):
        if pose is not None and not trial.go(pose):
            continue
        trial.wait(20)
        off = float(np.linalg.norm(trial.tool[:3] - trial.robot.chain.forward(trial.command)[0, :3]))
        if off > standard.drift:
            where = "at home" if pose is None else "stretched out"
            yield f"{where} the tool hangs {1000 * off:.1f} mm off its target: gravity is not compensated"


def _fingers(trial: Trial, standard: Standard) -> Iterator[str]:
    robot = trial.robot
    trial.restart()
    columns, travel = robot.finger_addresses(trial.model), abs(robot.finger_open - robot.finger_closed)
    steps = 10 + int(np.ceil(travel / robot.finger_speed * trial.sim.timing.rate))
    for opening, what in ((0.0, "closed"), (1.0, "open")):
        trial.opening, apart = opening, 0.0
        for _ in range(steps):
            trial.step()
            apart = max(apart, float(np.ptp(trial.sim.qpos[0, columns])) / travel)
        if apart > standard.uneven:
            yield f"the fingers move unevenly: their joints differ by up to {apart:.0%} of their travel"
        reached = float(robot.opening(trial.sim.qpos[LANE][:, columns])[0])
        if abs(reached - opening) > 0.05:
            yield f"told to be {what}, the gripper stands at an opening of {reached:.2f}"
    wide = pad_distance(trial)
    if wide is not None and abs(wide - robot.hand.reach) > 0.006:
        yield f"hand.reach is {robot.hand.reach:.4f} m, but an open finger is {wide:.4f} m from the tool's centre"


def pad_distance(trial: Trial) -> float | None:
    """How far the nearest finger is from the tool's centre along its y [m]; None where there is none."""
    data, model, robot = trial.data(), trial.model, trial.robot
    site, found = model.site(robot.tool_site).id, []
    axes = data.site_xmat[site].reshape(3, 3)
    for sideways in (-0.03, -0.015, 0.0, 0.015, 0.03):
        origin = data.site_xpos[site] + sideways * axes[:, 0]
        for side in (-1.0, 1.0):
            hits = [_hit(model, data, model.geom(name).id, origin, side * axes[:, 1]) for name in robot.finger_geoms]
            found += [hit for hit in hits if hit >= 0.0]
    return min(found) if found else None


def _hit(model: mujoco.MjModel, data: mujoco.MjData, geom: int, origin: Array, way: Array) -> float:
    """Distance along a ray to a geom [m]; -1 where it misses."""
    normal = np.zeros(3)
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        return float(mujoco.mj_rayMesh(model, data, geom, origin, way, normal))
    pose = (data.geom_xpos[geom], data.geom_xmat[geom], model.geom_size[geom])
    return float(mujoco.mju_rayGeom(*pose, origin, way, int(model.geom_type[geom]), normal))


def _grip(trial: Trial, standard: Standard) -> Iterator[str]:
    robot, bench = trial.robot, trial.bench
    trial.restart((0.5, 0.0))
    trial.wait(5)
    height = bench.table + bench.edge / 2
    ways = ((0.5, 0.0, height + 0.12), (0.5, 0.0, height))
    if not all(trial.go(pointing_down(*way)) for way in ways):
        yield "the arm cannot come down on a cube in the middle of the table"
        return
    pushed = float(np.linalg.norm(trial.cube[:2] - [0.5, 0.0]))
    if pushed > 0.005:
        yield f"the open gripper pushes a cube {1000 * pushed:.0f} mm away as it comes down on it"
        return
    trial.opening = 0.0
    trial.wait(10 + int(abs(robot.finger_open - robot.finger_closed) / robot.finger_speed * trial.sim.timing.rate))
    held = trial.cube_in_tool()
    for way in ((0.5, 0.0, height + 0.1), (0.5, 0.12, height + 0.1), (0.5, -0.12, height + 0.1)):
        trial.go(pointing_down(*way), 0.3)
    trial.wait(20)
    slipped = float(np.linalg.norm(trial.cube_in_tool() - held))
    if slipped > standard.slip:
        yield (
            f"a cube of {bench.mass} kg and friction {bench.friction} slips {1000 * slipped:.1f} mm in the fingers "
            "while it is carried"
        )
        return
    fingers = {trial.model.geom(name).id for name in robot.finger_geoms}
    cube = trial.model.geom("cube_geom").id
    grips = [c for c in trial.touching() if cube in c[:2] and fingers.intersection(c[:2])]
    force, depth = sum(c[3] for c in grips), max((c[2] for c in grips), default=0.0)
    low, high = standard.grip
    if not low <= force <= high:
        yield f"the fingers press on a held cube with {force:.1f} N; {low:g} to {high:g} N are honest"
    if depth > standard.penetration:
        yield f"the fingers sink {1000 * depth:.2f} mm into a held cube"
    trial.opening = 1.0
    trial.wait(25)
    if trial.cube[2] > height + 0.05:
        yield "an opened gripper does not let go of the cube"


def _collisions(trial: Trial, _: Standard) -> Iterator[str]:
    robot, model = trial.robot, trial.model
    parts = _bodies_below(model, model.body_rootid[model.body(robot.moving_root).id])
    solid = [
        g
        for g in range(model.ngeom)
        if model.geom_bodyid[g] in parts and (model.geom_contype[g] or model.geom_conaffinity[g])
    ]
    for g in solid:
        name = model.geom(g).name or f"number {g} of body '{model.body(model.geom_bodyid[g]).name}'"
        if model.geom_contype[g] not in (HAND_BIT, ARM_BIT):
            yield f"geom {name} has contype {model.geom_contype[g]}; the hand's is {HAND_BIT}, the arm's {ARM_BIT}"
        if model.geom_conaffinity[g] != TABLE_BIT | OBJECT_BIT:
            yield f"geom {name} has conaffinity {model.geom_conaffinity[g]}; it must be {TABLE_BIT | OBJECT_BIT}"
    moving = _bodies_below(model, model.body(robot.moving_root).id)
    for body, what in ((robot.hand_body, "the hand"), (robot.moving_root, "the arm")):
        own = moving if body == robot.moving_root else {model.body(body).id}
        if not any(model.geom_bodyid[g] in own for g in solid):
            yield f"{what} (body '{body}') has nothing that could touch anything"
    for name in robot.finger_geoms:
        if model.geom(name).id not in solid or model.geom_contype[model.geom(name).id] != HAND_BIT:
            yield f"finger geom '{name}' cannot touch objects; its contype must be {HAND_BIT}"
        if model.geom_bodyid[model.geom(name).id] == model.body(robot.hand_body).id:
            yield f"finger geom '{name}' is part of '{robot.hand_body}', which must touch nothing"
    yield from _presses_on(trial, solid)


def _presses_on(trial: Trial, solid: list[int]) -> Iterator[str]:
    """Whether the hand stops at the table when it is told to go through it."""
    trial.restart()
    table = trial.model.geom("table_top").id
    if not trial.go(pointing_down(0.5, 0.0, trial.bench.table + 0.02)):
        yield "the arm cannot come down to the table"
        return
    if any(table in contact[:2] and set(contact[:2]).intersection(solid) for contact in trial.touching()):
        yield "with the tool 2 cm over the table the hand touches it already"
    if not trial.go(pointing_down(0.5, 0.0, trial.bench.table - 0.02), 0.05):
        return
    if not any(table in contact[:2] and set(contact[:2]).intersection(solid) for contact in trial.touching()):
        yield "the hand goes through the table"


def _camera(trial: Trial, _: Standard) -> Iterator[str]:
    robot, model = trial.robot, trial.model
    trial.restart()
    data = trial.data()
    camera, site = model.camera("bench_wrist").id, model.site(robot.tool_site).id
    axes, centre = data.site_xmat[site].reshape(3, 3), data.site_xpos[site]
    eye, frame = data.cam_xpos[camera], data.cam_xmat[camera].reshape(3, 3)
    half = np.tan(np.radians(model.cam_fovy[camera]) / 2)
    middle = 0.5 * robot.hand.reach
    points = {"the tool's centre": centre}
    for side, name in ((1.0, "left"), (-1.0, "right")):
        points[f"the half-open {name} fingertip"] = centre + side * middle * axes[:, 1]
    for name, point in points.items():
        seen = frame.T @ (point - eye)
        if seen[2] >= 0 or max(abs(seen[:2])) > -seen[2] * half:
            yield f"{name} is outside the wrist camera's picture"
    way = centre - eye
    distance, geom = float(np.linalg.norm(way)), np.zeros(1, np.int32)
    hit = mujoco.mj_ray(model, data, eye, way / distance, None, 1, -1, geom)
    if geom[0] >= 0 and hit < distance - 0.02:
        body = model.body(model.geom_bodyid[geom[0]]).name
        yield f"'{body}' stands between the wrist camera and the tool's centre, {hit:.3f} m before the camera"


def _bodies_below(model: mujoco.MjModel, root: int) -> set[int]:
    """A body and all that it carries."""
    found = {int(root)}
    for body in range(root + 1, model.nbody):
        if int(model.body_parentid[body]) in found:
            found.add(body)
    return found


RULES: dict[str, Callable[[Trial, Standard], Iterator[str]]] = {
    "limits": _limits,
    "servos": _servos,
    "kinematics": _kinematics,
    "reach": _reach,
    "tracking": _tracking,
    "weight": _weight,
    "fingers": _fingers,
    "grip": _grip,
    "collisions": _collisions,
    "camera": _camera,
}
