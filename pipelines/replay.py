"""How far the same commands lead a twin and its nominal world apart: replay divergence, measured in simulation.

The commands are those of recorded demonstrations, the nominal world follows them, and at the start of every second the
twin is set to the state of the nominal one, memory of its controller included. Only the first seconds of a demo are
taken, before anything is touched: what is measured is how the arm moves.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handful import InputError
from pipelines.metrics.replay import Divergence, replay_divergence
from scenes.domains import NONE, Domain
from scenes.randomization import Randomization
from scenes.scene import draw_scene, load_scenes
from scenes.twins import BANDS
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from trajectories import open_dataset


def twin_divergence(
    randomization: Randomization,
    demos: Path,
    *,
    task: str = "lift",
    seconds: int = 3,
    episodes: Sequence[int] | None = None,
    groups: Sequence[str] = ("actuation",),
) -> Divergence:
    """Measure the divergence of a twin's arm from the nominal one.

    Args:
        randomization: what the twin's scenes are drawn from; one scene per demo.
        demos: store of demonstrations whose commands are joint targets.
        task: the world that they are replayed in, empty-handed.
        seconds: of each demo, from its start; one segment each.
        episodes: demos to take; all if None.
        groups: of a twin's axes that take part; others are nominal.

    Raises:
        InputError: no demo is that long.
    """
    workspace = build_workspace(task)
    axes = [axis for group in groups for axis in BANDS[group]]
    worlds = (NONE, Domain("twin", randomization.only(*axes)))
    store = open_dataset(demos)
    sim = BatchSim(workspace.model, workspace.embodiment, 2)
    nominal, both = np.array([0]), np.arange(2)
    rate = round(sim.timing.rate)
    paths: list[np.ndarray] = []
    for episode in range(len(store)) if episodes is None else episodes:
        commands = store.read(episode, "action/executed").astype(float)
        if len(commands) < seconds * rate:
            continue
        load_scenes(sim, workspace, both, [draw_scene(workspace, world, "evaluation", 0, episode) for world in worlds])
        for start in range(0, seconds * rate, rate):
            sim.restore(np.array([1]), sim.snapshot(nominal))
            rows = [_tools(sim, both)]
            for action in commands[start : start + rate]:
                sim.step(both, np.tile(action, (2, 1)))
                rows.append(_tools(sim, both))
            paths.append(np.stack(rows, axis=1))
    if not paths:
        raise InputError(f"no demo in '{demos}' lasts {seconds} s; take fewer seconds")
    together = np.stack(paths)
    return replay_divergence(together[:, 0], together[:, 1], rate=rate)


def _tools(sim: BatchSim, ids: np.ndarray) -> np.ndarray:
    """Where the tools are, (n, 3) [m]."""
    return np.asarray(sim.embodiment.chain.forward(sim.true_joint_position(ids))[:, :3])
