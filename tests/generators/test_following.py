"""The subtask under way, live: as a finished demonstration is cut."""

from dataclasses import replace

import numpy as np
import pytest

from generators.demos import load_demos
from generators.following import Follower, Place
from generators.segmentation import segment
from scenes.cubes import StackThree
from scenes.domains import get_domain
from scenes.scene import Scene, draw_scene
from scenes.task import World, get_task
from scenes.workspace import build_workspace
from trajectories import Store


def world(objects: dict[str, np.ndarray]) -> World:
    return World({name: pose[None] for name, pose in objects.items()}, {}, np.zeros((1, 7)), np.ones(1), np.zeros(1))


@pytest.fixture
def scene() -> Scene:
    return draw_scene(build_workspace("stack_three"), get_domain("none"), "recording", 0, 0)


def test_subtasks_end_where_a_finished_demo_is_cut(stack_store, scene: Scene) -> None:
    task = get_task("stack_three")
    for demo in load_demos(stack_store, task, 20.0):
        follower, ends = Follower(task, scene), []
        for t in range(1, len(demo)):
            seen = world({name: poses[t] for name, poses in demo.objects.items()})
            if follower.update(seen, demo.target[t - 1], bool(demo.gripper[t - 1] < 0.5)):
                ends.append(t)
        cut = [part.end for part in segment(demo, task)]
        assert len(ends) == 4
        assert follower.subtask == 3
        np.testing.assert_allclose(ends[:3], cut[:3], atol=1)


def at(x: float, z: float) -> np.ndarray:
    return np.array([x, 0.0, z, 1.0, 0, 0, 0])


def follow(follower: Follower, objects: dict[str, np.ndarray], tool: np.ndarray, closed: bool) -> bool:
    return follower.update(world(objects), tool, closed)


def test_an_object_dropped_elsewhere_is_not_taken_for_a_placed_one(scene: Scene) -> None:
    follower = Follower(StackThree(), scene)
    follower.place = Place(subtask=1, closed=True)
    objects = {"cube_1": at(0.4, 0.02), "cube_2": at(0.5, 0.02), "cube_3": at(0.6, 0.02)}
    assert not follow(follower, objects, at(0.5, 0.2), closed=False)
    objects["cube_2"] = at(0.41, 0.067)
    assert follow(follower, objects, at(0.41, 0.2), closed=False)
    assert follower.subtask == 2


def test_an_object_that_is_up_without_being_held_is_not_grasped(scene: Scene) -> None:
    follower = Follower(StackThree(), scene)
    objects = {"cube_1": at(0.4, 0.02), "cube_2": at(0.5, 0.2), "cube_3": at(0.6, 0.02)}
    assert not follow(follower, objects, at(0.5, 0.2), closed=False)
    assert not follow(follower, objects, at(0.5, 0.2), closed=True)  # its height when the gripper closed
    objects["cube_2"] = at(0.5, 0.25)
    assert follow(follower, objects, at(0.5, 0.25), closed=True)


def test_a_follower_goes_back_where_it_is_put(scene: Scene) -> None:
    follower = Follower(StackThree(), scene)
    follower.place = replace(follower.place, subtask=9)
    assert not follow(follower, {}, at(0, 0), closed=True)
    follower.place = Place()
    assert follower.subtask == 0


def test_stores_are_recorded_in_the_scenes_roles(stack_store, scene: Scene) -> None:
    assert Store.open(stack_store).meta(0).extra["roles"] == scene.roles
