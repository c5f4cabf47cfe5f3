"""The task `stack`: one named cube on another, and nothing else."""

import numpy as np

from scenes.cubes import EDGE, Stack
from scenes.task import get_task
from tests.scenes.test_tasks import cube, numbers, world

ROLES = {"upper": "cube_2", "lower": "cube_3"}


def met(poses: dict[str, np.ndarray]) -> bool:
    task = Stack()
    return bool(task.goal(world(poses), numbers(task, ROLES))[0])


def scene(**poses: np.ndarray) -> dict[str, np.ndarray]:
    apart = {f"cube_{i}": cube(0.4, 0.15 * i, EDGE / 2) for i in (1, 2, 3)}
    return {**apart, **poses}


def test_the_named_cube_on_the_named_one_meets_the_goal() -> None:
    assert met(scene(cube_2=cube(0.4, 0.45, 1.5 * EDGE)))


def test_the_other_way_round_does_not() -> None:
    assert not met(scene(cube_3=cube(0.4, 0.3, 1.5 * EDGE)))


def test_on_another_cube_it_does_not() -> None:
    assert not met(scene(cube_2=cube(0.4, 0.15, 1.5 * EDGE)))


def test_another_cube_on_the_lower_one_does_not() -> None:
    assert not met(scene(cube_1=cube(0.4, 0.45, 1.5 * EDGE)))


def test_a_pair_held_in_the_air_does_not() -> None:
    assert not met(scene(cube_2=cube(0.4, 0.45, 1.5 * EDGE + 0.01), cube_3=cube(0.4, 0.45, EDGE / 2 + 0.01)))


def test_a_lower_cube_that_lies_on_the_third_does_not() -> None:
    assert not met(scene(cube_3=cube(0.4, 0.15, 1.5 * EDGE), cube_2=cube(0.4, 0.15, 2.5 * EDGE)))


def test_wider_levels_have_the_distractors_of_the_other_cube_tasks() -> None:
    assert get_task("stack:D1").objects == get_task("lift:D1").objects
