"""Two runs started on one store at once: no damage and the same bytes, also when one of them is killed."""

import signal
from pathlib import Path

import numpy as np
import pytest

from tests.trials import writer
from trajectories import Store

# One seal, which drops the part that lies beyond it; both writers get there.
_COUNT = "--counts=3"


def _crowd(folder: Path, rounds: int, seed: int) -> None:
    """In each round two writers fill a fresh store together; in every second one the first of them is killed."""
    rng = np.random.default_rng(seed)
    with writer.start(folder / "whole", _COUNT) as job:
        touches = job.communicate(timeout=120)[0].count("\n") - 1
    whole = writer.tree(folder / "whole")
    for number in range(rounds):
        path = folder / f"store_{number}"
        killed = number % 2 == 1
        arguments = ["--die-at", str(rng.integers(1, touches))] if killed else []
        with writer.start(path, _COUNT, *arguments) as first, writer.start(path, _COUNT) as second:
            first.communicate(timeout=120)
            second.communicate(timeout=120)
        assert second.returncode == 0, f"round {number}"
        if killed:
            # What the killed one left, the next run of the job clears away.
            assert first.returncode in (0, -signal.SIGKILL)
            assert Store.open(path).sealed_episodes == 3
            writer.work(path, counts=[3])
        else:
            assert first.returncode == 0, f"round {number}"
        assert writer.tree(path) == whole, f"round {number}"
        assert Store.open(path).verify() == []


def test_two_writers_of_one_store_end_in_the_same_bytes(tmp_path: Path) -> None:
    _crowd(tmp_path, 2, seed=0)


@pytest.mark.trial
def test_a_hundred_pairs_of_writers_end_in_the_same_bytes(tmp_path: Path) -> None:
    _crowd(tmp_path, 100, seed=1)
