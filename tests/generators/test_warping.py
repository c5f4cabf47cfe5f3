"""Time-warp: faster far from events, every step near them, still a path of the same places."""

import numpy as np
import pytest

from generators.options import PlanOptions
from generators.planning import BRIDGE, Layout
from generators.warping import warped
from handful import InputError

EVENT, LENGTH, BRIDGED = 70, 90, 15


def layout() -> Layout:
    step = np.arange(LENGTH)
    tool = np.tile([0.5, 0.0, 0.1, 0.0, 1.0, 0.0, 0.0], (LENGTH, 1))
    tool[:, 0] += 0.002 * step
    demo = np.where(step < BRIDGED, BRIDGE, 3)
    gripper, guess = np.where(step < EVENT, 1.0, 0.0), np.tile(step[:, None] / 100.0, (1, 7))
    return Layout(tool, gripper, demo, np.where(step < BRIDGED, BRIDGE, step), guess, abs(step - EVENT), EVENT, EVENT)


def test_at_the_demos_speed_nothing_changes() -> None:
    whole = layout()
    assert warped(whole, 1.0) is whole


@pytest.mark.parametrize("factor", [1.3, 2.0, 3.7])
def test_it_is_faster_far_from_the_event_and_as_shown_near_it(factor: float) -> None:
    whole, fast = layout(), warped(layout(), factor)
    assert len(fast.gripper) < LENGTH
    pace = np.diff(fast.tool[:, 0]) / 0.002
    assert pace[20:40].max() == pytest.approx(factor)
    # Half a step more or less where it falls in with the demo's own.
    assert pace.max() <= max(factor, 1.5) + 1e-9
    assert pace[:-1].min() >= 0.5 - 1e-9
    bridge = fast.demo == BRIDGE
    np.testing.assert_array_equal(fast.tool[bridge], whole.tool[:BRIDGED])
    # Each step near the event is there, and the gripper acts in the same place.
    steps = fast.step[fast.away < 10]
    np.testing.assert_array_equal(steps, np.arange(EVENT - 9, EVENT + 10))
    assert fast.step[fast.event] == fast.step[fast.met] == EVENT
    assert fast.gripper[fast.event] == 0.0
    assert fast.gripper[fast.event - 1] == 1.0
    # It begins and ends where the demo does.
    np.testing.assert_array_equal(fast.tool[[0, -1]], whole.tool[[0, -1]])


def test_guesses_and_steps_stay_with_their_poses() -> None:
    fast = warped(layout(), 2.0)
    place = (fast.tool[:, 0] - 0.5) / 0.002
    assert fast.guess is not None
    np.testing.assert_allclose(fast.guess[:, 0], place / 100.0, atol=1e-12)
    from_demo = fast.demo != BRIDGE
    assert np.abs(fast.step - place)[from_demo].max() <= 0.5 + 1e-9


@pytest.mark.parametrize("factor", [0.5, 5.0])
def test_a_factor_out_of_range_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match=rf"plan.time_warp must be 1 to 4, got {factor}"):
        PlanOptions(time_warp=factor)
