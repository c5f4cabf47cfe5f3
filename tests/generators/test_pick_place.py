"""Pick and place from the bundled demos: each object by demos of its own, into its own bin, at the wider levels too."""

from pathlib import Path

import numpy as np
import pytest

from generators.augment import Engine
from generators.demos import load_demos
from scenes.bins import BELONGS
from scenes.domains import get_domain
from scenes.scene import draw_scene
from scenes.workspace import build_workspace
from sim.transforms import compose, inverse

DEMOS = Path(__file__).resolve().parents[2] / "demos" / "pick_place"


def test_the_bundled_demos_show_every_object_more_than_once() -> None:
    demos = load_demos(DEMOS, build_workspace("pick_place").task, 20.0)
    shown = [demo.roles["target"] for demo in demos]
    assert len(demos) == 10
    assert all(shown.count(name) >= 2 for name in BELONGS)
    assert {demo.operator for demo in demos} == {"script"}


# Scene 19 of D1 asks for a wrist turn that is too fast for the arm at the demos' speed.
@pytest.mark.parametrize(("level", "scenes"), [("D1", [0, 1, 19]), ("D2", [0, 1, 2])])
def test_demos_of_each_object_make_episodes_of_it(level: str, scenes: list[int]) -> None:
    workspace = build_workspace(f"pick_place:{level}")
    demos = load_demos(DEMOS, workspace.task, 20.0)
    made = Engine(workspace, demos, get_domain("sim"), 1).make(scenes)
    assert [record["outcome"] for record in made.scenes] == ["success"] * len(scenes)
    for index, episode in zip(scenes, made.episodes, strict=True):
        target = draw_scene(workspace, get_domain("sim"), "generation", 1, index).roles["target"]
        assert episode.meta.extra["roles"]["target"] == target
        used = set(episode.arrays["source/demo"].tolist()) - {-1}
        assert used
        assert {demos[i].roles["target"] for i in used} == {target}
        into, put = (episode.arrays[f"objects/{name}"][-1].astype(float) for name in (BELONGS[target], target))
        assert np.abs(compose(inverse(into), put)[:2]).max() < 0.03
