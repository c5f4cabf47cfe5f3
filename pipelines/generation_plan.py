"""The plan of a generated data set: everything that decides its content."""

from pathlib import Path
from typing import Any

import mujoco
import PIL

from generators.augment import Engine
from handful import __version__
from pipelines.chunks import LOSSLESS, PANDA, GenerationConfig
from pipelines.configuration import project_commit, to_plain
from pipelines.progress import Reporter
from trajectories import Store, open_dataset
from trajectories.views import content_digest


def make_plan(
    task: str, demos: Path, seed: int, algorithm: str, config: GenerationConfig, scenes: int | None, engine: Engine
) -> dict[str, Any]:
    """Everything that decides a data set's content. How many episodes of it are wanted (--count) is no part of it."""
    versions = {"handful": __version__, "mujoco": mujoco.__version__}
    robot = engine.workspace.embodiment.name
    images = {}
    if config.image_codec != LOSSLESS:
        # Another JPEG library may give other bytes.
        images, versions["pillow"] = {"image_codec": config.image_codec}, PIL.__version__
    return {
        "kind": "generation",
        "task": task,
        **({} if robot == PANDA else {"embodiment": robot}),
        "demos": digest_of_demos(demos),
        "seed": seed,
        "algorithm": algorithm,
        "scenes": scenes,
        "config": _deciding(to_plain(config)),
        "randomization": config.scenes_from().randomization.to_plain(),
        **images,
        "model": engine.workspace.model_hash,
        "versions": versions,
        "commit": project_commit(),
    }


def continued(plan: dict[str, Any], out: str | Path, progress: Reporter) -> dict[str, Any]:
    """The plan, under the commit at which the store at `out` was begun: a later commit may finish it, and says so."""
    if not (Path(out) / "plan.json").is_file():
        return plan
    begun = Store.open(out).plan.get("commit")
    if begun != plan["commit"]:
        progress.say(f"note: '{out}' was begun at commit {begun} and is continued at {plan['commit']}")
    return {**plan, "commit": begun}


def _deciding(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what decides no content, and without what the plan says for itself."""
    engine = {name: value for name, value in config["engine"].items() if name != "threads"}
    engine["plan"] = {name: value for name, value in engine["plan"].items() if name != "pilot"}
    said_elsewhere = ("image_codec", "randomization")
    return {**{name: value for name, value in config.items() if name not in said_elsewhere}, "engine": engine}


def digest_of_demos(path: Path) -> str:
    """SHA-256 of all that the demos are, of a store or a view."""
    return content_digest(open_dataset(path))
