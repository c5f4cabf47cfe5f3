"""When an object is in the hand: what was told, what was done, what came of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from generators.demos import Demo
from generators.gripper import closed_gripper
from generators.holds import Handling, Hold, _medians, handling_of, motion_of
from scenes.task import get_task
from tests.generators.spoiling import at_steps, by_hand, lifting, told

CUBE = get_task("lift").prop("cube_1")


def handling(demo: Demo) -> Handling:
    return handling_of(demo, motion_of(demo, CUBE), "cube_1", closed_gripper(demo))


def moved(demo: Demo, **axes: np.ndarray) -> Demo:
    """A demo whose cube is off by so much along x, y or z [m]."""
    poses = demo.objects["cube_1"].copy()
    for axis, offset in axes.items():
        poses[:, "xyz".index(axis)] += offset
    return replace(demo, objects={**demo.objects, "cube_1": poses})


def test_an_object_is_held_from_the_closing_of_the_gripper_to_its_opening() -> None:
    demo = told(told(lifting(), slice(26, 30), 1.0), slice(27, 30), 1.0, 1.0)
    assert handling(demo).holds == [Hold(event=10, lifted=17, release=26)]
    assert handling(demo).failures == []


def test_an_object_that_is_never_let_go_is_held_to_the_end() -> None:
    assert handling(lifting()).holds == [Hold(event=10, lifted=17, release=30)]


def test_an_object_that_shifts_a_little_in_the_hand_is_still_held() -> None:
    demo = moved(lifting(), x=np.where(np.arange(30) >= 20, 0.008, 0.0))
    assert handling(demo).holds == [Hold(10, 17, 30)]


def test_an_object_that_leaves_the_hand_is_lost() -> None:
    demo = moved(lifting(), x=np.where(np.arange(30) >= 20, 0.025, 0.0))
    assert handling(demo).holds == []
    assert handling(demo).failures == ["lifts cube_1 at step 17, but loses it at step 20"]


def test_what_is_lifted_elsewhere_is_not_held() -> None:
    found = handling(moved(lifting(), y=np.full(30, 0.06)))
    assert (found.holds, found.failures) == ([], [])


def test_a_gripper_that_opened_and_lost_nothing_went_on_holding() -> None:
    assert handling(told(lifting(), slice(20, 25), 1.0)).holds == [Hold(10, 17, 30)]


def test_two_holds_of_one_object_are_two() -> None:
    up, down = list(range(30)), list(range(29, 9, -1))
    demo = at_steps(lifting(), [*up, *down, *[0] * 6, *range(30)])
    demo = told(told(demo, slice(30, 46), 0.0, 0.0), slice(46, 56), 1.0, 1.0)
    demo = told(demo, slice(45, 46), 1.0)
    found = handling(demo).holds
    assert [(hold.event, hold.release) for hold in found] == [(10, 45), (66, 86)]


@given(st.floats(0.0005, 0.004), st.integers(0, 2**32 - 1))
def test_the_noise_of_poses_is_found_and_mostly_taken_out(sigma: float, seed: int) -> None:
    rest = at_steps(lifting(), [*[0] * 300, *range(30)])
    rng = np.random.default_rng(seed)
    noisy = moved(rest, **{axis: rng.normal(0.0, sigma, 330) for axis in "xyz"})
    motion, clean = motion_of(noisy, CUBE), rest.objects["cube_1"]
    assert motion.noise == pytest.approx(sigma, rel=0.25)
    error = np.std(motion.poses[:300, :3] - clean[:300, :3])
    assert error < 0.7 * np.std(noisy.objects["cube_1"][:300, :3] - clean[:300, :3])


def test_noisy_positions_are_smoothed_by_their_medians() -> None:
    positions = np.random.default_rng(0).standard_normal((40, 3))
    np.testing.assert_array_equal(_medians(positions), median_filter(positions, (5, 1), mode="nearest"))


def test_poses_without_noise_stay_as_they_are() -> None:
    demo = lifting()
    motion = motion_of(demo, CUBE)
    assert motion.noise == 0.0
    assert motion.poses is demo.objects["cube_1"]


def test_a_gripper_closed_throughout_and_fingers_that_tell_nothing_hold_what_is_lifted() -> None:
    """As where a demo begins with the object in the hand."""
    demo = replace(lifting(), gripper=np.zeros(30), opening=np.full(30, 0.5))
    assert handling(demo).holds == [Hold(0, 17, 30)]


def test_contact_ends_a_hold_that_motion_does_not() -> None:
    demo = lifting()
    touch = (np.arange(30) >= 13) & (np.arange(30) < 24)
    told_by_contact = handling(replace(demo, touched={"cube_1": touch}))
    assert told_by_contact.failures == ["lifts cube_1 at step 17, but loses it at step 24"]
    flicker = touch | (np.arange(30) >= 26)  # two steps without
    assert handling(replace(demo, touched={"cube_1": flicker})).holds == [Hold(10, 17, 30)]


def test_an_object_is_measured_where_it_is_held() -> None:
    square = get_task("square")
    nut = square.prop("nut")
    demo = lifting()
    grasp = np.array(nut.grasps[0][:3])
    poses = np.tile([*demo.tool[0, :3] - grasp, 1.0, 0.0, 0.0, 0.0], (30, 1))
    poses[:, 2] = demo.tool[:, 2] - grasp[2]
    held = replace(demo, objects={"nut": poses})
    np.testing.assert_allclose(motion_of(held, nut).distance, 0.0, atol=1e-12)


def test_by_hand_makes_what_it_says() -> None:
    demo = by_hand([1.0, 0.0], [0.02, 0.03], [0.1, 0.2])
    assert demo.opening.tolist() == [1.0, 1.0]
    assert demo.tool[:, 2].tolist() == [0.1, 0.2]
