"""What a run folder holds, read for the report. A part that is absent is None and said to be missing, never made up.

generation.json              what `handful generate --json` printed
store/                       the generated store (or wherever generation.json's "store" says)
scenes.png                   contact sheet of drawn scenes; made from the store where it has images
training/log.jsonl           one object per line: "step", "loss", and now and then "validation" {source: loss}
training/checkpoint.json     the policy's configuration and what it was trained on
evaluation/results.json      {"results": [...]}, as `handful evaluate --json` prints
evaluation/videos/*.mp4      named by `video_name`
machine.json                 `pipelines.doctor.machine()`
commands.txt                 the commands that made the run, one per line
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handful import InputError, JobError
from trajectories.dataset import Dataset, open_dataset

_GENERATION_KEYS = ("attempts", "kept", "scenes", "first_try_rate", "seconds", "kept_per_hour")
_RESULT_KEYS = ("task", "domain", "successes", "episodes", "outcomes")


@dataclass(frozen=True)
class Run:
    """A run folder in memory, large files left where they are."""

    folder: Path
    generation: dict[str, Any] | None = None
    store: Dataset | None = None
    scenes_picture: Path | None = None
    training_log: list[dict[str, Any]] | None = None
    # The newest checkpoint's record: configuration, sources, versions.
    checkpoint: dict[str, Any] | None = None
    results: list[dict[str, Any]] | None = None
    videos: list[Path] = field(default_factory=list)
    machine: dict[str, Any] | None = None
    commands: list[str] | None = None


def video_name(domain: str, outcome: str, number: int = 0) -> str:
    """File name of an example rollout, e.g. "twin-dev-0_grasp_missed.mp4", further ones "..._2.mp4" and so on."""
    return f"{domain.replace('/', '-')}_{outcome}{f'_{number + 1}' if number else ''}.mp4"


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: no such folder, or nothing of a run in it.
        JobError: a file in it is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"no run folder at '{folder}'")
    generation = _read_object(folder / "generation.json")
    if generation is not None:
        _require(folder / "generation.json", generation, _GENERATION_KEYS)
    results_path = folder / "evaluation" / "results.json"
    results = _read_object(results_path)
    if results is not None:
        _require(results_path, results, ("results",))
        for row in results["results"]:
            _require(results_path, row, _RESULT_KEYS)
    picture, commands = folder / "scenes.png", folder / "commands.txt"
    run = Run(
        folder=folder,
        generation=generation,
        store=_open_store(folder, generation),
        scenes_picture=picture if picture.is_file() else None,
        training_log=_read_log(folder / "training" / "log.jsonl"),
        checkpoint=_read_checkpoint(folder / "training"),
        results=results["results"] if results is not None else None,
        videos=sorted((folder / "evaluation" / "videos").glob("*.mp4")),
        machine=_read_object(folder / "machine.json"),
        commands=commands.read_text(encoding="utf-8").split("\n") if commands.is_file() else None,
    )
    if (run.generation, run.store, run.training_log, run.checkpoint, run.results) == (None,) * 5:
        raise InputError(
            f"'{folder}' is no run folder: it has none of generation.json, store/, training/log.jsonl, "
            "training/checkpoint-*, evaluation/results.json"
        )
    return run


def _require(path: Path, record: Mapping[str, Any], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in record]
    if missing:
        raise JobError(f"'{path}' is damaged: it lacks {', '.join(missing)}")


def _open_store(folder: Path, generation: dict[str, Any] | None) -> Dataset | None:
    named = Path(str((generation or {}).get("store") or "store"))
    for path in (folder / "store", folder / named, folder / named.name, named):
        if (path / "zarr.json").is_file():
            return open_dataset(path)
    return None


def _read_checkpoint(training: Path) -> dict[str, Any] | None:
    found = sorted(training.glob("checkpoint-*/checkpoint.json"))
    return _read_object(found[-1]) if found else None


def _read_object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JobError(f"'{path}' is damaged: {error}") from error
    if not isinstance(value, dict):
        raise JobError(f"'{path}' is damaged: it holds a {type(value).__name__}, not an object")
    return value


def _read_log(path: Path) -> list[dict[str, Any]] | None:
    """The training log; a last line that was cut short by a stop is left out."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            records.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):  # it has no line end: whoever wrote it was stopped
                break
            raise JobError(f"'{path}', line {number} is damaged: {error}") from error
    return records
