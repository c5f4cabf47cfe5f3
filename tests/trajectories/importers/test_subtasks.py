import numpy as np
import pytest

from handful import InputError
from trajectories.importers.subtasks import subtask_index


def signal(*rows):
    return np.array(rows, bool)


def test_the_next_subtask_begins_where_the_signal_of_the_one_before_rises():
    signals = {"grasp": signal(0, 0, 1, 1, 0, 0), "stack": signal(0, 0, 0, 0, 1, 1)}
    index = subtask_index(signals, ("grasp", "stack", "leave"), "it")
    assert (index.dtype, index.tolist()) == (np.int8, [0, 0, 1, 1, 2, 2])
    assert subtask_index(signals, ("grasp", "stack"), "it").tolist() == [0, 0, 1, 1, 1, 1]
    assert subtask_index(signals, ("all",), "it").tolist() == [0] * 6


def test_a_signal_that_was_true_before_its_turn_does_not_count():
    signals = {"a": signal(0, 0, 1, 0, 0), "b": signal(1, 0, 0, 0, 1)}
    assert subtask_index(signals, ("a", "b", "c"), "it").tolist() == [0, 0, 1, 1, 2]


def test_signals_that_do_not_fit_are_named():
    signals = {"a": signal(0, 1, 1), "b": signal(1, 0, 0)}
    with pytest.raises(InputError, match="it has no signal for subtask 'x'; it has: a, b"):
        subtask_index(signals, ("a", "x", "c"), "it")
    with pytest.raises(InputError, match="it never finishes subtask 'b' after step 1"):
        subtask_index(signals, ("a", "b", "c"), "it")
