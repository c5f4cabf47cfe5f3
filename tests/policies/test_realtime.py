"""A control loop on a clock that the test turns, beside a policy that is as slow as the test says."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pytest

from handful import InputError
from policies.execution import Pace
from policies.limits import JointLimits
from policies.realtime import Controller

RATE, HORIZON = 20.0, 16


class World:
    """A clock, and an executor whose tasks are done some seconds of that clock after they were given."""

    def __init__(self, latency: float = 0.1) -> None:
        self.now, self.latency, self.given = 100.0, latency, 0
        self._pending: list[tuple[float, Future, Callable[[], Any]]] = []
        world = self

        class Later(Executor):
            def submit(self, task: Callable, *arguments: Any) -> Future:  # type: ignore[override]
                future: Future = Future()
                world.given += 1
                world._pending.append((world.now + world.latency, future, lambda: task(*arguments)))
                return future

        self.executor = Later()

    def clock(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for item in [item for item in self._pending if item[0] <= self.now + 1e-9]:
            self._pending.remove(item)
            try:
                item[1].set_result(item[2]())
            except Exception as error:
                item[1].set_exception(error)


def line(observation: float, command: np.ndarray) -> np.ndarray:
    """A chunk for an arm that shall always be where the clock is: one radian per second from the look on."""
    times = observation + (np.arange(HORIZON) + 1) / RATE
    return np.stack([times, np.ones(HORIZON)], 1)


def drive(world: World, controller: Controller, seconds: float, period: float) -> np.ndarray:
    commands = []
    begun = world.now
    for turn in range(round(seconds / period)):
        world.pass_by(begun + turn * period - world.now)
        commands.append(controller.step(lambda: world.now - 100.0))
    return np.array(commands)


def make(world: World, decide: Callable = line, rate: float = 50.0, **change: Any) -> Controller:
    pace = Pace("asynchronous", HORIZON, 8, **{k: change.pop(k) for k in ("stale", "blend") if k in change})
    return Controller(
        decide, pace, RATE, 1 / rate, np.array([0.0, 1.0]), executor=world.executor, clock=world.clock, **change
    )


@pytest.mark.parametrize("rate", [20.0, 50.0])
def test_control_goes_on_at_the_actions_that_are_due_whatever_deciding_takes(rate: float) -> None:
    world = World(latency=0.13)
    controller = make(world, rate=rate)
    commands = drive(world, controller, 4.0, 1 / rate)
    due = (np.arange(len(commands)) + 1) / rate
    first = int(np.ceil(0.13 * rate))
    # Until the first decision it stands still; from then on it is where it should be by the end of each period.
    assert (commands[:first, 0] == 0).all()
    np.testing.assert_allclose(commands[first:, 0], due[first:], atol=1e-9)
    assert [event.reason for event in controller.events] == ["waiting", "moving"]
    assert set(np.round(controller.latencies, 6)) == {round(np.ceil(0.13 * rate) / rate, 6)}
    assert world.given == 10  # every 8 steps of 50 ms
    assert controller.longest == 0


def test_a_policy_that_no_longer_answers_stops_the_arm() -> None:
    world = World(latency=0.1)
    controller = make(world)
    drive(world, controller, 0.6, 0.02)
    world.latency = 1e9
    commands = drive(world, controller, 3.0, 0.02)
    assert controller.events[-1].reason == "stale"
    # The last look was at most 8 steps after the one before, and its chunk reaches 16 steps.
    assert controller.events[-1].time < 0.6 + 16 / RATE
    assert (np.diff(commands[-50:], axis=0) == 0).all()


def test_a_chunk_may_be_declared_stale_sooner() -> None:
    world = World(latency=0.1)
    controller = make(world, stale=10)
    drive(world, controller, 0.6, 0.02)
    world.latency = 1e9
    drive(world, controller, 1.0, 0.02)
    stopped = controller.events[-1]
    assert stopped.reason == "stale"
    # Looks at 0 and 0.4 s were answered, that at 0.8 s was not.
    assert stopped.time == pytest.approx(0.4 + 10 / RATE, abs=0.021)


def test_an_exception_stops_the_arm_until_somebody_has_seen_it() -> None:
    world, broken = World(), True

    def decide(observation: float, command: np.ndarray) -> np.ndarray:
        if broken and observation > 0.3:
            raise ValueError("camera front gave no frame")
        return line(observation, command)

    controller = make(world, decide)
    commands = drive(world, controller, 2.0, 0.02)
    assert (np.diff(commands[-20:, 0]) == 0).all()
    last = controller.events[-1]
    assert (last.reason, last.detail) == ("failed", "ValueError: camera front gave no frame")
    asked = world.given
    broken = False
    drive(world, controller, 1.0, 0.02)
    assert world.given == asked
    controller.resume()
    drive(world, controller, 1.0, 0.02)
    assert controller.events[-1].reason == "moving"


def test_a_camera_that_fails_or_a_chunk_of_another_length_stops_the_arm_too() -> None:
    def gone() -> float:
        raise OSError("no such device")

    world = World()
    controller = make(world)
    controller.step(gone)
    controller.step(gone)
    assert controller.events[-1].detail == "OSError: no such device"
    world = World()
    controller = make(world, lambda *_: np.zeros((3, 2)))
    drive(world, controller, 0.5, 0.02)
    assert controller.events[-1].detail == "InputError: a chunk has 16 actions, got 3"


def test_numbers_that_are_not_finite_are_not_sent() -> None:
    world, bad = World(), False

    def decide(observation: float, command: np.ndarray) -> np.ndarray:
        return line(observation, command) * (np.nan if bad else 1)

    controller = make(world, decide)
    drive(world, controller, 0.6, 0.02)
    bad = True
    commands = drive(world, controller, 2.0, 0.02)
    assert np.isfinite(commands).all()
    assert controller.events[-1].reason == "not_finite"
    assert controller.execution.refused > 1
    bad = False
    drive(world, controller, 0.5, 0.02)
    assert controller.events[-1].reason == "moving"


def test_what_is_sent_keeps_the_limits_and_a_held_arm_brakes() -> None:
    world = World()
    limits = JointLimits(np.array([-5.0]), np.array([1.5]), np.array([1.2]), np.array([4.0]))
    controller = make(world, limits=limits)
    before = drive(world, controller, 0.6, 0.02)
    world.latency = 1e9
    after = drive(world, controller, 1.5, 0.02)
    speed = np.diff(np.concatenate([[0.0, 0.0], before[:, 0], after[:, 0]])) / 0.02
    assert (np.abs(speed) <= 1.2 + 1e-9).all()
    assert (np.abs(np.diff(speed)) <= 4.0 * 0.02 + 1e-9).all()
    assert after[-1, 0] == after[-20, 0] <= 1.5
    # The jump to where it should have been after the first decision.
    assert controller.clipped > 0


def test_a_thread_decides_while_control_goes_on() -> None:
    asked, answer = threading.Event(), threading.Event()

    def decide(observation: float, command: np.ndarray) -> np.ndarray:
        asked.set()
        assert answer.wait(20)
        return np.ones((HORIZON, 2))

    pace = Pace("asynchronous", HORIZON, 8)
    with Controller(decide, pace, 1e-3, 1e-3, np.zeros(2)) as controller:
        assert (controller.step(lambda: 0.0) == 0).all()
        assert asked.wait(20)
        # The policy is busy, and the loop gets its commands all the same.
        assert all((controller.step(lambda: 0.0) == 0).all() for _ in range(100))
        answer.set()
        deadline = time.monotonic() + 20
        while not controller.latencies and time.monotonic() < deadline:
            controller.step(lambda: 0.0)
        assert len(controller.latencies) == 1


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"rate and period must be positive, got 0 Hz and 0.02 s"):
        Controller(line, Pace("asynchronous", HORIZON, 8), 0, 0.02, np.zeros(2))
