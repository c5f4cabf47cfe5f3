"""Cutting demonstrations: in order, in the air, unmoved by chatter, refused when something is missing."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generators.demos import Demo, load_demos
from generators.holds import LIFTED
from generators.segmentation import AWAY, Segment, segment
from handful import InputError
from scenes.task import Task, get_task
from trajectories.importers.isaaclab_mimic import import_isaaclab_mimic
from trajectories.recipes import exclude

LIFT, STACK = get_task("lift"), get_task("stack_three")


@pytest.fixture(scope="session")
def human_demos(tmp_path_factory: pytest.TempPathFactory) -> list[Demo]:
    """Ten human demonstrations that are not part of this repository."""
    path = Path(__file__).parents[3] / "shared/data/franka_cube_stack/human_demos.hdf5"
    if not path.exists():
        pytest.skip(f"the human demonstrations are not here ({path.name} in ../shared/data/franka_cube_stack)")
    store = tmp_path_factory.mktemp("human") / "store"
    sentences = STACK.instructions({"bottom": "cube_1", "middle": "cube_2", "top": "cube_3"})
    names = [subtask.name for subtask in STACK.subtasks]
    import_isaaclab_mimic(path, "stack_three", store, sentences[0], sentences, names)
    return load_demos(store, STACK, 20.0)


def by_hand(gripper: list[float], height: list[float], tool: list[float]) -> Demo:
    """A demo of `lift` with the cube straight below the tool; heights in metres. The fingers need three steps."""
    steps = len(gripper)
    cube = np.tile([0.5, 0.0, 0.02, 1.0, 0, 0, 0], (steps, 1))
    other = cube + np.array([0, 0.2, 0, 0, 0, 0, 0])
    hand = np.tile([0.5, 0.0, 0.02, 0.0, 1, 0, 0], (steps, 1))
    cube[:, 2], hand[:, 2] = height, tool
    return Demo(
        store="0" * 64,
        index=0,
        episode=0,
        operator="script",
        embodiment="panda",
        joints=np.zeros((steps, 7)),
        target=hand,
        tool=hand,
        gripper=np.array(gripper, float),
        opening=fingers(np.array(gripper, float), 0.2),
        objects={"cube_1": cube, "cube_2": other, "cube_3": other},
        signals={},
        roles={"target": "cube_1"},
    )


def fingers(gripper: np.ndarray, speed: float) -> np.ndarray:
    """How far fingers are open that follow a command from the step after it on, at so much per step."""
    opening = np.full(len(gripper), gripper[0])
    for t in range(1, len(gripper)):
        opening[t] = opening[t - 1] + np.clip(gripper[t - 1] - opening[t - 1], -speed, speed)
    return opening


def at_steps(demo: Demo, steps: list[int]) -> Demo:
    """A demo that does what another did at these steps, in this order."""
    return replace(
        demo,
        joints=demo.joints[steps],
        target=demo.target[steps],
        tool=demo.tool[steps],
        gripper=demo.gripper[steps],
        opening=demo.opening[steps],
        objects={name: poses[steps] for name, poses in demo.objects.items()},
        signals={name: signal[steps] for name, signal in demo.signals.items()},
        touched=None if demo.touched is None else {name: touch[steps] for name, touch in demo.touched.items()},
    )


def told(demo: Demo, at: slice, gripper: float, opening: float | None = None) -> Demo:
    """A demo whose gripper is told something else for some steps, and does it where `opening` is given."""
    command, measured = demo.gripper.copy(), demo.opening.copy()
    command[at] = gripper
    if opening is not None:
        measured[at] = opening
    return replace(demo, gripper=command, opening=measured)


def lifting() -> Demo:
    """Down for 10 steps, closing for 5, up for 15."""
    rise = [0.02 + 0.01 * i for i in range(1, 16)]
    down = [0.12 - 0.01 * i for i in range(10)]
    return by_hand([1.0] * 10 + [0.0] * 20, [0.02] * 15 + rise, down + [0.02] * 5 + rise)


def check_order(cut: list[Segment], demo: Demo, task: Task) -> None:
    assert [s.subtask for s in cut] == list(range(len(task.subtasks)))
    assert cut[0].start == 0
    for before, after in itertools.pairwise(cut):
        assert before.end == after.start
    for s in cut:
        assert s.start <= s.event < s.end <= len(demo)


def test_stack_segments_cover_the_demo_in_order(stack_demos: list[Demo]) -> None:
    for demo in stack_demos:
        check_order(segment(demo, STACK), demo, STACK)


def test_lift_segments_cover_the_demo_in_order(lift_demos: list[Demo]) -> None:
    for demo in lift_demos:
        check_order(segment(demo, LIFT), demo, LIFT)


def test_a_grasp_ends_with_its_object_in_the_air(stack_demos: list[Demo]) -> None:
    for demo in stack_demos:
        cut = segment(demo, STACK)
        for k in (0, 2):
            height = demo.objects[demo.roles[STACK.subtasks[k].reference]][:, 2]
            assert height[cut[k].end - 1] > height[cut[k].start] + LIFTED
            assert (height[cut[k].start : cut[k].event + 1] < height[cut[k].start] + LIFTED).all()


def test_a_placement_ends_with_the_tool_away(stack_demos: list[Demo]) -> None:
    for demo in stack_demos:
        end = segment(demo, STACK)[1].end
        held = demo.objects[demo.roles["middle"]][end - 1]
        assert np.linalg.norm(demo.target[end - 1, :3] - held[:3]) > AWAY


def test_events_are_where_the_gripper_changes(stack_demos: list[Demo]) -> None:
    for demo in stack_demos:
        for k, s in enumerate(segment(demo, STACK)):
            closes = STACK.subtasks[k].kind == "grasp"
            assert (demo.gripper[s.event] < 0.5) == closes
            assert (demo.gripper[s.event - 1] < 0.5) != closes


def test_given_and_automatic_cuts_agree_on_human_demos(human_demos: list[Demo]) -> None:
    assert len(human_demos) == 10
    for demo in human_demos:
        assert set(demo.signals) >= {"grasp_1", "stack_1", "grasp_2"}
        given = segment(demo, STACK)
        found = segment(replace(demo, signals={}), STACK)
        check_order(given, demo, STACK)
        assert [abs(a.end - b.end) <= 2 for a, b in zip(given, found, strict=True)] == [True] * 4
        assert [abs(a.event - b.event) <= 2 for a, b in zip(given, found, strict=True)] == [True] * 4


def test_human_grasps_end_with_the_cube_in_the_air(human_demos: list[Demo]) -> None:
    for demo in human_demos:
        cut = segment(demo, STACK)
        for k, cube in ((0, "cube_2"), (2, "cube_3")):
            # The signal itself rises while the cube still stands on the table.
            assert demo.objects[cube][cut[k].end - 1, 2] > 0.0203 + 0.015


def test_idling_at_the_end_is_not_copied() -> None:
    demo = lifting()
    idle = at_steps(demo, [*range(30), *[29] * 40])
    assert segment(idle, LIFT)[0].end == segment(demo, LIFT)[0].end == len(demo)


@pytest.mark.parametrize(("at", "length", "value"), [(20, 1, 1.0), (13, 2, 1.0), (4, 1, 0.0), (7, 2, 0.0)])
def test_chatter_of_the_gripper_moves_no_cut(at: int, length: int, value: float) -> None:
    demo = lifting()
    noisy = demo.gripper.copy()
    noisy[at : at + length] = value
    clean, chattering = segment(demo, LIFT)[0], segment(replace(demo, gripper=noisy), LIFT)[0]
    assert (chattering.event, chattering.end) == (clean.event, clean.end) == (10, 30)


def test_chatter_makes_no_extra_cut_in_a_stack(stack_demos: list[Demo]) -> None:
    demo = stack_demos[0]
    clean = [(s.start, s.event, s.end) for s in segment(demo, STACK)]
    for start, event, _ in clean:
        middle = (start + event) // 2
        noisy = demo.gripper.copy()
        noisy[middle : middle + 2] = 1.0 - noisy[middle]
        again = segment(replace(demo, gripper=noisy), STACK)
        assert [(s.start, s.event, s.end) for s in again] == clean


def test_a_demo_that_never_lifts_is_refused_by_name() -> None:
    still = by_hand([1.0] * 10 + [0.0] * 20, [0.02] * 30, [0.1] * 30)
    with pytest.raises(
        InputError,
        match=r"demo 0 does not show subtask 'lift' of 'lift': the gripper never closes on and lifts cube_1",
    ):
        segment(still, LIFT)


def test_a_stack_demo_cut_off_in_the_middle_names_what_is_missing(stack_demos: list[Demo]) -> None:
    demo = stack_demos[0]
    half = at_steps(demo, list(range(segment(demo, STACK)[1].end)))
    with pytest.raises(InputError, match=r"does not show subtask 'grasp_2' of 'stack_three'.*lifts cube_3") as caught:
        segment(half, STACK)
    assert "\n" not in str(caught.value)


def test_demos_of_another_task_are_refused_in_one_line(lift_store: Path) -> None:
    with pytest.raises(InputError, match=r"shows the task 'lift', not 'stack_three'; give demos of 'stack_three'") as e:
        load_demos(lift_store, STACK, 20.0)
    assert "\n" not in str(e.value)


def test_demos_of_another_rate_are_refused(lift_store: Path) -> None:
    with pytest.raises(InputError, match=r"recorded at 20.0 Hz; this needs 10.0 Hz"):
        load_demos(lift_store, LIFT, 10.0)


def test_demos_are_read_from_a_view_as_well(lift_store: Path, lift_demos: list[Demo], tmp_path: Path) -> None:
    found = load_demos(exclude(lift_store, "1", tmp_path / "v").path, LIFT, 20.0)
    assert [demo.index for demo in found] == [0, 1]
    np.testing.assert_array_equal(found[1].target, lift_demos[2].target)


def test_loaded_demos_say_who_recorded_them(lift_demos: list[Demo]) -> None:
    assert [d.operator for d in lift_demos] == ["script"] * 3
    assert [d.index for d in lift_demos] == [0, 1, 2]
    for demo in lift_demos:
        np.testing.assert_allclose(np.linalg.norm(demo.target[:, 3:], axis=1), 1.0, atol=1e-12)
