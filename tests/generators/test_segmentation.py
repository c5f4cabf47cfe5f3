"""Cutting demonstrations: in order, in the air, unmoved by chatter, refused when something is missing."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.cuts import AIR
from generators.demos import Demo, load_demos
from generators.holds import LIFTED
from generators.segmentation import AWAY, Segment, segment
from handful import InputError
from scenes.task import Task, get_task
from sim.transforms import compose, inverse
from tests.generators.spoiling import (
    SPOILINGS,
    Spoil,
    Spoilt,
    at_steps,
    both,
    by_hand,
    chatter,
    delay,
    fingers,
    lifting,
    missed,
    noise,
    put_back,
    slipped,
    told,
)
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


def check_cut(spoilt: Spoilt, clean: list[Segment]) -> None:
    """The cut of a demo in which something went wrong: its events are those of what worked, its grasps hold firmly."""
    cut = segment(spoilt.demo, STACK)
    truth = spoilt.truth
    for part, right in zip(cut, clean, strict=True):
        assert abs(part.event - spoilt.step[right.event]) <= spoilt.late
    for part in cut:
        assert part.start <= part.event < part.end <= len(truth)
        np.testing.assert_array_equal(part.demo.gripper[part.start : part.event] < 0.5, part.subtask % 2 == 1)
        np.testing.assert_array_equal(part.demo.gripper[part.event : part.end] < 0.5, part.subtask % 2 == 0)
    for part in (cut[0], cut[2]):
        held = truth.objects[truth.roles[STACK.subtasks[part.subtask].reference]]
        assert held[part.end - 1, 2] > held[part.event, 2] + 0.005
        in_tool = compose(inverse(truth.tool), held)[part.end - 1 : part.end + 5]
        assert np.linalg.norm(in_tool[:, :3] - in_tool[0, :3], axis=1).max() < 0.001


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
            assert height[cut[k].end - 1] > height[cut[k].start] + AIR
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
            assert demo.objects[cube][cut[k].end - 1, 2] > 0.0203 + AIR


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


@pytest.mark.parametrize("spoil", SPOILINGS, ids=lambda spoil: spoil.__name__)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_what_went_wrong_in_a_demo_is_left_out(stack_demos: list[Demo], spoil: Spoil, seed: int) -> None:
    for demo in stack_demos:
        clean = segment(demo, STACK)
        check_cut(spoil(demo, [part.event for part in clean], np.random.default_rng(seed)), clean)


@pytest.mark.parametrize("second", [chatter, noise, delay], ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("first", [missed, slipped, put_back], ids=lambda spoil: spoil.__name__)
def test_two_things_that_went_wrong_are_left_out(stack_demos: list[Demo], first: Spoil, second: Spoil) -> None:
    for seed, demo in enumerate(stack_demos):
        clean = segment(demo, STACK)
        events = [part.event for part in clean]
        check_cut(both(first, second, demo, events, np.random.default_rng(seed)), clean)


@pytest.mark.parametrize("spoil", SPOILINGS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_what_went_wrong_in_a_human_demo_is_left_out(human_demos: list[Demo], spoil: Spoil, seed: int) -> None:
    for demo in human_demos:
        unmarked = replace(demo, signals={})
        clean = segment(unmarked, STACK)
        check_cut(spoil(unmarked, [part.event for part in clean], np.random.default_rng(seed)), clean)


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


def raised_and_lost(released: bool) -> Demo:
    """A demo of `lift` that loses the cube 5 cm up, and may let go and end there."""
    rise = [0.02 + 0.01 * i for i in range(1, 16)]
    fallen = [*rise[:5], *[0.02] * 10]
    gripper = [1.0] * 10 + [0.0] * 20
    demo = by_hand(gripper, [0.02] * 15 + fallen, [0.12 - 0.01 * i for i in range(10)] + [0.02] * 5 + rise)
    return told(demo, slice(28, 30), 1.0, 1.0) if released else demo


@pytest.mark.parametrize("released", [False, True])
def test_a_demo_that_loses_its_object_is_refused_with_the_step(released: bool) -> None:
    with pytest.raises(InputError, match=r"'lift': the gripper lifts cube_1 at step 17, but loses it at step 20"):
        segment(raised_and_lost(released), LIFT)


def test_a_demo_that_closes_beside_its_object_is_refused_with_the_step() -> None:
    down = [0.12 - 0.01 * i for i in range(10)]
    beside = by_hand([1.0] * 10 + [0.0] * 20, [0.02] * 30, down + [0.02] * 5 + [0.02 + 0.01 * i for i in range(1, 16)])
    with pytest.raises(InputError, match=r"'lift': the gripper closes on cube_1 at step 10, but does not lift it$"):
        segment(beside, LIFT)


def test_a_demo_whose_object_is_never_firm_in_the_hand_is_refused(stack_demos: list[Demo]) -> None:
    demo = stack_demos[0]
    grasp, place = segment(demo, STACK)[:2]
    name = demo.roles["middle"]
    loose = demo.objects[name].copy()
    # Swinging by 4 mm every other step, though not out of the fingers.
    loose[grasp.event : place.event : 2, 0] += 0.004
    swinging = replace(demo, objects={**demo.objects, name: loose})
    with pytest.raises(
        InputError,
        match=rf"subtask 'grasp_1' of 'stack_three': it holds {name} from step {grasp.event} to step {place.event}, "
        "and is never firm",
    ):
        segment(swinging, STACK)


def test_an_object_that_is_not_left_before_the_next_is_taken_is_not_placed(stack_demos: list[Demo]) -> None:
    demo = stack_demos[0]
    placed, taken = segment(demo, STACK)[1], segment(demo, STACK)[2]
    hasty = at_steps(demo, [*range(placed.event + 4), *range(taken.event, len(demo))])
    with pytest.raises(InputError, match=r"subtask 'stack_1' of 'stack_three': the gripper never releases and leaves"):
        segment(hasty, STACK)


def test_slow_fingers_put_the_event_where_they_were_told() -> None:
    rise = [0.02 + 0.01 * i for i in range(1, 16)]
    down = [0.12 - 0.01 * i for i in range(10)]
    slow = by_hand([1.0] * 10 + [0.0] * 35, [0.02] * 30 + rise, down + [0.02] * 20 + rise)
    cut = segment(replace(slow, opening=fingers(slow.gripper, 0.04)), LIFT)[0]
    assert (cut.event, cut.end) == (10, 45)


def test_commands_that_are_widths_are_understood_and_squeeze() -> None:
    demo = lifting()
    # As imported data has it: told what was achieved, which is where the object stopped the fingers.
    width = np.maximum(fingers(demo.gripper, 0.25), 0.6)
    cut = segment(replace(demo, gripper=np.append(width[1:], 0.6), opening=width), LIFT)[0]
    assert (cut.event, cut.end) == (10, 30)
    np.testing.assert_array_equal(cut.demo.gripper, demo.gripper)


def test_fingers_set_to_a_width_beforehand_have_not_closed_yet() -> None:
    demo = lifting()
    shaped = demo.gripper.copy()
    shaped[4:10] = 0.7
    cut = segment(replace(demo, gripper=shaped, opening=fingers(shaped, 0.2)), LIFT)[0]
    assert (cut.event, cut.end) == (10, 30)
    np.testing.assert_array_equal(cut.demo.gripper, shaped)


def test_a_gripper_that_is_told_nothing_is_read_off_its_fingers() -> None:
    demo = lifting()
    assert segment(replace(demo, gripper=np.ones(30)), LIFT)[0].event == 10


def test_a_grasp_begins_once_a_try_in_vain_is_over_and_its_object_rests() -> None:
    # Closed on at step 5 and pushed until step 20, though not lifted; taken up from where it came to rest.
    rise = [0.02 + 0.01 * i for i in range(1, 16)]
    demo = by_hand([1.0] * 5 + [0.0] * 5 + [1.0] * 20 + [0.0] * 20, [0.02] * 35 + rise, [0.02] * 35 + rise)
    pushed = demo.objects["cube_1"].copy()
    pushed[:, 0] += 0.005 * (np.minimum(np.arange(50), 20) - 20)
    cut = segment(replace(demo, objects={**demo.objects, "cube_1": pushed}), LIFT)[0]
    assert (cut.start, cut.event) == (20, 30)


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
