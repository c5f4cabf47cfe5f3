from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.runs import Runs

_INTERVALS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 30)), min_size=1, max_size=20)


@settings(deadline=None, max_examples=100)
@given(_INTERVALS, st.integers(0, 10), st.integers(1, 40))
def test_runs_cover_intervals_and_what_is_bridged_between_them(intervals, gap, multiple):
    low = np.array([begin for begin, _ in intervals])
    high = np.array([begin + length for begin, length in intervals])
    runs = Runs.cover(low, high, gap)
    covered = np.concatenate([np.arange(*run) for run in zip(runs.low, runs.high, strict=True)])
    wanted = np.unique(np.concatenate([np.arange(*pair) for pair in zip(low, high, strict=True)]))
    between = [np.arange(a + 1, b) for a, b in pairwise(wanted) if 1 < b - a <= gap + 1]
    assert covered.tolist() == sorted([*wanted.tolist(), *(int(x) for hole in between for x in hole)])
    assert runs.rows == len(covered)
    np.testing.assert_array_equal(runs.positions(covered), np.arange(len(covered)))
    pieces = runs.pieces(multiple)
    assert [address for begin, end, _ in pieces for address in range(begin, end)] == covered.tolist()
    for begin, end, position in pieces:
        assert begin // multiple == (end - 1) // multiple
        assert runs.positions(np.array([begin]))[0] == position


def test_runs_of_nothing_are_empty():
    runs = Runs.cover(np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    assert (runs.rows, runs.pieces(8)) == (0, [])
