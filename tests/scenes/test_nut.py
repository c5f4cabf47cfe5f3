"""The task `square`: a nut that fits over its peg, and only so."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes.domains import NONE
from scenes.nut import HALF, HANDLE, HEIGHT, HOLE, PEG, PEG_HEIGHT, Square
from scenes.placement import place
from scenes.scene import draw_scene, load_scenes
from scenes.task import World, get_task
from scenes.workspace import Workspace, build_workspace
from sim.batch import BatchSim

LANE = np.array([0])
LEVELS = ("D0", "D1", "D2")


def pose(x: float, y: float, z: float, yaw: float = 0.0, tilt_deg: float = 0.0) -> np.ndarray:
    turn = Rotation.from_euler("z", yaw) * Rotation.from_euler("x", np.radians(tilt_deg))
    return np.array([[x, y, z, *turn.as_quat(scalar_first=True)]])


def met(nut: np.ndarray, table: float = 0.0) -> bool:
    task = Square()
    poses = {
        "square_peg": pose(0.5, 0.1, PEG_HEIGHT / 2 + table),
        "round_peg": pose(0.5, -0.1, PEG_HEIGHT / 2 + table),
        "nut": nut,
    }
    roles = {role: np.array([task.objects.index(name)]) for role, name in task.fixed_roles().items()}
    still = {name: np.zeros(1) for name in poses}
    tool = np.array([[0.5, 0.0, 0.4, 0.0, 1.0, 0.0, 0.0]])
    return bool(task.goal(World(poses, still, tool, np.ones(1), np.array([table])), roles)[0])


@pytest.mark.parametrize(
    ("nut", "expected", "why"),
    [
        (pose(0.5, 0.1, HEIGHT / 2), True, "over the peg"),
        (pose(0.505, 0.1, HEIGHT / 2, yaw=1.6), True, "a quarter turn round, as far off as the hole allows"),
        (pose(0.5, 0.111, HEIGHT / 2), False, "beside it"),
        (pose(0.5, -0.1, HEIGHT / 2), False, "over the round peg"),
        (pose(0.5, 0.1, HEIGHT / 2 + 0.006), False, "not let down"),
        (pose(0.5, 0.1, HEIGHT / 2 + PEG_HEIGHT), False, "on top of the peg"),
        (pose(0.5, 0.1, HEIGHT / 2, tilt_deg=8), False, "jammed"),
        (pose(0.5, 0.1, HEIGHT / 2, tilt_deg=180), False, "upside down"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_goal(nut: np.ndarray, expected: bool, why: str) -> None:
    assert met(nut) is expected, why


def test_the_goal_knows_the_tables_height() -> None:
    assert met(pose(0.5, 0.1, HEIGHT / 2 + 0.03), table=0.03)
    assert not met(pose(0.5, 0.1, HEIGHT / 2), table=0.03)


def dropped(workspace: Workspace, nut: np.ndarray) -> tuple[np.ndarray, bool]:
    """Where a nut comes to rest that is let go at a pose relative to the square peg's foot, and whether it is done."""
    scene = draw_scene(workspace, NONE, "recording", 0, 0)
    sim = BatchSim(workspace.model, workspace.embodiment, 1)
    load_scenes(sim, workspace, LANE, [scene])
    peg = workspace.observe(sim, LANE).objects["square_peg"][0]
    column, dof = workspace.object_qpos["nut"], workspace.object_qvel["nut"]
    sim.qpos[0, column : column + 7] = nut[0]
    sim.qpos[0, column : column + 3] += peg[:3] - [0.0, 0.0, PEG_HEIGHT / 2]
    sim.qvel[0, dof : dof + 6] = 0.0
    sim.batch.forward(LANE)
    hold = np.concatenate([sim.joint_position(LANE), np.ones((1, 1))], axis=1)
    for _ in range(20):
        sim.step(LANE, hold)
    world = workspace.observe(sim, LANE)
    task = workspace.task
    roles = {role: np.array([task.objects.index(name)]) for role, name in scene.roles.items()}
    return world.objects["nut"][0, :3] - peg[:3] + [0.0, 0.0, PEG_HEIGHT / 2], bool(task.goal(world, roles)[0])


@pytest.mark.parametrize(("yaw", "fits"), [(0.0, True), (np.pi / 2, True), (np.pi / 4, False)])
def test_the_nut_falls_over_the_peg_where_its_hole_lies_square(yaw: float, fits: bool) -> None:
    rest, done = dropped(build_workspace("square"), pose(0.0, 0.0, PEG_HEIGHT + HEIGHT, yaw=yaw))
    assert done is fits
    assert (rest[2] < HEIGHT) == fits


def test_the_hole_holds_the_nut_at_the_peg() -> None:
    """As far off as the goal accepts is farther than the nut can be pushed with the peg through it."""
    workspace = build_workspace("square")
    _, off = dropped(workspace, pose(HOLE - PEG + 0.004, 0.0, PEG_HEIGHT + HEIGHT))
    assert not off
    _, on = dropped(workspace, pose(HOLE - PEG - 0.001, 0.0, PEG_HEIGHT + HEIGHT))
    assert on


def test_the_pegs_are_fixed_and_the_nut_weighs_what_it_says() -> None:
    model = build_workspace("square").model
    assert sum(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE) == 1
    assert model.body("nut").mass[0] == pytest.approx(0.08)
    # The handle draws the centre of mass towards it.
    assert 0.005 < model.body("nut").ipos[0] < HANDLE[0]


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_stands_in_the_nuts_way(level: str) -> None:
    workspace = build_workspace(f"square:{level}")
    for i in range(40):
        poses = draw_scene(workspace, NONE, "generation", 0, i).ledger["poses"]
        at = {name: np.array(pose[:2]) for name, pose in poses.items()}
        assert np.hypot(*(at["square_peg"] - at["round_peg"])) >= HANDLE[1] + PEG
        for name in set(at) - {"nut"}:
            assert np.hypot(*(at[name] - at["nut"])) >= HANDLE[1]


def test_levels_widen() -> None:
    def spread(level: str, name: str) -> float:
        workspace = build_workspace(f"square:{level}")
        drawn = [draw_scene(workspace, NONE, "generation", 0, i).ledger["poses"][name] for i in range(60)]
        return float(np.ptp(np.array(drawn)[:, :2], axis=0).sum())

    for name in ("nut", "square_peg", "round_peg"):
        widths = [spread(level, name) for level in LEVELS]
        assert widths[0] < widths[1] < widths[2]
    assert spread("D0", "square_peg") == 0.0


def test_the_nut_is_held_by_its_handle_either_way_round() -> None:
    nut = get_task("square").prop("nut")
    for grasp in nut.grasp_poses():
        assert HALF < HANDLE[0] + 0.01 < grasp[0] < HANDLE[1]
        assert grasp[1] == 0.0
    assert nut.hold_distance(pose(0.5, 0.0, 0.0)[0], np.array([0.5 + nut.grasps[0][0], 0.0, 0.004])) < 1e-9


@pytest.mark.parametrize("level", ["D1", "D2"])
def test_a_nut_on_its_peg_strikes_no_distractor_whichever_way_its_handle_points(level: str) -> None:
    task = get_task(f"square:{level}")
    handle = np.hypot(HANDLE[1], HANDLE[2])
    for seed in range(60):
        poses = task.draw_poses(np.random.default_rng(seed))
        assert set(poses) == set(task.objects)
        for prop in task.reset.distractors:
            for peg in ("square_peg", "round_peg"):
                away = np.linalg.norm(poses[prop.name][:2] - poses[peg][:2])
                assert away > handle + np.hypot(*prop.half[:2])


def test_distractors_move_nothing_of_the_tasks_own() -> None:
    task, region = get_task("square:D1"), get_task("square:D1").regions()
    for seed in range(20):
        poses = task.draw_poses(np.random.default_rng(seed))
        own = place(type(task).props, region, np.random.default_rng(seed), task.apart)
        for name, where in own.items():
            np.testing.assert_array_equal(poses[name], where)
