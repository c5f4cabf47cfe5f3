"""Checkpoints on the disk: folders of safetensors and one JSON, each either whole or absent.

    RUN/checkpoint-00002000/checkpoint.json        the policy's configuration, words, statistics, sources, digests
    RUN/checkpoint-00002000/ema.safetensors        averaged weights: the policy
    RUN/checkpoint-00002000/weights.safetensors    weights under training
    RUN/checkpoint-00002000/optimizer.safetensors  the optimiser's moments

    RUN/chosen-00001500/                           checkpoint.json and ema.safetensors of the one that is the policy,
                                                   where it is chosen by evaluations

Only the newest is kept, and beside it the chosen one. A folder is filled under a temporary name and renamed, so an
interrupted run leaves the last good one. Nothing here can run code when read.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from handful import InputError, JobError
from trajectories.canonical import canonical_json, disk_errors, file_sha256, sync_to_disk, write_whole
from trajectories.staging import staging_path, sweep

FORMAT_VERSION = 2
_PREFIX = "checkpoint-"
_CHOSEN = "chosen-"


def latest(run: Path) -> Path | None:
    """The newest checkpoint of a run, which it goes on from, or None."""
    return _newest(run, _PREFIX)


def of_policy(run: Path) -> Path | None:
    """The checkpoint of a run that is its policy: the chosen one, else the newest; None where there is none."""
    return _newest(run, _CHOSEN) or _newest(run, _PREFIX)


def save(run: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], record: Mapping[str, Any]) -> Path:
    """Write one checkpoint and remove the older ones.

    Args:
        run: the run's folder.
        step: training steps done.
        tensors: file name without ending -> name -> tensor.
        record: the JSON; the files' digests are added.

    Raises:
        JobError: the disk is full or not writable.
    """
    target = _write(run, f"{_PREFIX}{step:08d}", step, tensors, record)
    _remove(run, _PREFIX, target)
    return target


def save_chosen(run: Path, step: int, weights: Mapping[str, Tensor], record: Mapping[str, Any]) -> Path:
    """Write the averaged weights of one step as the policy; those chosen before stay until `keep_chosen`.

    Raises:
        JobError: the disk is full or not writable.
    """
    return _write(run, f"{_CHOSEN}{step:08d}", step, {"ema": weights}, record)


def keep_chosen(run: Path, step: int | None, choice: Mapping[str, Any] | None) -> None:
    """Remove all chosen checkpoints but the one of a step, and let that one say why it is the one."""
    target = run / f"{_CHOSEN}{step:08d}" if step is not None else None
    _remove(run, _CHOSEN, target)
    if target is not None and target.exists():
        record = {**read_record(target), "choice": choice}
        write_whole(target / "checkpoint.json", _json(record))


def _newest(run: Path, prefix: str) -> Path | None:
    found = [path for path in run.glob(prefix + "*") if (path / "checkpoint.json").is_file()]
    return max(found, key=lambda path: path.name, default=None)


def _remove(run: Path, prefix: str, kept: Path | None) -> None:
    with disk_errors(f"run folder '{run}'"):
        for old in run.glob(prefix + "*"):
            if old != kept:
                shutil.rmtree(old)


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def _write(
    run: Path, name: str, step: int, tensors: Mapping[str, Mapping[str, Tensor]], record: Mapping[str, Any]
) -> Path:
    target = run / name
    with disk_errors(f"checkpoint '{target}'"):
        run.mkdir(parents=True, exist_ok=True)
        sweep(run)
        staging = staging_path(run, target.name.replace("-", "_"))
        staging.mkdir()
        digests = {}
        for kind, values in tensors.items():
            path = staging / f"{kind}.safetensors"
            try:
                save_file({key: value.detach().cpu().contiguous() for key, value in values.items()}, path)
            except SafetensorError as error:  # its own name for the system's errors
                raise JobError(f"cannot write '{path}' ({error}); the checkpoint before it is kept") from error
            sync_to_disk(path)
            digests[kind] = file_sha256(path)
        whole = {**record, "format": FORMAT_VERSION, "step": step, "digests": digests}
        canonical_json(whole, "checkpoint")
        (staging / "checkpoint.json").write_bytes(_json(whole))
        sync_to_disk(staging / "checkpoint.json")
        if target.exists():
            shutil.rmtree(target)
        os.rename(staging, target)
        sync_to_disk(run)
    return target


def read_record(path: Path) -> dict[str, Any]:
    """The JSON of a checkpoint.

    Raises:
        InputError: it is not one, or of another format version.
    """
    try:
        record = json.loads((path / "checkpoint.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' holds no readable checkpoint.json; it may be damaged") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT_VERSION:
        found = record.get("format") if isinstance(record, dict) else None
        raise InputError(f"checkpoint '{path}' has format {found}; this version reads format {FORMAT_VERSION}")
    return record


def read_tensors(path: Path, name: str, record: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of one file, after its digest was checked.

    Raises:
        JobError: the file is missing or not what was written.
    """
    file = path / f"{name}.safetensors"
    if not file.is_file():
        raise JobError(f"checkpoint '{path}' lacks {file.name}; train again, or copy the whole folder")
    if file_sha256(file) != record["digests"][name]:
        raise JobError(f"'{file}' is damaged: its digest is not the one in checkpoint.json")
    try:
        return load_file(file)
    except SafetensorError as error:
        raise JobError(f"'{file}' is damaged: {error}") from error


def git_commit() -> str | None:
    """The commit of the project's working tree, with "+" where files differ from it; None outside a repository."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str | None:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    return None if not commit else commit + ("+" if changes else "")
