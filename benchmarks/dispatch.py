"""Chunks per second that a run can hand out and commit, when making them takes no time at all.

    python benchmarks/dispatch.py [--long] [--workers 2] [--no-ray]

Chunks without an episode, each with its record of a scene, go through the executors of `handful generate` and are
committed by the workers as theirs are. Prints one JSON object: `value` chunks/s of the slower executor, `limit` those
of a bare loop of the same commits in this process, `ratio` of the two. The workers' start is not counted.
"""

import argparse
import importlib
import importlib.util
import json
import tempfile
import time
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.doctor import cores
from pipelines.executors import run_tasks
from pipelines.faults import Limits, Queue
from trajectories import Store

_PLAN = {"kind": "benchmark", "task": "none"}


@lru_cache(maxsize=1)
def _store(path: str) -> Store:
    return Store.create(path, _PLAN)


def commit_empty(job: tuple[str, int]) -> int:
    """Commit a chunk in which one scene was tried and nothing kept."""
    path, index = job
    record = {"scene": index, "outcome": "unreachable", "attempts": ["unreachable"]}
    _store(path).commit(index, [], [record])
    return index


def rate(path: Path, chunks: int, workers: int, address: str | None) -> float:
    """Chunks per second from the first that is done to the last."""
    Store.create(path, _PLAN)
    queue: Queue = deque((index, (str(path), index)) for index in range(chunks))
    results = run_tasks(commit_empty, queue, workers, address, Limits(patience=60.0))
    # By then every worker is up.
    for _ in range(5 * workers):
        next(results)
    started = time.perf_counter()
    counted = sum(1 for _ in results)
    seconds = time.perf_counter() - started
    assert len(Store.open(path).committed()) == chunks
    return counted / seconds


def bare(path: Path, chunks: int) -> float:
    """Commits per second of a plain loop."""
    started = time.perf_counter()
    for index in range(chunks):
        commit_empty((str(path), index))
    return chunks / (time.perf_counter() - started)


def measure(long: bool = False, workers: int | None = None, with_ray: bool = True) -> dict[str, Any]:
    """Measure.

    Args:
        long: 2,000 chunks instead of 400.
        workers: at work at once; None: one per core.
        with_ray: on Ray as well, where it is installed.
    """
    chunks, workers = 2000 if long else 400, cores() if workers is None else workers
    executors: dict[str, str | None] = {"processes": None}
    if with_ray and importlib.util.find_spec("ray") is not None:
        executors["ray"] = "local"
    with tempfile.TemporaryDirectory() as folder:
        limit = bare(Path(folder) / "bare", chunks)
        rates = {name: rate(Path(folder) / name, chunks, workers, address) for name, address in executors.items()}
    value = min(rates.values())
    return {
        "benchmark": "dispatch",
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "unit": "chunks/s",
        "chunks": chunks,
        "workers": workers,
        "chunks_per_second": rates,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="2,000 chunks instead of 400")
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--no-ray", action="store_true")
    chosen = parser.parse_args()
    # Workers find functions by the module's name, which a script that is run does not have.
    module = importlib.import_module("benchmarks.dispatch")
    print(json.dumps(module.measure(chosen.long, chosen.workers, not chosen.no_ray)))


if __name__ == "__main__":
    main()
