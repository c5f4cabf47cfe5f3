"""The judge: strict at the end, and right about how an attempt failed."""

import numpy as np
import pytest

from scenes.cubes import EDGE
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from tests.arm import DOWN, LANE, Arm, nothing

HOLD = 21  # observations that span the second for which success must hold


class Judged(Arm):
    """An arm with a judge that looks after each step."""

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.monitor = Monitor(self.workspace, self.sim)
        self.monitor.begin(LANE, [self.scene])
        self.after_step = self.judge

    def judge(self) -> None:
        self.monitor.update(LANE)

    @property
    def outcome(self) -> Outcome | None:
        return self.monitor.outcome[0]

    @property
    def target(self) -> str:
        return self.scene.roles["target"]

    def gave_up(self) -> Outcome | None:
        self.monitor.give_up(LANE)
        return self.outcome

    def build_tower(self, offsets: tuple[float, float] = (0.0, 0.0)) -> None:
        """Put the cubes onto each other, by hand."""
        base = np.array([0.5, 0.0, EDGE / 2 - 0.0031, 1.0, 0.0, 0.0, 0.0])
        for i, name in enumerate(("cube_1", "cube_2", "cube_3")):
            shift = sum(offsets[:i])
            self.place_object(name, base + np.array([shift, 0, i * EDGE, 0, 0, 0, 0]))


@pytest.fixture
def lift() -> Judged:
    return Judged("lift")


@pytest.fixture
def stack() -> Judged:
    judged = Judged("stack_three")
    judged.go(np.array([0.4, -0.25, 0.3, *DOWN]), 25)
    return judged


def raise_target(lift: Judged) -> None:
    """Up to just over the goal's height."""
    lift.grasp(lift.target)
    lift.go(lift.above(lift.target, 0.095), 20)


def steps_until_success(judged: Judged, limit: int = 60) -> int:
    for step in range(limit):
        if judged.outcome is Outcome.SUCCESS:
            return step
        judged.wait(1)
    raise AssertionError(f"no success in {limit} steps: {judged.outcome}")


def test_lifting_succeeds_after_a_second_of_holding_still(lift: Judged) -> None:
    raise_target(lift)
    assert lift.outcome is None
    assert 0 < HOLD - lift.monitor.held[0] <= steps_until_success(lift) <= HOLD + 5


def test_nothing_succeeds_before_a_second_has_passed(lift: Judged) -> None:
    raise_target(lift)
    lift.wait(HOLD - 1 - int(lift.monitor.held[0]))
    assert lift.outcome is None
    assert lift.monitor.met[0]


def test_a_moving_object_is_no_success(lift: Judged) -> None:
    raise_target(lift)
    up = lift.above(lift.target, 0.0)
    wave = np.tile(up, (3 * HOLD, 1))  # 4 cm up and down, never still and never low
    wave[:, 2] += 0.02 * np.sin(0.6 * np.arange(len(wave))) + 0.02
    lift.follow(wave)
    assert lift.monitor.met[0]
    assert lift.outcome is None


def test_moving_within_the_second_starts_it_again(lift: Judged) -> None:
    raise_target(lift)
    lift.wait(HOLD - 5)
    before = lift.monitor.held[0]
    lift.go(lift.above(lift.target, 0.02), 4)
    assert lift.monitor.held[0] < before
    assert lift.outcome is None


def test_having_met_the_goal_once_is_remembered_and_is_no_success(lift: Judged) -> None:
    raise_target(lift)
    lift.go(lift.above(lift.target, -0.07), 20)
    lift.grip(1.0)
    assert lift.monitor.met[0]
    assert lift.outcome is None
    assert lift.gave_up() is Outcome.OBJECT_DROPPED


def test_never_having_met_it_is_a_timeout(lift: Judged) -> None:
    lift.wait(5)
    assert not lift.monitor.met[0]
    assert lift.gave_up() is Outcome.TIMED_OUT


def test_touching_the_table_decides_at_once(lift: Judged) -> None:
    lift.go(np.array([0.5, 0.25, 0.05, *DOWN]), 30)
    assert lift.outcome is None
    lift.go(np.array([0.5, 0.25, -0.005, *DOWN]), 15)
    assert lift.outcome is Outcome.COLLIDED


def test_an_outcome_once_decided_stays(lift: Judged) -> None:
    lift.go(np.array([0.5, 0.25, 0.05, *DOWN]), 30)
    lift.go(np.array([0.5, 0.25, -0.005, *DOWN]), 15)
    lift.go(np.array([0.5, 0.25, 0.25, *DOWN]), 15)
    raise_target(lift)
    lift.wait(2 * HOLD)
    assert lift.outcome is Outcome.COLLIDED


def test_pushing_a_bystander_away_disturbs(lift: Judged) -> None:
    bystander = next(n for n in lift.workspace.task.objects if n != lift.target)
    pose = lift.object(bystander)
    lift.place_object(bystander, pose + np.array([0.025, 0, 0, 0, 0, 0, 0]))
    lift.wait(1)
    assert lift.outcome is None
    lift.place_object(bystander, pose + np.array([0.035, 0, 0, 0, 0, 0, 0]))
    lift.wait(1)
    assert lift.outcome is Outcome.DISTURBED


def test_picking_up_another_object_says_so(lift: Judged) -> None:
    other = next(n for n in lift.workspace.task.objects if n != lift.target)
    lift.grasp(other)
    lift.go(lift.above(other, 0.06), 15)
    assert lift.outcome is Outcome.WRONG_OBJECT


def test_an_object_that_jumps_up_beside_the_hand_was_not_picked_up(lift: Judged) -> None:
    other = next(n for n in lift.workspace.task.objects if n != lift.target)
    lift.place_object(other, lift.object(other) + np.array([0, 0, 0.025, 0, 0, 0, 0]))
    lift.judge()
    assert lift.outcome is None


def test_the_target_may_be_moved(lift: Judged) -> None:
    lift.place_object(lift.target, lift.object(lift.target) + np.array([0, 0, 0.05, 0, 0, 0, 0]))
    lift.wait(10)
    assert lift.outcome is None


def test_a_diverged_scene_says_so(lift: Judged) -> None:
    lift.sim.qvel[0] = 1e12
    lift.wait(3)
    assert lift.outcome is Outcome.DIVERGED


def test_a_scene_that_diverged_before_it_began_says_so(lift: Judged) -> None:
    lift.sim.qvel[0] = 1e12
    lift.after_step = nothing
    lift.wait(3)
    lift.monitor.begin(LANE, [lift.scene])
    assert lift.outcome is Outcome.DIVERGED


def test_a_tower_let_go_succeeds_after_a_second(stack: Judged) -> None:
    stack.build_tower()
    assert HOLD <= steps_until_success(stack) <= HOLD + 10


def test_a_tower_in_a_closed_gripper_is_not_finished(stack: Judged) -> None:
    stack.grip(0.0)
    stack.build_tower()
    stack.wait(2 * HOLD)
    assert stack.monitor.met[0]
    assert stack.outcome is None
    assert stack.gave_up() is Outcome.NOT_SETTLED


def test_a_tower_with_the_tool_still_at_it_is_not_finished(stack: Judged) -> None:
    stack.go(np.array([0.5, 0.0, EDGE * 2.5 + 0.04, *DOWN]), 25)
    stack.build_tower()
    stack.wait(2 * HOLD)
    assert stack.monitor.met[0]
    assert stack.outcome is None
    stack.go(np.array([0.5, 0.0, EDGE * 2.5 + 0.12, *DOWN]), 15)
    assert steps_until_success(stack) <= HOLD + 5


def test_a_crooked_tower_is_misplaced(stack: Judged) -> None:
    stack.build_tower((0.0, 0.022))
    stack.wait(2 * HOLD)
    assert not stack.monitor.met[0]
    assert stack.outcome is None
    assert stack.gave_up() is Outcome.MISPLACED


def test_a_tower_never_begun_is_a_timeout(stack: Judged) -> None:
    stack.wait(3)
    assert stack.gave_up() is Outcome.TIMED_OUT


def test_success_counts_from_each_scenes_own_beginning(lift: Judged) -> None:
    raise_target(lift)
    lift.wait(10)
    lift.monitor.begin(LANE, [lift.scene])
    assert lift.monitor.held[0] == 0
    assert not lift.monitor.met[0]
    assert steps_until_success(lift) == HOLD
