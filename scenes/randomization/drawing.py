"""How a scene draws its axes: each value from a number that only its stream, its axis and its element decide.

So another axis, another object or another range leaves every other value as it is. All numbers of a scene are made at
once; what a distribution does to them is laid out beforehand, once per randomisation and world.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from handful import keyed_uniform, name_salt
from scenes.randomization.axes import AXES, Per
from scenes.randomization.distributions import Choice, Fixed, LogUniform, Uniform, Value
from scenes.randomization.randomization import Randomization

# Group -> axis -> its value: one, one per element by name, or one per joint in order.
Ledger = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Elements:
    """What in a world has values of its own, by kind; the names decide which numbers they get."""

    names: tuple[tuple[Per, tuple[str, ...]], ...]

    def of(self, per: Per) -> tuple[str, ...]:
        """The elements of a kind, in order."""
        return ("",) if per == "scene" else dict(self.names)[per]


def draw(randomization: Randomization, elements: Elements, scene: int, appearance: int) -> Ledger:
    """Draw one scene's axes.

    Args:
        randomization: what to draw from.
        elements: what is in the scene's world.
        scene: key of the scene's stream, which physical axes are drawn from.
        appearance: key of its appearance stream, which all others are drawn from.

    Returns:
        Group -> axis -> value, JSON-able. Axes of the group "sensor" are not drawn here, and sparse ones are left out
        where nothing but their nominal value is drawn.
    """
    layout = _lay_out(randomization, elements)
    keys = np.where(layout.physical, np.uint64(scene), np.uint64(appearance))
    shares = keyed_uniform(keys, layout.salts)
    values = layout.start + shares * layout.extent
    values[layout.in_log] = np.exp(values[layout.in_log])
    numbers = np.clip(values, layout.low, layout.high).tolist()
    ledger: Ledger = {group: {} for group in layout.groups}
    for entry in layout.entries:
        drawn: list[Any] = numbers[entry.first : entry.last]
        if entry.choice is not None:
            drawn = [entry.choice.pick(share) for share in shares[entry.first : entry.last].tolist()]
        elif entry.fixed is not None:
            drawn = [entry.fixed] * (entry.last - entry.first)
        if entry.names is not None:
            ledger[entry.group][entry.axis] = dict(zip(entry.names, drawn, strict=True))
        else:
            ledger[entry.group][entry.axis] = drawn if entry.per_joint else drawn[0]
    return ledger


@dataclass(frozen=True)
class _Entry:
    """Where an axis' numbers stand in the row of all."""

    group: str
    axis: str
    first: int
    last: int
    names: tuple[str, ...] | None
    per_joint: bool
    choice: Choice | None
    fixed: Value | None


@dataclass(frozen=True, eq=False)
class _Layout:
    groups: tuple[str, ...]
    entries: tuple[_Entry, ...]
    salts: np.ndarray
    physical: np.ndarray
    start: np.ndarray
    extent: np.ndarray
    in_log: np.ndarray
    low: np.ndarray
    high: np.ndarray


@lru_cache(maxsize=64)
def _lay_out(randomization: Randomization, elements: Elements) -> _Layout:
    entries: list[_Entry] = []
    rows: list[tuple[float, ...]] = []
    salts: list[int] = []
    for axis in AXES.values():
        names, drawn = elements.of(axis.per), randomization[axis.name]
        if axis.group == "sensor" or (axis.sparse and drawn == Fixed(axis.nominal)):
            continue
        first = len(rows)
        row = (0.0, 0.0, False, 0.0, 0.0)
        if isinstance(drawn, Uniform):
            row = (drawn.low, drawn.high - drawn.low, False, drawn.low, drawn.high)
        elif isinstance(drawn, LogUniform):
            low, high = math.log(drawn.low), math.log(drawn.high)
            row = (low, high - low, True, drawn.low, drawn.high)
        for name in names:
            rows.append((*row, axis.group == "physics"))
            salts.append(name_salt(axis.name, name))
        single = axis.per in ("scene", "joint")
        choice = drawn if isinstance(drawn, Choice) else None
        fixed = drawn.value if isinstance(drawn, Fixed) else None
        by_name = None if single else names
        entries.append(_Entry(axis.group, axis.name, first, len(rows), by_name, axis.per == "joint", choice, fixed))
    start, extent, in_log, least, most, physical = np.array(rows, float).T
    return _Layout(
        groups=tuple(dict.fromkeys(entry.group for entry in entries)),
        entries=tuple(entries),
        salts=np.array(salts, np.uint64),
        physical=physical.astype(bool),
        start=start,
        extent=extent,
        in_log=in_log.astype(bool),
        low=least,
        high=most,
    )


def values_of(ledger: Mapping[str, Any], axis: str) -> list[Value]:
    """All values of an axis in a ledger, whatever they belong to; none where the ledger does not have it."""
    found = ledger.get(AXES[axis].group, {}).get(axis, [])
    if isinstance(found, Mapping):
        return list(found.values())
    return list(found) if isinstance(found, list) else [found]


def value_of(values: Mapping[str, Any], axis: str) -> Any:
    """An axis' value in one group of a ledger, which may go without those that are sparse: then it is nominal."""
    return values.get(axis, AXES[axis].nominal) if AXES[axis].sparse else values[axis]
