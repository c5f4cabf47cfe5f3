"""Several processes train as one would: started by torchrun, on the toy world."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from handful import InputError
from policies.ranks import Ranks
from tests.policies.test_train import make_trainer, newest

ROOT = Path(__file__).parent.parent.parent
SETTINGS = ("steps=4", "batch_size=8", "threads=1")


@pytest.fixture(scope="module")
def curves(episodes, tmp_path_factory) -> tuple[Path, Path]:
    """The same run by one process and by two, which are told of each other as torchrun does it."""
    folder = tmp_path_factory.mktemp("ranks")
    np.savez(folder / "episodes.npz", *[v for e in episodes[:4] for v in e.values()])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "tests" / "policies" / "rank_worker.py"), str(folder / "episodes.npz")]
    shared = {"PYTHONPATH": str(ROOT), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [*command, str(folder / "two"), *SETTINGS],
            env={**os.environ, **shared, "OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    make_trainer(episodes[:4], folder / "one", *SETTINGS).run()
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
    return folder / "one", folder / "two"


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one(curves):
    one, two = map(lines, curves)
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for a, b in zip(one, two, strict=True):
        for key in ("loss", "head", "waypoint", "gradient_norm", "validation"):
            assert (key in a) == (key in b)
            if key in a:
                assert b[key] == pytest.approx(a[key], rel=1e-4), key
    weights = [load_file(newest(out) / "ema.safetensors") for out in curves]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=2e-4)


def test_a_batch_that_cannot_be_shared_is_refused():
    assert [Ranks(rank, 4).rows(12) for rank in (0, 3)] == [slice(0, 3), slice(9, 12)]
    with pytest.raises(InputError, match="batch_size must be a multiple of the processes, 4, got 6"):
        Ranks(1, 4).rows(6)


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_gives_the_same_step(episodes, tmp_path, parts):
    told = []
    for accumulate in (1, parts):
        trainer = make_trainer(episodes, tmp_path / str(accumulate), "batch_size=8", f"accumulate={accumulate}")
        step = trainer._prepared(0)
        # Rows near an episode's end have fewer valid actions: each of these must count alike all the same.
        step.sample.valid[:3, 2:] = False
        told.append(trainer._step(step, 1e-3))
        told.append(trainer.network.state_dict()["expert.action_in.toy.weight"].clone())
    torch.testing.assert_close(told[0], told[2], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(told[1], told[3], rtol=1e-3, atol=2e-4)


def test_parts_that_do_not_divide_the_batch_are_refused(episodes, tmp_path):
    with pytest.raises(InputError, match="accumulate must divide batch_size, 4, got 3"):
        make_trainer(episodes, tmp_path, "accumulate=3")
