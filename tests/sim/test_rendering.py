"""Frames from stored states: right, repeatable, and independent of what else is drawn."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from handful import InputError, JobError
from sim.rendering import QUALITIES, FrameRenderer, Quality, prepare_visual

STATE = mujoco.mjtState.mjSTATE_INTEGRATION

# Red ball above, blue below, on a green wall, lit evenly; a second camera looks from the other side.
XML = """
<mujoco>
  <visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual>
  <worldbody>
    <geom name="wall" type="box" size="5 .01 5" pos="0 2 0" rgba="0 1 0 1"/>
    <body name="ball" pos="0 0 .3"><freejoint/><geom name="ball" size=".2" rgba="1 0 0 1"/></body>
    <geom name="low" size=".2" pos="0 0 -.3" rgba="0 0 1 1"/>
    <geom name="ground" type="plane" size="0 0 1" pos="0 0 -1" rgba="1 1 0 1"/>
    <geom name="hidden" size=".4" pos="0 -.5 0" rgba="1 1 1 1" group="3"/>
    <camera name="front" pos="0 -2 0" xyaxes="1 0 0 0 0 1"/>
    <camera name="top" pos="0 0 3"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture(scope="module")
def renderer(model: mujoco.MjModel) -> Iterator[FrameRenderer]:
    with FrameRenderer(model, 48, 64) as opened:
        yield opened


def rows(model: mujoco.MjModel, heights: list[float]) -> np.ndarray:
    """One state per height of the ball."""
    data = mujoco.MjData(model)
    states = np.zeros((len(heights), mujoco.mj_stateSize(model, STATE)))
    for state, height in zip(states, heights, strict=True):
        data.qpos[2] = height
        mujoco.mj_getState(model, data, state, STATE)
    return states


def test_colours_are_as_set_and_the_first_row_is_on_top(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    frame = renderer.render(model, rows(model, [0.3])[0], ["front"])["front"]
    assert frame.shape == (48, 64, 3)
    assert frame.dtype == np.uint8
    assert frame[15, 32].tolist() == [255, 0, 0]
    assert frame[33, 32].tolist() == [0, 0, 255]
    assert frame[2, 2].tolist() == [0, 255, 0]


def test_values_of_the_given_model_are_drawn(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    scene = copy.copy(model)
    scene.geom_rgba[scene.geom("ball").id] = [1, 0, 1, 1]
    assert renderer.render(scene, rows(model, [0.3])[0], ["front"])["front"][15, 32].tolist() == [255, 0, 255]


def test_the_state_moves_what_is_drawn(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    frames = renderer.render_states(model, rows(model, [0.3, 5.0]), ["front"])["front"]
    assert frames.shape == (2, 48, 64, 3)
    assert frames[1, 15, 32].tolist() == [0, 255, 0]


def test_frames_do_not_depend_on_the_order_of_states_or_cameras(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    states = rows(model, [0.3, 0.1, 0.5])
    forward = renderer.render_states(model, states, ["front", "top"])
    backward = renderer.render_states(model, states[::-1], ["top", "front"])
    for camera in ("front", "top"):
        np.testing.assert_array_equal(forward[camera], backward[camera][::-1])


def test_alternating_two_renderers_changes_no_pixel(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    other = mujoco.MjModel.from_xml_string(
        """<mujoco><asset><texture name="t" type="2d" builtin="checker" rgb1="1 0 0" rgb2="0 0 1" width="64"
        height="64"/><material name="t" texture="t"/></asset><worldbody><light pos="0 0 3"/>
        <geom type="plane" size="2 2 1" material="t"/><camera name="front" pos="0 0 2"/></worldbody></mujoco>"""
    )
    state, other_state = rows(model, [0.3])[0], np.zeros(mujoco.mj_stateSize(other, STATE))
    before = renderer.render(model, state, ["front"])["front"]
    with FrameRenderer(other, 32, 32) as second:
        alone = second.render(other, other_state, ["front"])["front"]
        for _ in range(3):
            np.testing.assert_array_equal(renderer.render(model, state, ["front"])["front"], before)
            np.testing.assert_array_equal(second.render(other, other_state, ["front"])["front"], alone)
    assert len(np.unique(alone)) > 1
    np.testing.assert_array_equal(renderer.render(model, state, ["front"])["front"], before)


def test_frames_are_the_same_in_another_process(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    state = rows(model, [0.3])[0]
    code = f"""
import mujoco, numpy as np, sys
from sim.rendering import FrameRenderer
model = mujoco.MjModel.from_xml_string({XML!r})
with FrameRenderer(model, 48, 64) as renderer:
    frame = renderer.render(model, np.array({state.tolist()}), ["front"])["front"]
    sys.stdout.buffer.write(frame.tobytes())
"""
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert there == renderer.render(model, state, ["front"])["front"].tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_is_refused_before_the_driver_can_hang(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    state = rows(model, [0.3])[0]
    child = os.fork()
    if child == 0:  # no assertion may escape into a second test session
        try:
            renderer.render(model, state, ["front"])
        except JobError as error:
            os._exit(7 if "start workers with 'spawn'" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_collision_groups_are_hidden(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    frame = renderer.render(model, rows(model, [0.3])[0], ["front"])["front"]
    assert not (frame == 255).all(axis=2).any()


@pytest.mark.parametrize("quality", QUALITIES)
def test_opening_leaves_the_model_as_it_was(model: mujoco.MjModel, quality: Quality) -> None:
    before = model.vis.quality.offsamples, model.vis.quality.shadowsize, model.vis.global_.offwidth
    with FrameRenderer(model, 20, 700, quality) as opened:
        frame = opened.render(model, rows(model, [0.3])[0], ["front"])["front"]
    assert frame.shape == (20, 700, 3)
    assert frame.any()
    assert (model.vis.quality.offsamples, model.vis.quality.shadowsize, model.vis.global_.offwidth) == before


def test_prepare_visual_writes_the_quality_into_a_spec() -> None:
    spec = mujoco.MjSpec()
    prepare_visual(spec, "standard", 100, 200)
    vis = spec.compile().vis
    assert (vis.quality.offsamples, vis.quality.shadowsize) == (0, 512)
    assert (vis.global_.offheight, vis.global_.offwidth) == (100, 200)


def test_renderer_string_names_the_driver(renderer: FrameRenderer) -> None:
    assert len(renderer.gl_renderer) > 3


def test_unknown_camera_lists_those_there_are(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    with pytest.raises(InputError, match=r"unknown camera 'frnt'; there is: front, top\. Did you mean 'front'\?"):
        renderer.render(model, rows(model, [0.3])[0], ["frnt"])


def test_rows_of_another_length_are_refused(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    with pytest.raises(InputError, match=r"states have shape \(1, 5\); this model needs \(T, \d+\)"):
        renderer.render(model, np.zeros(5), ["front"])


def test_models_of_another_structure_are_refused(renderer: FrameRenderer) -> None:
    other = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera name="front"/></worldbody></mujoco>')
    with pytest.raises(InputError, match="another structure"):
        renderer.render(other, np.zeros(mujoco.mj_stateSize(other, STATE)), ["front"])


def test_a_closed_renderer_says_so(model: mujoco.MjModel) -> None:
    with FrameRenderer(model, 8, 8) as closed:
        pass
    closed.close()
    with pytest.raises(JobError, match="was closed"):
        closed.render(model, rows(model, [0.3])[0], ["front"])


def test_bad_arguments_are_refused(model: mujoco.MjModel) -> None:
    with pytest.raises(InputError, match="unknown render quality 'fats'"):
        FrameRenderer(model, 8, 8, "fats")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least one pixel, got 0 x 8"):
        FrameRenderer(model, 0, 8)


def test_groups_out_of_range_are_refused(model: mujoco.MjModel) -> None:
    with pytest.raises(InputError, match=r"geom groups to draw are 0 to 4, got \(0, 5\)"):
        FrameRenderer(model, 8, 8, groups=(0, 5))


def test_leaving_out_what_is_out_of_sight_changes_no_pixel() -> None:
    rng = np.random.default_rng(0)
    geoms = "".join(
        f'<geom type="{kind}" size=".1 .15 .05" pos="{x} {y} {z}" euler="{a} {b} 0" rgba="{r} {g} 1 1"/>'
        for kind in ("capsule", "box", "ellipsoid", "cylinder", "sphere")
        for x, y, z, a, b, r, g in rng.uniform([-2, -2, -2, 0, 0, 0, 0], [2, 2, 2, 90, 90, 1, 1], (40, 7))
    )
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><worldbody><geom type="plane" size="0 0 1" pos="0 0 -1"/>{geoms}'
        '<camera name="a" pos="0 -1 .5" xyaxes="1 0 0 0 .3 1" fovy="30"/>'
        '<camera name="b" focal="1 1" sensorsize="1 2" resolution="10 20" principal=".1 .3"/></worldbody></mujoco>'
    )
    state = np.zeros(mujoco.mj_stateSize(model, STATE))
    groups = model.geom_group.copy()
    with FrameRenderer(model, 60, 90) as opened:
        culled = opened.render(model, state, ["a", "b"])
        drawn = opened._scene.ngeom
        opened._culls = False
        whole = opened.render(model, state, ["a", "b"])
        assert drawn < opened._scene.ngeom / 2
    for camera, frame in culled.items():
        np.testing.assert_array_equal(frame, whole[camera])
    np.testing.assert_array_equal(model.geom_group, groups)
