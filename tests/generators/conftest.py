"""A few demonstrations per task by the scripted operator, recorded once per test run."""

from pathlib import Path

import numpy as np
import pytest

from generators.demos import Demo, load_demos
from generators.scripted import ScriptedOperator
from generators.teleoperation import record
from scenes.domains import get_domain
from scenes.outcome import Outcome
from scenes.scene import draw_scene
from scenes.workspace import build_workspace
from trajectories import Episode, Store


def _record(task: str, count: int) -> list[Episode]:
    workspace, kept = build_workspace(task), []
    for index in range(2 * count):
        scene = draw_scene(workspace, get_domain("none"), "recording", 0, index)
        episode, outcome = record(workspace, scene, ScriptedOperator(), np.random.default_rng(index))
        if outcome is Outcome.SUCCESS:
            kept.append(episode)
        if len(kept) == count:
            return kept
    raise AssertionError(f"the scripted operator did {task} only {len(kept)} times in {2 * count}")


def _store(folder: Path, episodes: list[Episode]) -> Path:
    store = Store.create(folder, {"task": episodes[0].meta.task})
    store.commit(0, episodes, [{"scene": e.meta.scene, "outcome": e.meta.outcome} for e in episodes])
    store.seal(None)
    return folder


@pytest.fixture(scope="session")
def lift_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _store(tmp_path_factory.mktemp("demos") / "lift", _record("lift", 3))


@pytest.fixture(scope="session")
def stack_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _store(tmp_path_factory.mktemp("demos") / "stack", _record("stack_three", 2))


@pytest.fixture(scope="session")
def lift_demos(lift_store: Path) -> list[Demo]:
    return load_demos(lift_store, build_workspace("lift").task, 20.0)


@pytest.fixture(scope="session")
def stack_demos(stack_store: Path) -> list[Demo]:
    return load_demos(stack_store, build_workspace("stack_three").task, 20.0)
