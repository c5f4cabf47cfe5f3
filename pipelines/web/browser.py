"""`handful browse`: a page to look at a data set. It only reads, but for the views that a person saves.

The page asks for small pieces of JSON and runs of pictures; whatever touches the disk or draws is done by a few
threads, so that the page goes on answering. Nothing is looked up by a path from a request: episodes and demos have
numbers, and a view's name is a plain word inside one folder that was given at the start.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

import numpy as np
from aiohttp import web

from handful import HandfulError, InputError, JobError
from pipelines.terminal import plain
from pipelines.web.library import MOST_ROWS, Library
from pipelines.web.moments import Studio, drawable, segments, series
from pipelines.web.query import Query
from pipelines.web.server import Access, json_body, make_app, serving, signals
from trajectories import Dataset, View, open_dataset
from trajectories.columns import flatten
from trajectories.recipes import narrow, parse_episodes

STATIC = (
    "icon.svg",
    "style.css",
    "browse.css",
    "browse.js",
    "pictures.js",
    "list.js",
    "player.js",
    "plots.js",
    "charts.js",
    "facets.js",
    "tools.js",
)
Result = TypeVar("Result")

# Threads that answer, and as many that read and draw pictures.
# Runs of pictures that are under way at once, and that are wanted altogether.
_THREADS, _RUNS, _WAITING = 3, 2, 8
# Values of a ledger that are shown.
_LEDGER = 2000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Demos:
    """The data sets among which an episode's source demos are looked for.

    Args:
        paths: stores or views; those that cannot be opened are passed over where `required` is false.
        required: whether a path that holds no data set is an error.
    """

    def __init__(self, paths: Sequence[Path], required: bool) -> None:
        self.sets: list[Dataset] = []
        for path in paths:
            try:
                self.sets.append(open_dataset(path))
            except HandfulError:
                if required:
                    raise
        self._by_digest = {dataset.plan_digest: number for number, dataset in enumerate(self.sets)}

    def find(self, source: Any) -> int | None:
        """The number of the set that holds a source demo as metadata names it; None where it is not at hand."""
        if not isinstance(source, dict):
            return None
        number = self._by_digest.get(str(source.get("store")))
        episode = source.get("episode")
        if number is None or not isinstance(episode, int):
            return None
        try:
            return number if 0 <= episode < len(self.sets[number]) else None
        except HandfulError:
            return None


class Browser:
    """One data set, served.

    Args:
        dataset: what is looked at.
        demos: where its source demos are looked for.
        views: the folder that views are saved into.
    """

    def __init__(self, dataset: Dataset, demos: Demos, views: Path) -> None:
        self.dataset, self.demos, self.views = dataset, demos, views
        self.library = Library(dataset)
        self.studio = Studio()
        self._threads = ThreadPoolExecutor(_THREADS, "browser")
        # What waits for the studio must not keep filters waiting.
        self._slow = ThreadPoolExecutor(_THREADS, "pictures")
        self._runs = asyncio.Semaphore(_RUNS)
        self._waiting = 0

    def application(self, access: Access) -> web.Application:
        """The page and its routes."""
        app = make_app(access, "browse.html", STATIC)
        add = app.router.add_get
        add("/api/dataset", self._answer(self._dataset))
        add("/api/summary", self._answer(lambda r: self.library.summary(_query(r))))
        add("/api/episodes", self._answer(self._page))
        add("/api/distributions", self._answer(self._distributions))
        add("/api/coverage", self._answer(lambda r: self.library.coverage(_query(r))))
        add("/api/attempts", self._answer(self._attempts))
        add(r"/api/episodes/{episode:\d{1,9}}", self._answer(self._episode))
        add(r"/api/episodes/{episode:\d{1,9}}/series", self._answer(lambda r: series(self.dataset, self._number(r))))
        add(r"/api/episodes/{episode:\d{1,9}}/contacts", self._answer(self._contacts, slow=True))
        add(r"/api/episodes/{episode:\d{1,9}}/frames", self._frames)
        add(r"/api/demos/{set:\d{1,3}}/{episode:\d{1,9}}/frames", self._frames)
        app.router.add_post("/api/views", self._save)
        return app

    def start(self) -> None:
        """Begin to read what is read in the background."""
        self.library.start()

    def stop(self) -> None:
        """End everything that is under way."""
        self.library.stop()
        for threads in (self._threads, self._slow):
            threads.shutdown(cancel_futures=True)
        self.studio.__exit__()

    async def _run(self, job: Callable[[], Result], slow: bool = False) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._slow if slow else self._threads, job)

    def _answer(
        self, job: Callable[[web.Request], Any], slow: bool = False
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            return web.json_response(await self._run(lambda: plain(job(request)), slow))

        return handler

    # What the page asks for; each of these runs in one of the threads.

    def _dataset(self, request: web.Request) -> dict[str, Any]:
        dataset = self.dataset
        shapes = {camera: dataset.row_shape(f"images/{camera}") for camera in dataset.cameras()}
        return {
            "name": dataset.path.name,
            "path": str(dataset.path),
            "kind": "view" if isinstance(dataset, View) else "store",
            "digest": dataset.plan_digest,
            "finished": dataset.sealed_episodes is not None,
            "episodes": len(dataset),
            "steps": dataset.frames,
            "parts": dataset.parts,
            "pictures": drawable(dataset),
            "cameras": {camera: list(shape[:2]) for camera, shape in shapes.items()},
            "keys": sorted(dataset.keys()),
            "plan": dataset.plan,
            "demos": [str(found.path) for found in self.demos.sets],
            "views": str(self.views),
            "outcomes": _sentences(),
            "axes": self.library.axes(),
        }

    def _page(self, request: web.Request) -> dict[str, Any]:
        find = _whole(request, "_find", -1)
        return self.library.page(
            _query(request),
            request.query.get("_sort", "episode"),
            _whole(request, "_start", 0),
            _whole(request, "_count", 50, MOST_ROWS),
            find if find >= 0 else None,
        )

    def _distributions(self, request: web.Request) -> dict[str, Any]:
        return self.library.distributions(_query(request), (), request.query.get("_search", "")[:100])

    def _attempts(self, request: web.Request) -> dict[str, Any]:
        outcome, failed = request.query.get("_outcome"), request.query.get("_failed") == "1"
        return self.library.attempts(outcome, failed, _whole(request, "_start", 0), _whole(request, "_count", 50))

    def _episode(self, request: web.Request) -> dict[str, Any]:
        episode = self._number(request)
        store, number = self.dataset, episode
        if isinstance(self.dataset, View):
            store, number = self.dataset.whereabouts(episode)
        problem = None
        stretches: list[dict[str, Any]] = []
        try:
            stretches = segments(self.dataset, episode)
        except JobError as error:
            problem = str(error)
        meta = self.dataset.meta(episode).to_json()
        ledger = [
            {"axis": f"ledger.{axis}", "value": value, "extent": self.library.extent(axis)}
            for axis, value in list(flatten(meta.pop("ledger")))[:_LEDGER]
        ]
        sources = meta.pop("sources")
        used = sorted({stretch["demo"] for stretch in stretches} - {-1})
        return {
            **self.library.row(episode),
            "store": {"path": str(store.path), "episode": number},
            "part": [int(column[episode]) for column in (self.library.index.part, self.library.index.local)],
            "meta": meta,
            "ledger": ledger,
            "segments": stretches,
            "sources": {
                str(demo): {**sources[demo], "set": self.demos.find(sources[demo])}
                for demo in used
                if demo < len(sources) and isinstance(sources[demo], dict)
            },
            "chain": self.library.records.of(episode),
            "problem": problem,
        }

    def _contacts(self, request: web.Request) -> dict[str, Any]:
        return self.studio.contacts(self.dataset, self._number(request))

    async def _frames(self, request: web.Request) -> web.Response:
        if self._waiting >= _WAITING:
            raise web.HTTPTooManyRequests(text="too many pictures are wanted at once\n")
        self._waiting += 1
        try:
            async with self._runs:
                body, cameras = await self._run(partial(self._pictures, request), slow=True)
        finally:
            self._waiting -= 1
        named = {"X-Cameras": ",".join(quote(camera, safe="") for camera in cameras)}
        return web.Response(body=body, content_type="application/octet-stream", headers=named)

    def _pictures(self, request: web.Request) -> tuple[bytes, list[str]]:
        dataset, episode = self.dataset, int(request.match_info["episode"])
        if "set" in request.match_info:
            number = int(request.match_info["set"])
            if number >= len(self.demos.sets):
                raise InputError(f"there is no set {number} of demos")
            dataset = self.demos.sets[number]
        if episode >= len(dataset):
            raise InputError(f"there is no episode {episode}; '{dataset.path.name}' has {len(dataset)}")
        frames = self.studio.frames(dataset, episode, _whole(request, "start", 0), _whole(request, "stop", 1))
        return frames, self.studio.cameras(dataset, episode)

    async def _save(self, request: web.Request) -> web.Response:
        """Save a view: what matches, less what is excluded."""
        asked = await json_body(request, {"name": str, "query": str, "exclude": str})
        return web.json_response(await self._run(lambda: self.save(**asked)))

    def save(self, name: str, query: str, exclude: str) -> dict[str, Any]:
        """Save a view into the folder of views.

        Args:
            name: a plain name.
            query: which episodes, as in the page's address; empty: all.
            exclude: numbers of those to leave out, as in "3,17,20-25"; may be empty.

        Raises:
            InputError: a name that is none or taken, or no episode is left.
            JobError: it cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise InputError("a view's name has letters, digits, '.', '_' and '-', at most 64, and starts with no sign")
        asked = Query.parse(parse_qsl(query, keep_blank_values=True))
        kept = self.library.chosen(asked)
        dropped = parse_episodes(exclude, self.dataset) if exclude.strip() else np.zeros(0, np.int64)
        kept = np.setdiff1d(kept, dropped)
        if not len(kept):
            raise InputError("no episode would be left in this view")
        recipe = {"operation": "filter" if asked.where else "exclude"}
        recipe |= {"where": asked.where} if asked.where else {}
        recipe |= {"episodes": exclude} if len(dropped) else {}
        out = self.views / name
        view = narrow(self.dataset, kept, out, recipe)
        return {"path": str(out), "episodes": len(view), "excluded": len(self.dataset) - len(view)}

    def _number(self, request: web.Request) -> int:
        episode = int(request.match_info["episode"])
        if episode >= len(self.library):
            raise InputError(f"there is no episode {episode}; this data set has {len(self.library):,}, counted from 0")
        return episode


def _query(request: web.Request) -> Query:
    """The filter in a request's address; names with an underscore before them are not part of it."""
    return Query.parse((name, value) for name, value in request.query.items() if not name.startswith("_"))


def _whole(request: web.Request, name: str, default: int, most: int = 10**9) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,9}", text):
        raise InputError(f"'{name}' must be a whole number, not '{text[:40]}'")
    return min(int(text), most)


def _sentences() -> dict[str, str]:
    """What each outcome means."""
    from scenes.outcome import Outcome

    return {outcome.label: outcome.value for outcome in Outcome}


def browse(browser: Browser, access: Access, ready: Callable[[str], None]) -> None:
    """Serve the page until a Ctrl-C.

    Args:
        browser: what is served.
        access: where, and to whom.
        ready: is given the address to open.

    Raises:
        InputError: the address cannot be bound.
    """
    asyncio.run(_browse(browser, access, ready))


async def _browse(browser: Browser, access: Access, ready: Callable[[str], None]) -> None:
    ended = asyncio.Event()
    with signals(ended.set):
        async with AsyncExitStack() as stack:
            stack.callback(browser.stop)
            address = await stack.enter_async_context(serving(browser.application(access), access))
            browser.start()
            ready(address)
            await ended.wait()
