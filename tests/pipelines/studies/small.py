"""A study that takes seconds: of stores that are there, with policies that learn two steps from pictures of a ball."""

from pathlib import Path
from typing import Any

import yaml

from pipelines.configuration import build
from pipelines.studies.spec import StudySpec
from tests.pipelines.run_folder import make_episode
from trajectories import Store


def store(path: Path, scenes: range, **meta: Any) -> Path:
    """A finished store of short episodes with images."""
    made = Store.create(path, {"kind": "test", "name": path.name})
    records = [{"scene": scene, "outcome": "success", "attempts": ["success"], "steps": 12} for scene in scenes]
    made.commit(0, [make_episode(scene, ("front",), **meta) for scene in scenes], records)
    made.seal(None)
    return path


def plain(folder: Path, **changes: Any) -> dict[str, Any]:
    """A specification as YAML has it; its two sources are made in the folder where they are not there."""
    real, sim = folder / "real.zarr", folder / "sim.zarr"
    if not real.exists():
        store(real, range(6), domain="real/lab", operator="human")
        store(sim, range(100, 108))
    return {
        "name": "small",
        "task": "lift",
        "real": {"store": str(real)},
        "sim": {"store": str(sim)},
        "cameras": ["front"],
        "grid": {"n_real": [0, 2], "n_sim": [0, 4], "weights": ["natural"], "seeds": [0]},
        "training": {
            "preset": "tiny",
            "overrides": ["checkpoints=1", "batch_size=4"],
            "budget": {"rule": "steps", "amount": 2},
        },
        "evaluation": {"domains": ["sim"], "episodes": 2, "overrides": ["execute=16"]},
        **changes,
    }


def spec(folder: Path, **changes: Any) -> StudySpec:
    """The same, read."""
    return build(StudySpec, plain(folder, **changes))


def file(folder: Path, **changes: Any) -> Path:
    """The same, as a file."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(plain(folder, **changes)), encoding="utf-8")
    return path
