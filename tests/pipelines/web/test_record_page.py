"""The record page as a person uses it: Chromium, keys, mouse and a stick; then a data set out of what was driven."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import app
from trajectories import Store

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

# What is left between tool and cube, as the page says it, and what else a person sees.
SEEN = """() => {
  const where = document.getElementById("where").dataset, body = document.body.dataset;
  return {x: +where.x, y: +where.y, z: +where.z, turn: +where.turn, state: body.state, outcome: body.outcome,
          steps: +body.steps, gripper: document.getElementById("gripper").textContent, note: body.note};
}"""


@contextmanager
def recording(out: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`handful record --device browser` in a process of its own; gives it and its address."""
    command = [
        sys.executable,
        "-c",
        "from pipelines.entry import main; main()",
        "record",
        "--task",
        "lift",
        "--device",
        "browser",
    ]
    command += ["--domain", "none", "--port", "0", "--out", str(out), "--json", *more]
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)
    try:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"open (\S+) and drive", said)):
            line = process.stderr.readline()
            assert line, f"the command ended without an address: {said}"
            said += line
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page on which any error in the console fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    # The command ends before the page does, and the page looks for it again.
    assert [error for error in errors if "ERR_CONNECTION_REFUSED" not in error] == []


def wait(page: Any, expression: str, seconds: float = 30.0) -> None:
    """Wait until an expression is true. Playwright's own way evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.02)


def until(page: Any, holds: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
    """Look at the page until something holds."""
    end = time.monotonic() + seconds
    while True:
        seen = page.evaluate(SEEN)
        if holds(seen):
            return seen
        assert time.monotonic() < end, seen
        time.sleep(0.02)


def open_page(page: Any, address: str) -> None:
    page.goto(address)
    ready(page)


def ready(page: Any) -> None:
    """Wait until the page takes keys."""
    wait(page, "document.body.dataset.role === 'operator' && document.body.dataset.state === 'ready'")


def drive(page: Any, above: float, far: str) -> None:
    """Hold the keys that lead over the cube, at a height above its middle [m], until the tool is there.

    `far` is the speed where there is a way to go: at "3" a look that comes late is an overshoot of centimetres.
    """
    held: set[str] = set()
    level, end = "", time.monotonic() + 60
    while True:
        seen = page.evaluate(SEEN)
        assert seen["outcome"] == "", seen
        assert time.monotonic() < end, seen
        rest = {"s": seen["x"], "w": -seen["x"], "d": seen["y"], "a": -seen["y"]}
        rest |= {"q": seen["z"] + above, "e": -seen["z"] - above}
        turn = seen["turn"] / 500  # degrees as metres: 2 degrees count as 4 mm
        rest |= {"ArrowLeft": turn, "ArrowRight": -turn}
        wanted = {key for key, left in rest.items() if left > 0.004}
        if not wanted:
            break
        speed = far if max(rest.values()) > 0.04 else "1"
        if speed != level:
            page.keyboard.press(speed)
            level = speed
        for key in held - wanted:
            page.keyboard.up(key)
        for key in wanted - held:
            page.keyboard.down(key)
        held = wanted
    for key in held:
        page.keyboard.up(key)


def lift(page: Any) -> None:
    """Lift the cube with keys alone."""
    drive(page, 0.12, "3")
    drive(page, 0.0, "1")
    page.keyboard.press("Space")
    until(page, lambda seen: seen["state"] == "waiting" and "closed" in seen["gripper"])
    page.keyboard.press("3")
    begun = page.evaluate(SEEN)["steps"]
    page.keyboard.down("q")
    until(page, lambda seen: seen["steps"] >= begun + 15)  # 13 cm
    page.keyboard.up("q")
    until(page, lambda seen: seen["state"] == "ended")


def test_from_key_presses_to_a_generated_data_set(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demos.zarr"
    with recording(out, "--episodes", "1") as (process, address):
        open_page(page, address)
        instruction = page.text_content("#instruction")
        assert "scene 0 · seed 0 · attempt 1" in page.text_content("#scene")
        lift(page)
        seen = page.evaluate(SEEN)
        assert seen["outcome"] == "success"
        assert page.text_content("#announce").startswith("Success. Enter keeps it. the goal held for a second")
        page.keyboard.press("Enter")
        page.wait_for_selector("#episodes li")
        assert instruction in page.text_content("#episodes li")
        assert page.text_content("#count") == "1 of 1"

        page.reload()
        page.wait_for_selector("#episodes li")
        wait(page, "document.querySelector('#episodes img').naturalWidth > 0")
        page.click("#episodes li button")
        wait(page, "document.getElementById('replay').open && +document.getElementById('replay').dataset.step > 5")
        drawn = "(id) => new Set(document.getElementById(id).getContext('2d').getImageData(0, 0, 256, 256).data).size"
        assert min(page.evaluate(drawn, "replay-front"), page.evaluate(drawn, "replay-wrist")) > 20
        page.keyboard.press("Escape")
        wait(page, "!document.getElementById('replay').open")

        assert "scene 1" in page.text_content("#scene")
        ready(page)
        page.keyboard.down("q")
        until(page, lambda seen: seen["steps"] > 10)
        page.keyboard.up("q")
        page.keyboard.press("Delete")
        until(page, lambda seen: seen["steps"] == 0)
        assert "scene 2" in page.text_content("#scene")
        assert page.locator("#episodes li").count() == 1
        page.click("#finish")
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        assert json.loads(process.stdout.read().splitlines()[-1]) == {"episodes": 1}

    store = Store.open(out)
    assert (len(store), store.verify(), store.meta(0).operator) == (1, [], "human")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    words = ["generate", "--task", "lift", "--demos", str(out), "--count", "10", "--workers", "0", "--out", "data.zarr"]
    assert not app([*words, "--json", "--quiet"], standalone_mode=False)
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["kept"] >= 10


def test_mouse_stick_checkpoints_and_a_second_page(page: Any, browser: Any, tmp_path: Path) -> None:
    with recording(tmp_path / "s", "--resolution", "64") as (process, address):
        open_page(page, address)
        # Drag across the table: to the right, then with Shift upwards.
        start = page.evaluate(SEEN)
        box = page.locator("#front").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 40, middle[1], steps=4)
        until(page, lambda seen: seen["y"] < start["y"] - 0.02)
        page.mouse.up()
        here = until(page, lambda seen: seen["state"] == "waiting")
        assert abs(here["x"] - start["x"]) < 0.01
        page.keyboard.press("m")
        until(page, lambda seen: "checkpoint at" in seen["note"])
        page.keyboard.down("Shift")
        page.mouse.down()
        page.mouse.move(middle[0] + 40, middle[1] - 40, steps=4)
        until(page, lambda seen: seen["z"] < here["z"] - 0.02)
        page.mouse.up()
        page.keyboard.up("Shift")
        page.click("button[data-act=back]")
        back = until(page, lambda seen: seen["steps"] == here["steps"] and seen["state"] == "ready")
        assert abs(back["z"] - here["z"]) < 1e-6

        # A gamepad of the standard layout: stick to the right, then the button that closes the gripper.
        page.evaluate("""() => {
          const buttons = Array.from({length: 17}, () => ({pressed: false}));
          const pad = {connected: true, id: "test", axes: [1, 0, 0, 0], buttons};
          navigator.getGamepads = () => [pad];
          window.pad = pad;
        }""")
        until(page, lambda seen: seen["y"] < back["y"] - 0.02)
        page.evaluate("() => { pad.axes = [0.05, 0, 0, 0]; pad.buttons[0].pressed = true; }")
        until(page, lambda seen: "closed" in seen["gripper"] and seen["state"] == "waiting")

        # A second page watches, and takes over once the first has gone.
        other = browser.new_page()
        other.goto(address)
        wait(other, "document.body.dataset.role === 'watcher' && document.body.dataset.state !== undefined")
        assert other.locator("button[data-act=redo]").is_disabled()
        assert other.text_content("#role") == "you watch"
        steps = other.evaluate(SEEN)["steps"]
        other.keyboard.press("q")
        other.keyboard.press("r")
        page.goto("about:blank")
        wait(other, "document.getElementById('headline').textContent.includes('nobody is at the controls')")
        assert other.evaluate(SEEN)["steps"] == steps
        other.click("#take")
        wait(other, "document.body.dataset.role === 'operator'")
        other.keyboard.down("q")
        until(other, lambda seen: seen["steps"] > steps)
        other.keyboard.up("q")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 1
        assert process.stderr is not None
        assert "everything committed" in process.stderr.read().splitlines()[-1]
        wait(other, "document.getElementById('headline').textContent.includes('has ended')")
        other.close()


def test_the_page_is_usable_without_a_mouse_and_says_what_it_shows(page: Any, tmp_path: Path) -> None:
    with recording(tmp_path / "s", "--resolution", "64") as (_, address):
        open_page(page, address)
        names = []
        for _ in range(14):
            page.keyboard.press("Tab")
            seen = page.evaluate("""() => {
              const e = document.activeElement;
              const style = getComputedStyle(e.matches("fieldset input") ? e.nextElementSibling : e);
              return [e.tagName, (e.labels?.[0]?.textContent || e.getAttribute("aria-label") || e.textContent).trim(),
                      style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
            }""")
            if seen[0] == "BODY":
                break
            assert seen[1], seen
            assert seen[2], f"no visible focus on {seen}"
            names.append(seen[1])
        assert any("Start" in name for name in names)
        assert any("Finish" in name for name in names)
        # A button that has the focus keeps Space and Enter; driving keys go on working.
        page.focus("button[data-act=hold]")
        page.keyboard.press("Enter")
        until(page, lambda seen: seen["state"] == "paused")
        page.keyboard.press("Space")
        until(page, lambda seen: seen["state"] == "ready")
        page.keyboard.down("q")
        until(page, lambda seen: seen["steps"] > 3)
        page.keyboard.up("q")
        assert "open" in page.evaluate(SEEN)["gripper"]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.get_attribute("#announce", "aria-live") == "assertive"


def test_elsewhere_than_on_loopback_the_page_opens_with_the_printed_token_alone(page: Any, tmp_path: Path) -> None:
    with recording(tmp_path / "s", "--host", "0.0.0.0", "--resolution", "64") as (_, address):
        assert "?token=" in address
        local = address.replace("0.0.0.0", "127.0.0.1")
        open_page(page, local)
        assert "token" not in page.url
        with another_visitor(page) as stranger:
            answer = stranger.goto(local.split("?")[0])
            assert answer.status == 401


@contextmanager
def another_visitor(page: Any) -> Iterator[Any]:
    """A page of another visitor, who has no cookie."""
    context = page.context.browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core cannot draw and drive at once")
def test_pictures_come_often_and_soon(page: Any, tmp_path: Path) -> None:
    """A loose bound, for a machine that is busy with other tests; `benchmarks/teleoperation.py` measures."""
    with recording(tmp_path / "s") as (_, address):
        open_page(page, address)
        page.keyboard.down("q")
        wait(page, "+document.body.dataset.frames > 5 && +document.body.dataset.latency > 0")
        page.keyboard.up("q")
        assert float(page.evaluate("document.body.dataset.latency")) < 1000
