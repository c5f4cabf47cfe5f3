"""Chunks that cannot be made whole: which of their scenes is to blame, and what is made without it.

A chunk whose every try was lost is narrowed down. Its scenes are made alone first, only to see which can be; then the
chunk is made of those, one after another, and each of the others leaves a record with the reason. As a scene comes out
the same in any company, only what hangs, crashes or fails is lost, and the next run of the same command tries just that
again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from handful import JobError
from pipelines.faults import Failure
from trajectories.manifest import QUARANTINED


@dataclass(frozen=True)
class Narrowed:
    """How a chunk is made otherwise than as a whole: its scenes one after another."""

    scenes: tuple[int, ...]
    # Scenes that are left out, each with the reason.
    lost: tuple[tuple[int, str], ...] = ()
    # Whether what comes out is stored.
    kept: bool = True
    # Whether a part that lacks more of the scenes makes room for it.
    again: bool = False


@dataclass(frozen=True)
class Step:
    """What a task of a narrowed chunk is for; also its key in a queue."""

    chunk: int
    kind: Literal["look", "rest", "nothing"]
    scene: int = -1


Task = tuple[Step, Narrowed]


@dataclass
class _Case:
    scenes: Sequence[int]
    # Scenes that are being looked at.
    open: set[int]
    lost: dict[int, str] = field(default_factory=dict)
    # What the part that was committed by an earlier run lacks.
    lacking: frozenset[int] = frozenset()


class Quarantine:
    """The chunks of a run that could not be made whole."""

    def __init__(self) -> None:
        self._cases: dict[int, _Case] = {}

    def narrow(self, chunk: int, scenes: Sequence[int]) -> list[Task]:
        """What to do about a chunk that was given up: look at each of its scenes."""
        self._cases[chunk] = _Case(scenes, set(scenes))
        return [_look(chunk, scene) for scene in scenes]

    def reopen(self, chunk: int, scenes: Sequence[int], lacking: Sequence[int]) -> list[Task]:
        """What to do about a chunk that an earlier run stored without some scenes: look at these again."""
        self._cases[chunk] = _Case(scenes, set(lacking), lacking=frozenset(lacking))
        return [_look(chunk, scene) for scene in lacking]

    def after(self, step: Step, failure: Failure | None) -> list[Task]:
        """What to do once a step is done.

        Raises:
            JobError: not even the record of a lost chunk could be stored.
        """
        case = self._cases[step.chunk]
        if step.kind == "nothing" and failure is not None:
            raise JobError(f"chunk {step.chunk} cannot be stored: {failure}")
        if step.kind == "look":
            case.open.discard(step.scene)
            if failure is not None:
                case.lost[step.scene] = str(failure)
            if case.open or (case.lacking and case.lost.keys() == case.lacking):
                return []
            return [self._rest(step.chunk, case)]
        if failure is None or case.lacking:  # what is stored stays
            return []
        reason = f"each scene of its chunk passed alone, but not one after another: {failure}"
        everything = tuple((scene, case.lost.get(scene, reason)) for scene in case.scenes)
        return [(Step(step.chunk, "nothing"), Narrowed((), everything))]

    @staticmethod
    def _rest(chunk: int, case: _Case) -> Task:
        left = tuple(scene for scene in case.scenes if scene not in case.lost)
        lost = tuple(sorted(case.lost.items()))
        return Step(chunk, "rest" if left else "nothing"), Narrowed(left, lost, again=bool(case.lacking))


def _look(chunk: int, scene: int) -> Task:
    return Step(chunk, "look", scene), Narrowed((scene,), kept=False)


def record_of(scene: int, reason: str) -> dict[str, Any]:
    """The record of a scene that was left out."""
    trial = {"start": 0, "subtask": 0, "outcome": QUARANTINED, "demos": [None], "latched": False}
    return {
        "scene": scene,
        "outcome": QUARANTINED,
        "attempts": [QUARANTINED],
        "tries": [trial],
        "steps": 0,
        "simulated": 0,
        "latched": False,
        "reason": reason,
    }


def lacking(records: Sequence[Mapping[str, Any]]) -> list[int]:
    """The scenes that were left out, of the records of a part."""
    return [record["scene"] for record in records if record["outcome"] == QUARANTINED]
