"""`kill -9` of a training at any moment costs time alone: its loss curve and its weights are those of another run."""

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies import checkpoint
from tests.trials import trainee

KILLS = 20


def _lines(out: Path) -> list[dict[str, Any]]:
    """The log so far, without what tells the time; its last line may be cut off."""
    path = out / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [{k: v for k, v in line.items() if k not in ("seconds", "steps_per_second")} for line in found]


def _reached(out: Path) -> int:
    return max((line["step"] for line in _lines(out)), default=0)


@pytest.mark.trial
def test_a_training_that_is_killed_at_random_moments_ends_in_the_same_bytes(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.trials.trainee", "torch.utils.tensorboard", "torch._dynamo"])

    def start(out: Path) -> Any:
        process = context.Process(target=trainee.run, args=(str(out),))
        process.start()
        return process

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    undisturbed = start(whole)
    undisturbed.join()
    assert undisturbed.exitcode == 0
    rng = np.random.default_rng(0)
    begun = []
    for step in sorted(rng.integers(0, trainee.STEPS - 1, KILLS).tolist()):
        process = start(parts)
        while _reached(parts) < step and process.is_alive():
            time.sleep(0.002)
        # Anywhere in a step, in a validation, or while a checkpoint is written.
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.join()
        begun.append(checkpoint.latest(parts))
    last = start(parts)
    last.join()
    assert last.exitcode == 0
    # Kills met the run at many places, and it did go on from its checkpoints.
    assert len({path for path in begun if path is not None}) >= KILLS // 3
    assert _lines(parts) == _lines(whole)
    for name in ("ema", "weights", "optimizer"):
        one, two = (checkpoint.latest(out) / f"{name}.safetensors" for out in (whole, parts))  # type: ignore[operator]
        assert one.read_bytes() == two.read_bytes(), name
    assert not list(parts.glob("*.tmp*"))
    assert [p.name for p in parts.glob("checkpoint-*")] == [p.name for p in whole.glob("checkpoint-*")]
