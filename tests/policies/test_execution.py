"""When a policy looks and which action is due: chunks here say at which step each of their actions is meant for."""

import numpy as np
import pytest

from handful import InputError
from policies.execution import Chunk, Execution, Mode, Pace

HORIZON = 8


def chunk(looked: float) -> np.ndarray:
    """Actions that follow a line of slope 1: action k of a look at t is t + k + 1, so a step is told by its command."""
    return np.repeat(looked + 1 + np.arange(HORIZON)[:, None], 2, axis=1).astype(float)


def follow(pace: Pace, delay: int, steps: int) -> tuple[list[float | None], list[int], Execution]:
    """Commands and looks of an arm whose decisions take `delay` steps."""
    execution, arrivals = Execution(pace), {}
    commands: list[float | None] = []
    looks: list[int] = []
    last = np.zeros(2)
    for now in range(steps):
        if now in arrivals:
            execution.decide(now, chunk(arrivals[now]))
        if execution.due(now):
            execution.look(now, last)
            looks.append(now)
            arrivals[now + delay] = now
            if not delay:
                execution.decide(now, chunk(now))
        command = execution.command(now)
        last = last if command is None else command
        commands.append(None if command is None else float(command[0]))
    return commands, looks, execution


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_decisions_that_take_no_time_are_carried_out_as_they_come(mode: Mode) -> None:
    commands, looks, execution = follow(Pace(mode, HORIZON, 4), 0, 12)
    assert looks == [0, 4, 8]
    assert commands == list(range(1, 13))
    assert not execution.held


def test_an_arm_that_waits_stands_still_while_it_decides() -> None:
    commands, looks, execution = follow(Pace("synchronous", HORIZON, 4), 2, 12)
    assert looks == [0, 6]
    # The first chunk's clock starts when it is there: its first action is what was meant for the look.
    assert commands == [None, None, 1, 2, 3, 4, None, None, 7, 8, 9, 10]
    assert execution.held == {"waiting": 4}


def test_control_that_does_not_wait_enters_a_chunk_at_the_action_that_is_due() -> None:
    commands, looks, execution = follow(Pace("asynchronous", HORIZON, 4), 2, 14)
    assert looks == [0, 4, 8, 12]
    assert commands == [None, None, *range(3, 15)]
    assert execution.held == {"waiting": 2}


def test_no_second_look_before_the_first_is_decided() -> None:
    _, looks, _ = follow(Pace("asynchronous", HORIZON, 1), 3, 12)
    assert looks == [0, 3, 6, 9]


def test_a_chunk_that_runs_out_leaves_the_arm_held() -> None:
    commands, _, execution = follow(Pace("asynchronous", HORIZON, 4), 6, 16)
    # The look at 0 reaches to 8, that at 6 is there at 12.
    assert commands == [None] * 6 + [7, 8] + [None] * 4 + [13, 14, None, None]
    assert execution.held == {"waiting": 6, "stale": 6}
    with pytest.raises(InputError, match=r"a chunk of 8 actions runs out .* every 4 actions .* decision takes 6"):
        Pace("asynchronous", HORIZON, 4).require(6)
    Pace("asynchronous", HORIZON, 4).require(4)
    Pace("synchronous", HORIZON, 4).require(6)


def test_a_chunk_older_than_it_may_be_is_not_carried_out() -> None:
    commands, _, execution = follow(Pace("asynchronous", HORIZON, 4, stale=5), 2, 10)
    assert commands == [None, None, 3, 4, 5, None, 7, 8, 9, None]
    assert execution.held == {"waiting": 2, "stale": 2}


def test_motion_passes_from_the_old_chunk_to_the_new_one_and_the_gripper_does_not() -> None:
    execution = Execution(Pace("asynchronous", HORIZON, 4, blend=3))
    execution.look(0, np.zeros(2))
    execution.decide(0, np.zeros((HORIZON, 2)))
    execution.look(4, np.zeros(2))
    execution.decide(4, np.ones((HORIZON, 2)))
    commands = np.array([execution.command(now) for now in range(4, 9)])
    np.testing.assert_allclose(commands[:, 0], [0.25, 0.5, 0.75, 1, 1])
    assert (commands[:, 1] == 1).all()


def test_numbers_that_are_not_finite_are_never_carried_out_and_it_looks_again_at_once() -> None:
    execution = Execution(Pace("asynchronous", HORIZON, 4))
    execution.look(0, np.zeros(2))
    assert execution.decide(0, chunk(0))
    execution.look(4, np.zeros(2))
    bad = chunk(4)
    bad[7, 1] = np.nan
    assert not execution.decide(5, bad)
    assert execution.refused == 1
    # The old chunk reaches to 8; then there is nothing left to carry out.
    assert [execution.command(now) is None for now in (5, 6, 7, 8, 9)] == [False, False, False, True, True]
    assert execution.held == {"not_finite": 2}
    assert execution.due(5)
    execution.look(9, np.zeros(2))
    assert execution.decide(9, chunk(9))
    assert execution.command(9) is not None


def test_after_a_failure_nothing_is_decided_until_somebody_says_so() -> None:
    execution = Execution(Pace("asynchronous", HORIZON, 4))
    execution.look(0, np.zeros(2))
    execution.decide(0, chunk(0))
    execution.look(4, np.zeros(2))
    execution.fail()
    assert execution.command(7) is not None
    assert execution.command(8) is None
    assert execution.held == {"failed": 1}
    assert not execution.due(1000)
    execution.resume(1000)
    assert execution.due(1000)


def test_commands_between_two_actions_lie_on_the_line_between_them() -> None:
    found = Chunk(10, 10, np.array([10.0, 0]), np.stack([np.arange(11.0, 19), np.linspace(0, 1, 8)], 1))
    for time in (10.25, 11, 11.5, 17.75, 18):
        assert found.reach(time)[0] == pytest.approx(time)
    # Past its end it stays where it ended.
    assert found.reach(19.5)[0] == 18


def test_a_loop_that_runs_faster_than_the_policy_meets_each_action() -> None:
    execution, last, commands = Execution(Pace("asynchronous", HORIZON, 4)), np.zeros(2), []
    for turn in range(40):  # 50 Hz beside 20 Hz
        now = turn * 0.4
        if execution.due(now):
            execution.look(now, last)
            execution.decide(now, chunk(now))
        last = execution.command(now, 0.4)
        commands.append(last[0])
    np.testing.assert_allclose(commands, 0.4 * np.arange(1, 41))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("asynchronus", 8, 4), "unknown execution 'asynchronus'.*Did you mean 'asynchronous'"),
        (("synchronous", 8, 9), "execute must be at least 1 and at most the chunk's 8 actions, got 9"),
        (("asynchronous", 8, 4, -1), "blend must not be negative, got -1"),
        (("asynchronous", 8, 4, 0, -2), "stale must not be negative, got -2"),
        (("synchronous", 8, 4, 2), "blend needs execution=asynchronous"),
    ],
)
def test_a_pace_that_is_none_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pace(*arguments)


def test_a_decision_needs_a_look_and_a_whole_chunk() -> None:
    execution = Execution(Pace("synchronous", HORIZON, 4))
    with pytest.raises(InputError, match="a decision came without a look"):
        execution.decide(0, chunk(0))
    execution.look(0, np.zeros(2))
    with pytest.raises(InputError, match="a chunk has 8 actions, got 7"):
        execution.decide(0, chunk(0)[:7])
