"""A policy that had two steps to learn from three demos, and its evaluation in few scenes: for tests of evaluation."""

from pathlib import Path
from typing import Any

from pipelines import rollouts, training
from pipelines.progress import Reporter
from tests.pipelines.run_folder import make_store

TASK = "lift"


def policy_run(folder: Path, seed: int = 0, *changes: str) -> Path:
    """A run folder with a policy that knows next to nothing; `changes` are overrides of its configuration."""
    data = make_store(folder / "data", episodes=4)
    data.seal(None)
    overrides = ["steps=2", "checkpoints=1", "batch_size=4", "threads=1", f"seed={seed}", *changes]
    training.run([str(folder / "data")], folder / "training", "tiny", None, overrides, Reporter(quiet=True))
    return folder / "training"


def evaluate(run: Path, out: Path, *overrides: str, **changes: Any) -> dict[str, Any]:
    """Evaluate it in the first three scenes; it looks rarely, because looking is what takes long."""
    arguments: dict[str, Any] = {"task": TASK, "domains": ["sim"], "episodes": 3, "seed": 0, **changes}
    given = ["execute=16", "threads=1", "videos=0", *overrides]
    return rollouts.run(run=run, out=out, overrides=given, progress=Reporter(quiet=True), **arguments)
