"""What a gripper is meant to do: told, flickering, late, or only seen to do it."""

from dataclasses import replace

import numpy as np
import pytest

from generators.gripper import SHORTEST_PULSE, closed_gripper, stretches, without_pulses
from tests.generators.spoiling import fingers, lifting, told

MEANT = lifting().gripper < 0.5


@pytest.mark.parametrize(("at", "length", "value"), [(20, 1, 1.0), (13, 2, 1.0), (4, 1, 0.0), (7, 2, 0.0)])
def test_chatter_is_not_meant(at: int, length: int, value: float) -> None:
    np.testing.assert_array_equal(closed_gripper(told(lifting(), slice(at, at + length), value)), MEANT)


def test_what_lasts_longer_than_chatter_is_meant() -> None:
    shown = told(lifting(), slice(20, 20 + SHORTEST_PULSE), 1.0)
    assert stretches(closed_gripper(shown)) == [(10, 20), (20 + SHORTEST_PULSE, 30)]


@pytest.mark.parametrize("late", range(1, 9))
def test_a_command_recorded_late_is_put_where_the_fingers_began_to_move(late: int) -> None:
    demo = lifting()
    command = np.concatenate([np.ones(late), demo.gripper[:-late]])
    np.testing.assert_array_equal(closed_gripper(replace(demo, gripper=command)), demo.gripper < 0.5)


def test_a_command_recorded_on_time_stays_however_slow_the_fingers_are() -> None:
    demo = lifting()
    slow = replace(demo, opening=fingers(demo.gripper, 0.03))
    np.testing.assert_array_equal(closed_gripper(slow), demo.gripper < 0.5)


def test_a_gripper_that_is_told_nothing_means_what_it_does() -> None:
    np.testing.assert_array_equal(closed_gripper(replace(lifting(), gripper=np.ones(30))), MEANT)


def test_fingers_that_tell_nothing_leave_what_was_told() -> None:
    np.testing.assert_array_equal(closed_gripper(replace(lifting(), opening=np.full(30, 0.5))), MEANT)


def test_widths_mean_closed_where_they_begin_to_narrow() -> None:
    width = np.maximum(fingers(lifting().gripper, 0.25), 0.6)
    shown = replace(lifting(), gripper=np.append(width[1:], 0.6), opening=width)
    np.testing.assert_array_equal(closed_gripper(shown), MEANT)


def test_pulses_and_stretches_of_a_state() -> None:
    state = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0, 1], bool)
    assert stretches(state) == [(0, 1), (4, 6), (9, 10)]
    np.testing.assert_array_equal(without_pulses(state, 3), [1, 0, 0, 0, 0, 0, 0, 0, 0, 1])
