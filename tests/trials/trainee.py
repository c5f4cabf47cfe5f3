"""A small training that a trial kills: the toy world, a line of the log for each step, a checkpoint for every third."""

from pathlib import Path

import numpy as np

from policies import train
from policies.config import load_config
from policies.cpu import prepare_process
from tests.policies.toy_world import ToyBlend, record

STEPS, CHECKPOINTS = 60, 20


def run(out: str) -> None:
    """Train into a folder, or go on there."""
    train.LOG_EVERY = 1
    prepare_process(1)
    sizes = ["batch_size=4", "waypoints=[6,12]", "horizon=6", "model.patch=3", "execute=3"]
    budget = [f"steps={STEPS}", f"checkpoints={CHECKPOINTS}", "device=cpu", "threads=1", "loader_threads=2"]
    episodes = [record(np.random.default_rng([7, i]), 32) for i in range(3)]
    config = load_config("tiny", [*sizes, *budget])
    train.Trainer(config, ToyBlend(episodes, 13), Path(out)).run()  # type: ignore[arg-type]
