"""The camera in front of the table: what the task is about is in its picture, from no further away than that takes."""

import numpy as np
import pytest

from scenes.domains import SIM
from scenes.framing import front_view
from scenes.room import FRONT_CAMERA
from scenes.scene import draw_scene
from scenes.task import get_task
from scenes.workspace import TABLE_TOP, build_workspace
from sim.transforms import compose, inverse

TASKS = ("lift", "stack", "stack_three", "square", "pick_place")
LEVELS = ("D0", "D1", "D2")


def back(task: str, level: str) -> float:
    """How far behind its usual place the camera stands [m]."""
    return float(np.linalg.norm(np.subtract(front_view(get_task(f"{task}:{level}"), TABLE_TOP).pos, FRONT_CAMERA.pos)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("task", ["stack", "square", "pick_place"])
def test_objects_start_in_the_picture_however_a_scene_displaces_the_camera(task: str, level: str) -> None:
    workspace = build_workspace(f"{task}:{level}")
    camera, outside, count = workspace.slots.cameras["front"], 0, 0
    for index in range(100):
        scene = draw_scene(workspace, SIM, "generation", 0, index)
        fields = scene.fields(workspace)
        pose = np.concatenate([fields["cam_pos"][camera], fields["cam_quat"][camera]])
        poses = np.array([scene.ledger["poses"][name] for name in workspace.task.own])
        poses[:, 2] += TABLE_TOP + scene.ledger["physics"]["table_height"]
        seen = compose(inverse(pose), poses)[:, :3]
        edge = np.tan(np.radians(fields["cam_fovy"][camera]) / 2)
        outside += int((np.abs(seen[:, :2] / -seen[:, 2:]).max(axis=1) > edge).sum())
        count += len(poses)
    assert outside <= 0.005 * count


def test_where_the_usual_place_will_do_the_camera_stands_there() -> None:
    for task in ("lift", "stack", "stack_three", "square"):
        assert front_view(get_task(task), TABLE_TOP) == FRONT_CAMERA


@pytest.mark.parametrize("task", TASKS)
def test_wider_levels_are_seen_from_further_back(task: str) -> None:
    distances = [back(task, level) for level in LEVELS]
    assert distances == sorted(distances)
    assert 0.0 < distances[-1] < 1.0


def test_it_looks_the_same_way_through_the_same_lens() -> None:
    view = front_view(get_task("pick_place:D2"), TABLE_TOP)
    np.testing.assert_allclose(view.quat, FRONT_CAMERA.quat, atol=1e-12)
    assert view.fovy == FRONT_CAMERA.fovy
    assert build_workspace("pick_place:D2").model.camera("front").pos == pytest.approx(view.pos)
