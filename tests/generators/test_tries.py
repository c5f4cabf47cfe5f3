"""Where the next try begins: at the last saved state, then further back, and not for ever."""

import pytest

from generators.options import PlanOptions
from generators.tries import Tries
from handful import InputError
from scenes.outcome import Outcome


def tries(reached: int, **options: object) -> Tries[str]:
    """A scene that has come to a subtask at its first try, served by demo 10 + k; 20 steps each."""
    account: Tries[str] = Tries(PlanOptions(**options))  # type: ignore[arg-type]
    for k in range(reached + 1):
        account.save(k, f"state {k}", 20 * k)
        if k == 0:
            account.begin(0, 0)
        account.follow(10 + k)
    return account


def fail(account: Tries[str], outcome: Outcome = Outcome.MISPLACED) -> str:
    """Let the try under way fail and begin the next; returns the state to begin from."""
    account.end(outcome, latched=False)
    mark = account.back()
    account.begin(mark.subtask, mark.length)
    account.follow(None if outcome is Outcome.UNREACHABLE else 0)
    return mark.state


def test_a_state_is_tried_from_so_often_and_then_the_one_before() -> None:
    account = tries(2, retries=2)
    assert [fail(account) for _ in range(3)] == ["state 2", "state 1", "state 0"]


def test_the_beginning_is_the_last_resort() -> None:
    account = tries(0, retries=2)
    assert [fail(account) for _ in range(4)] == ["state 0"] * 4


def test_what_cannot_be_followed_goes_back_at_once() -> None:
    assert fail(tries(2), Outcome.UNREACHABLE) == "state 1"


def test_restarts_go_all_the_way() -> None:
    account = tries(3, on_failure="restart")
    assert fail(account) == "state 0"
    assert account.parts == [(1, 0)]


def test_demos_are_held_to_account_for_what_they_did_and_for_what_followed() -> None:
    account = tries(2, retries=2)
    fail(account)
    assert account.mark.blamed == {12: 1}
    assert fail(account) == "state 1"
    assert account.mark.blamed == {11: 1}


def test_parts_of_the_tape_are_those_of_the_tries_that_are_on_it() -> None:
    account = tries(2)
    assert fail(account) == "state 2"
    assert account.parts == [(0, 0), (1, 40)]
    fail(account)
    assert account.parts == [(0, 0), (2, 40)]


def test_tries_are_bounded() -> None:
    account = tries(1, max_attempts=3)
    for _ in range(2):
        assert not account.exhausted()
        fail(account)
    account.end(Outcome.MISPLACED, latched=False)
    assert account.exhausted()


def test_a_beginning_that_cannot_be_followed_is_given_up_sooner() -> None:
    account: Tries[str] = Tries(PlanOptions(retries=2, max_attempts=12))
    account.save(0, "state", 0)
    for last in (False, True):
        account.begin(0, 0)
        account.follow(None)
        account.end(Outcome.UNREACHABLE, latched=False)
        assert account.exhausted() is last


def test_a_record_says_where_a_try_began_and_ended_and_what_served() -> None:
    account = tries(2)
    account.end(Outcome.DISTURBED, latched=True)
    assert account.tries[0].record() == {
        "start": 0,
        "subtask": 2,
        "outcome": "disturbed",
        "demos": [10, 11, 12],
        "latched": True,
    }


def test_what_follows_a_failure_is_one_of_three() -> None:
    with pytest.raises(InputError, match=r"unknown plan.on_failure 'recovery'.*Did you mean 'recover'\?"):
        PlanOptions(on_failure="recovery")
