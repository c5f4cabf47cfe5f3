"""Where objects started, and what came of it: cells over the reset distribution, kept over tried in each.

Selection by success thins data out where the robot fails, and a rate over all scenes does not say where that is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenes.placement import Region
from scenes.task import Task
from sim.transforms import Array

# Cells along x, y and yaw.
CELLS = (4, 4, 4)
# A cell's rate says something from so many scenes on.
_ENOUGH = 5
_AXES = ("x", "y", "yaw")


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells over all places where something may start.

    Attributes:
        low, high: (3,) ends along x, y [m] and yaw [rad].
        open: whether anything may start in a cell; its shape is `CELLS`, but 1 along what is the same in all scenes.
    """

    low: Array
    high: Array
    open: np.ndarray

    @classmethod
    def over(cls, regions: Sequence[Region]) -> "Grid":
        """The grid over one region, or over several of which any may be drawn from."""
        ends = np.array([[getattr(region, axis) for axis in _AXES] for region in regions])  # (regions, 3, 2)
        low, high = ends[..., 0].min(axis=0), ends[..., 1].max(axis=0)
        shape = tuple(n if high[i] > low[i] else 1 for i, n in enumerate(CELLS))
        grid = cls(low, high, np.zeros(shape, bool))
        for first, last in ends.transpose(0, 2, 1):
            start = np.minimum(np.floor(grid._along(first)), np.array(shape) - 1)
            stop = np.maximum(start + 1, np.ceil(grid._along(last)))
            grid.open[tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))] = True
        return grid

    def _along(self, place: Array) -> Array:
        """How many cells a place (3,) lies from the grid's low end, along each axis."""
        span = np.where(self.high > self.low, self.high - self.low, 1.0)
        # What is a rounding error short of an edge lies on it.
        return np.round((place - self.low) / span * self.open.shape, 9)

    def cell(self, place: Sequence[float]) -> tuple[int, ...]:
        """The cell of a place (x, y, yaw)."""
        inside = np.clip(np.floor(self._along(np.array(place))), 0, np.array(self.open.shape) - 1)
        return tuple(int(number) for number in inside)

    def ends(self, cell: Sequence[int]) -> dict[str, tuple[float, float]]:
        """What a cell spans along each axis, x, y [m] and yaw [rad]."""
        size = (self.high - self.low) / self.open.shape
        low = self.low + size * np.array(cell)
        return {axis: (float(a), float(b)) for axis, a, b in zip(_AXES, low, low + size, strict=True)}


@dataclass(frozen=True)
class Patch:
    """A part of the table: its ends in the base frame [m], and the scenes in which something started there."""

    x: tuple[float, float]
    y: tuple[float, float]
    kept: int
    tried: int


class Coverage:
    """Counts of scenes by where the object of each role started; of the roles whose place differs from scene to scene.

    Args:
        task: the task, with the level of its scenes.

    Attributes:
        grids: role -> cells.
        tried, kept: role -> how many scenes started in each cell, and how many of them gave an episode.
        recorded, unrecorded: scenes whose records say where things started, and others.
    """

    def __init__(self, task: Task) -> None:
        regions, casts = task.regions(), task.casts()
        grids = {role: Grid.over([regions[cast[role]] for cast in casts]) for role in casts[0]}
        self.grids = {role: grid for role, grid in grids.items() if grid.open.sum() > 1}
        self.tried = {role: np.zeros(grid.open.shape, int) for role, grid in self.grids.items()}
        self.kept = {role: np.zeros(grid.open.shape, int) for role, grid in self.grids.items()}
        self.recorded = self.unrecorded = 0

    def add(self, records: Sequence[Mapping[str, Any]], sign: int = 1) -> None:
        """Count records of scenes (docs/contracts.md: "Record of a scene"); with sign -1, take them back."""
        for record in records:
            starts = record.get("starts")
            if starts is None:
                self.unrecorded += sign
                continue
            self.recorded += sign
            for role, grid in self.grids.items():
                cell = grid.cell(starts[role])
                self.tried[role][cell] += sign
                self.kept[role][cell] += sign * (record["outcome"] == "success")

    def shares(self) -> dict[str, float]:
        """Role -> share of its cells from which an episode was kept; empty where no record tells."""
        if not self.recorded:
            return {}
        return {role: float((self.kept[role] > 0).sum() / grid.open.sum()) for role, grid in self.grids.items()}

    def lowest(self, role: str) -> tuple[int, ...] | None:
        """The cell with the lowest rate, of those with five scenes at least; None: there is none."""
        kept, tried = self.kept[role], self.tried[role]
        known = [tuple(map(int, cell)) for cell in np.argwhere(tried >= _ENOUGH)]
        return min(known, key=lambda cell: (kept[cell] / tried[cell], -tried[cell]), default=None)

    def patches(self, role: str) -> list[Patch]:
        """The table seen from above, whatever the yaw."""
        grid, found = self.grids[role], []
        for i, j in np.argwhere(grid.open.any(axis=2)):
            ends = grid.ends((i, j, 0))
            kept, tried = (int(counts[role][i, j].sum()) for counts in (self.kept, self.tried))
            found.append(Patch(ends["x"], ends["y"], kept, tried))
        return found

    def to_plain(self, rates: bool = True) -> dict[str, Any]:
        """As JSON: `unrecorded` scenes; by role `cells`, those `tried` and `kept`, `share`, and the `lowest` cell.

        Args:
            rates: whether the records are of all scenes; else there is no lowest rate.
        """
        shares = self.shares()
        return {"unrecorded": self.unrecorded, "roles": {role: self._of(role, shares[role], rates) for role in shares}}

    def _of(self, role: str, share: float, rates: bool) -> dict[str, Any]:
        lowest = self.lowest(role) if rates else None
        cell: dict[str, Any] | None = None
        if lowest is not None:
            counts = {"kept": int(self.kept[role][lowest]), "tried": int(self.tried[role][lowest])}
            cell = {axis: list(ends) for axis, ends in self.grids[role].ends(lowest).items()} | counts
        return {
            "cells": int(self.grids[role].open.sum()),
            "tried": int((self.tried[role] > 0).sum()),
            "kept": int((self.kept[role] > 0).sum()),
            "share": share,
            "lowest": cell,
        }


def start_of(pose: Sequence[float]) -> list[float]:
    """A pose (7,) as a record has it: x, y [m] and the turn about the vertical [rad], to a tenth of a milli."""
    x, y, _, qw, qx, qy, qz = pose
    yaw = math.atan2(2 * (qw * qz + qx * qy), 1 - 2 * (qy * qy + qz * qz))
    return [round(value, 4) for value in (x, y, yaw)]
