"""Tasks: where cubes start, what they are told to do, and what counts as stacked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from handful import InputError
from scenes.cubes import EDGE, Lift, StackThree, stacked, upright
from scenes.outcome import Outcome
from scenes.task import Task, World, get_task, pick

TASKS = [Lift(), StackThree()]


def cube(x: float, y: float, z: float, tilt_deg: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    """A cube's pose (1, 7)."""
    quat = (Rotation.from_euler("z", yaw) * Rotation.from_euler("x", np.radians(tilt_deg))).as_quat(scalar_first=True)
    return np.array([[x, y, z, *quat]])


def world(poses: dict[str, np.ndarray], tool: tuple[float, float, float] = (0.5, 0.0, 0.4)) -> World:
    still = {name: np.zeros(1) for name in poses}
    return World(poses, still, np.array([[*tool, 0.0, 1.0, 0.0, 0.0]]), np.ones(1), np.zeros(1))


def numbers(task: Task, roles: dict[str, str]) -> dict[str, np.ndarray]:
    return {role: np.array([task.objects.index(name)]) for role, name in roles.items()}


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_cubes_start_in_the_benchmarks_ranges_and_apart(task: Task, seed: int) -> None:
    poses = task.draw_poses(np.random.default_rng(seed))
    assert set(poses) == {"cube_1", "cube_2", "cube_3"}
    at = np.stack([poses[name] for name in task.objects])
    assert ((at[:, 0] >= 0.40) & (at[:, 0] <= 0.60)).all()
    assert ((at[:, 1] >= -0.10) & (at[:, 1] <= 0.10)).all()
    np.testing.assert_allclose(at[:, 2], 0.0468 / 2)
    spin = Rotation.from_quat(at[:, 3:], scalar_first=True).as_rotvec()
    np.testing.assert_allclose(spin[:, :2], 0.0, atol=1e-12)
    assert (np.abs(spin[:, 2]) <= 1.0).all()
    gaps = np.linalg.norm(at[:, None, :2] - at[None, :, :2], axis=2)[np.triu_indices(3, 1)]
    assert (gaps >= 0.10).all()


def test_draws_fill_the_reset_ranges() -> None:
    draws = [Lift().draw_poses(np.random.default_rng(i)) for i in range(300)]
    xy = np.stack([pose[:2] for draw in draws for pose in draw.values()])
    np.testing.assert_allclose(xy.min(axis=0), [0.40, -0.10], atol=0.005)
    np.testing.assert_allclose(xy.max(axis=0), [0.60, 0.10], atol=0.005)


def test_each_cube_is_the_lift_target_about_as_often() -> None:
    rng = np.random.default_rng(0)
    drawn = [Lift().draw_roles(rng)["target"] for _ in range(600)]
    counts = [drawn.count(name) for name in Lift.objects]
    assert min(counts) > 150


def test_the_stack_has_the_benchmarks_order() -> None:
    roles = StackThree().draw_roles(np.random.default_rng(0))
    colours = {role: StackThree.colours[name] for role, name in roles.items()}
    assert colours == {"bottom": "blue", "middle": "red", "top": "green"}


@pytest.mark.parametrize("name", ["cube_1", "cube_2", "cube_3"])
def test_every_lift_sentence_names_the_targets_colour(name: str) -> None:
    sentences = Lift().instructions({"target": name})
    assert len(sentences) >= 5
    assert len(set(sentences)) == len(sentences)
    others = {c for n, c in Lift.colours.items() if n != name}
    for sentence in sentences:
        words = set(sentence.replace(",", " ").replace(":", " ").split())
        assert Lift.colours[name] in words
        assert not words & others


def test_stack_sentences_name_all_three_colours_and_nothing_unfilled() -> None:
    task = StackThree()
    for sentence in task.instructions(task.draw_roles(np.random.default_rng(0))):
        assert all(colour in sentence for colour in ("blue", "red", "green"))
        assert "{" not in sentence


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        (cube(0, 0, 0), True),
        (cube(0, 0, 0, tilt_deg=9), True),
        (cube(0, 0, 0, tilt_deg=11), False),
        (cube(0, 0, 0, tilt_deg=45), False),
        (cube(0, 0, 0, tilt_deg=90), True),  # another face up looks the same
        (cube(0, 0, 0, tilt_deg=180, yaw=0.7), True),
    ],
)
def test_upright(pose: np.ndarray, expected: bool) -> None:
    assert upright(pose).tolist() == [expected]


@pytest.mark.parametrize(
    ("upper", "expected"),
    [
        (cube(0, 0, EDGE), True),
        (cube(0.019, 0, EDGE), True),
        (cube(0.021, 0, EDGE), False),
        (cube(0.015, 0.015, EDGE), False),  # 21 mm along the diagonal
        (cube(0, 0, EDGE + 0.004), True),
        (cube(0, 0, EDGE + 0.006), False),
        (cube(0, 0, EDGE - 0.006), False),
        (cube(0, 0, 2 * EDGE), False),
        (cube(0, 0, EDGE, tilt_deg=15), False),
        (cube(0, 0, EDGE, yaw=0.8), True),
    ],
)
def test_stacked(upper: np.ndarray, expected: bool) -> None:
    assert stacked(upper, cube(0, 0, 0)).tolist() == [expected]


def test_nothing_stands_on_a_tilted_cube() -> None:
    assert stacked(cube(0, 0, EDGE), cube(0, 0, 0, tilt_deg=20)).tolist() == [False]


def tower() -> dict[str, np.ndarray]:
    return {f"cube_{i + 1}": cube(0.5, 0, EDGE * (i + 0.5)) for i in range(3)}


def stack_goal(poses: dict[str, np.ndarray]) -> bool:
    task = StackThree()
    return bool(task.goal(world(poses), numbers(task, task.draw_roles(np.random.default_rng(0))))[0])


def test_a_tower_in_order_meets_the_stack_goal() -> None:
    assert stack_goal(tower())


@pytest.mark.parametrize(("a", "b"), [("cube_1", "cube_2"), ("cube_2", "cube_3"), ("cube_1", "cube_3")])
def test_a_tower_in_another_order_does_not(a: str, b: str) -> None:
    poses = tower()
    poses[a], poses[b] = poses[b], poses[a]
    assert not stack_goal(poses)


def test_a_tower_held_in_the_air_does_not() -> None:
    assert not stack_goal({name: pose + np.array([0, 0, 0.01, 0, 0, 0, 0]) for name, pose in tower().items()})


def test_two_stacked_cubes_do_not() -> None:
    assert not stack_goal({**tower(), "cube_3": cube(0.4, 0, EDGE / 2)})


@pytest.mark.parametrize(
    ("height", "tool", "expected"),
    [
        (0.081, (0.5, 0.0, 0.105), True),
        (0.079, (0.5, 0.0, 0.105), False),  # not high enough
        (0.20, (0.5, 0.0, 0.40), False),  # up there, but not in the hand
    ],
)
def test_lift_goal(height: float, tool: tuple[float, float, float], expected: bool) -> None:
    poses = {name: cube(0.4, 0.1, EDGE / 2) for name in Lift.objects}
    poses["cube_2"] = cube(0.5, 0, EDGE / 2 + height)
    assert Lift().goal(world(poses, tool), {"target": np.array([1])}).tolist() == [expected]


def test_lifting_another_cube_does_not_meet_the_goal() -> None:
    poses = {name: cube(0.4, 0.1, EDGE / 2) for name in Lift.objects}
    poses["cube_3"] = cube(0.5, 0, EDGE / 2 + 0.1)
    assert not Lift().goal(world(poses, (0.5, 0, 0.12)), {"target": np.array([1])})[0]


def test_pick_takes_each_scenes_own_object() -> None:
    poses = {"a": np.array([[1.0], [2.0]]), "b": np.array([[3.0], [4.0]])}
    np.testing.assert_array_equal(pick(poses, ("a", "b"), np.array([1, 0])), [[3.0], [2.0]])


def test_a_misspelt_task_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown task 'stack_tree'.*lift, .*stack_three.*Did you mean 'stack_three'"):
        get_task("stack_tree")


def test_only_the_stack_ends_in_a_release() -> None:
    assert not get_task("lift").ends_in_release
    assert get_task("stack_three").ends_in_release


@pytest.mark.parametrize("outcome", Outcome)
def test_outcome_labels_go_there_and_back(outcome: Outcome) -> None:
    assert Outcome.from_label(outcome.label) is outcome
    assert outcome.label == outcome.label.lower()
    assert len(outcome.value.split()) >= 5  # a sentence
