"""What a run folder holds, read for the report. A part that is absent is None and said to be missing, never made up.

generation.json              what `handful generate --json` printed
store/                       the generated store (or wherever generation.json's "store" says)
scenes.png                   contact sheet of drawn scenes; made from the store where it has images
training/log.jsonl           one object per line: "step", "loss", and now and then "validation" {source: loss}
training/checkpoint.json     the policy's configuration and what it was trained on
evaluation/results.json      {"results": [...]}, as `handful evaluate --json` prints
evaluation/videos/*.mp4      named by `video_name`
evaluation/episodes.jsonl    the settings, then a row per rollout
evaluation/robustness.json   where it was a suite
agreement.json               what `handful agreement --json` printed
machine.json                 `pipelines.doctor.machine()`
commands.txt                 the commands that made the run, one per line

Other evaluations lie in folders of any name beside `evaluation`; or the folder is itself one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handful import InputError, JobError
from pipelines.episodes import TABLE, read_table
from trajectories.dataset import Dataset, open_dataset

_GENERATION_KEYS = ("attempts", "kept", "scenes", "first_try_rate", "seconds", "kept_per_hour")
_AGREEMENT_KEYS = ("mmrv", "pearson", "spearman", "kendall", "policies", "flags")
_UNFINISHED = "this evaluation never came to its end: results.json is missing; the same evaluate command resumes"
_RESULT_KEYS = ("task", "domain", "successes", "episodes", "outcomes")


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left.

    Attributes:
        name: its folder, relative to the run's.
        results: one per domain, or per condition of a suite; none where it never came to its end.
        rows: of the table of episodes; none where there is no table.
        notes: what weakens the results.
        settings: what decided the rollouts.
        robustness: what the suite found, where it was one.
        videos: examples.
    """

    name: str
    results: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    notes: tuple[str, ...]
    settings: dict[str, Any]
    robustness: dict[str, Any] | None
    videos: list[Path]


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
    evaluations: list[Evaluated] = field(default_factory=list)
    agreement: dict[str, Any] | None = None
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
    agreement = _read_object(folder / "agreement.json")
    if agreement is not None:
        _require(folder / "agreement.json", agreement, _AGREEMENT_KEYS)
    picture, commands = folder / "scenes.png", folder / "commands.txt"
    run = Run(
        folder=folder,
        generation=generation,
        store=_open_store(folder, generation),
        scenes_picture=picture if picture.is_file() else None,
        training_log=_read_log(folder / "training" / "log.jsonl"),
        checkpoint=_read_checkpoint(folder / "training"),
        evaluations=[_read_evaluation(folder, path) for path in _evaluation_folders(folder)],
        agreement=agreement,
        machine=_read_object(folder / "machine.json"),
        commands=commands.read_text(encoding="utf-8").split("\n") if commands.is_file() else None,
    )
    parts = (run.generation, run.store, run.training_log, run.checkpoint, run.agreement)
    if parts == (None,) * 5 and not run.evaluations:
        raise InputError(
            f"'{folder}' is no run folder: it has none of generation.json, store/, training/log.jsonl, "
            "training/checkpoint-*, evaluation/results.json, agreement.json"
        )
    return run


def _evaluation_folders(folder: Path) -> list[Path]:
    """The folder itself, `evaluation`, then others by name; two of a duel lie one deeper."""
    first = [folder, folder / "evaluation"]
    others = sorted(path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{TABLE}"))
    wanted = ("results.json", TABLE, "videos")
    return [path for path in dict.fromkeys([*first, *others]) if any((path / name).exists() for name in wanted)]


def _read_evaluation(folder: Path, path: Path) -> Evaluated:
    results = _read_object(path / "results.json")
    if results is None:
        results = {"results": [], "notes": [_UNFINISHED]}
    _require(path / "results.json", results, ("results",))
    for row in results["results"]:
        _require(path / "results.json", row, _RESULT_KEYS)
    lines = read_table(path / TABLE) if (path / TABLE).is_file() else []
    return Evaluated(
        name=str(path.relative_to(folder)) if path != folder else path.resolve().name,
        results=results["results"],
        rows=lines[1:],
        notes=tuple(results.get("notes", ())),
        settings=lines[0] if lines else {},
        robustness=_read_object(path / "robustness.json"),
        videos=sorted((path / "videos").glob("*.mp4")),
    )


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
