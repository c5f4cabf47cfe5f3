"""How much of what could be drawn a set of scenes covers: each axis' values against its distribution."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenes.randomization.distributions import Choice, Distribution, Value
from scenes.randomization.drawing import values_of
from scenes.randomization.randomization import Randomization

# Stretches of equal probability that a range is cut into.
STRETCHES = 10


@dataclass(frozen=True)
class AxisCoverage:
    """One axis.

    Attributes:
        axis: its name.
        values: number of values looked at; an axis with a value per object has several of a scene.
        stretches: the range, cut into stretches that are equally likely, or each value of a choice: (low, high), or
            (value,).
        counts: how many values lie in each.
        outside: how many could not have been drawn.
    """

    axis: str
    values: int
    stretches: tuple[tuple[Value, ...], ...]
    counts: tuple[int, ...]
    outside: int

    @property
    def share(self) -> float:
        """The share of stretches that hold a value."""
        return sum(count > 0 for count in self.counts) / len(self.counts)

    @property
    def gaps(self) -> tuple[tuple[Value, ...], ...]:
        """Stretches without a value, neighbours joined: (low, high), or (value,)."""
        found: list[tuple[Value, ...]] = []
        for stretch, count in zip(self.stretches, self.counts, strict=True):
            if count:
                continue
            if found and len(stretch) == 2 and found[-1][-1] == stretch[0]:
                found[-1] = (found[-1][0], stretch[1])
            else:
                found.append(stretch)
        return tuple(found)

    def to_plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "axis": self.axis,
            "values": self.values,
            "share": self.share,
            "counts": list(self.counts),
            "gaps": [list(gap) for gap in self.gaps],
            "outside": self.outside,
        }


def coverage(ledgers: Iterable[Mapping[str, Any]], randomization: Randomization) -> list[AxisCoverage]:
    """Hold scenes' ledgers against what they could have been drawn from, for every axis of a scene that varies.

    Args:
        ledgers: of the scenes.
        randomization: what they were drawn from.
    """
    kept = list(ledgers)
    found = []
    for axis in randomization.varied:
        values = [value for ledger in kept for value in values_of(ledger, axis)]
        # Nothing of its kind in these worlds, or not drawn with the scene.
        if values:
            found.append(_axis(axis, values, randomization[axis]))
    return found


def _axis(axis: str, values: list[Value], drawn: Distribution) -> AxisCoverage:
    inside = [value for value in values if drawn.contains(value)]
    if isinstance(drawn, Choice):
        counts = tuple(sum(value == choice for value in inside) for choice in drawn.values)
        return AxisCoverage(axis, len(values), tuple((v,) for v in drawn.values), counts, len(values) - len(inside))
    edges = drawn.at(np.linspace(0.0, 1.0, STRETCHES + 1)).tolist()
    place = (drawn.share_below(np.array(inside, float)) * STRETCHES).astype(int).clip(0, STRETCHES - 1)
    counts = tuple(np.bincount(place, minlength=STRETCHES).tolist())
    stretches = tuple(itertools.pairwise(edges))
    return AxisCoverage(axis, len(values), stretches, counts, len(values) - len(inside))
