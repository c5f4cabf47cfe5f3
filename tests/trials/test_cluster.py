"""A Ray cluster of several nodes, of which workers, nodes and the driver are killed: the store comes out the same."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trials import driver, writer
from trajectories import Store

# Of what is killed, in turn, so that few kills meet each kind.
_KINDS = ("worker", "driver", "node")
# A run is started again at most so often by one store's kills.
_PATIENCE = 600.0


class Nodes:
    """A head that works on nothing, and two nodes of a CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        small = {"object_store_memory": 100 * 1024**2, "env_vars": {"PYTHONPATH": str(driver.ROOT)}}
        self._args = {"num_cpus": 1, **small}
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        self.nodes = [self._add(), self._add()]

    def _add(self) -> Any:
        for _ in range(4):
            try:
                return self.cluster.add_node(**self._args)
            except Exception as error:  # Ray has no narrower one for this
                if "timed out during startup" not in str(error):
                    raise
        raise AssertionError("no node comes up on this machine")

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def workers(self) -> list[int]:
        """Processes at work: Ray's workers and those at their side."""
        raylets = [info.process.pid for node in self.nodes for info in node.all_processes["raylet"]]
        # Without one of its agents a raylet goes as well: that is a lost node, which is another kind of kill.
        own = [p for raylet in raylets for p in _children(raylet) if re.match(r"ray::(?!\w*Agent)", _command(p))]
        return own + [pid for worker in own for pid in _children(worker) if "spawn_main" in _command(pid)]

    def lose_node(self, rng: np.random.Generator) -> None:
        """One node goes at once, with all that runs on it, and another comes."""
        node = self.nodes.pop(int(rng.integers(len(self.nodes))))
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self._add())

    def close(self) -> None:
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in driver.environment().items():
            patch.setenv(name, value)
        cluster = Nodes()
        try:
            yield cluster
        finally:
            cluster.close()


def _children(pid: int) -> list[int]:
    try:
        return [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except FileNotFoundError:  # it has just ended
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        return ""


def _kill(kind: str, nodes: Nodes, job: "subprocess.Popen[str]", rng: np.random.Generator) -> bool:
    """Kill something; whether there was something of the kind."""
    if kind == "driver":
        job.kill()
        return True
    if kind == "node":
        nodes.lose_node(rng)
        return True
    workers = nodes.workers()
    if workers:
        os.kill(workers[int(rng.integers(len(workers)))], signal.SIGKILL)
    return bool(workers)


def _kill_many(folder: Path, nodes: Nodes, count: int, seed: int) -> tuple[Counter[str], int]:
    """Kill at `count` random moments of as many runs as it takes; each must end in the undisturbed run's bytes.

    Returns:
        What was killed, and in how many runs.
    """
    rng = np.random.default_rng(seed)
    driver.work(folder / "whole", None, scenes=24, chunk=2, workers=0)
    whole = writer.tree(folder / "whole")
    started = time.monotonic()
    with driver.start(folder / "timed", nodes.address) as job:
        _, errors = job.communicate(timeout=_PATIENCE)
        assert job.returncode == 0, errors
    seconds = time.monotonic() - started
    assert writer.tree(folder / "timed") == whole
    killed: Counter[str] = Counter()
    runs = 0
    while killed.total() < count:
        path = folder / f"store_{runs}"
        runs += 1
        job = driver.start(path, nodes.address)
        for _ in range(int(rng.integers(2, 5))):
            try:
                job.wait(rng.uniform(0, 0.6 * seconds))
                break  # it was done first
            except subprocess.TimeoutExpired:
                kind = _KINDS[killed.total() % len(_KINDS)]
                killed[kind] += _kill(kind, nodes, job, rng)
            if kind == "driver":
                job.communicate()
                job = driver.start(path, nodes.address)
        _, errors = job.communicate(timeout=_PATIENCE)
        assert job.returncode == 0, (killed, errors)
        assert Store.open(path).verify() == []
        assert writer.tree(path) == whole, killed
    return killed, runs


@pytest.mark.trial
def test_fifty_kills_on_a_cluster_change_no_byte(tmp_path: Path, nodes: Nodes, record_property: Any) -> None:
    killed, runs = _kill_many(tmp_path, nodes, int(os.environ.get("HANDFUL_KILLS", "50")), seed=0)
    record_property("killed", dict(killed))
    print(f"killed: {dict(killed)} in {runs} runs")
    assert set(killed) == set(_KINDS)
