"""Where stored episodes come from: the plan in the store, the demos it names, and the engine that both describe.

With them a scene can be simulated anew: what was kept of it, and what no store keeps, the tries that failed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import mujoco

from generators.augment import Engine, Options
from generators.demos import load_demos
from generators.pilot import pilot_of
from generators.rendering import render_episodes
from handful import InputError, __version__
from pipelines.chunks import CONTROL_RATE, PANDA
from pipelines.configuration import build
from pipelines.generate import BUNDLED
from pipelines.generation_plan import digest_of_demos
from scenes.domains import Domain
from scenes.randomization import Randomization
from scenes.task import split_task
from scenes.workspace import TIMESTEP, build_workspace, workspace_of
from trajectories import Episode
from trajectories.ancestry import Plan, lineages, lines_beneath
from trajectories.dataset import Dataset

# Of a try that is looked at [pixels].
_SIDE = 336


def line_of(dataset: Dataset, number: int) -> tuple[Plan, ...]:
    """How a stored episode came to be: the plans from that of its store to that of its generation.

    Raises:
        InputError: it was not generated, or more than one plan may have made it.
    """
    lines = lineages(dataset, number)
    if len(lines) != 1:
        raise InputError(
            f"episode {number} of '{dataset.path}' may have been made by {len(lines)} plans; give a store that holds "
            "one of them"
        )
    _require_generated(lines[0][-1], f"episode {number} of '{dataset.path}'")
    return lines[0]


def find_demos(plan: Plan, given: Path | None) -> Path:
    """Where the demos of a plan are.

    Args:
        plan: of `handful generate`.
        given: where to look; None: among the bundled ones.

    Raises:
        InputError: what is there are other demos.
    """
    path = given if given is not None else BUNDLED / split_task(plan["task"])[0]
    digest = digest_of_demos(path)
    if digest != plan["demos"]:
        which = f"those at '{path}'" if given is not None else "those that come with the task"
        raise InputError(
            f"it was made from other demos ({plan['demos'][:12]}) than {which} ({digest[:12]}); give the right ones "
            "with --demos"
        )
    return path


def engine_of(plan: Plan, demos: Path, draw: bool = False) -> Engine:
    """The engine that a plan describes.

    Args:
        plan: of `handful generate`.
        demos: where the demos are, known to be the plan's.
        draw: also draw the images that it asks for.

    Raises:
        InputError: the plan was made by other versions, or for another model.
    """
    return _engine(json.dumps(plan, sort_keys=True), str(demos), draw)


@lru_cache(maxsize=2)
def _engine(text: str, demos: str, draw: bool) -> Engine:
    plan = json.loads(text)
    here = {"handful": __version__, "mujoco": mujoco.__version__}
    for name, version in here.items():
        if plan["versions"].get(name) != version:
            raise InputError(
                f"it was made with {name} {plan['versions'].get(name)}, and here is {version}: only the same version "
                "makes the same bytes"
            )
    timestep = plan["config"]["engine"].get("physics_step", TIMESTEP)
    workspace = build_workspace(plan["task"], plan.get("embodiment", PANDA), timestep)
    if workspace.model_hash != plan["model"]:
        raise InputError(
            f"it was made with another model of '{plan['task']}' ({plan['model'][:12]}, not "
            f"{workspace.model_hash[:12]}); go back to commit {plan.get('commit')} to make it again"
        )
    options = build(Options, plan["config"]["engine"])
    if not draw:
        options = replace(options, cameras=(), depth=False, segmentation=False)
    domain = Domain(plan["config"]["domain"], Randomization(plan["randomization"]))
    seeds = load_demos(demos, workspace.task, CONTROL_RATE)
    return Engine(workspace, seeds, domain, plan["seed"], options, pilot_of(plan))


def tries_of(dataset: Dataset, scene: int, demos: Path | None) -> list[Episode]:
    """Every try at a scene of a generated data set, the failed ones as well, as episodes without images.

    Args:
        dataset: what `handful generate` made.
        scene: the scene's number in the plan.
        demos: the seed demos; None: the task's bundled ones.

    Returns:
        The tries in order; the last is the one that settled the scene.

    Raises:
        InputError: no such scene was tried, or what it was made from is not what there is here.
    """
    plans = [line[-1] for line in lines_beneath(dataset)]
    if len(plans) != 1:
        raise InputError(f"'{dataset.path}' holds scenes of {len(plans)} stores; say of which: give that store itself")
    (plan,) = plans
    _require_generated(plan, f"'{dataset.path}'")
    tried = [record["scene"] for record in dataset.scene_records()]
    if scene not in tried:
        between = f"{min(tried)} to {max(tried)}" if tried else "none"
        raise InputError(f"'{dataset.path}' has no record of scene {scene}; its scenes are {between}")
    with naming(dataset):
        engine = engine_of(plan, find_demos(plan, demos))
    result = engine.make([scene], keep_failed=True)
    return [*result.failed, *result.episodes[:1]]


def draw_try(episode: Episode, cameras: tuple[str, ...] = ("front", "wrist")) -> Episode:
    """A try as it is looked at: with images of a size for a person."""
    workspace = workspace_of(episode.meta)
    return render_episodes(workspace, [episode], cameras, _SIDE)[0]


@contextmanager
def naming(dataset: Dataset) -> Iterator[None]:
    """Around what may find that a data set cannot be made again here: the error says which."""
    try:
        yield
    except InputError as error:
        raise InputError(f"'{dataset.path}' cannot be made again here: {error}") from error


def _require_generated(plan: Plan, what: str) -> None:
    if plan.get("kind") != "generation":
        raise InputError(
            f"{what} was not generated (its plan is of the kind '{plan.get('kind')}'), so nothing makes it again"
        )
