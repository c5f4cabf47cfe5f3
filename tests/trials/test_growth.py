"""A long run in one process: its memory, file handles, threads and mapped regions stop growing.

An OpenGL context that is not given back holds mapped regions and memory, and with a driver of a graphics card handles
as well, so it shows in these.
"""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trials import driver
from trajectories import Store

# So much more memory may be held at the end than at half time [MB]: the allocator's play, and for every 1,000 episodes
# what the run itself must remember.
_PLAY, _PER_THOUSAND = 8.0, 1.0


def _held(pid: int) -> tuple[float, int, int, int] | None:
    """Resident memory [MB], file handles, threads and mapped regions of a process; None once it has ended."""
    process = Path(f"/proc/{pid}")
    try:
        memory = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        handles, threads = (len(os.listdir(process / name)) for name in ("fd", "task"))
        return memory, handles, threads, (process / "maps").read_text().count("\n")
    except (FileNotFoundError, ProcessLookupError):
        return None


def _watch(store: Path, scenes: int, chunk: int) -> np.ndarray:
    """A run with a camera, in one process without relief; (n, 5): chunks committed, and what was held after each."""
    seen: list[tuple[float, ...]] = []
    options = ["--scenes", str(scenes), "--chunk", str(chunk), "--cameras", "front"]
    with driver.start(store, "", *options) as job:
        while job.poll() is None:
            committed = len(list((store / "manifest").glob("*.json"))) if store.exists() else 0
            held = _held(job.pid)
            if held is not None and committed and (not seen or committed > seen[-1][0]):
                seen.append((committed, *held))
            time.sleep(0.05)
        _, errors = job.communicate()
    assert job.returncode == 0, errors
    return np.array(seen, float)


@pytest.mark.trial
def test_twenty_thousand_episodes_leave_nothing_behind(tmp_path: Path, record_property: Any) -> None:
    scenes, chunk = int(os.environ.get("HANDFUL_EPISODES", "20000")), 32
    seen = _watch(tmp_path / "store", scenes, chunk)
    half = seen[len(seen) // 2 :]
    # Between chunks as a rule: the lowest of a few neighbours is what is held for good.
    groups = np.array_split(half, min(10, len(half) // 3))
    episodes = np.array([group[:, 0].mean() * chunk for group in groups])
    memory, handles, threads, regions = (np.array([g[:, k].min() for g in groups]) for k in range(1, 5))
    grown, thousands = memory[-1] - memory[0], (episodes[-1] - episodes[0]) / 1000
    record_property("held", {"memory": [memory[0], memory[-1]], "handles": [handles[0], handles[-1]]})
    print(
        f"{len(Store.open(tmp_path / 'store'))} episodes: memory {memory[0]:.0f} to {memory[-1]:.0f} MB "
        f"over the last {1000 * thousands:.0f}, handles {handles[0]:.0f} to {handles[-1]:.0f}, "
        f"threads {threads[0]:.0f} to {threads[-1]:.0f}, regions {regions[0]:.0f} to {regions[-1]:.0f}"
    )
    assert grown < _PLAY + _PER_THOUSAND * thousands
    assert handles[-1] <= handles[0]
    assert threads[-1] <= threads[0]
    assert regions[-1] <= regions[0] + 20
