"""The pilot: some scenes made before the plan is fixed, to see which demos serve which subtask badly.

What they tell is part of the plan, so every chunk stays a pure function of the plan and its index. They are scenes of
their own, far behind all that a plan makes, so nothing is chosen by the scenes it is then counted in.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scenes.outcome import Outcome

# The pilot's first scene; no plan has so many.
FIRST_SCENE = 10**9
# A demo is put last where chance alone would make it fail as often as it did less often than this; of all demos of a
# subtask together (Bonferroni).
_BY_CHANCE = 0.05
# And is not used at all where it never served, tried so often.
_ENOUGH = 5


@dataclass(frozen=True)
class Pilot:
    """What the pilot tells of demos.

    Attributes:
        scenes: how many were made.
        served: per subtask and demo, how often the demo was followed.
        done: of these, how often the subtask was done.
    """

    scenes: int
    served: tuple[tuple[int, ...], ...]
    done: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]], subtasks: int, demos: int) -> "Pilot":
        """Count the records of scenes (docs/contracts.md: "Record of a scene"), in whatever order.

        A subtask was done if its try went on beyond it, or succeeded.
        """
        served, done = np.zeros((subtasks, demos), int), np.zeros((subtasks, demos), int)
        for trial in (trial for record in records for trial in record["tries"]):
            for k, demo in enumerate(trial["demos"], trial["start"]):
                if demo is not None:
                    served[k, demo] += 1
                    done[k, demo] += k < trial["subtask"] or trial["outcome"] == Outcome.SUCCESS.label
        return cls(len(records), _fixed(served.tolist()), _fixed(done.tolist()))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Pilot":
        """From what `to_plain` gave."""
        return cls(plain["scenes"], _fixed(plain["served"]), _fixed(plain["done"]))

    def to_plain(self) -> dict[str, Any]:
        """As JSON, for the plan."""
        counts = {"served": self.served, "done": self.done}
        return {"scenes": self.scenes, **{name: [list(row) for row in rows] for name, rows in counts.items()}}

    def judge(self, subtask: int, demos: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Which of the demos that can serve a subtask serve it badly, and which not at all.

        A demo serves badly that is done less often than the others together, by Fisher's exact test (Fisher 1934), and
        not at all if it then never was. Those that serve badly are found first, and the others held against each other.

        Args:
            subtask: its index.
            demos: their indices.

        Returns:
            (D,) whether each serves badly, and (D,) whether not at all. The latter are among the former, and never all.
        """
        served, done = (np.array(counts[subtask])[list(demos)] for counts in (self.served, self.done))
        bad = np.zeros(len(demos), bool)
        while True:
            # Those found so far say nothing of how well it can be done, or they would hide the next.
            rest = np.flatnonzero(~bad)
            tried, worked = int(served[rest].sum()), int(done[rest].sum())
            found = [
                i
                for i, s, d in zip(rest, served[rest].tolist(), done[rest].tolist(), strict=True)
                if less_often(d, s, worked - d, tried - s) < _BY_CHANCE / len(demos)
            ]
            if not found:
                return bad, bad & (done == 0) & (served >= _ENOUGH)
            bad[found] = True


def _fixed(rows: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in rows)


def pilot_of(plan: Mapping[str, Any]) -> Pilot | None:
    """The pilot that a plan of generation holds; None: there was none."""
    return Pilot.from_plain(plan["pilot"]) if "pilot" in plan else None


def less_often(successes: int, trials: int, other_successes: int, other_trials: int) -> float:
    """Fisher's exact test, one-sided: how likely at most so many of the successes fall to these trials by chance."""
    both, all_trials = successes + other_successes, trials + other_trials
    ways = sum(
        math.comb(both, k) * math.comb(all_trials - both, trials - k)
        for k in range(max(0, trials - (all_trials - both)), successes + 1)
    )
    return ways / math.comb(all_trials, trials)
