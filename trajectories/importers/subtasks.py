"""Which subtask is under way, from the signals that a recording has for the end of each."""

from collections.abc import Mapping, Sequence

import numpy as np

from handful import InputError


def subtask_index(signals: Mapping[str, np.ndarray], subtasks: Sequence[str], where: str) -> np.ndarray:
    """Index of the subtask at each step: the next one begins where the signal of the one before rises.

    Args:
        signals: name -> (T,) bool; at least one. A signal may fall again later.
        subtasks: names in order; all but the last need a signal.
        where: names the recording in errors.

    Returns:
        (T,) int8.

    Raises:
        InputError: a signal is missing, or never rises after the one before.
    """
    index = np.zeros(len(next(iter(signals.values()))), np.int8)
    begin = 0
    for name in subtasks[:-1]:
        if name not in signals:
            raise InputError(f"{where} has no signal for subtask '{name}'; it has: {', '.join(signals)}")
        later = np.flatnonzero(signals[name][begin:])
        if not len(later):
            raise InputError(f"{where} never finishes subtask '{name}' after step {begin}")
        begin += int(later[0])
        index[begin:] += 1
    return index
