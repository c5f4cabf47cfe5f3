"""The table of an evaluation: a row per rollout, written as they end, read again by whoever resumes or compares."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handful import JobError
from pipelines.metrics.success import stage_progress
from pipelines.statistics import wilson_interval
from policies.execution import REASONS
from scenes.outcome import Outcome
from trajectories.canonical import write_whole

TABLE = "episodes.jsonl"

# Columns of the control steps in which an arm was held, by reason.
HELD = tuple(f"held_{reason}" for reason in REASONS)


def read_table(path: Path) -> list[dict[str, Any]]:
    """The objects of a table, settings first; what follows the last line's end was cut short by a stop.

    Raises:
        JobError: a line is damaged.
    """
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [read_object(path, number, line) for number, line in enumerate(lines, 1)]


def read_object(path: Path, number: int, text: str) -> dict[str, Any]:
    """A JSON object that begins in a line of a file.

    Raises:
        JobError: it is none.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise JobError(f"'{path}', line {number}: not JSON ({error.msg}); the table is damaged") from error
    if not isinstance(value, dict):
        raise JobError(f"'{path}', line {number}: a JSON object was expected; the table is damaged")
    return value


class EpisodeTable:
    """The rollouts done so far, one JSON object per line: the settings first, then a row per episode.

    Args:
        path: the file; one that was begun with other settings is begun anew.
        settings: what decides a rollout's result besides its domain and scene.

    Raises:
        JobError: what is there is damaged, or has a rollout twice.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        read = read_table(path) if path.exists() else []
        same = bool(read) and read[0] == settings
        self.rows: list[dict[str, Any]] = read[1:] if same else []
        times = Counter((row["domain"], row["scene"]) for row in self.rows)
        for (domain, scene), count in times.items():
            if count > 1:
                raise JobError(
                    f"'{path}' has scene {scene} of {domain} {count} times; remove the file and evaluate again"
                )
        self._settings = settings
        self._write()

    def _write(self) -> None:
        lines = "".join(json.dumps(line) + "\n" for line in (self._settings, *self.rows))
        write_whole(self.path, lines.encode())

    def drop_others(self, domain: str, world: str) -> int:
        """Forget the rollouts in another world of a domain's name; returns how many there were."""
        kept = [row for row in self.rows if row["domain"] != domain or row["world"] == world]
        dropped = len(self.rows) - len(kept)
        if dropped:
            self.rows = kept
            self._write()
        return dropped

    def of(self, domain: str, episodes: int) -> list[dict[str, Any]]:
        """The rows of a domain's first scenes, in their order."""
        found = [row for row in self.rows if row["domain"] == domain and row["scene"] < episodes]
        return sorted(found, key=lambda row: int(row["scene"]))

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Append rows; all of them are on the disk afterwards."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
        self.rows += rows

    def write_csv(self) -> None:
        """Write the rows beside the table once more, as spreadsheets read them."""
        write_whole(self.path.with_suffix(".csv"), csv_text(self.rows).encode())


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of a table as spreadsheets read them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summary(domain: str, task: str, stages: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `results` say of the rollouts in one domain.

    Args:
        domain: its name.
        task: the task's name.
        stages: names of the task's stages, see `pipelines.measures`.
        rows: of the table, at least one.
    """
    outcomes = Counter(row["outcome"] for row in rows)
    successes, n = outcomes[Outcome.SUCCESS.label], len(rows)
    mean, shares = stage_progress([row["stage"] for row in rows], len(stages))
    return {
        "domain": domain,
        "world": rows[0].get("world"),
        "task": task,
        "successes": successes,
        "episodes": n,
        "rate": successes / n,
        "ci": list(wilson_interval(successes, n)),
        "outcomes": dict(outcomes),
        "progress": mean,
        # A share lies in [0, 1], so it varies at most as much as a coin of the same mean: an interval for that covers.
        "progress_ci": list(wilson_interval(mean * n, n)),
        "stages": {
            name: {"episodes": round(share * n), "ci": list(wilson_interval(round(share * n), n))}
            for name, share in zip(stages, shares, strict=True)
        },
        "asked": by_object(rows),
        "control": {name: sum(row.get(name, 0) for row in rows) for name in ("steps", "clipped", *HELD)},
    }


def by_object(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Object asked for -> successes, episodes and the interval of the rate, where that one was asked for."""
    found = {}
    for name in sorted({row["asked"] for row in rows}):
        done = [row["outcome"] == Outcome.SUCCESS.label for row in rows if row["asked"] == name]
        found[name] = {
            "successes": sum(done),
            "episodes": len(done),
            "ci": list(wilson_interval(sum(done), len(done))),
        }
    return found
