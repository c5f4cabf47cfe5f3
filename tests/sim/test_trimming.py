"""Tests of models without what is only seen."""

import mujoco
import numpy as np
import pytest

from scenes.domains import get_domain
from scenes.scene import draw_scene, load_scenes
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.trimming import trim

BALL = """
<mujoco>
  <option density="{density}"/>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 0.1"/>
    <geom name="rug" type="box" size="1 1 0.01" contype="0" conaffinity="0"/>
    <body pos="0 0 0.5">
      <freejoint/>
      <geom size="0.05"/>
      <geom name="{name}" size="0.06" {mass} contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <sensor>
    {sensor}
  </sensor>
</mujoco>
"""


def specification(mass: str = 'mass="0"', sensor: str = "", density: float = 0.0) -> mujoco.MjSpec:
    return mujoco.MjSpec.from_string(BALL.format(mass=mass, sensor=sensor, density=density, name="paint"))


def test_what_nothing_can_touch_is_left_out():
    spec = specification()
    trimmed = trim(spec, spec.compile())
    np.testing.assert_array_equal(trimmed.geoms, [0, 2])
    assert trimmed.model.ngeom == 2
    assert len(spec.geoms) == 4  # the specification stays as it is


@pytest.mark.parametrize(
    "counts",
    [
        {"mass": 'mass="0.1"'},
        {"sensor": '<framepos objtype="geom" objname="paint"/>'},
        {"density": 1.2},
    ],
)
def test_where_it_counts_in_something_all_is_left_in(counts):
    spec = specification(**counts)
    model = spec.compile()
    assert trim(spec, model).model is model


@pytest.mark.parametrize(("task", "robot"), [("stack_three", "panda"), ("pick_place", "ur5e"), ("lift", "jaco")])
def test_states_and_stored_values_are_the_same_to_the_bit(task, robot):
    workspace = build_workspace(task, robot)
    assert workspace.trimmed.model.ngeom < workspace.model.ngeom
    scenes = [draw_scene(workspace, get_domain("sim"), "generation", 3, i) for i in range(2)]
    lanes, found = np.arange(2), []
    for model in (workspace.model, workspace.trimmed):
        sim = BatchSim(model, workspace.embodiment, 2)
        load_scenes(sim, workspace, lanes, scenes)
        # Down to the table, through whatever is on the way.
        target = sim.joint_position(lanes)
        for _ in range(12):
            target[:, 1] += 0.08
            sim.step(lanes, np.concatenate([target, np.zeros((2, 1))], axis=1))
        values = [sim.completed(lane, scenes[lane].fields(workspace)) for lane in lanes]
        found.append((sim.state.copy(), sim.sensor_peak.copy(), values))
    (states, peaks, values), (bare_states, bare_peaks, bare_values) = found
    np.testing.assert_array_equal(bare_states, states)
    np.testing.assert_array_equal(bare_peaks, peaks)
    for own, bare in zip(values, bare_values, strict=True):
        assert own.keys() == bare.keys()
        for name, value in own.items():
            np.testing.assert_array_equal(bare[name], value, err_msg=name)
