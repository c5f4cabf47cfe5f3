"""`kill -9` of a writer at any moment costs nothing that was committed, and leaves nothing behind."""

import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful import InputError
from tests.trials import writer
from trajectories import Store

# What a killed job may leave to be told about: work that is not done, never data that cannot be trusted.
_UNFINISHED = re.compile(r"stopped before its end|does not count|not sealed|(seal\.json|index\.npz) is missing")
_SWEPT = re.compile(r"\.tmp-")


def _stage(touch: str) -> str:
    """Which step of the job a touch belongs to."""
    what, place = touch.split(" ", 1)
    if what in ("remove", "rmdir") and ".tmp" not in place:
        return "dropping parts"
    for name in ("seal.json", "index.npz", "plan.json", "manifest"):
        if name in place:
            return f"{what} {name}"
    if re.match(r"parts/.tmp-\d+$", place):
        return f"{what} part"
    return f"{what} in a part" if place.startswith("parts/") else f"{what} store"


def _check_survivor(path: Path) -> None:
    """Whatever is visible is whole and what was committed; nothing else is."""
    try:
        store = Store.open(path)
    except InputError:
        laid_out = (path / "parts").exists()
        assert not laid_out
        return
    committed = store.committed()
    assert committed == list(range(len(committed)))
    episodes = [episode for part in committed for episode in writer.chunk(part)[0]]
    sealed = store.sealed_episodes
    assert sealed in (None, *writer.COUNTS)
    assert len(store) == (len(episodes) if sealed is None else sealed)
    for index in range(len(store)):
        found, expected = store.episode(index), episodes[index]
        assert found.meta == expected.meta
        assert found.arrays.keys() == expected.arrays.keys()
        for key, value in expected.arrays.items():
            np.testing.assert_array_equal(found.arrays[key], value)
    for problem in store.verify():
        assert _UNFINISHED.search(problem), problem


def _orphans(path: Path) -> set[str]:
    return {name for name in writer.tree(path) if _SWEPT.search(name)} if path.exists() else set()


def _finish(path: Path) -> list[str]:
    """Let the job run to its end; returns its touches."""
    with writer.start(path) as job:
        output = job.communicate(timeout=120)[0]
    assert job.returncode == 0
    return output.split("\n")[1:-1]


def _kill(
    path: Path, rng: np.random.Generator, stages: dict[str, list[int]], seconds: float
) -> tuple[str | None, bool]:
    """Start the job and kill it, at a random moment or at a random touch of a random stage.

    Returns:
        When it died (None: it came to its end first), and whether it had opened the store before.
    """
    if rng.random() < 0.25:
        with writer.start(path) as job:
            assert job.stdout is not None
            opened = job.stdout.readline()
            time.sleep(rng.uniform(0, seconds))
            job.kill()
        assert job.returncode in (0, -signal.SIGKILL)
        return "any moment" if job.returncode else None, opened == "ready\n"
    touches = stages[str(rng.choice(sorted(stages)))]
    with writer.start(path, "--die-at", str(rng.choice(touches))) as job:
        output = job.communicate(timeout=120)[0]
    assert job.returncode in (0, -signal.SIGKILL)
    lines = output.split("\n")
    return _stage(lines[-2]) if job.returncode else None, lines[0] == "ready"


def _kill_many(folder: Path, count: int, seed: int) -> Counter[str]:
    """Kill jobs until `count` of them have died; each store is resumed, up to three times before it is finished."""
    rng = np.random.default_rng(seed)
    touches = _finish(folder / "whole")
    whole = writer.tree(folder / "whole")
    stages: dict[str, list[int]] = {}
    for number, touch in enumerate(touches, 1):
        stages.setdefault(_stage(touch), []).append(number)
    started = time.perf_counter()
    writer.work(folder / "timed")
    seconds = time.perf_counter() - started
    died: Counter[str] = Counter()
    store = 0
    while died.total() < count:
        path = folder / f"store_{store}"
        store += 1
        left: set[str] = set()
        for _ in range(int(rng.integers(1, 4))):
            moment, opened = _kill(path, rng, stages, seconds)
            died.update([moment] if moment else [])
            _check_survivor(path)
            now = _orphans(path)
            # Opening a store for writing sweeps away what was left by whoever died before.
            assert not (opened and left & now), (moment, left & now)
            left = now
        _finish(path)
        assert writer.tree(path) == whole, moment
        assert Store.open(path).verify() == []
    assert set(stages) >= {"rename part", "rename manifest", "rename index.npz", "rename seal.json", "dropping parts"}
    return died


def test_killed_writers_lose_nothing(tmp_path: Path) -> None:
    _kill_many(tmp_path, 5, seed=0)


@pytest.mark.trial
def test_two_hundred_killed_writers_lose_nothing(tmp_path: Path, record_property: Any) -> None:
    died = _kill_many(tmp_path, 200, seed=1)
    record_property("died", dict(died))
    # Every step of the job was met.
    assert len(died) >= 12, died
