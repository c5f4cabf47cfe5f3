"""Frames of stored episodes: colour, depth and what is seen, held to the episode's own poses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generators.rendering import camera_poses, model_of, render_episodes, with_images
from handful import InputError
from pipelines.generate import configure
from scenes.instances import SURROUNDINGS, instances_of
from scenes.sensing import seen_steps
from scenes.views import VIEWS, check_views, views_for
from scenes.workspace import Workspace, build_workspace
from sim.cameras import View, open_renderer, project
from sim.embodiment import CameraView
from trajectories import Episode, Store, open_dataset
from trajectories.schema import lookup, validate

DEMOS = Path(__file__).resolve().parents[2] / "demos"
SIDE, STEPS = 64, 4
CAMERAS = ("front", "wrist", "side", "overhead")


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return build_workspace("stack_three")


@pytest.fixture(scope="module")
def bare() -> Episode:
    """The first steps of a bundled demo."""
    episode = open_dataset(DEMOS / "stack_three").episode(0)
    rows = {"step": STEPS, "state": STEPS + 1, "episode": 1}
    return Episode({k: v[: rows[lookup(k).rows]] for k, v in episode.arrays.items()}, episode.meta)


@pytest.fixture(scope="module")
def drawn(workspace: Workspace, bare: Episode) -> Episode:
    with open_renderer(workspace.model, SIDE, SIDE, views=views_for(workspace)) as renderer:
        model = model_of(workspace, bare)
        return with_images(workspace, bare, model, renderer, CAMERAS, ("rgb", "depth", "segmentation"))


def test_every_channel_is_stored_by_the_schema(drawn: Episode, tmp_path: Path) -> None:
    validate(drawn)
    for camera in CAMERAS:
        assert drawn.arrays[f"images/{camera}"].shape == (STEPS, SIDE, SIDE, 3)
        assert drawn.arrays[f"depth/{camera}"].dtype == np.uint16
        assert drawn.arrays[f"segmentation/{camera}"].dtype == np.uint8
    store = Store.create(tmp_path / "s", {"kind": "test"})
    store.commit(0, [drawn], [{"scene": 0, "outcome": "success", "attempts": ["success"]}], {})
    store.seal(None)
    read = Store.open(tmp_path / "s").episode(0)
    for key, value in drawn.arrays.items():
        np.testing.assert_array_equal(read.arrays[key], value)
    assert read.meta == drawn.meta


@pytest.mark.parametrize("camera", CAMERAS)
def test_objects_are_seen_where_their_poses_say_and_that_far_away(
    workspace: Workspace, drawn: Episode, camera: str
) -> None:
    described, names = drawn.meta.cameras[camera], drawn.meta.extra["instances"]
    poses = camera_poses(workspace, drawn, camera)
    found = 0
    for name in workspace.task.objects:
        centre = drawn.arrays[f"objects/{name}"][0, :3].astype(float)
        column, row, depth = project(centre, poses[0], np.array(described["intrinsics"]))
        if not (0 <= column < SIDE and 0 <= row < SIDE):
            continue
        seen = drawn.arrays[f"segmentation/{camera}"][0, int(row), int(column)]
        if seen != names.index(name):
            continue  # something stands in front of it
        # The face that is seen is nearer than the centre, by no more than the cube's half diagonal.
        near = depth - drawn.arrays[f"depth/{camera}"][0, int(row), int(column)] / 1000.0
        assert 0.0 < near < 0.5 * 3**0.5 * 0.06
        found += 1
    assert found >= (2 if camera in ("front", "side") else 1)  # the hand hides some of them


def test_a_fixed_cameras_pose_is_stored_and_a_moving_ones_follows_from_the_states(
    workspace: Workspace, drawn: Episode
) -> None:
    for camera in ("front", "side", "overhead"):
        stored = drawn.meta.cameras[camera]
        np.testing.assert_allclose(
            camera_poses(workspace, drawn, camera), np.tile(stored["pose_in_base"], (STEPS + 1, 1)), atol=1e-12
        )
    wrist = drawn.meta.cameras["wrist"]
    assert wrist["pose_in_base"] is None
    assert wrist["body"] == workspace.embodiment.hand_body
    tool = drawn.arrays["observation/tool_pose_in_base"]
    moved = camera_poses(workspace, drawn, "wrist")[:STEPS, :3] - tool[:, :3]
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(moved[0]), atol=2e-3)


def test_the_table_is_as_far_below_as_it_is(workspace: Workspace, drawn: Episode) -> None:
    names = drawn.meta.extra["instances"]
    depth, seen = drawn.arrays["depth/overhead"][0], drawn.arrays["segmentation/overhead"][0]
    height = drawn.meta.cameras["overhead"]["pose_in_base"][2]
    table = depth[seen == names.index("table")] / 1000.0
    assert abs(np.median(table) - height) < 0.03
    assert (np.unique(seen) > 0).all()


def test_numbers_of_things_are_those_of_the_task(workspace: Workspace) -> None:
    instances = instances_of(workspace)
    assert instances.names == (*SURROUNDINGS, *workspace.task.objects)
    model = workspace.model
    for geom in range(model.ngeom):
        body = model.body(model.geom_bodyid[geom]).name
        thing = instances.names[instances.label(np.array([geom]))[0]]
        assert thing == {"world": "room", "table": "table"}.get(body, body if body in instances.names else "robot")
    assert instances.label(np.array([-1])).tolist() == [0]
    # A level's distractors come after what the task is about, whose numbers stay.
    wider = instances_of(build_workspace("stack_three:D1")).names
    assert wider[: len(instances.names)] == instances.names
    assert len(wider) > len(instances.names)


def test_images_alone_need_nothing_else(workspace: Workspace, bare: Episode) -> None:
    (again,) = render_episodes(workspace, [bare], ["front", "side"], SIDE)
    assert {k for k in again.arrays if k not in bare.arrays} == {"images/front", "images/side"}
    assert "instances" not in again.meta.extra
    assert (again.arrays["images/front"] != again.arrays["images/side"]).any()


def test_episodes_of_another_model_are_refused(bare: Episode) -> None:
    with pytest.raises(InputError, match="was made by another model"):
        model_of(build_workspace("stack_three:D1"), bare)


def test_depth_without_a_camera_is_refused() -> None:
    for name in ("depth", "segmentation"):
        with pytest.raises(InputError, match=rf"engine.{name}=true has no camera to look through; give --cameras"):
            configure("handful", (), 84, [f"engine.{name}=true"])
        assert getattr(configure("handful", ("front",), 84, [f"engine.{name}=true"]).engine, name)


@pytest.mark.parametrize(
    ("pos", "what"),
    [((0.45, 0.0, -0.02), "'table_top' of 'table'"), ((0.5, 0.0, 0.02), "'cube_1' in some scenes")],
)
def test_a_view_from_inside_is_refused(workspace: Workspace, pos: tuple[float, float, float], what: str) -> None:
    view = View(CameraView("world", pos, (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), 40.0))
    with pytest.raises(InputError, match=f"camera 'mine' is inside {what}"):
        check_views(workspace, {"mine": view})
    check_views(workspace, VIEWS)


def test_late_cameras_show_the_frames_that_a_rollout_would_have_shown(workspace: Workspace) -> None:
    whole = open_dataset(DEMOS / "stack_three").episode(0)
    rows = {"step": 30, "state": 31, "episode": 1}
    prompt = Episode({k: v[20 : 20 + rows[lookup(k).rows]] if lookup(k).rows != "episode" else v
                      for k, v in whole.arrays.items()}, whole.meta)  # fmt: skip
    ledger = {**whole.meta.ledger, "camera": {**whole.meta.ledger["camera"], "camera_latency": 0.08}}
    late = Episode(prompt.arrays, replace(whole.meta, ledger=ledger))
    with open_renderer(workspace.model, SIDE, SIDE, views=views_for(workspace)) as renderer:
        model = model_of(workspace, prompt)
        now, then = (with_images(workspace, e, model, renderer, ("front",), ("rgb", "depth")) for e in (prompt, late))
    when = seen_steps(ledger, np.arange(30), 20.0)
    assert (when[2:] < np.arange(2, 30)).all()
    for key in ("images/front", "depth/front"):
        np.testing.assert_array_equal(then.arrays[key], now.arrays[key][when])
    assert any((now.arrays["images/front"][t] != then.arrays["images/front"][t]).any() for t in range(30))
