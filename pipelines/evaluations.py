"""The folder that `handful evaluate` leaves, read again: who was evaluated how, and how each rollout ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError, JobError
from pipelines.episodes import TABLE, read_object, read_table

_ROW = ("domain", "task", "scene", "seed", "outcome")


@dataclass(frozen=True)
class Evaluation:
    """One policy's rollouts.

    Attributes:
        name: what it is called beside others; the folder's name unless that is taken.
        settings: what decided the rollouts: policy, task, seed, configuration, interface, versions.
        rows: per rollout: domain, task, scene, seed, outcome, and more.
        told: domain -> how many rollouts `results.json` counts; empty where the evaluation never came to its end.
        notes: what weakens the results, as the evaluation found.
        stopped: domains in which it ended as soon as a comparison was decided.
    """

    name: str
    settings: Mapping[str, Any]
    rows: list[dict[str, Any]]
    told: Mapping[str, int]
    notes: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()

    @property
    def domains(self) -> list[str]:
        """Names of the domains, in the order in which they were evaluated."""
        return list(dict.fromkeys(row["domain"] for row in self.rows))

    def successes(self, domain: str) -> dict[int, bool]:
        """Scene -> success, in the order of scenes."""
        found = {row["scene"]: row["outcome"] == "success" for row in self.rows if row["domain"] == domain}
        return dict(sorted(found.items()))

    def unfinished(self) -> list[str]:
        """A sentence for each domain whose rollouts are not all there."""
        flags = []
        for domain in self.domains:
            there, told = len(self.successes(domain)), self.told.get(domain)
            if told is None or there < told:
                said = "it never came to its end" if told is None else f"its results count {told:,}"
                flags.append(
                    f"{self.name} in {domain} has {there:,} rollouts and {said}; the same evaluate command resumes"
                )
        return flags


def read_evaluation(folder: Path, name: str | None = None) -> Evaluation:
    """Read an evaluation.

    Raises:
        InputError: there is none in the folder, or one of an older version, which says nothing of its settings.
        JobError: its table is damaged.
    """
    path = folder / TABLE
    if not path.is_file():
        raise InputError(f"'{folder}' holds no evaluation (episodes.jsonl); make one with: handful evaluate RUN --out")
    read = read_table(path)
    if not read or "policy" not in read[0]:
        raise InputError(
            f"'{path}' does not begin with the settings of its rollouts: an older version made it; evaluate again"
        )
    for number, row in enumerate(read[1:], 2):
        lacking = [key for key in _ROW if key not in row]
        if lacking:
            raise JobError(f"'{path}', line {number}: {', '.join(lacking)} missing; the table is damaged")
    if len(read) < 2:
        raise InputError(f"'{folder}' holds no rollouts yet; the same evaluate command resumes")
    results = folder / "results.json"
    said = read_object(results, 1, results.read_text("utf-8")) if results.is_file() else {}
    told = {row["domain"]: row["episodes"] for row in said.get("results", ())}
    return Evaluation(
        name or folder.name, read[0], read[1:], told, tuple(said.get("notes", ())), tuple(said.get("stopped", ()))
    )


def read_evaluations(folders: list[Path]) -> list[Evaluation]:
    """Read several, under names that tell them apart: as few last parts of their paths as it takes.

    Raises:
        InputError: a folder is given twice; or as `read_evaluation` says.
    """
    whole = [folder.resolve() for folder in folders]
    for place, folder in enumerate(whole):
        if folder in whole[:place]:
            raise InputError(f"'{folders[place]}' is given twice; compare it with another evaluation")
    longest = max(len(folder.parts) for folder in whole)
    names = ["/".join(folder.parts[-1:]) for folder in whole]
    for count in range(2, longest + 1):
        if len(set(names)) == len(names):
            break
        names = ["/".join(folder.parts[-count:]) for folder in whole]
    return [read_evaluation(folder, name) for folder, name in zip(folders, names, strict=True)]


def paired(a: Evaluation, b: Evaluation, domain: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Outcomes of two policies in the scenes of a domain that both met, in their order; None where seeds differ.

    Raises:
        InputError: the domain's name stood for another world when one of them was evaluated.
    """
    worlds = [{row.get("world") for row in each.rows if row["domain"] == domain} for each in (a, b)]
    if len(worlds[0] | worlds[1]) > 1:
        raise InputError(
            f"'{domain}' was another world when {a.name} was evaluated than for {b.name}; "
            "evaluate both with one version"
        )
    if a.settings["seed"] != b.settings["seed"]:
        return None
    first, second = a.successes(domain), b.successes(domain)
    shared = [scene for scene in first if scene in second]
    if not shared:
        return None
    return np.array([first[scene] for scene in shared]), np.array([second[scene] for scene in shared])
