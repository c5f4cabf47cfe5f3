"""What writing costs a generating worker: time in `Store.commit` as a share of all its time.

    python benchmarks/writing.py [--long] [--task stack_three] [--demos STORE] [--codec lossless]

Generates chunks of 32 scenes with two cameras of 84x84 in this process, as a worker does, and times every commit in
it. Prints one JSON object: `value` milliseconds of writing per kept episode, `limit` the worker's milliseconds per kept
episode, physics and rendering included, `ratio` the share. The first chunk warms up and is not counted.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from pipelines import generate
from pipelines.generation_plan import make_plan
from trajectories import Store

CAMERAS = ("front", "wrist")
CHUNK = 32


class TimedCommits:
    """Adds up the seconds spent in `Store.commit` while it is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._commit = Store.commit

    def __enter__(self) -> "TimedCommits":
        real = self._commit

        def commit(store: Store, *args: Any, **kwargs: Any) -> None:
            started = time.perf_counter()
            real(store, *args, **kwargs)
            self.seconds += time.perf_counter() - started

        Store.commit = commit  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Store.commit = self._commit  # type: ignore[method-assign]


def measure(
    long: bool = False, task: str = "stack_three", demos: Path | None = None, codec: str = "lossless"
) -> dict[str, Any]:
    """Generate chunks (8; 1 of half the size unless `long`) after one that warms up."""
    chunks, size = (8, CHUNK) if long else (1, CHUNK // 2)
    config = generate.configure("handful", CAMERAS, 84, [f"chunk={size}", f"image_codec={codec}"])
    demos = demos if demos is not None else generate.BUNDLED / task
    with tempfile.TemporaryDirectory() as folder:
        engine = chunks.engine_of(task, str(demos), 0, config)
        plan = make_plan(task, demos, 0, "handful", config, None, engine)
        path = str(Path(folder) / "store")
        store = Store.create(path, plan)

        def job(index: int, scenes: range) -> chunks.ChunkJob:
            return chunks.ChunkJob(index, scenes, task, str(demos), 0, config, path, json.dumps(plan, sort_keys=True))

        chunks.make_chunk(job(0, range(4)))
        store.refresh()
        kept = len(store)
        with TimedCommits() as commits:
            started = time.perf_counter()
            for chunk in range(chunks):
                chunks.make_chunk(job(chunk + 1, range((chunk + 1) * size, (chunk + 2) * size)))
            seconds = time.perf_counter() - started
        store.refresh()
        size_per_episode = store.bytes / len(store)
        frames = int(store.episode_lengths()[kept:].sum())
        kept = len(store) - kept
    return {
        "benchmark": "writing",
        "task": task,
        "codec": codec,
        "value": 1e3 * commits.seconds / kept,
        "limit": 1e3 * seconds / kept,
        "ratio": commits.seconds / seconds,
        "episodes": kept,
        "scenes": chunks * size,
        "steps_per_episode": frames / kept,
        "bytes_per_episode": size_per_episode,
        "seconds": seconds,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="8 chunks of 32 scenes instead of one of 16")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--demos", type=Path, default=None)
    parser.add_argument("--codec", default="lossless", help="as in image_codec=...")
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.task, chosen.demos, chosen.codec)))


if __name__ == "__main__":
    main()
