"""The log of a training run: one JSON object per line in `log.jsonl`, and the same numbers for TensorBoard."""

import contextlib
import hashlib
import importlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from handful import InputError
from trajectories.canonical import write_whole

LogLine = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def training_log(out: Path, step: int, log: str = "tensorboard") -> Iterator[LogLine]:
    """Append lines to `log.jsonl` and TensorBoard's files; lines past `step`, of a run cut off there, are dropped.

    Args:
        out: the run's folder.
        step: where the run is.
        log: "wandb" tells that, too.
    """
    wandb = _wandb(out) if log == "wandb" else None
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    out.mkdir(parents=True, exist_ok=True)
    path = out / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
    write_whole(path, "".join(line + "\n" for line in kept).encode())
    with open(path, "a") as file, contextlib.closing(SummaryWriter(str(out), purge_step=step)) as board:

        def write(line: dict[str, Any]) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()
            for key, value in line.items():
                for name, number in value.items() if isinstance(value, dict) else [(None, value)]:
                    if isinstance(number, (int, float)):
                        board.add_scalar(key if name is None else f"{key}/{name}", number, line["step"])
            if wandb is not None:
                wandb.log({key: value for key, value in line.items() if key != "step"}, step=line["step"])

        try:
            yield write
        finally:
            if wandb is not None:
                wandb.finish()


def require_log(log: str) -> None:
    """Refuse a log whose package is not installed, before any work is done."""
    if log == "wandb" and importlib.util.find_spec("wandb") is None:
        raise InputError("log=wandb needs the package wandb, which is not installed here; pip install wandb")


def _wandb(out: Path) -> Any:
    """A run of Weights and Biases that goes on where it was, by the folder's name and place."""
    require_log("wandb")
    wandb = importlib.import_module("wandb")
    name = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]
    wandb.init(project="handful", name=out.name, id=name, resume="allow", dir=str(out))
    return wandb
