"""The scripted operator: succeeds, varies like a person, says what it is, and is never seen by augmentation."""

import ast
from pathlib import Path

import numpy as np
import pytest

import generators
from generators.demos import Demo
from generators.scripted import ScriptedOperator
from scenes.domains import get_domain
from scenes.scene import Scene, draw_scene
from scenes.workspace import build_workspace
from tests.arm import LANE, Arm
from trajectories import Store

FOLDER = Path(generators.__file__).parent
AUGMENTATION = ("augment", "segmentation", "planning", "rollout", "demos", "rendering")


def imported(module: str) -> set[str]:
    """Modules of `generators` that a module imports anywhere in its text, functions included."""
    found = set()
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("generators.") for name in found if name.startswith("generators.")}


def reachable(module: str) -> set[str]:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and (FOLDER / f"{name}.py").exists():
            seen.add(name)
            waiting += imported(name)
    return seen


@pytest.mark.parametrize("module", AUGMENTATION)
def test_augmentation_never_reaches_the_scripted_operator(module: str) -> None:
    assert "scripted" not in reachable(module)


def test_the_import_walk_sees_what_is_there() -> None:
    assert "teleoperation" in reachable("scripted")
    assert "planning" in reachable("augment")


def test_it_says_that_it_is_a_script(lift_store: Path) -> None:
    store = Store.open(lift_store)
    for i in range(len(store)):
        assert store.meta(i).operator == "script"
        assert store.meta(i).extra["device"] == "script"


def test_it_reports_the_subtasks_in_order(stack_store: Path) -> None:
    store = Store.open(stack_store)
    for i in range(len(store)):
        subtask = store.episode(i, ["subtask"]).arrays["subtask"]
        assert (np.diff(subtask) >= 0).all()
        assert set(subtask.tolist()) == {0, 1, 2, 3}


def test_demos_differ_like_a_persons(lift_demos: list[Demo]) -> None:
    grasps = []
    for demo in lift_demos:
        closing = int(np.flatnonzero(demo.gripper < 0.5)[0])
        grasps.append(demo.target[closing, 2] - demo.objects[demo.roles["target"]][closing, 2])
    assert len({round(float(g), 5) for g in grasps}) == 3
    assert len({len(d) for d in lift_demos}) > 1


def drawn(index: int) -> Scene:
    return draw_scene(build_workspace("lift"), get_domain("none"), "recording", 0, index)


def test_the_same_stream_gives_the_same_commands() -> None:
    arm = Arm()
    world = arm.workspace.observe(arm.sim, LANE)
    twists = []
    for seed in (1, 1, 2):
        operator = ScriptedOperator()
        operator.begin(drawn(0), arm.workspace, np.random.default_rng(seed))
        twists.append(operator.read(world, arm.tool).twist)
    np.testing.assert_array_equal(twists[0], twists[1])
    assert (twists[0] != twists[2]).any()


def test_it_heads_for_the_cube_that_the_scene_asks_for() -> None:
    arm = Arm()
    world = arm.workspace.observe(arm.sim, LANE)
    operator = ScriptedOperator()
    operator.begin(arm.scene, arm.workspace, np.random.default_rng(0))
    twist = operator.read(world, arm.tool).twist
    way = arm.object(arm.scene.roles["target"])[:2] - arm.tool[:2]
    assert twist[:2] @ way / (np.linalg.norm(twist[:2]) * np.linalg.norm(way)) > 0.9
