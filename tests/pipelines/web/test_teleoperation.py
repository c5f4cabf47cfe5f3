"""The page's other end: who drives and who watches, what a bad message or a closed tab does, and the pictures."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from generators.scripted import ScriptedOperator
from generators.teleoperation import Limits, record
from pipelines.web import teleoperation
from pipelines.web.operation import Plan
from pipelines.web.server import MAX_MESSAGE, Access
from pipelines.web.teleoperation import BURST, CAMERAS, Room
from scenes.domains import get_domain
from scenes.scene import draw_scene
from scenes.workspace import build_workspace
from trajectories import Store

Client = TestClient[web.Request, web.Application]
UP = [0, 0, 1, 0, 0, 0]
SIZE = 64


@pytest.fixture(scope="module")
def kept() -> Any:
    """A demo to have in the list."""
    workspace = build_workspace("lift")
    scene = draw_scene(workspace, get_domain("none"), "recording", 0, 0)
    return record(workspace, scene, ScriptedOperator(), np.random.default_rng(0))[0]


def served(
    path: Path, steps: Callable[[Client, Room], Awaitable[None]], episodes: list[Any] | None = None, token: str = ""
) -> None:
    """Serve the page over a store in a folder, and run the steps of whoever visits."""

    async def run() -> None:
        store = Store.create(path / "s", {"kind": "recording"})
        if episodes:
            store.commit(0, episodes, [{"scene": 0, "outcome": "success", "attempts": ["success"], "steps": 1}])
        room = Room(Plan(build_workspace("lift"), get_domain("none"), 0, Limits(), 2), store, SIZE)
        access = Access(token=token) if token else Access()
        with ExitStack() as stack:
            stack.enter_context(room.painter)
            stack.enter_context(room.operation)
            async with TestClient(TestServer(room.application(access))) as client:
                await asyncio.wait_for(steps(client, room), 60)
            assert room.failure is None

    asyncio.run(run())


class Visitor:
    """A page, as seen from the other end of its websocket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.last: dict[str, Any] = {}

    async def say(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def steer(self, axes: list[float], at: float = 1.0) -> None:
        await self.say(type="steer", axes=axes, clutch=False, at=at)

    async def until(self, kind: str, holds: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next message of a kind of which something holds; "picture" is a binary one."""
        while True:
            frame = await asyncio.wait_for(self.socket.receive(), 20)
            if frame.type is WSMsgType.BINARY:
                if kind == "picture" and holds(frame.data):
                    return frame.data
                continue
            assert frame.type is WSMsgType.TEXT, frame
            message = json.loads(frame.data)
            self.last[message["type"]] = message
            if message["type"] == kind and holds(message):
                return message

    async def closed(self) -> int | None:
        """Read to the end; returns the code that it was closed with."""
        while True:
            frame = await asyncio.wait_for(self.socket.receive(), 20)
            if frame.type is WSMsgType.CLOSE:
                return int(frame.data)
            if frame.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return self.socket.close_code


@asynccontextmanager
async def visiting(client: Client, tab: str = "a" * 8, hello: bool = True) -> AsyncIterator[Visitor]:
    origin = str(client.make_url("")).rstrip("/")
    async with client.ws_connect("/socket", headers={"Origin": origin}, max_msg_size=0) as socket:
        visitor = Visitor(socket)
        if hello:
            await visitor.say(type="hello", tab=tab)
        yield visitor


def test_the_first_page_drives_and_pictures_answer_its_commands(tmp_path: Path) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client) as page:
            assert (await page.until("role"))["operator"]
            assert page.last["welcome"] == {"type": "welcome", "cameras": list(CAMERAS), "resolution": SIZE}
            for turn in range(10):
                await page.steer(UP, at=1000.0 + turn)
                await asyncio.sleep(0.03)
            status = await page.until("status", lambda s: s["steps"] > 2)
            assert status["state"] == "recording"
            picture = await page.until("picture", lambda p: struct.unpack_from("<d", p, 4)[0] >= 1000.0)
            step, _echo, spent, count = struct.unpack_from("<IdfI", picture)
            assert (step >= 1, count, spent > 0) == (True, 2, True)
            at, images = 20, []
            for _ in range(count):
                (size,) = struct.unpack_from("<I", picture, at)
                images.append(np.asarray(Image.open(BytesIO(picture[at + 4 : at + 4 + size]))))
                at += 4 + size
            assert at == len(picture)
            assert [image.shape for image in images] == [(SIZE, SIZE, 3)] * 2
            assert all(image.std() > 5 for image in images)

    served(tmp_path, steps)


def test_a_second_operator_watches_until_the_first_has_left(tmp_path: Path) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client, "second-tab") as late, visiting(client, "first-tab!") as first:
            # Who came first is decided by who said hello first.
            roles = [(await page.until("role"))["operator"] for page in (late, first)]
            assert roles == [True, False]
            await first.until("status")
            await first.steer(UP)
            refused = await first.until("error")
            assert "only the operator can do that; you are watching" in refused["message"]
            await first.say(type="take")
            assert "somebody else is at the controls" in (await first.until("error"))["message"]
            await first.until("picture")
            await late.socket.close()
            assert (await first.until("role"))["free"]
            await first.until("status", lambda s: s["pause"] == "nobody is at the controls")
            await first.say(type="take")
            assert (await first.until("role"))["operator"]
            await first.steer(UP)
            await first.until("status", lambda s: s["steps"] > 0)

    served(tmp_path, steps)


def test_a_tab_closed_in_mid_episode_pauses_it_and_a_new_page_goes_on(tmp_path: Path) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client) as page:
            await page.until("role")
            for _ in range(8):
                await page.steer(UP)
                await asyncio.sleep(0.04)
            before = (await page.until("status", lambda s: s["steps"] >= 4))["steps"]
        await asyncio.sleep(0.5)
        async with visiting(client, "b" * 8) as page:
            assert (await page.until("role"))["operator"]
            status = await page.until("status")
            after = status["steps"]
            assert before <= after <= before + 12
            await page.steer(UP)
            await page.until("status", lambda s: s["steps"] > after)

    served(tmp_path, steps)


def test_a_tab_that_reloads_gets_its_seat_back_from_its_dead_connection(tmp_path: Path) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client) as old, visiting(client, "watcher-1") as other:
            await old.until("role")
            assert not (await other.until("role"))["operator"]
            async with visiting(client) as new:
                assert (await new.until("role"))["operator"]
                assert await old.closed() == 1001
                assert room.operator is not None
                await new.steer(UP)
                await new.until("status", lambda s: s["steps"] > 0)

    served(tmp_path, steps)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("{", "not JSON"),
        ('{"type": "act", "name": "explode"}', "unknown act 'explode'"),
        (b"\x80\x04K\x01.", "must be text"),
        ('{"type": "hello", "tab": "aaaaaaaa"}', "hello was said already"),
    ],
)
def test_a_malformed_message_is_answered_and_changes_nothing(tmp_path: Path, sent: str | bytes, words: str) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client) as page:
            await page.until("role")
            await (page.socket.send_bytes(sent) if isinstance(sent, bytes) else page.socket.send_str(sent))
            assert words in (await page.until("error"))["message"]
            await page.steer(UP)
            await page.until("status", lambda s: s["steps"] > 0)

    served(tmp_path, steps)


def test_floods_and_oversize_messages_end_the_connection_and_nothing_else(tmp_path: Path) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client, "onlooker") as witness:
            await witness.until("role")
            async with visiting(client, "flooding") as page:
                for _ in range(int(BURST) + 60):
                    await page.steer(UP)
                assert await page.closed() == 1008
            async with visiting(client, "nonsense") as page:
                for _ in range(40):
                    await page.socket.send_str("nonsense")
                assert await page.closed() == 1008
            async with visiting(client, "oversize") as page:
                await page.socket.send_str('{"type": "' + "x" * MAX_MESSAGE + '"}')
                assert await page.closed() == 1009
            await witness.steer(UP)
            await witness.until("status", lambda s: s["steps"] > 0)
            assert len(room.pages) == 1

    served(tmp_path, steps)


def test_who_says_no_hello_hears_nothing_and_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teleoperation, "_HELLO", 0.3)

    async def steps(client: Client, room: Room) -> None:
        async with visiting(client, hello=False) as page:
            assert await page.closed() == 1008
        async with visiting(client, hello=False) as page:
            await page.say(type="take")
            assert "the first message must be hello" in (await page.until("error"))["message"]
            assert room.operator is None

    served(tmp_path, steps)


def test_other_origins_and_too_many_pages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teleoperation, "_PAGES", 1)

    async def steps(client: Client, room: Room) -> None:
        for origin in ("http://evil.example", "null", ""):
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect("/socket", headers={"Origin": origin} if origin else {})
            assert refused.value.status == 403
        async with visiting(client) as page:
            await page.until("role")
            with pytest.raises(WSServerHandshakeError) as refused:
                async with visiting(client, "b" * 8):
                    pass
            assert refused.value.status == 503

    served(tmp_path, steps)


def test_with_a_token_the_websocket_and_the_pictures_need_it_too(tmp_path: Path, kept: Any) -> None:
    async def steps(client: Client, room: Room) -> None:
        with pytest.raises(WSServerHandshakeError) as refused:
            async with visiting(client):
                pass
        assert refused.value.status == 401
        assert (await client.get("/episodes/0/thumbnail.jpg")).status == 401
        assert (await client.get("/", params={"token": "secret-token"})).status == 200
        async with visiting(client) as page:
            assert (await page.until("role"))["operator"]

    served(tmp_path, steps, [kept], token="secret-token")


def test_kept_episodes_are_listed_pictured_and_replayed(tmp_path: Path, kept: Any) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client) as page:
            (listed,) = (await page.until("episodes"))["episodes"]
            assert (listed["episode"], listed["instruction"]) == (0, kept.meta.instruction)
            assert listed["seconds"] == pytest.approx(len(kept) / 20)
            thumbnail = await client.get("/episodes/0/thumbnail.jpg")
            assert thumbnail.content_type == "image/jpeg"
            assert np.asarray(Image.open(BytesIO(await thumbnail.read()))).std() > 5
            replay = await client.get("/episodes/0/replay")
            body, at, moments = await replay.read(), 0, []
            while at < len(body):
                (size,) = struct.unpack_from("<I", body, at)
                moments.append(struct.unpack_from("<IdfI", body, at + 4)[0])
                at += 4 + size
            assert moments == list(range(len(kept) + 1))
            assert int(replay.headers["X-Steps"]) == len(kept) + 1
            # Live pictures went on meanwhile.
            await page.until("picture")

    served(tmp_path, steps, [kept])


@pytest.mark.parametrize(
    "path", ["1/replay", "99999999999999999999/thumbnail.jpg", "-1/replay", "..%2f0/replay", "x/replay"]
)
def test_episodes_that_do_not_exist_are_not_found(tmp_path: Path, kept: Any, path: str) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client) as page:
            await page.until("episodes")
            assert (await client.get(f"/episodes/{path}")).status == 404

    served(tmp_path, steps, [kept])


def test_a_page_that_does_not_read_gets_the_newest_picture_and_holds_nobody_up(tmp_path: Path) -> None:
    async def steps(client: Client, room: Room) -> None:
        async with visiting(client, "sleeping") as lazy, visiting(client, "watching") as page:
            await lazy.until("role")
            await asyncio.sleep(2.0)  # it reads nothing in this time
            statuses = 0
            until = asyncio.get_running_loop().time() + 1.0
            while asyncio.get_running_loop().time() < until:
                await page.until("status")
                statuses += 1
            assert statuses > 5

    served(tmp_path, steps)


def test_the_end_of_the_command_is_told_to_every_page(tmp_path: Path) -> None:
    codes: list[int | None] = []

    async def steps(client: Client, room: Room) -> None:
        async with visiting(client) as page:
            await page.until("role")
            await page.say(type="act", name="finish")
            await asyncio.wait_for(room.changed.wait(), 10)
            while not room.finished:
                room.changed.clear()
                await asyncio.wait_for(room.changed.wait(), 10)
            closing = asyncio.create_task(page.closed())
            await room._goodbye(room.application(Access()))
            codes.append(await closing)

    served(tmp_path, steps)
    assert codes == [1001]
