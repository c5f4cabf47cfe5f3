"""The browser page as a person uses it: Chromium, keys and mouse, from a filter to a saved view."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import browsing as benchmark
from tests.pipelines.web.gallery import hurt, make_demos, make_gallery
from trajectories import open_dataset

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
# What has the focus is called, and whether that is seen; of the list a frame around it says so.
FOCUS = """() => {
  const e = document.activeElement, list = e.id === "list";
  const style = list ? getComputedStyle(e.parentElement, "::after") : getComputedStyle(e);
  const name = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent;
  return [name.trim(), parseFloat(list ? style.borderTopWidth : style.outlineWidth) >= 2];
}"""
ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def browsing(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`handful browse` in a process of its own; gives it and its address."""
    command = [sys.executable, "-c", "from pipelines.entry import main; main()", "browse", *words, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"open (\S+) to look at", line)
        assert found, (line, process.stderr and process.stderr.read())
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    foreign: list[str] = []
    opened.on("request", lambda r: foreign.append(r.url) if "127.0.0.1" not in r.url else None)
    yield opened
    assert errors == []
    assert [url for url in foreign if not url.startswith(("blob:", "data:", "about:"))] == []
    context.close()


def wait(page: Any, expression: str, seconds: float = 30.0) -> None:
    """Until something is true of the page; the page's policy forbids Playwright's own way."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, (expression, page.evaluate("({...document.body.dataset})"))
        page.wait_for_timeout(20)


def data(page: Any, name: str) -> str:
    return str(page.evaluate(f"document.body.dataset.{name}"))


def load(page: Any, address: str) -> None:
    page.goto(address)
    wait(page, "document.body.dataset.loaded === 'true' && document.body.dataset.ready === 'true'")


@needs_chromium
def test_from_a_filter_to_a_saved_view_without_a_mouse(page: Any, tmp_path: Path) -> None:
    demos = make_demos(tmp_path / "demos.zarr")
    store, views = make_gallery(tmp_path / "data.zarr", demos), tmp_path / "views"
    with browsing(str(store.path), "--demos", str(demos.path), "--views", str(views)) as (process, address):
        load(page, address)
        assert data(page, "matching") == "24"
        # A filter, first with a slip.
        page.keyboard.press("/")
        page.keyboard.type("lenth > 3")
        page.keyboard.press("Enter")
        wait(page, "!document.getElementById('where-error').hidden")
        assert "length" in page.text_content("#where-error")
        page.keyboard.press("/")
        page.keyboard.type("attempts > 1 and ledger.physics.friction > 0.6")
        page.keyboard.press("Enter")
        wait(page, "document.body.dataset.matching === '9'")
        assert page.is_hidden("#where-error")
        # The second of them, played to its end.
        page.keyboard.press("j")
        page.keyboard.press("j")
        wait(page, "document.body.dataset.opened === '13' && document.body.dataset.shown === '0'")
        assert page.text_content("#instruction") == store.meta(13).instruction
        page.keyboard.press("ArrowRight")
        wait(page, "document.body.dataset.shown === '1'")
        page.keyboard.press(" ")
        wait(page, "document.body.dataset.step === '11' && document.body.dataset.playing === 'false'")
        wait(page, "document.body.dataset.shown === '11'")
        assert "demo 1, step 11" in page.text_content("#moment")
        # Beside its demo, in step.
        page.keyboard.press("d")
        wait(page, "document.body.dataset.demoShown === '1:11'")
        page.keyboard.press("Home")
        wait(page, "document.body.dataset.demoShown === '1:3'")
        assert "bridge" in page.text_content("#demo-cameras figcaption")
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        wait(page, "document.body.dataset.demoShown === '1:5' && document.body.dataset.shown === '5'")
        # Marked, and saved.
        page.keyboard.press("x")
        page.keyboard.press("k")
        wait(page, "document.body.dataset.opened === '11'")
        page.keyboard.press("x")
        assert data(page, "marks") == "2"
        page.keyboard.press("s")
        page.keyboard.type("clean.zarr")
        page.keyboard.press("Enter")
        wait(page, "Boolean(document.body.dataset.saved)")
        assert "22 episodes" in page.text_content("#saved-text")
        page.keyboard.press("Enter")
        wait(page, "!document.getElementById('save-error').hidden")
        assert "exists already" in page.text_content("#save-error")
        page.keyboard.press("Escape")
        assert sorted(set(range(24)) - set(open_dataset(views / "clean.zarr").index().scene.tolist())) == [11, 13]
        # The address holds it all, and so do the marks.
        page.keyboard.press("End")
        wait(page, "location.hash.includes('_step=11')")
        link = page.url
        assert "_episode=11" in link
        page.goto("about:blank")
        load(page, link)
        wait(page, "document.body.dataset.opened === '11' && document.body.dataset.shown === '11'")
        assert (data(page, "matching"), data(page, "marks")) == ("9", "2")
        assert page.get_attribute("#list [aria-selected=true]", "data-episode") == "11"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@needs_chromium
def test_the_other_views_filter_by_mouse_and_damage_is_shown(page: Any, tmp_path: Path) -> None:
    store = make_gallery(tmp_path / "data.zarr").path
    hurt(store, 1, "observation/joint_position/c.0.0", 0.3)
    hurt(store, 2, "images/wrist/c.0.0.0.0", 0.3)
    hurt(store, 2, "episodes.jsonl", 0.05)
    with browsing(str(store)) as (_, address):
        load(page, address)
        # Facets.
        page.click("button.value[data-field=domain][data-value='twin/dev-0']")
        wait(page, "document.body.dataset.matching === '6'")
        page.click("button.value[data-field=domain][data-value=sim]")
        wait(page, "document.body.dataset.matching === '24'")
        page.click("#clear")
        wait(page, "!location.hash.includes('domain')")
        # A box on the map.
        page.keyboard.press("4")
        wait(page, "document.body.dataset.view === 'coverage'")
        box = page.locator("canvas.map").bounding_box()
        x, y, side = box["x"], box["y"], box["width"]
        page.mouse.move(x + 0.5 * side, y + 0.05 * side)
        page.mouse.down()
        page.mouse.move(x + 0.95 * side, y + 0.95 * side, steps=3)
        page.mouse.up()
        wait(page, "+document.body.dataset.matching < 24")
        scenes = [int(s) for s in range(24) if -0.1 + 0.01 * s < 0.015]
        assert abs(int(data(page, "matching")) - len(scenes)) <= 1
        assert page.input_value("input[aria-label='ledger.poses.cube[1] at most']")
        page.keyboard.press("c")
        wait(page, "document.body.dataset.matching === '24'")
        # Half of a histogram.
        page.keyboard.press("3")
        wait(page, "document.body.dataset.view === 'distributions'")
        bars = page.locator(".card", has_text="physics.friction").locator("svg").bounding_box()
        page.mouse.move(bars["x"] + 2, bars["y"] + 20)
        page.mouse.down()
        page.mouse.move(bars["x"] + bars["width"] / 2 - 4, bars["y"] + 20, steps=3)
        page.mouse.up()
        wait(page, "document.body.dataset.matching === '12'")
        # Attempts, and from a scene to its episode.
        page.keyboard.press("2")
        wait(page, "document.body.dataset.view === 'attempts'")
        assert "54 attempts at 27 scenes" in page.text_content("#attempts")
        page.click("#attempts button.value:has-text('grasp missed')")
        wait(page, "document.querySelectorAll('#attempts .halves > div:last-child tbody tr').length === 16")
        page.click("#attempts button.link:has-text('episode 5')")
        wait(page, "document.body.dataset.opened === '5' && document.body.dataset.shown === '0'")
        # Damage: of one array, of pictures, of metadata; the page lives on.
        page.keyboard.press("c")
        wait(page, "document.body.dataset.matching === '24'")
        page.goto(f"{address}#_episode=15")
        wait(page, "document.body.dataset.opened === '15' && document.body.dataset.shown === '0'")
        assert "observation/joint_position" in page.text_content("#episode-error")
        page.goto(f"{address}#_episode=22")
        wait(page, "document.body.dataset.opened === '22' && !document.getElementById('picture-error').hidden")
        assert "images/wrist" in page.text_content("#picture-error")
        page.goto(f"{address}#_episode=20")
        wait(page, "document.body.dataset.opened === '20' && !document.getElementById('episode-error').hidden")
        assert "episodes.jsonl" in page.text_content("#episode-error")
        assert page.text_content("#list [data-episode='20'] .tag.bad") == "damaged"
        page.keyboard.press("k")
        wait(page, "document.body.dataset.opened === '19' && document.getElementById('picture-error').hidden")
        # Whatever has the focus shows it, and says what it is.
        seen = set()
        for _ in range(30):
            page.keyboard.press("Tab")
            name, visible = page.evaluate(FOCUS)
            assert name
            assert visible, name
            seen.add(name)
        assert any("filter" in name for name in seen)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.trial
@needs_chromium
@pytest.mark.skipif(os.cpu_count() == 1, reason="one core cannot serve and show at once")
def test_a_hundred_thousand_episodes_load_and_filter_at_once() -> None:
    found = benchmark.measure(True)
    assert found["episodes"] == 100_000
    assert found["loading_ms"] < 2000
    assert found["value"] < 300
