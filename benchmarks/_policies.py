"""The policies of the study of predictivity: what each learns from, and its rollouts, made where they are missing."""

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._data import generated
from pipelines import rollouts, training
from pipelines.progress import Reporter
from scenes.domains import get_domain

SIMULATORS = ("none", "sim", "wide")
# The task that is learnt from nothing. Policies of others start from one that has learnt it for longer, by head.
FIRST = "lift"
_QUIET = Reporter(quiet=True)
# What is counted: episodes that succeeded, and those that came through the task's first stage, which tell policies
# apart where hardly one succeeds.
COUNTS = ("successes", "begun")


@dataclass(frozen=True)
class Policy:
    """One policy of the study: what it learns from, and how."""

    # What its data is drawn from.
    domain: str
    # Scenes that its data set tries.
    scenes: int
    head: str

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.domain}-{self.scenes}-{self.head}"


@dataclass(frozen=True)
class Size:
    """How large a study is."""

    policies: tuple[Policy, ...]
    twins: tuple[str, ...]
    preset: str
    # Training steps of each policy, and of those that others start from.
    steps: int
    base_steps: int
    # Rollouts of each policy in each simulator, and in each twin.
    sim_episodes: int
    twin_episodes: int


def _policies(scenes: Sequence[int], heads: Sequence[str]) -> tuple[Policy, ...]:
    return tuple(Policy(*each) for each in itertools.product(SIMULATORS, scenes, heads))


# Four mild twins, one medium and one severe.
_TWINS = tuple(f"twin/test-{number}" for number in (0, 3, 6, 9, 1, 2))
FULL = Size(_policies((64, 512), ("flow", "l1")), _TWINS, "small", 1400, 3700, 100, 50)
TOY = Size(_policies((2,), ("flow",)), ("twin/test-0",), "tiny", 2, 3, 1, 1)


class Study:
    """The cells of one task, made where they are missing.

    Args:
        folder: of the whole study.
        task: its name.
        size: what to make.
        deadline: no cell is begun after this moment of `time.monotonic`.
    """

    def __init__(self, folder: Path, task: str, size: Size, deadline: float) -> None:
        self.root, self.folder = folder, folder / task
        self.task, self.size, self.deadline = task, size, deadline

    def make(self, names: Sequence[str] = ()) -> int:
        """Make what is missing of all policies, or of those named; returns how many of all are left over."""
        left = 0
        for policy in self.size.policies:
            wanted = not names or policy.name in names
            if self.results(policy) is None and not (wanted and self._measured(policy)):
                left += 1
        return left

    def results(self, policy: Policy) -> dict[str, dict[str, int]] | None:
        """Domain -> "successes", "begun", "episodes"; None while the policy is not measured in all of them."""
        found: dict[str, dict[str, int]] = {}
        for part, domains, episodes in self._parts():
            path = self.folder / policy.name / part / "results.json"
            if not path.is_file():
                return None
            rows = json.loads(path.read_text())["results"]
            # What was measured in another world of the same name is measured again.
            rows = [row for row in rows if row.get("world") == get_domain(row["domain"]).world]
            found |= {row["domain"]: _counts(row) for row in rows}
            if any(domain not in found or found[domain]["episodes"] < episodes for domain in domains):
                return None
        return found

    def rows(self) -> Iterator[dict[str, Any]]:
        """The lines of `cells.csv`."""
        for policy in self.size.policies:
            for domain, counts in (self.results(policy) or {}).items():
                yield {"task": self.task, "policy": policy.name, "domain": domain, **counts}

    def _parts(self) -> list[tuple[str, tuple[str, ...], int]]:
        return [
            ("simulators", SIMULATORS, self.size.sim_episodes),
            ("twins", self.size.twins, self.size.twin_episodes),
        ]

    def _measured(self, policy: Policy) -> bool:
        """Training and rollouts; False where the sitting ended before the last of them."""
        run = self._trained(policy)
        if run is None:
            return False
        for part, domains, episodes in self._parts():
            if time.monotonic() > self.deadline:
                return False
            out = self.folder / policy.name / part
            # Untold, or a policy would be told of the domains that it was trained on and of no others.
            given = ["videos=0", "threads=1", "tell_domain=false"]
            rollouts.run(run, self.task, list(domains), episodes, out, 0, given, _QUIET)
        return True

    def _trained(self, policy: Policy) -> Path | None:
        """The run of a policy, with the data it learns from; None where the sitting ended before."""
        data = self._data(self.task, policy.domain, policy.scenes)
        base = None if self.task == FIRST else self._base(policy.head)
        if data is None or (base is None and self.task != FIRST) or time.monotonic() > self.deadline:
            return None
        run = self.folder / policy.name / "training"
        head = [f"model.head={policy.head}"] if base is None else []
        preset = self.size.preset if base is None else None
        training.run([str(data)], run, preset, None, self._budget(self.size.steps) + head, _QUIET, base=base)
        return run

    def _base(self, head: str) -> Path | None:
        """The run that policies of other tasks start from; None where the sitting ended before."""
        data = self._data(FIRST, "sim", max(policy.scenes for policy in self.size.policies))
        if data is None or time.monotonic() > self.deadline:
            return None
        run = self.root / f"base-{head}" / "training"
        budget = [*self._budget(self.size.base_steps), f"model.head={head}"]
        training.run([str(data)], run, self.size.preset, None, budget, _QUIET)
        return run

    def _data(self, task: str, domain: str, scenes: int) -> Path | None:
        """A data set; None where the sitting ended before."""
        if time.monotonic() > self.deadline:
            return None
        data = self.root / task / f"data-{domain}-{scenes}"
        generated(data, task, scenes, [f"domain={domain}"])
        return data

    def _budget(self, steps: int) -> list[str]:
        batches = ["batch_size=4", "checkpoints=1"] if self.size is TOY else ["batch_size=64"]
        return ["minutes=null", f"steps={steps}", "threads=1", *batches]


def _counts(row: Mapping[str, Any]) -> dict[str, int]:
    """What came of a policy's rollouts in one domain, of a line of an evaluation's results."""
    # Stages in order, the last of them success.
    first = next(iter(row["stages"].values()))
    return {"successes": row["successes"], "begun": first["episodes"], "episodes": row["episodes"]}
