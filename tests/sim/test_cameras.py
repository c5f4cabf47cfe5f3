"""Cameras: depth held to geometry, segmentation to names, views to the model's own cameras, optics to projection."""

import copy
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
import pytest

from handful import InputError
from sim import cameras
from sim.cameras import View, check_outside, describe, intrinsics, mount_of, open_renderer, poses_in_base, project
from sim.embodiment import CameraView
from sim.rendering import QUALITIES, FrameRenderer, Quality

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
H, W = 60, 80

# A wall 2 m in front of a camera, half of it behind a box whose face is 1.5 m away; a camera on a turning arm.
XML = """
<mujoco>
  <statistic extent="1.5"/>
  <visual><map znear="0.01" zfar="20"/></visual>
  <worldbody>
    <light pos="0 -1 2" dir="0 1 -1"/>
    <geom name="wall" type="box" size="5 .5 5" pos="0 2.5 0" rgba="0 1 0 1"/>
    <geom name="box" type="box" size=".5 .25 5" pos=".5 1.75 0" rgba="1 0 0 1"/>
    <geom name="hidden" type="box" size="5 .1 5" pos="0 1 0" group="3"/>
    <camera name="front" pos="0 0 0" xyaxes="1 0 0 0 0 1" fovy="50"/>
    <body name="arm" pos="0 -1 1">
      <joint name="turn" axis="0 0 1"/><geom name="link" size=".05"/>
      <camera name="hand" pos="0 .2 0" xyaxes="1 0 0 0 0 1" fovy="40"/>
    </body>
  </worldbody>
</mujoco>
"""
FRONT = CameraView("world", (0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), 50.0)
VIEWS = {
    "twin": View(FRONT),
    "led": View(CameraView("world", (0.0, -1.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), 45.0), follows="front"),
    "held": View(CameraView("arm", (0.0, 0.2, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), 40.0)),
}


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture(scope="module")
def renderer(model: mujoco.MjModel) -> Iterator[FrameRenderer]:
    with FrameRenderer(model, H, W, views=VIEWS) as opened:
        yield opened


def states(model: mujoco.MjModel, *angles: float) -> np.ndarray:
    data, rows = mujoco.MjData(model), np.zeros((len(angles), mujoco.mj_stateSize(model, STATE)))
    for row, angle in zip(rows, angles, strict=True):
        data.qpos[0] = angle
        mujoco.mj_getState(model, data, row, STATE)
    return rows


@pytest.mark.parametrize("quality", QUALITIES)
def test_depth_is_the_distance_along_the_axis_in_metres(model: mujoco.MjModel, quality: Quality) -> None:
    with FrameRenderer(model, H, W, quality) as opened:
        depth = opened.capture(model, states(model, 0.0), ["front"], ["depth"])["front"].depth
    assert depth is not None
    assert (depth.dtype, depth.shape) == (np.float32, (1, H, W))
    # Along the axis, not the ray: a flat wall has one depth, into the corners.
    np.testing.assert_allclose(depth[0, :, : W // 2 - 1], 2.0, atol=2e-4)
    middle = slice(W // 2 + 2, W // 2 + 10)
    np.testing.assert_allclose(depth[0, :, middle], 1.5, atol=2e-4)


def test_depth_is_linear_in_distance(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    scene, seen = copy.copy(model), []
    distances = np.array([0.1, 0.5, 1.0, 4.0, 16.0])
    for distance in distances:
        scene.geom_pos[scene.geom("wall").id, 1] = distance + 0.5
        scene.geom_pos[scene.geom("box").id, 1] = 100.0
        depth = renderer.capture(scene, states(scene, 0.0), ["front"], ["depth"])["front"].depth
        assert depth is not None
        seen.append(depth[0, H // 2, W // 2])
    np.testing.assert_allclose(seen, distances, rtol=2e-4)


def test_where_nothing_is_depth_is_the_far_planes(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    frames = renderer.capture(model, states(model, np.pi), ["hand"], ["depth", "segmentation"])["hand"]
    assert frames.depth is not None
    assert frames.segmentation is not None
    far = model.vis.map.zfar * model.stat.extent
    np.testing.assert_allclose(frames.depth[frames.segmentation < 0], far, rtol=1e-4)
    assert (frames.segmentation < 0).all()


def test_segmentation_names_the_geom_of_every_pixel(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    seen = renderer.capture(model, states(model, 0.0), ["front"], ["segmentation"])["front"].segmentation
    assert seen is not None
    assert seen.dtype == np.int16
    assert set(np.unique(seen)) == {model.geom("wall").id, model.geom("box").id}
    assert (seen[0, :, : W // 2 - 1] == model.geom("wall").id).all()
    assert (seen[0, :, W // 2 + 2 : W // 2 + 10] == model.geom("box").id).all()


def test_segmentation_agrees_with_projected_geometry(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    mount = mount_of(model, "front", {}, model)
    pose = poses_in_base(model, states(model, 0.0), mount)[0]
    # The box's left edge, at its near face.
    column, row, depth = project(np.array([0.0, 1.5, 0.0]), pose, intrinsics(H, W, mount.fovy))
    assert (column, row, depth) == pytest.approx((W / 2, H / 2, 1.5))
    right = project(np.array([1.0, 1.5, 0.0]), pose, intrinsics(H, W, mount.fovy))[0]
    seen = renderer.capture(model, states(model, 0.0), ["front"], ["segmentation"])["front"].segmentation
    assert seen is not None
    box = np.flatnonzero(seen[0, H // 2] == model.geom("box").id)
    assert (box[0], box[-1]) == pytest.approx((W / 2, min(right, W) - 1), abs=1)


def test_channels_do_not_change_each_other(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    rows = states(model, 0.0, 0.3)
    together = renderer.capture(model, rows, ["front", "hand"], ["rgb", "depth", "segmentation"])
    for name in ("front", "hand"):
        for channel in cameras.CHANNELS:
            alone = renderer.capture(model, rows, [name], [channel])[name]
            np.testing.assert_array_equal(getattr(alone, channel), getattr(together[name], channel))
            assert [c for c in cameras.CHANNELS if getattr(alone, c) is not None] == [channel]


def test_a_view_is_the_same_picture_as_a_camera_of_the_model_there(
    model: mujoco.MjModel, renderer: FrameRenderer
) -> None:
    frames = renderer.render_states(model, states(model, 0.0, 0.4), ["front", "twin", "hand", "held"])
    np.testing.assert_array_equal(frames["front"], frames["twin"])
    np.testing.assert_array_equal(frames["hand"], frames["held"])
    assert (frames["hand"][0] != frames["hand"][1]).any()


def test_a_view_deviates_as_the_camera_that_it_follows(model: mujoco.MjModel) -> None:
    scene = copy.copy(model)
    scene.cam_pos[0] += (0.1, 0.0, 0.2)
    scene.cam_quat[0] += (0.0, 0.01, 0.0, 0.0)
    scene.cam_quat[0] /= np.linalg.norm(scene.cam_quat[0])
    scene.cam_fovy[0] += 3.0
    led, front = mount_of(scene, "led", VIEWS, model), mount_of(scene, "front", VIEWS, model)
    np.testing.assert_allclose(led.pose[:3], (0.1, -1.0, 0.2), atol=1e-12)
    np.testing.assert_allclose(led.pose[3:], front.pose[3:], atol=1e-12)
    assert led.fovy == 48.0
    assert mount_of(scene, "twin", VIEWS, model).fovy == 50.0
    assert mount_of(model, "led", VIEWS, model).fovy == 45.0


def test_what_is_described_places_the_camera(model: mujoco.MjModel) -> None:
    front, hand = (describe(model, mount_of(model, n, VIEWS, model), H, W) for n in ("front", "hand"))
    assert front["pose_in_base"] == front["pose_in_body"] == pytest.approx([0, 0, 0, 0.5**0.5, 0.5**0.5, 0, 0])
    assert (hand["pose_in_base"], hand["body"]) == (None, "arm")
    focal = H / 2 / np.tan(np.radians(25))
    np.testing.assert_allclose(front["intrinsics"], [[focal, 0, 40], [0, focal, 30], [0, 0, 1]])


def test_a_moving_camera_has_a_pose_for_every_state(model: mujoco.MjModel) -> None:
    poses = poses_in_base(model, states(model, 0.0, np.pi / 2), mount_of(model, "hand", {}, model))
    np.testing.assert_allclose(poses[:, :3], [[0.0, -0.8, 1.0], [-0.2, -1.0, 1.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("pos", "where"),
    [
        ((0.0, 2.2, 0.0), "'wall' of 'world'"),
        ((0.5, 1.495, 0.0), "'box' of 'world'"),
        ((0.0, -1.0, 1.0), "'link' of 'arm'"),
    ],
)
def test_a_camera_inside_something_is_refused(model: mujoco.MjModel, pos: tuple[float, ...], where: str) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    views = {"mine": View(CameraView("world", pos, (9.0, 9.0, 9.0), (0.0, 0.0, 1.0), 40.0))}  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"camera 'mine' is inside {where}"):
        check_outside(model, data, "mine", mount_of(model, "mine", views, model))
    # What is not drawn may be anywhere.
    for name in ("front", "twin", "hand"):
        check_outside(model, data, name, mount_of(model, name, VIEWS, model))


@pytest.mark.parametrize(
    ("kind", "size", "inside", "outside"),
    [
        ("sphere", "1", (0.6, 0.6, 0.0), (0.8, 0.8, 0.0)),
        ("capsule", "1 1", (0.6, 0.0, 1.6), (0.8, 0.0, 1.8)),
        ("ellipsoid", "1 2 3", (0.0, 0.0, 2.9), (0.8, 1.6, 0.0)),
        ("cylinder", "1 2", (0.6, 0.6, 1.9), (0.8, 0.8, 0.0)),
        ("box", "1 2 3", (0.9, 1.9, 2.9), (1.1, 0.0, 0.0)),
    ],
)
def test_every_shape_has_an_inside(kind: str, size: str, inside: Any, outside: Any) -> None:
    shape = mujoco.MjModel.from_xml_string(
        f'<mujoco><statistic extent=".5"/><worldbody><geom name="it" type="{kind}" size="{size}" pos="1 2 3"/>'
        "</worldbody></mujoco>"
    )
    data = mujoco.MjData(shape)
    mujoco.mj_kinematics(shape, data)

    def look(at: Any) -> None:
        views = {"eye": View(CameraView("world", tuple(np.add(at, (1, 2, 3))), (9, 9, 9), (0, 0, 1), 40))}
        check_outside(shape, data, "eye", mount_of(shape, "eye", views, shape))

    with pytest.raises(InputError, match="camera 'eye' is inside 'it'"):
        look(inside)
    look(outside)


def test_names_that_do_not_exist_are_refused(model: mujoco.MjModel, renderer: FrameRenderer) -> None:
    with pytest.raises(InputError, match=r"unknown camera 'twn'; there is: front, hand, held, led, twin.*'twin'"):
        renderer.render(model, states(model, 0.0)[0], ["twn"])
    with pytest.raises(InputError, match=r"unknown channel 'dept'.*Did you mean 'depth'"):
        renderer.capture(model, states(model, 0.0), ["front"], ["dept"])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"unknown body of camera 'x' 'amr'.*Did you mean 'arm'"):
        mount_of(model, "x", {"x": View(CameraView("amr", (0, 0, 0), (0, 1, 0), (0, 0, 1), 40))}, model)
    with pytest.raises(InputError, match=r"there is a camera 'front' already"):
        FrameRenderer(model, 8, 8, views={"front": View(FRONT)})
    with pytest.raises(InputError, match=r"unknown renderer 'mujco'; there is: .*mujoco"):
        open_renderer(model, 8, 8, renderer="mujco")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fovy": 180.0}, "more than 0 and less than 180 degrees, got 180"),
        ({"target": (0.0, 0.0, 0.0)}, "has no upward direction"),
        ({"up": (0.0, 2.0, 0.0)}, "has no upward direction"),
    ],
)
def test_a_camera_that_cannot_look_is_refused(changed: dict[str, Any], message: str) -> None:
    given = {"body": "world", "pos": (0.0, 0.0, 0.0), "target": (0.0, 1.0, 0.0), "up": (0.0, 0.0, 1.0), "fovy": 50.0}
    with pytest.raises(InputError, match=message):
        CameraView(**{**given, **changed})


def test_another_renderer_is_found_by_the_name_it_announces(
    model: mujoco.MjModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        name = "flat"

        def load(self) -> Any:
            return lambda *given, views: (given[1:], views)

    monkeypatch.setattr(cameras, "entry_points", lambda group: [Entry()] if group == "handful.renderers" else [])
    opened: Any = open_renderer(model, 4, 6, "high", VIEWS, renderer="flat")
    assert opened == ((4, 6, "high"), VIEWS)
    with open_renderer(model, 4, 6) as ours:
        assert isinstance(ours, FrameRenderer)
