"""The search for a path: candidates are tried best first, many scenes in one batch, until the arm can follow one."""

from itertools import product

import numpy as np

from generators.crossing import crossed, extra_wait, paced
from generators.demos import Demo
from generators.library import Candidate
from generators.options import PlanOptions
from generators.planning import Layout, Path, follow, lay_out
from generators.screening import is_clear
from generators.situations import Situation
from sim.embodiment import Embodiment
from sim.transforms import Array

# Candidates are screened in rounds of one per scene; after this many the subtask counts as unreachable.
_SCREENED = 16


class Search:
    """Finds paths for many scenes at once.

    Args:
        robot: who is to follow them.
        demos: the seed demonstrations, by index.
        options: how to plan.
        rate: control rate [Hz].
    """

    def __init__(self, robot: Embodiment, demos: list[Demo], options: PlanOptions, rate: float) -> None:
        self._robot, self._demos, self._options, self._rate = robot, demos, options, rate

    def paths(self, situations: list[Situation], queues: list[list[Candidate]]) -> list[Path | None]:
        """A path per scene; None where no candidate can be followed.

        Args:
            situations: where each scene stands.
            queues: per scene its candidates, best first.
        """
        plan = self._options
        paths: list[Path | None] = [None] * len(situations)
        # What the arm can follow at the demo's speed comes first, then what it can follow more slowly.
        turns = product((False, True), range(_SCREENED)) if plan.screening else [(False, 0)]
        for slowly, turn in turns:
            rows = [row for row, path in enumerate(paths) if path is None and turn < len(queues[row])]
            laid = {row: lay_out(queues[row][turn], situations[row], plan) for row in rows}
            if plan.screening:
                laid = {
                    row: layout
                    for row, layout in laid.items()
                    if is_clear(layout.tool, layout.gripper, situations[row], plan)
                }
            if laid:
                self._follow(laid, situations, paths, slowly)
        return paths

    def _follow(
        self, laid: dict[int, Layout], situations: list[Situation], paths: list[Path | None], slowly: bool
    ) -> None:
        """Turn layouts into paths where the arm can follow them, at their own speed or more slowly."""
        own = {row: layout.guess for row, layout in laid.items() if layout.guess is not None}
        if own:
            chain, rate, guesses = self._robot.chain, self._rate, list(own.values())
            layouts, commands = [laid[row] for row in own], np.stack([situations[row].command for row in own])
            if slowly:
                starts = [situations[row].tool for row in own]
                layouts, joints, feasible = paced(chain, layouts, guesses, starts, commands, rate)
            else:
                joints, feasible = follow(chain, [layout.tool for layout in layouts], guesses, commands, rate)
            self._take(dict(zip(own, layouts, strict=True)), joints, feasible, paths)
        others = [row for row in laid if row not in own]
        if others and not slowly:  # crossing slows down by itself
            self._cross({row: laid[row] for row in others}, situations, paths)

    def _cross(self, laid: dict[int, Layout], situations: list[Situation], paths: list[Path | None]) -> None:
        """The same, for layouts of another robot's demos."""
        robot, rate = self._robot, self._rate
        layouts, joints, feasible = crossed(
            robot,
            list(laid.values()),
            [situations[row].tool for row in laid],
            [extra_wait(self._demos[layout.demo[-1]], robot, rate) for layout in laid.values()],
            np.stack([situations[row].command for row in laid]),
            rate,
        )
        self._take(dict(zip(laid, layouts, strict=True)), joints, feasible, paths)

    def _take(
        self, laid: dict[int, Layout], joints: list[Array], feasible: np.ndarray, paths: list[Path | None]
    ) -> None:
        for (row, layout), path, ok in zip(laid.items(), joints, feasible, strict=True):
            if ok or not self._options.screening:
                paths[row] = Path(path, layout.tool, layout.gripper, layout.demo, layout.step, layout.away)
