"""The search for a path: candidates are looked at best first, many scenes in one batch, until the arm can follow one.

A look is cheap: clearances, then the arm at a few key poses. Only what passes is solved at every step.
"""

import itertools

import numpy as np

from generators.crossing import SLOWEST, crossed, extra_wait, paced
from generators.demos import Demo
from generators.execution import MotionNoise
from generators.library import Candidate
from generators.options import PlanOptions
from generators.planning import Layout, Path, follow, glance, lay_out
from generators.screening import elbow_room, room
from generators.situations import Situation
from generators.warping import warped
from sim.embodiment import Embodiment
from sim.limbs import Limbs
from sim.transforms import Array

# Candidates are looked at in rounds, from one of these numbers to the next; after the last there is none left.
_ROUNDS = (0, 1, 3, 7, 16)
# How far the tool moves when all joints are off by one standard deviation of the motion noise [m/rad].
_LEVER = 1.0


class Search:
    """Finds paths for many scenes at once.

    Args:
        robot: who is to follow them.
        limbs: the robot's outline.
        demos: the seed demonstrations, by index.
        options: how to plan.
        noise: the motion noise that paths must leave room for.
        rate: control rate [Hz].
    """

    def __init__(
        self,
        robot: Embodiment,
        limbs: Limbs,
        demos: list[Demo],
        options: PlanOptions,
        noise: MotionNoise,
        rate: float,
    ) -> None:
        self._robot, self._limbs, self._demos, self._options, self._rate = robot, limbs, demos, options, rate
        # By how much the tool may be off, by control steps from where room is scarce [m].
        self._sway = _LEVER * noise.std * np.array([noise.loudness(distance) for distance in range(noise.loud + 1)])

    def paths(self, situations: list[Situation], queues: list[list[Candidate]]) -> list[Path | None]:
        """A path per scene; None where no candidate can be followed.

        What leaves room with ease comes first: what the arm can follow at the demo's speed, then what it can follow
        more slowly. Then what just leaves room. Of each it is the best candidate. A scene's path does not depend on the
        others.

        Args:
            situations: where each scene stands.
            queues: per scene its candidates, best first.
        """
        paths: list[Path | None] = [None] * len(situations)
        glances: dict[Layout, Array] = {}
        slow: list[list[Layout]] = [[] for _ in situations]
        tight: list[list[Layout]] = [[] for _ in situations]
        rounds = [itertools.pairwise(_ROUNDS if self._options.screening else (0, 1)) for _ in situations]
        while True:
            laid: dict[int, list[Layout]] = {}
            for row in (row for row, path in enumerate(paths) if path is None):
                # Before the arm is asked for any scene, each gets to a round in which there is something to ask.
                for first, last in rounds[row]:
                    easy, narrow = self._roomy(queues[row][first:last], situations[row])
                    tight[row] += narrow
                    if easy:
                        laid[row] = easy
                        break
            if not laid:
                break
            for row, late in self._look(laid, situations, glances).items():
                slow[row] += late
            for row, late in self._settle(laid, situations, paths, slowly=False, glances=glances).items():
                slow[row] += late
        for left, slowly in ((slow, True), (tight, False), (tight, True)):
            self._settle({row: left[row] for row, path in enumerate(paths) if path is None}, situations, paths, slowly)
        return paths

    def _roomy(self, candidates: list[Candidate], situation: Situation) -> tuple[list[Layout], list[Layout]]:
        """Layouts of those candidates that leave room with ease, and of those that just do."""
        plan = self._options
        layouts = [warped(lay_out(candidate, situation, plan), plan.time_warp) for candidate in candidates]
        if not plan.screening:
            return layouts, []
        easy: list[Layout] = []
        tight: list[Layout] = []
        for layout in layouts:
            sway = self._sway[np.minimum(layout.away, len(self._sway) - 1)]
            hard, ease = room(layout.tool, layout.gripper, layout.event, layout.met, sway, situation, plan)
            if hard >= 0.0:
                (easy if ease >= 0.0 else tight).append(layout)
        return easy, tight

    def _look(
        self, laid: dict[int, list[Layout]], situations: list[Situation], glances: dict[Layout, Array]
    ) -> dict[int, list[Layout]]:
        """Leave in `laid` what the arm may be able to follow as it is; returns what it may follow more slowly.

        What was found is noted in `glances`.
        """
        late: dict[int, list[Layout]] = {}
        # Where another robot's demos lead, the arm has to find out as it goes.
        every = [(row, x, x.guess) for row, layouts in laid.items() for x in layouts if x.guess is not None]
        if not every or not self._options.screening:
            return late
        excess, found = glance(
            self._robot.chain,
            [layout.tool for _, layout, _ in every],
            [guess for _, _, guess in every],
            np.stack([situations[row].command for row, _, _ in every]),
            self._rate,
        )
        glances.update(zip((layout for _, layout, _ in every), found, strict=True))
        for (row, layout, _), times in zip(every, excess, strict=True):
            if times > 1.0:
                laid[row].remove(layout)
                if times <= SLOWEST:
                    late.setdefault(row, []).append(layout)
        return late

    def _settle(
        self,
        laid: dict[int, list[Layout]],
        situations: list[Situation],
        paths: list[Path | None],
        slowly: bool,
        glances: dict[Layout, Array] | None = None,
    ) -> dict[int, list[Layout]]:
        """Give each scene the first of its layouts that the arm can follow; returns those tried in vain."""
        failed: dict[int, list[Layout]] = {}
        for turn in itertools.count():
            heads = {row: layouts[turn] for row, layouts in laid.items() if paths[row] is None and turn < len(layouts)}
            if not heads:
                return failed
            self._follow(heads, situations, paths, slowly, glances)
            for row, layout in heads.items():
                if paths[row] is None:
                    failed.setdefault(row, []).append(layout)
        raise AssertionError("itertools.count has no end")

    def _follow(
        self,
        laid: dict[int, Layout],
        situations: list[Situation],
        paths: list[Path | None],
        slowly: bool,
        glances: dict[Layout, Array] | None,
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
                found = [glances[layout] for layout in layouts] if glances else None
                joints, feasible = follow(chain, [layout.tool for layout in layouts], guesses, commands, rate, found)
            self._take(dict(zip(own, layouts, strict=True)), joints, feasible, situations, paths)
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
        self._take(dict(zip(laid, layouts, strict=True)), joints, feasible, situations, paths)

    def _take(
        self,
        laid: dict[int, Layout],
        joints: list[Array],
        feasible: np.ndarray,
        situations: list[Situation],
        paths: list[Path | None],
    ) -> None:
        for (row, layout), path, ok in zip(laid.items(), joints, feasible, strict=True):
            if not self._options.screening or (ok and elbow_room(path, situations[row], self._limbs)):
                paths[row] = Path(path, layout.tool, layout.gripper, layout.demo, layout.step, layout.away)
