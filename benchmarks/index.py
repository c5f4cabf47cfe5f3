"""Opening a store of very many episodes, and drawing from it, in processes that have just begun.

    python benchmarks/index.py [--long] [--episodes 1000000] [--keep FOLDER]

Writes a store of short episodes through `Store.commit` and `Store.seal`, a thousand to a part, and then opens it.
Prints one JSON object: `value` seconds from `open_dataset` to the index of all episodes, `limit` seconds to read the
bytes of the index file alone, `ratio` of the two, the most memory that took, and what drawing costs. The files are in
the page cache, because they were just written.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from handful import JobError
from pipelines.doctor import cores
from trajectories import Blend, Episode, EpisodeMeta, Source, Store, WindowSpec
from trajectories.dataset import open_dataset

PLAN = {"kind": "benchmark", "benchmark": "index"}
# Episodes of a part, steps of an episode, and steps of a window drawn from one.
PART, STEPS, WINDOW = 1000, 8, 4
# Windows drawn one by one, and batches of a blend with the windows of each.
DRAWS, BATCHES, SIZE = 10_000, 100, 64
SENTENCES = [(f"lift the {colour} cube", f"raise the {colour} cube") for colour in ("red", "green", "blue")]


def make_episode(scene: int) -> Episode:
    """A valid, short, low-dimensional episode that differs from scene to scene."""
    time = np.arange(STEPS)[:, None] / 20 + scene
    joints = np.sin(time + np.arange(7)).astype(np.float32)
    gripper = np.ones((STEPS, 1), np.float32)
    action = np.concatenate([joints, gripper], axis=1)
    pose = np.tile(np.array([0.5, 0, 0.2, 0, 1, 0, 0], np.float32), (STEPS, 1))
    arrays = {
        "observation/joint_position": joints,
        "observation/joint_velocity": np.zeros_like(joints),
        "observation/gripper_opening": gripper,
        "observation/tool_pose_in_base": pose,
        "action/executed": action,
        "action/intended": action,
        "action/tool_pose_in_base": pose,
        "subtask": np.zeros(STEPS, np.int8),
    }
    instruction, paraphrase = SENTENCES[scene % len(SENTENCES)]
    meta = EpisodeMeta(
        task="lift",
        embodiment="panda",
        domain="sim",
        control_rate=20.0,
        instruction=instruction,
        paraphrases=(paraphrase,),
        outcome="success",
        operator="script",
        action_source="commanded",
        scene=scene,
        seeds={"namespace": "generation", "seed": 0, "attempt": 0, "keys": {}},
        ledger={"physics": {"friction": 0.4 + 0.6 * (scene % 1000) / 1000}},
    )
    return Episode(arrays, meta)


def write_parts(path: Path, parts: range, episodes: int) -> None:
    """Commit some parts of a store of so many episodes."""
    store = Store.create(path, PLAN)
    for part in parts:
        scenes = range(part * PART, min(episodes, (part + 1) * PART))
        records = [{"scene": scene, "outcome": "success", "attempts": ["success"]} for scene in scenes]
        store.commit(part, [make_episode(scene) for scene in scenes], records)


def make(path: Path, episodes: int) -> None:
    """Write and seal the store, on all cores."""
    parts, workers = -(-episodes // PART), cores()
    store = Store.create(path, PLAN)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(write_parts, path, range(k, parts, workers), episodes) for k in range(workers)]:
            done.result()
    store.refresh()
    store.seal(None)


def memory() -> float:
    """The most memory that this process has taken so far [bytes]."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * float(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def read_bytes(path: Path) -> dict[str, float]:
    """The limit: the bytes of the index, from the page cache."""
    started = time.perf_counter()
    size = len((path / "index.npz").read_bytes())
    return {"seconds": time.perf_counter() - started, "bytes": size}


def open_index(path: Path) -> dict[str, float]:
    """Open the store and know all its episodes."""
    before, started = memory(), time.perf_counter()
    dataset = open_dataset(path)
    count, index = len(dataset), dataset.index()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "episodes": count, "rows": len(index.part), "before": before, "memory": memory()}


def draw(path: Path) -> dict[str, float]:
    """Windows from anywhere in the store, one at a time."""
    dataset, rng = open_dataset(path), np.random.default_rng(0)
    episodes, starts = rng.integers(len(dataset), size=DRAWS), rng.integers(STEPS - WINDOW + 1, size=DRAWS)
    started = time.perf_counter()
    for episode, start in zip(episodes.tolist(), starts.tolist(), strict=True):
        dataset.read(episode, "action/intended", start, start + WINDOW)
    return {"seconds": time.perf_counter() - started, "memory": memory()}


def blend(path: Path) -> dict[str, float]:
    """Batches of a blend that streams: the time to the first, and of those that follow."""
    started = time.perf_counter()
    loader = Blend([Source(str(path))], WindowSpec(cameras=(), horizon=WINDOW), seed=0, resident="stream")
    loader.batch(0, SIZE)
    first = time.perf_counter()
    for step in range(1, BATCHES):
        loader.batch(step, SIZE)
    return {"first": first - started, "seconds": time.perf_counter() - first, "memory": memory()}


def fresh(task: Callable[[Path], dict[str, float]], path: Path) -> dict[str, float]:
    """What a task says in a process of its own, which has done nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(task, path).result()


def measure(long: bool, episodes: int | None = None, keep: Path | None = None) -> dict[str, Any]:
    """Write a store and open it.

    Args:
        long: 1,000,000 episodes instead of 20,000.
        episodes: as many instead.
        keep: folder to write the store into, and to leave it there; one that is there already is measured as it is.
    """
    count = episodes or (1_000_000 if long else 20_000)
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(str(keep)) as folder:
        path = Path(folder) / f"{count}.zarr"
        started = time.perf_counter()
        if not (path / "seal.json").exists():
            make(path, count)
        writing = time.perf_counter() - started
        limit, opened = fresh(read_bytes, path), fresh(open_index, path)
        drawn, mixed = fresh(draw, path), fresh(blend, path)
        if not opened["episodes"] == opened["rows"] == count:
            raise JobError(f"{count} episodes were written and {opened['episodes']} are there")
        # Hashing a thousand parts again has a benchmark's time only where there are few.
        problems = Store.open(path).verify() if count <= 20_000 else []
        if problems:
            raise JobError(f"the store is damaged: {problems[0]}")
        return {
            "benchmark": "index",
            "value": opened["seconds"],
            "limit": limit["seconds"],
            "ratio": opened["seconds"] / limit["seconds"],
            "episodes": count,
            "index_bytes": limit["bytes"],
            "store_bytes": Store.open(path).bytes,
            "memory_mb": {
                "before_opening": opened["before"] / 1e6,
                "open": opened["memory"] / 1e6,
                "drawing": drawn["memory"] / 1e6,
                "blending": mixed["memory"] / 1e6,
            },
            "draws": DRAWS,
            "draws_per_second": DRAWS / drawn["seconds"],
            "first_batch_seconds": mixed["first"],
            "batches": BATCHES - 1,
            "windows_per_second": (BATCHES - 1) * SIZE / mixed["seconds"],
            "writing_seconds": writing,
        }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="1,000,000 episodes instead of 20,000")
    parser.add_argument("--episodes", type=int, default=None)
    parser.add_argument("--keep", type=Path, default=None)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.episodes, chosen.keep)))


if __name__ == "__main__":
    main()
