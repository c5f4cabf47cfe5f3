"""The compiled world: the same every time, with what tasks, cameras and the judge look for in it."""

import subprocess
import sys

import mujoco
import numpy as np
import pytest

from handful import InputError
from scenes.workspace import build_workspace
from tests.arm import DOWN, LANE, Arm


def test_the_model_is_the_same_in_every_process() -> None:
    code = "from scenes.workspace import build_workspace; print(build_workspace('lift').model_hash)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == build_workspace("lift").model_hash


def test_tasks_are_compiled_once() -> None:
    assert build_workspace("lift") is build_workspace("lift")


def test_a_world_can_be_stepped_in_longer_steps_and_is_then_another_model() -> None:
    usual, longer = build_workspace("lift"), build_workspace("lift", timestep=0.0025)
    assert longer.model.opt.timestep == 0.0025
    assert longer.model_hash != usual.model_hash
    assert build_workspace("lift", "panda", 0.002) is usual


@pytest.mark.parametrize(
    ("timestep", "what"),
    [
        (0.0, r"a physics step is more than 0 and at most 0.005 s, got 0.0"),
        (0.01, r"a physics step is more than 0 and at most 0.005 s, got 0.01"),
        (0.003, r"a timestep of 0.003 s does not divide the control period of 0.05 s into 5 setpoints; use e.g. 0.002"),
    ],
)
def test_steps_that_cannot_be_are_refused(timestep: float, what: str) -> None:
    with pytest.raises(InputError, match=what):
        build_workspace("lift", timestep=timestep)


@pytest.mark.parametrize("task", ["lift", "stack_three"])
def test_cubes_are_the_benchmarks(task: str) -> None:
    model = build_workspace(task).model
    for name in ("cube_1", "cube_2", "cube_3"):
        np.testing.assert_allclose(model.geom(f"{name}_geom").size, 0.0468 / 2)
        assert model.body(name).mass[0] == pytest.approx(0.08)


def test_the_tables_surface_lies_where_the_benchmarks_does() -> None:
    arm = Arm()
    world = arm.workspace.observe(arm.sim, LANE)
    assert world.table_height[0] == pytest.approx(-0.0031)
    for name in ("cube_1", "cube_2", "cube_3"):
        assert arm.object(name)[2] == pytest.approx(0.0203, abs=2e-4)


def test_both_cameras_are_there() -> None:
    model = build_workspace("lift").model
    assert {"front", "wrist"} <= {model.camera(i).name for i in range(model.ncam)}


def test_the_world_is_read_where_the_engine_has_it() -> None:
    arm = Arm()
    arm.go(np.array([0.45, 0.05, 0.2, *DOWN]), 20)
    world = arm.workspace.observe(arm.sim, LANE)
    model = arm.sim.batch.get_model(0)
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, arm.sim.state[0], mujoco.mjtState.mjSTATE_INTEGRATION.value)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(world.tool[0, :3], data.site_xpos[model.site("tool").id], atol=1e-9)
    for name in ("cube_1", "cube_2", "cube_3"):
        np.testing.assert_allclose(world.objects[name][0, :3], data.body(name).xpos, atol=1e-9)


def test_a_spinning_object_counts_as_moving() -> None:
    arm = Arm()
    dof = arm.workspace.object_qvel["cube_1"]
    arm.sim.qvel[0, dof : dof + 6] = [0, 0, 0, 0, 0, 2.0]
    assert arm.workspace.observe(arm.sim, LANE).speeds["cube_1"][0] == pytest.approx(0.1)
    arm.sim.qvel[0, dof : dof + 6] = [0.3, 0.4, 0, 0, 0, 0.0]
    assert arm.workspace.observe(arm.sim, LANE).speeds["cube_1"][0] == pytest.approx(0.5)


def test_free_motion_touches_nothing_forbidden() -> None:
    arm = Arm()
    touched = []
    arm.after_step = lambda: touched.append(bool(arm.workspace.forbidden_contact(arm.sim, LANE)[0]))
    arm.grasp("cube_1")
    arm.go(arm.above("cube_1", 0.1), 20)
    assert not any(touched)


def test_fingers_on_the_table_are_forbidden() -> None:
    arm = Arm()
    arm.go(np.array([0.5, 0.25, 0.05, *DOWN]), 30)
    assert not arm.workspace.forbidden_contact(arm.sim, LANE)[0]
    arm.go(np.array([0.5, 0.25, -0.005, *DOWN]), 15)
    assert arm.workspace.forbidden_contact(arm.sim, LANE)[0]


def test_the_palm_on_an_object_is_forbidden() -> None:
    arm = Arm()
    # On top of another cube, so that the palm gets there before the fingers get to the table.
    arm.place_object("cube_1", arm.object("cube_2") + np.array([0, 0, 0.0468, 0, 0, 0, 0]))
    arm.go(arm.above("cube_1", 0.10), 30)
    arm.go(arm.above("cube_1", -0.016), 20)
    assert not arm.workspace.forbidden_contact(arm.sim, LANE)[0]
    arm.go(arm.above("cube_1", -0.021), 6)
    assert arm.workspace.forbidden_contact(arm.sim, LANE)[0]


def test_a_touch_is_noticed_though_it_is_over_before_the_step_ends() -> None:
    arm = Arm()
    arm.go(np.array([0.5, 0.25, 0.25, *DOWN]), 30)
    # Three millimetres inside the palm: pushed out again within a few hundredths of a second.
    arm.place_object("cube_1", np.array([0.5, 0.25, 0.25 + 0.0414 - 0.0234 + 0.003, 1.0, 0, 0, 0]))
    arm.wait(1)
    assert not any("hand_collider" in touching[:2] for touching in arm.contacts())
    assert arm.workspace.forbidden_contact(arm.sim, LANE)[0]


def test_an_unknown_task_has_no_workspace() -> None:
    with pytest.raises(InputError, match=r"unknown task 'lft'.*Did you mean 'lift'"):
        build_workspace("lft")
