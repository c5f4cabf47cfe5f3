"""A small job that fills a store with made-up episodes: what the trials start, kill, crowd and starve.

    python -m tests.trials.writer STORE [--die-at N] [--codec NAME] [--counts 3,5]

It prints `ready` once the store is open. With `--die-at N` it is killed by SIGKILL just before it touches the store's
files for the N-th time, after saying what it was about to do; otherwise every touch is said at the end. A touch is
whatever changes the disk: opening a file for writing, syncing, renaming, removing, making a folder.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful import HandfulError
from trajectories import Episode, EpisodeMeta, Store

ROOT = Path(__file__).resolve().parent.parent.parent
# Episodes at which the job closes the store: first at fewer than its parts hold, then at all of them.
COUNTS = (3, 5)
# Scenes tried per part; those listed second are kept.
_CHUNKS = ((range(3), (0, 1)), (range(3, 4), ()), (range(4, 7), (4, 5)), (range(7, 9), (7,)))
PARTS = range(len(_CHUNKS))
_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}


def plan(codec: str | None = None) -> dict[str, Any]:
    """The job's plan; `codec` is its "image_codec"."""
    return {"task": "lift", "seed": 0} if codec is None else {"task": "lift", "seed": 0, "image_codec": codec}


def make_episode(scene: int, steps: int = 19, size: int = 16) -> Episode:
    """A valid episode whose numbers follow from its scene."""
    rng = np.random.default_rng(scene)
    quaternion = rng.normal(size=(steps, 4))
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    pose = np.concatenate([rng.normal(size=(steps, 3)), quaternion], axis=1).astype(np.float32)
    action = np.concatenate([rng.normal(size=(steps, 7)), rng.uniform(size=(steps, 1))], axis=1).astype(np.float32)
    ramp = np.arange(size) * 255 // size
    frames = (ramp[None, :, None, None] + ramp[None, None, :, None] + rng.integers(0, 60, (steps, 1, 1, 3))) // 2
    arrays = {
        "observation/joint_position": rng.normal(size=(steps, 7)).astype(np.float32),
        "observation/joint_velocity": rng.normal(size=(steps, 7)).astype(np.float32),
        "observation/gripper_opening": rng.uniform(size=(steps, 1)).astype(np.float32),
        "observation/tool_pose_in_base": pose,
        "action/executed": action,
        "action/intended": action,
        "action/tool_pose_in_base": pose,
        "subtask": (np.arange(steps) >= steps // 2).astype(np.int8),
        "state": rng.normal(size=(steps + 1, 20)),
        "images/front": frames.astype(np.uint8),
        "images/wrist": np.ascontiguousarray(frames[:, ::-1].astype(np.uint8)),
    }
    meta = EpisodeMeta(
        task="lift",
        embodiment="panda",
        domain="sim",
        control_rate=20.0,
        instruction="lift the red cube",
        paraphrases=("raise the red cube",),
        outcome="success",
        operator="augmentation",
        action_source="commanded",
        scene=scene,
        seeds={"namespace": "generation", "seed": 0, "attempt": 0, "keys": {}},
    )
    return Episode(arrays, meta)


def chunk(part: int) -> tuple[list[Episode], list[dict[str, Any]], dict[str, dict[str, np.ndarray]]]:
    """Episodes, scene records and dumps of one part."""
    scenes, kept = _CHUNKS[part]
    records = [{"scene": s, "outcome": "success" if s in kept else "diverged", "attempts": ["success"]} for s in scenes]
    dumps = {} if part != 1 else {"scene_3": {"states": np.arange(60.0).reshape(3, 20)}}
    return [make_episode(scene) for scene in kept], records, dumps


def work(
    path: Path,
    codec: str | None = None,
    counts: Sequence[int] = COUNTS,
    say: Callable[[str], object] = lambda _: None,
) -> Store:
    """Do the job, or what is left of it."""
    store = Store.create(path, plan(codec))
    say("ready")
    for count in counts:
        sealed = store.sealed_episodes or 0
        if sealed > count:
            continue
        committed = set(store.committed())
        # A job that is under way overshoots; one that was finished makes only what it has lost.
        for part in PARTS if sealed < count else _needed(count):
            if part not in committed:
                episodes, scenes, dumps = chunk(part)
                store.commit(part, episodes, scenes, dumps)
        store.seal(count)
    return store


def _needed(count: int) -> range:
    """The parts that hold the first so many episodes."""
    kept = np.cumsum([len(kept) for _, kept in _CHUNKS])
    return PARTS[: int(np.searchsorted(kept, count)) + 1]


def start(path: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The job in a process of its own."""
    command = [sys.executable, "-m", "tests.trials.writer", str(path), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def tree(path: Path) -> dict[str, bytes]:
    """A whole folder: path -> bytes; folders end in "/"."""
    return {
        p.relative_to(path).as_posix() + "/" * p.is_dir(): b"" if p.is_dir() else p.read_bytes()
        for p in sorted(path.rglob("*"))
    }


def contents(store: Store) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that can be read from a store, each by name and a function that reads it alone."""
    yield "length", lambda: len(store)
    yield "frames", lambda: store.frames
    yield "lengths", lambda: store.episode_lengths().tolist()
    yield "sealed", lambda: store.sealed_episodes
    yield "scenes", store.scene_records
    yield "keys", store.keys
    yield "index", lambda: _columns(store)
    yield (
        "dumps",
        lambda: [
            (part, name, {k: v.tolist() for k, v in store.dump(part, name).items()}) for part, name in store.dumps()
        ],
    )
    for key in make_episode(0).arrays:
        yield f"row of {key}", lambda key=key: store.row_shape(key)
    for i in range(COUNTS[-1]):
        yield f"meta {i}", lambda i=i: store.meta(i)
        for key in make_episode(0).arrays:
            yield f"{i} {key}", lambda i=i, key=key: store.read(i, key).tobytes()


def _columns(store: Store) -> dict[str, Any]:
    """An index as plain lists."""
    index = store.index()
    numbers = ("part", "local", "first", "length", "scene", "seed", "attempts", "control_rate")
    columns: dict[str, Any] = {name: getattr(index, name).tolist() for name in numbers}
    return columns | {
        name: [category.of(episode) for episode in range(len(store))] for name, category in index.categories.items()
    }


def read_all(path: Path) -> dict[str, Any]:
    """Everything that a fresh look at a store can read, by name; what is refused is the error."""
    found: dict[str, Any] = {}
    try:
        store = Store.open(path)
    except HandfulError as error:
        return {"open": error}
    for name, read in contents(store):
        try:
            found[name] = read()
        except HandfulError as error:
            found[name] = error
    return found


def _watch(store: Path, die_at: int | None) -> list[str]:
    """Note the touches of a store's files from now on, and die at the given one; returns the growing list."""
    touches: list[str] = []

    def touch(what: str, path: str) -> None:
        place = re.sub(r"\.tmp-([^-]*)-[^/]*", r".tmp-\1", os.path.relpath(path, store))
        touches.append(f"{what} {place}")
        if len(touches) == die_at:
            os.write(1, f"{touches[-1]}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(store)):
                touch("open", str(path))
        elif event in _CHANGES and str(arguments[0]).startswith(str(store)):
            touch(event.removeprefix("os."), str(arguments[0]))

    def sync(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if path.startswith(str(store)):
            touch("fsync", path)
        fsync(descriptor)

    fsync = os.fsync
    os.fsync = sync
    sys.addaudithook(hook)
    return touches


def main() -> None:
    """Parse the command line and do the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--codec")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)))
    chosen = parser.parse_args()
    touches = _watch(chosen.store, chosen.die_at)
    counts = [int(count) for count in chosen.counts.split(",")]
    work(chosen.store, chosen.codec, counts, lambda text: print(text, flush=True))
    print("\n".join(touches), flush=True)


if __name__ == "__main__":
    main()
