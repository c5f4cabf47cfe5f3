import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handful import InputError
from trajectories.mix import GRAIN, PERIOD, Mix, ScheduledMix


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(0, 3 * PERIOD),
    st.integers(1, 600),
)
def test_the_mix_counts_what_each_source_gave_before(weights, seed, first, count):
    mix = Mix([weight / sum(weights) for weight in weights], seed, (3,))
    source, position = mix.locate(first, count)
    whole, every = mix.locate(0, first + count)
    np.testing.assert_array_equal(source, whole[first:])
    np.testing.assert_array_equal(position, every[first:])
    for number in range(len(weights)):
        np.testing.assert_array_equal(every[whole == number], np.arange((whole == number).sum()))


def test_the_mix_is_even_and_exact_over_a_period():
    shares = [0.7, 0.25, 0.05]
    source, _ = Mix(shares, 0, ()).locate(5 * PERIOD, PERIOD)
    np.testing.assert_allclose(np.bincount(source) / PERIOD, shares, atol=1 / PERIOD)
    # Any 400 in a row: at most a few more or less than their share.
    given = np.cumsum(source[:, None] == np.arange(3), axis=0)
    assert np.abs(given[400:] - given[:-400] - 400 * np.array(shares)).max() < 10


def test_a_source_of_hardly_any_weight_is_not_forgotten():
    source, _ = Mix([1 - 1e-9, 1e-9], 0, ()).locate(0, PERIOD)
    assert np.bincount(source).tolist() == [PERIOD - 1, 1]


def test_too_many_sources_are_refused():
    with pytest.raises(InputError, match="at most 65536 sources, got 65537"):
        Mix([1 / 65537] * 65537, 0, ())


STARTS, ENDS = [0.9, 0.1, 0.0], [0.3, 0.1, 0.6]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3), st.integers(0, 200_000), st.integers(1, 600))
def test_a_schedule_counts_what_each_source_gave_before(seed, first, count):
    mix = ScheduledMix(STARTS, ENDS, (300, 90_000), seed, (3,))
    source, position = mix.locate(first, count)
    whole, every = mix.locate(0, first + count)
    np.testing.assert_array_equal(source, whole[first:])
    np.testing.assert_array_equal(position, every[first:])
    for number in range(3):
        np.testing.assert_array_equal(every[whole == number], np.arange((whole == number).sum()))


def test_a_schedule_gives_each_source_its_share_at_every_moment():
    windows = 100_000
    source, _ = ScheduledMix(STARTS, ENDS, (0, windows), 1, ()).locate(0, windows)
    # Oracle: the integral of a share that goes linearly from a to b.
    for begin in range(0, windows, 10_000):
        middle = (begin + 5_000) / windows
        expected = [10_000 * (a + (b - a) * middle) for a, b in zip(STARTS, ENDS, strict=True)]
        found = np.bincount(source[begin : begin + 10_000], minlength=3)
        assert np.abs(found - expected).max() < 12
    assert np.abs(np.bincount(source) / windows - (np.add(STARTS, ENDS) / 2)).max() < 2e-4


def test_past_the_schedule_the_last_shares_hold():
    mix = ScheduledMix(STARTS, ENDS, (0, 1000), 0, ())
    source, _ = mix.locate(40 * PERIOD, PERIOD)
    np.testing.assert_allclose(np.bincount(source) / PERIOD, ENDS, atol=1 / PERIOD)


def test_what_was_given_before_a_schedule_does_not_depend_on_it():
    early = ScheduledMix(STARTS, STARTS, (0, 1), 0, ()).locate(0, 640)
    planned = ScheduledMix(STARTS, ENDS, (640, 5000), 0, ()).locate(0, 640)
    np.testing.assert_array_equal(early, planned)
    assert 640 % GRAIN == 0


def test_a_schedule_that_goes_backwards_is_refused():
    with pytest.raises(InputError, match="from one window to a later one, got 5 and 5"):
        ScheduledMix(STARTS, ENDS, (5, 5), 0, ())
