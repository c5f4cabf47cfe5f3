"""Limits of joint commands: what keeps them passes, what does not is followed as closely as it may be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handful import InputError
from policies.limits import JointLimits, Limiter

PERIOD = 0.05
LIMITS = JointLimits(np.array([-1.0, -2.0]), np.array([1.0, 0.5]), np.array([2.0, 1.0]), np.array([10.0, 5.0]))
ROW = np.array([0])


def run(limiter: Limiter, commands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    done = [limiter.follow(ROW, command[None]) for command in commands]
    return np.array([sent[0] for sent, _ in done]), np.array([clipped[0] for _, clipped in done])


def require_kept(sent: np.ndarray, start: np.ndarray) -> None:
    speed = np.diff(np.vstack([start, start, sent]), axis=0) / PERIOD
    assert (sent >= LIMITS.lower).all()
    assert (sent <= LIMITS.upper).all()
    assert (np.abs(speed) <= LIMITS.speed + 1e-9).all()
    assert (np.abs(np.diff(speed, axis=0)) / PERIOD <= LIMITS.acceleration + 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=40))
def test_whatever_is_asked_for_no_limit_is_broken(asked: list[tuple[float, float]]) -> None:
    start = np.zeros(2)
    sent, _ = run(Limiter(LIMITS, PERIOD, start[None]), np.array(asked))
    require_kept(sent, start)


def test_a_motion_within_the_limits_passes_to_the_bit() -> None:
    time = np.arange(1, 200) * PERIOD
    asked = np.stack([0.5 * np.sin(time) ** 3, 0.2 * np.sin(time) ** 3], 1)
    sent, clipped = run(Limiter(LIMITS, PERIOD, np.zeros((1, 2))), asked)
    assert not clipped.any()
    assert sent.tobytes() == asked.tobytes()


@pytest.mark.parametrize("goal", [(0.8, 0.4), (-0.9, -1.9), (0.04, 0.01)])
def test_a_jump_is_followed_to_its_end_without_swinging(goal: tuple[float, float]) -> None:
    sent, clipped = run(Limiter(LIMITS, PERIOD, np.zeros((1, 2))), np.tile(goal, (120, 1)))
    np.testing.assert_allclose(sent[-60:], np.tile(goal, (60, 1)), atol=1e-3)
    assert clipped[0]
    assert not clipped[-1]
    beyond = (np.sign(goal) * (sent - goal)).max(0)
    # Not further than a step's acceleration carries it.
    assert (beyond <= LIMITS.acceleration * PERIOD**2).all()


def test_a_limit_is_approached_and_kept_when_asked_to_pass_it() -> None:
    sent, clipped = run(Limiter(LIMITS, PERIOD, np.zeros((1, 2))), np.tile([5.0, 5.0], (100, 1)))
    np.testing.assert_allclose(sent[-1], LIMITS.upper, atol=1e-3)
    assert clipped.all()


def test_braking_stops_within_the_limits_and_stays() -> None:
    limiter = Limiter(LIMITS, PERIOD, np.zeros((1, 2)))
    moved, _ = run(limiter, np.arange(1, 6)[:, None] * np.array([0.02, 0.01]))
    stopped = np.array([limiter.brake(ROW)[0] for _ in range(20)])
    require_kept(np.vstack([moved, stopped]), np.zeros(2))
    assert (stopped[10:] == stopped[-1]).all()
    # From v, braking at a takes v^2 / 2a, and at most one period more.
    speed = np.array([0.4, 0.2])
    assert (stopped[-1] - moved[-1] <= speed**2 / (2 * LIMITS.acceleration) + speed * PERIOD).all()


def test_without_an_acceleration_only_place_and_speed_count() -> None:
    free = JointLimits(LIMITS.lower, LIMITS.upper, LIMITS.speed, np.full(2, np.inf))
    sent, _ = run(Limiter(free, PERIOD, np.zeros((1, 2))), np.array([[0.5, 0.5]] * 12))
    np.testing.assert_allclose(sent[:3, 0], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(sent[-1], [0.5, 0.5])
    assert (np.array([Limiter(free, PERIOD, np.zeros((1, 2))).brake(ROW)]) == 0).all()


def test_arms_do_not_meet() -> None:
    rng = np.random.default_rng(0)
    asked = rng.normal(size=(30, 3, 2))
    together = Limiter(LIMITS, PERIOD, np.zeros((3, 2)))
    both = np.array([together.follow(np.arange(3), command)[0] for command in asked])
    for arm in range(3):
        alone, _ = run(Limiter(LIMITS, PERIOD, np.zeros((1, 2))), asked[:, arm])
        assert alone.tobytes() == both[:, arm].copy().tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lower": np.zeros(3)}, "four arrays of one length"),
        ({"lower": np.array([2.0, 0.0])}, "joint 0: the lower limit must be below the upper one, got 2"),
        ({"speed": np.zeros(2)}, "the largest speed of every joint must be positive"),
        ({"acceleration": np.array([1.0, np.nan])}, "the largest acceleration of every joint must be positive"),
    ],
)
def test_limits_that_are_none_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        JointLimits(**{**vars(LIMITS), **change})


def test_a_period_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="period of commands must be positive, got 0"):
        Limiter(LIMITS, 0, np.zeros((1, 2)))
