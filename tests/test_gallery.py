"""The gallery shows every task, level, robot, camera and domain, in pictures that are there."""

import re
from pathlib import Path

import pytest
from PIL import Image

from scenes import TASKS
from scenes.domains import DOMAINS
from scenes.workspace import build_workspace

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[[^\]]*\]\((\S+)\)", PAGE)


@pytest.mark.parametrize("task", TASKS.values())
def test_every_task_is_shown_at_every_level(task: str) -> None:
    assert f"### `{task}`" in PAGE
    for level in build_workspace(task).task.levels:
        assert f"images/gallery/level_{task}_{level}.jpg" in PICTURES


def test_every_domain_is_shown() -> None:
    assert {f"images/gallery/domain_{name.replace('/', '_')}.jpg" for name in DOMAINS} <= set(PICTURES)


def test_the_pictures_are_those_of_the_page_and_small() -> None:
    there = {f"images/gallery/{path.name}": path for path in (DOCS / "images" / "gallery").iterdir()}
    assert sorted(there) == sorted(PICTURES)
    assert sum(path.stat().st_size for path in there.values()) < 3 * 2**20
    for path in there.values():
        assert Image.open(path).convert("L").getextrema()[1] > 100  # something is lit
