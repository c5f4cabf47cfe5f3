"""`handful record --device browser`: a page with live views, through which a person drives the robot.

The page and this server speak over one websocket: small JSON messages from the page (see `messages`), status as JSON
and pictures as binary to it. One page operates; others watch. A page that is slow is sent the newest picture, never a
queue of old ones.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from functools import partial
from typing import Any

import mujoco
from aiohttp import WSCloseCode, WSMsgType, web

from generators.assistance import Assistance
from generators.rendering import model_of
from handful import InputError
from pipelines.web.drawing import Painter, jpeg, pack
from pipelines.web.messages import Act, Hello, Message, Steer, Take, parse
from pipelines.web.operation import Moment, Operation, Plan
from pipelines.web.server import MAX_MESSAGE, Access, Bucket, make_app, serving, signals
from sim.rendering import FrameRenderer
from trajectories import Episode, Store

CAMERAS = ("front", "wrist")
STATIC = ("icon.svg", "style.css", "record.css", "record.js", "pictures.js", "controls.js", "replay.js")

# Messages of one page: per second in the long run, and at once; a message that is none costs as much as so many.
RATE, BURST, NONSENSE = 60.0, 120.0, 10.0
# Pages at a time.
_PAGES = 16
# A page that is there answers a ping within this [s], and says hello within this.
_PING, _HELLO = 4.0, 5.0
# Replays drawn at a time, pictures of one moment per job of the painter, and edge of a thumbnail [pixels].
_REPLAYS, _BATCH, _THUMBNAIL = 2, 2, 128


class Page:
    """A page that is connected, and what is to be sent to it: of each kind the newest, so that nothing piles up.

    Args:
        socket: its websocket.

    Attributes:
        tab: which tab of which browser; empty until it has said hello.
        bucket: how much it may say.
    """

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket, self.tab = socket, ""
        self.bucket = Bucket(RATE, BURST)
        self._news: dict[str, str] = {}
        self._status: str | None = None
        self._picture: bytes | None = None
        self._wake = asyncio.Event()
        self._leave: asyncio.Task[bool] | None = None

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with a code and a reason; from within or without the page's own task."""
        if self._leave is None:
            self._leave = asyncio.create_task(self.socket.close(code=code, message=reason.encode()))
        # A page's own task may be cancelled while it waits; the goodbye is said all the same.
        await asyncio.shield(self._leave)

    async def left(self) -> None:
        """Wait for a goodbye that is under way: the connection must not end before it is said."""
        if self._leave is not None:
            await asyncio.wait({self._leave})

    def say(self, message: dict[str, Any]) -> None:
        """Send a message, unless a newer one of its type comes before it could be sent."""
        self._news[message["type"]] = json.dumps(message)
        self._wake.set()

    def offer(self, status: str | None = None, picture: bytes | None = None) -> None:
        """Send a status or a picture, with the same proviso."""
        self._status = status or self._status
        self._picture = picture or self._picture
        self._wake.set()

    async def pump(self) -> None:
        """Send until the page is gone."""
        while not self.socket.closed:
            await self._wake.wait()
            self._wake.clear()
            news, self._news = self._news, {}
            for message in news.values():
                await self.socket.send_str(message)
            status, self._status = self._status, None
            if status is not None:
                await self.socket.send_str(status)
            picture, self._picture = self._picture, None
            if picture is not None:
                await self.socket.send_bytes(picture)


class Room:
    """Who is there: one operator, who may steer, and any number of others, who watch.

    Args:
        plan: what is recorded.
        store: where it goes.
        resolution: side of a picture [pixels].
    """

    def __init__(self, plan: Plan, store: Store, resolution: int) -> None:
        self.plan, self.store = plan, store
        self._loop = asyncio.get_running_loop()
        self.painter = Painter(plan.workspace.model, CAMERAS, resolution, self._deliver, self._end)
        self.operation = Operation(plan, store, self._show, self._tell, self._end)
        self.pages: list[Page] = []
        self.operator: Page | None = None
        self.changed = asyncio.Event()
        self.finished = False
        self.failure: BaseException | None = None
        self._scene: dict[str, Any] = {}
        self._episodes: dict[str, Any] = {}
        self._replays = asyncio.Semaphore(_REPLAYS)
        # Read in the drawing thread alone.
        self._reader: Store | None = None
        self._thumbnails: dict[int, bytes] = {}

    # Called in the threads that drive and draw.

    def _show(self, view: Any) -> None:
        if self.pages:
            self.painter.show(view)

    def _deliver(self, picture: bytes) -> None:
        def spread() -> None:
            for page in self.pages:
                if page.tab:
                    page.offer(picture=picture)

        self._call(spread)

    def _tell(self, moment: Moment) -> None:
        self._call(lambda: self._spread(moment))

    def _end(self, error: BaseException | None = None) -> None:
        self._call(lambda: self.finish(error))

    def _call(self, what: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop has ended, and with it everybody who might listen
            if not self._loop.is_closed():
                raise

    # Called in the event loop.

    def _spread(self, moment: Moment) -> None:
        if moment.scene is not None:
            self._scene = moment.scene
        if moment.episodes is not None:
            self._episodes = {"type": "episodes", "episodes": [asdict(listing) for listing in moment.episodes]}
        status = json.dumps(moment.status)
        for page in self.pages:
            if page.tab:
                if moment.scene is not None:
                    page.say(self._scene)
                if moment.episodes is not None:
                    page.say(self._episodes)
                page.offer(status=status)
        if moment.episodes is not None:
            self.changed.set()

    def finish(self, error: BaseException | None = None) -> None:
        """Let everything come to its end, which is a failure if there is an error."""
        self.finished, self.failure = True, self.failure or error
        self.changed.set()

    def _seat(self, page: Page | None) -> None:
        """Make a page the operator, or nobody, and tell everybody."""
        self.operator = page
        self.operation.operated(page is not None)
        for other in self.pages:
            if other.tab:
                other.say({"type": "role", "operator": other is page, "free": page is None})

    async def _welcome(self, page: Page, hello: Hello) -> None:
        page.tab = hello.tab
        page.say({"type": "welcome", "cameras": CAMERAS, "resolution": self.painter.resolution})
        if self._scene:
            page.say(self._scene)
        if self._episodes:
            page.say(self._episodes)
        old = self.operator
        if old is not None and old.tab == page.tab:
            # The same tab again: its old connection is a dead one that has not been noticed yet.
            self._seat(page)
            await old.close(WSCloseCode.GOING_AWAY, "connected again")
        elif old is None:
            self._seat(page)
        else:
            page.say({"type": "role", "operator": False, "free": False})

    async def _hear(self, page: Page, message: Message) -> None:
        if isinstance(message, Hello):
            if page.tab:
                raise InputError("hello was said already")
            await self._welcome(page, message)
        elif not page.tab:
            raise InputError("the first message must be hello")
        elif isinstance(message, Take):
            if self.operator not in (None, page):
                raise InputError("somebody else is at the controls; you can watch until they leave")
            self._seat(page)
        elif page is not self.operator:
            raise InputError("only the operator can do that; you are watching")
        elif isinstance(message, Steer):
            self.operation.steer(list(message.axes), message.clutch, message.at)
        elif isinstance(message, Act):
            self.operation.ask(message.name)
        elif isinstance(message, Assistance):
            self.operation.assist(message)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """A page's websocket, from hello to goodbye."""
        if len(self.pages) >= _PAGES:
            raise web.HTTPServiceUnavailable(text=f"{_PAGES} pages are open already\n")
        socket = web.WebSocketResponse(heartbeat=_PING, max_msg_size=MAX_MESSAGE, compress=False, timeout=2.0)
        await socket.prepare(request)
        page = Page(socket)
        self.pages.append(page)
        pump = asyncio.create_task(self._pump(page))
        try:
            while await self._listen(page):
                pass
        finally:
            pump.cancel()
            self.pages.remove(page)
            if self.operator is page:
                self._seat(None)
            await page.left()
        return socket

    async def _listen(self, page: Page) -> bool:
        """Hear one message; returns whether to go on."""
        socket = page.socket
        try:
            frame = await socket.receive(timeout=None if page.tab else _HELLO)
        except TimeoutError:
            await page.close(WSCloseCode.POLICY_VIOLATION, "no hello")
            return False
        if frame.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return False
        if not page.bucket.take():
            await page.close(WSCloseCode.POLICY_VIOLATION, "too many messages")
            return False
        try:
            if frame.type is not WSMsgType.TEXT:
                raise InputError("a message must be text")
            await self._hear(page, parse(frame.data))
        except InputError as error:
            page.say({"type": "error", "message": str(error)})
            page.bucket.take(NONSENSE)
        return True

    @staticmethod
    async def _pump(page: Page) -> None:
        with suppress(ConnectionError):  # gone; the reading side notices too, and tidies up
            await page.pump()

    async def thumbnail(self, request: web.Request) -> web.Response:
        """A stored episode's last picture, small."""
        index = self._index(request)
        if index not in self._thumbnails:
            self._thumbnails[index] = await asyncio.wrap_future(self.painter.ask(lambda r: self._draw_last(r, index)))
        return web.Response(body=self._thumbnails[index], content_type="image/jpeg")

    async def replay(self, request: web.Request) -> web.StreamResponse:
        """A stored episode drawn again, as a stream of pictures, each packed as live ones are, after its size."""
        index = self._index(request)
        if self._replays.locked():
            raise web.HTTPTooManyRequests(text=f"{_REPLAYS} replays are being drawn already\n")
        async with self._replays:
            ask = self.painter.ask
            episode, model = await asyncio.wrap_future(ask(lambda _: self._load(index)))
            answer = web.StreamResponse(headers={"X-Steps": str(len(episode) + 1)})
            answer.content_type = "application/octet-stream"
            await answer.prepare(request)
            for start in range(0, len(episode) + 1, _BATCH):
                draw = partial(self._draw, episode=episode, model=model, start=start)
                await answer.write(await asyncio.wrap_future(ask(draw)))
            await answer.write_eof()
            return answer

    def _index(self, request: web.Request) -> int:
        text = request.match_info["episode"]
        index = int(text) if len(text) <= 9 else -1
        if not 0 <= index < len(self._episodes.get("episodes", ())):
            raise web.HTTPNotFound(text="there is no such episode\n")
        return index

    # Called in the drawing thread.

    def _load(self, index: int) -> tuple[Episode, mujoco.MjModel]:
        if self._reader is None:
            self._reader = Store.open(self.store.path)
        elif index >= len(self._reader):
            self._reader.refresh()
        stored = self._reader.keys()
        keys = [key for key in stored if key.startswith("model/") or key in ("state", "subtask")]
        episode = self._reader.episode(index, keys)
        return episode, model_of(self.plan.workspace, episode)

    def _draw_last(self, renderer: FrameRenderer, index: int) -> bytes:
        episode, model = self._load(index)
        frame = renderer.render(model, episode.arrays["state"][-1], CAMERAS[:1])[CAMERAS[0]]
        factor = max(1, frame.shape[0] // _THUMBNAIL)
        height, width = (side // factor * factor for side in frame.shape[:2])
        tiles = frame[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
        return jpeg(tiles.mean(axis=(1, 3)).round().astype("uint8"))

    def _draw(self, renderer: FrameRenderer, episode: Episode, model: mujoco.MjModel, start: int) -> bytes:
        frames = renderer.render_states(model, episode.arrays["state"][start : start + _BATCH], CAMERAS)
        packed = []
        for row in range(len(next(iter(frames.values())))):
            message = pack({name: stack[row] for name, stack in frames.items()}, start + row)
            packed += [len(message).to_bytes(4, "little"), message]
        return b"".join(packed)

    def application(self, access: Access) -> web.Application:
        """The page and its routes."""
        app = make_app(access, "record.html", STATIC)
        app.router.add_get("/socket", self.socket)
        app.router.add_get(r"/episodes/{episode:\d+}/thumbnail.jpg", self.thumbnail)
        app.router.add_get(r"/episodes/{episode:\d+}/replay", self.replay)
        app.on_shutdown.append(self._goodbye)
        return app

    async def _goodbye(self, app: web.Application) -> None:
        farewells = (page.close(WSCloseCode.GOING_AWAY, "the command has ended") for page in self.pages)
        await asyncio.gather(*farewells)


def operate(
    plan: Plan,
    store: Store,
    access: Access,
    resolution: int,
    say: Callable[[str], None],
    progress: Callable[[int, dict[str, int]], None],
) -> None:
    """Serve the page until the operator has finished, or a Ctrl-C.

    Args:
        plan: what is recorded.
        store: where it goes; nobody else may write to it.
        access: where the page is served, and to whom.
        resolution: side of a live picture [pixels].
        say: prints a line that the person at the terminal needs, such as the address to open.
        progress: is given the number of episodes in the store and the outcomes, whenever they change.

    Raises:
        InputError: the address cannot be bound.
        JobError: OpenGL cannot be used here.
        KeyboardInterrupt: by a Ctrl-C before as many episodes as wanted were kept.
    """
    asyncio.run(_operate(plan, store, access, resolution, say, progress))


async def _operate(
    plan: Plan,
    store: Store,
    access: Access,
    resolution: int,
    say: Callable[[str], None],
    progress: Callable[[int, dict[str, int]], None],
) -> None:
    room = Room(plan, store, resolution)
    operation = room.operation
    with signals(lambda: room.finish(KeyboardInterrupt())):
        async with AsyncExitStack() as stack:
            # Closed in this order, last first: nobody listens, nothing drives, nothing draws.
            stack.enter_context(room.painter)
            stack.enter_context(operation)
            address = await stack.enter_async_context(serving(room.application(access), access))
            say(f"open {address} and drive; a Ctrl-C here ends it")
            while not room.finished:
                await room.changed.wait()
                room.changed.clear()
                progress(len(operation.listings), operation.outcomes)
    if operation.waits():
        say("the last attempt had succeeded and was not kept")
    if isinstance(room.failure, KeyboardInterrupt) and len(operation.listings) >= plan.wanted:
        return
    if room.failure is not None:
        raise room.failure
