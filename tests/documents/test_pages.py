"""Python of the documents runs, no link is dead, every file and picture is there."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.documents.pages import PAGES, ROOT, blocks
from trajectories import Store


def python_blocks() -> list[Any]:
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(blocks(str(page.relative_to(ROOT)), "python"))
    ]


@pytest.mark.parametrize("code", python_blocks())
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demos").symlink_to(ROOT / "demos")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<document>", "exec"), {"__name__": "__main__"})


def test_what_data_md_writes_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in blocks("docs/data.md", "python") if "Store.create" in block)
    exec(compile(code, "<document>", "exec"), {})
    store = Store.open("mine.zarr")
    assert (len(store), store.sealed_episodes, store.verify()) == (1, 1, [])


def slug(heading: str) -> str:
    """The anchor that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


def test_files_that_the_pages_name_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`(?:python )?((?:\w+/)+\w+\.(?:py|md))", page.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{page.name}: {name}"


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").glob("*.svg")), ids=lambda path: path.stem)
def test_drawings_are_well_formed_and_say_what_they_show(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text
    assert any(picture.name in page.read_text(encoding="utf-8") for page in PAGES)
