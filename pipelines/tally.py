"""What came of the scenes tried so far, in counts: of outcomes, of subtasks, and of the demos that served them.

Counts add up and take no more room the longer a run takes. A try counts for each subtask that it went through, and each
of these for the demo that served it: it was done if the try went on beyond it, or succeeded.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.statistics import wilson_interval

_SUCCESS = "success"


@dataclass
class Tally:
    """Counts over the records of scenes (docs/contracts.md: "Record of a scene")."""

    # Scenes, those kept, and those kept at their first try.
    scenes: int = 0
    kept: int = 0
    first: int = 0
    # Tries, and those that were refused and yet met the goal for a moment.
    tries: int = 0
    latched: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    # By index of the subtask: tries that came to it, those that did it, and how the others ended, (subtask, outcome).
    came: Counter[int] = field(default_factory=Counter)
    done: Counter[int] = field(default_factory=Counter)
    causes: Counter[tuple[int, str]] = field(default_factory=Counter)
    # By index of the demo: subtasks that it served, and those that were done.
    served: Counter[int] = field(default_factory=Counter)
    worked: Counter[int] = field(default_factory=Counter)

    def add(self, records: Sequence[Mapping[str, Any]], sign: int = 1) -> None:
        """Count records; with sign -1, take them back."""
        for record in records:
            attempts = record["attempts"]
            self.scenes += sign
            self.kept += sign * (record["outcome"] == _SUCCESS)
            self.first += sign * (attempts[0] == _SUCCESS)
            self.tries += sign * len(attempts)
            self.latched += sign * bool(record.get("latched"))
            self.outcomes[record["outcome"]] += sign
            for trial in record.get("tries", ()):
                self._add_try(trial, sign)
        for counts in (self.outcomes, self.causes):
            for key in [key for key, count in counts.items() if not count]:
                del counts[key]

    def _add_try(self, trial: Mapping[str, Any], sign: int) -> None:
        last, outcome = trial["subtask"], trial["outcome"]
        for subtask, demo in enumerate(trial["demos"], trial["start"]):
            did = subtask < last or outcome == _SUCCESS
            self.came[subtask] += sign
            self.done[subtask] += sign * did
            if demo is not None:
                self.served[demo] += sign
                self.worked[demo] += sign * did
        if outcome != _SUCCESS:
            self.causes[last, outcome] += sign

    def worst_demo(self) -> int | None:
        """The demo that fails most, by the upper end of the 95 % interval of its rate; None: nothing failed."""
        failing = [demo for demo, count in self.served.items() if self.worked[demo] < count]
        return min(failing, key=lambda demo: wilson_interval(self.worked[demo], self.served[demo])[1], default=None)

    def note(self, subtasks: Sequence[str]) -> str:
        """A few words: how often each subtask is done, and the worst demo."""
        parts = [f"{subtasks[k]} {_percent(self.done[k], self.came[k])}" for k in sorted(self.came) if self.came[k]]
        worst = self.worst_demo()
        if worst is not None:
            parts.append(f"worst source: demo {worst} {_percent(self.worked[worst], self.served[worst])}")
        return ", ".join(parts)

    def to_plain(self, subtasks: Sequence[str]) -> dict[str, Any]:
        """The counts as JSON types."""
        return {
            "subtasks": [
                {
                    "name": subtasks[k],
                    "tries": self.came[k],
                    "done": self.done[k],
                    "causes": {cause: n for (at, cause), n in sorted(self.causes.items()) if at == k},
                }
                for k in sorted(self.came)
                if self.came[k]
            ],
            "sources": [
                {"demo": demo, "served": self.served[demo], "done": self.worked[demo]} for demo in sorted(self.served)
            ],
            "worst_source": self.worst_demo(),
        }


def _percent(successes: int, trials: int) -> str:
    return f"{100 * successes / trials:.1f} % of {trials:,}"
