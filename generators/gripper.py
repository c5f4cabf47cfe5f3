"""What a demo's gripper is meant to do, read off what it was told and what its fingers did.

Commands flicker, are recorded late, or are widths that were achieved rather than asked for. What the fingers did says
what was meant.
"""

from itertools import pairwise

import numpy as np

from generators.demos import Demo
from sim.transforms import Array

SHORTEST_PULSE = 3  # the gripper's command changes for at least this many steps, or it is chatter
_TURN = 0.2  # the gripper has turned back once its opening is this far off its last extreme
_MOVING = 0.02  # the fingers move if their opening changes by more than this in a step


def closed_gripper(demo: Demo) -> np.ndarray:
    """Whether the gripper is meant to be closed, (T,): as told, and no later than it did.

    Pulses too short for the fingers to follow are left out. A gripper that is never told anything but moves counts as
    told by what it does.
    """
    told = _at_last(without_pulses(_turned(demo.gripper), SHORTEST_PULSE), demo.gripper)
    moved = _at_last(without_pulses(_turned(demo.opening), SHORTEST_PULSE), demo.opening)
    if not edges_of(told) and edges_of(moved):
        told = moved.copy()
    # Where the fingers began to move, and whether they closed.
    turns = [(_onset(demo.opening, t), bool(moved[t])) for t in edges_of(moved)]
    edges = edges_of(told)
    for before, edge in zip([0, *edges], edges, strict=False):
        begun = [turn for turn in turns if turn[0] <= edge][-1:]
        if begun and begun[0][0] > before and begun[0][1] == told[edge]:
            told[max(before, begun[0][0] - 1) : edge] = told[edge]
    return told


def _at_last(closed: np.ndarray, opening: Array) -> np.ndarray:
    """A closed gripper (T,) from where it closes as far as it ever does: not while it is only set to a width."""
    closed = closed.copy()
    for start, end in stretches(closed):
        closed[start : start + int(np.argmax(opening[start:end] <= opening[start:end].min() + _TURN))] = False
    return closed


def _turned(opening: Array) -> np.ndarray:
    """Whether a gripper is closed, (T,): it is once it has closed by a fifth of its travel since it was widest open.

    And it is open again once it has opened by as much since it was closed furthest: so commands that are openings, and
    stop where the object stops them, are understood like those that are open or closed.
    """
    closed = np.zeros(len(opening), bool)
    state, extreme = bool(opening[0] < 0.5), float(opening[0])
    for t, value in enumerate(opening):
        extreme = min(extreme, value) if state else max(extreme, value)
        if abs(value - extreme) >= _TURN:
            state, extreme = not state, float(value)
        closed[t] = state
    return closed


def _onset(opening: Array, edge: int) -> int:
    """The step after which the fingers' motion that is known at step `edge` begins to show."""
    sign = np.sign(opening[edge] - opening[edge - 1])
    while edge > 1 and sign * (opening[edge - 1] - opening[edge - 2]) > _MOVING:
        edge -= 1
    return edge


def without_pulses(state: np.ndarray, shortest: int) -> np.ndarray:
    """A state (T,) without changes that last for fewer than `shortest` steps."""
    state = state.copy()
    for start, end in pairwise(edges_of(state)):
        if end - start < shortest:
            state[start:end] = state[start - 1]
    return state


def stretches(state: np.ndarray) -> list[tuple[int, int]]:
    """Where a state (T,) holds: [start, end) each."""
    edges = [t - 1 for t in edges_of(np.concatenate([[False], state, [False]]))]
    return list(zip(edges[::2], edges[1::2], strict=True))


def edges_of(state: np.ndarray) -> list[int]:
    """Steps at which a state (T,) is another than the step before."""
    return [int(t) for t in np.flatnonzero(state[1:] != state[:-1]) + 1]
