"""The log of a training run: one JSON object per line in `log.jsonl`, and the same numbers for TensorBoard."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trajectories.canonical import write_whole

LogLine = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def training_log(out: Path, step: int) -> Iterator[LogLine]:
    """Append lines to `log.jsonl` and TensorBoard's files; lines past `step`, of a run cut off there, are dropped."""
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

        yield write
