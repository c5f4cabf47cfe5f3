"""Data that benchmarks train policies on: bundled demos multiplied in scenes of two cameras."""

from collections.abc import Sequence
from pathlib import Path

from pipelines import generate
from pipelines.progress import Reporter
from sim.panda import PANDA


def generated(
    out: Path, task: str, scenes: int, overrides: Sequence[str] = (), workers: int = 0, embodiment: str = PANDA.name
) -> None:
    """Make a store, or go on with one that was stopped; a finished one is left as it is.

    Args:
        out: the store.
        task: its name.
        scenes: how many are tried.
        overrides: of GenerationConfig.
        workers: processes; 0 works in this one.
        embodiment: the robot that does it.
    """
    generate.run(
        task=task,
        demos=None,
        out=out,
        scenes=scenes,
        count=None,
        cameras=("front", "wrist"),
        resolution=84,
        workers=workers,
        seed=0,
        address=None,
        algorithm="handful",
        dry_run=False,
        overrides=list(overrides),
        progress=Reporter(quiet=True),
        embodiment=embodiment,
    )
