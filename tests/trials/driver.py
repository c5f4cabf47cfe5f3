"""A small generation run on a Ray cluster, in a process that may be killed.

    python -m tests.trials.driver STORE ADDRESS [--scenes 24] [--chunk 2] [--workers 2] [--cameras front,wrist]

Without an address (""), it runs in this process, undisturbed. The git commit is left out of the plan: somebody may
commit between two runs, and both are to give the same bytes.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from handful import HandfulError
from pipelines import generate, generation_plan
from pipelines.progress import Reporter

ROOT = Path(__file__).resolve().parent.parent.parent


def environment() -> dict[str, str]:
    """What a driver, and the nodes that work for it, need to find the project."""
    # A busy machine starts nodes slowly, and answers late whether they live.
    slow = {"RAY_raylet_start_wait_time_s": "180", "RAY_health_check_failure_threshold": "10"}
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", **slow}


def start(store: Path, address: str, *arguments: str) -> "subprocess.Popen[str]":
    """The run in a process of its own."""
    command = [sys.executable, "-m", "tests.trials.driver", str(store), address, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)


def work(
    store: Path, address: str | None, scenes: int, chunk: int, workers: int, cameras: tuple[str, ...] = ()
) -> dict[str, object]:
    """The run, or what is left of it."""
    with mock.patch.object(generation_plan, "project_commit", return_value="none"):
        return generate.run(
            task="lift",
            demos=None,
            out=store,
            scenes=scenes,
            count=None,
            cameras=cameras,
            resolution=16 if cameras else 84,
            workers=workers if address else 0,
            seed=5,
            address=address,
            algorithm="handful",
            dry_run=False,
            overrides=[f"chunk={chunk}"],
            progress=Reporter(quiet=True),
        )


def main() -> None:
    """Parse the command line and do the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("address")
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--chunk", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cameras", default="")
    chosen = parser.parse_args()
    try:
        cameras = tuple(name for name in chosen.cameras.split(",") if name)
        work(chosen.store, chosen.address or None, chosen.scenes, chosen.chunk, chosen.workers, cameras)
    except HandfulError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
