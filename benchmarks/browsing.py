"""How soon the browser page shows what a filter leaves, beside the bare evaluation of the filter on the index.

A store of many short episodes is made, `handful browse` serves it, and Chromium opens the page. What is measured is the
time from the request to the list that is shown, and then from each new filter to the list that it leaves. Between that
and the limit lie the page's requests, the facets, and drawing.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.index import make
from handful import InputError, JobError
from trajectories import open_dataset
from trajectories.columns import Columns
from trajectories.filters import matching

ROOT = Path(__file__).resolve().parent.parent
# Each is typed once, so that no answer is known already.
FILTERS = [
    *(f"scene > {1000 * k} and length < 9" for k in range(1, 8)),
    *(f"{k} <= attempts and scene < {2000 * k}" for k in range(1, 4)),
    *(f"ledger.physics.friction > {0.4 + k / 40}" for k in range(1, 8)),
    *(f'instruction == "lift the {colour} cube" and seed == 0' for colour in ("red", "green", "blue")),
]


def bare(path: Path) -> float:
    """The limit: median time of the filters on the index and on ledgers in memory [ms]."""
    dataset = open_dataset(path)
    columns = Columns(len(dataset))
    columns.fill(dataset)
    spent = []
    for where in FILTERS:
        started = time.perf_counter()
        matching(dataset, where, columns)
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


def shown(path: Path) -> dict[str, Any]:
    """What a person waits for, in Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise InputError("this benchmark needs playwright; install it with: pip install playwright") from error
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise InputError("this benchmark needs Chromium, which is not installed here")
    command = [sys.executable, "-c", "from pipelines.entry import main; main()", "browse", str(path), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    try:
        line = server.stdout.readline() if server.stdout else ""
        found = re.search(r"open (\S+) to look at", line)
        if found is None:
            raise JobError(f"handful browse gave no address: {line}")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            started = time.perf_counter()
            page.goto(found[1])
            _wait(page, "document.querySelectorAll('#list [role=option]').length > 0")
            loading = 1000 * (time.perf_counter() - started)
            _wait(page, "document.body.dataset.ready === 'true'", 600)
            reading = time.perf_counter() - started
            spent = [_filter(page, where) for where in FILTERS]
            browser.close()
    finally:
        server.terminate()
        server.wait()
    return {"loading_ms": loading, "reading_seconds": reading, "spent": spent}


def _filter(page: Any, where: str) -> float:
    page.evaluate("delete document.body.dataset.filterMs")
    page.fill("#where", where)
    page.press("#where", "Enter")
    _wait(page, "document.body.dataset.filterMs")
    if page.is_visible("#where-error"):
        raise JobError(f"the page refused: {page.text_content('#where-error')}")
    return float(page.evaluate("document.body.dataset.filterMs"))


def _wait(page: Any, expression: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise JobError(f"the page did not get there within {seconds:g} s: {expression}")
        page.wait_for_timeout(5)


def measure(long: bool, episodes: int | None = None, keep: Path | None = None) -> dict[str, Any]:
    """Make a store, serve it and look.

    Args:
        long: 100,000 episodes instead of 10,000.
        episodes: as many instead.
        keep: folder to write the store into, and to leave it there; one that is there already is used as it is.
    """
    count = episodes or (100_000 if long else 10_000)
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(str(keep)) as folder:
        path = Path(folder) / f"{count}.zarr"
        if not (path / "seal.json").exists():
            make(path, count)
        limit, seen = bare(path), shown(path)
    spent = sorted(seen["spent"])
    return {
        "benchmark": "browsing",
        "value": statistics.median(spent),
        "limit": limit,
        "ratio": statistics.median(spent) / limit,
        "episodes": count,
        "filters": len(spent),
        "slowest_filter_ms": spent[-1],
        "loading_ms": seen["loading_ms"],
        "reading_what_was_drawn_seconds": seen["reading_seconds"],
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="100,000 episodes instead of 10,000")
    parser.add_argument("--episodes", type=int, default=None)
    parser.add_argument("--keep", type=Path, default=None)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.episodes, chosen.keep)))


if __name__ == "__main__":
    main()
