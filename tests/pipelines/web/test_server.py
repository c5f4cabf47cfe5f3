"""The door of every page: who is let in, what is bounded, and that no path reaches the file system."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from handful import InputError, JobError
from pipelines.web.server import MAX_BODY, Access, Bucket, is_loopback, json_body, make_app, parse_object, serving

Client = TestClient[web.Request, web.Application]
TOKEN = "s3cret-s3cret"


def visit(
    steps: Callable[[Client], Awaitable[None]], access: Access | None = None, routes: Callable[..., Any] | None = None
) -> None:
    """Serve a page and run the steps of a visitor."""

    async def run() -> None:
        app = make_app(access or Access(), "record.html", ["style.css"])
        if routes is not None:
            app.router.add_post("/do", routes)
        async with TestClient(TestServer(app)) as client:
            await steps(client)

    asyncio.run(run())


async def echo(request: web.Request) -> web.Response:
    return web.json_response(await json_body(request, {"name": str, "count": (int, float)}))


def own(client: Client) -> dict[str, str]:
    return {"Origin": str(client.make_url("")).rstrip("/")}


async def refused(answer: ClientResponse, status: int, words: str) -> None:
    assert answer.status == status
    assert words in await answer.text()


def test_the_page_and_its_files_are_served_with_a_strict_policy() -> None:
    async def steps(client: Client) -> None:
        for path, kind in (("/", "text/html"), ("/static/style.css", "text/css")):
            answer = await client.get(path)
            assert (answer.status, answer.content_type) == (200, kind)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "aiohttp" not in answer.headers["Server"]

    visit(steps)


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.js",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static/%2fetc%2fpasswd",
        "/static/style.css%00.js",
        "/static/",
        "//etc/passwd",
    ],
)
def test_nothing_but_the_named_files_can_be_had(path: str) -> None:
    async def steps(client: Client) -> None:
        # Written by hand: a client would tidy the path up.
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        assert answer.split()[1] in ("400", "404")
        assert "import" not in answer
        assert "root:" not in answer

    visit(steps)


def test_on_loopback_the_host_must_be_named_as_loopback() -> None:
    async def steps(client: Client) -> None:
        for host in ("localhost:9000", "127.0.0.1", "[::1]:80", "127.0.0.1:1234"):
            assert (await client.get("/", headers={"Host": host})).status == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.7:80", "localhost.evil.example", "[", ""):
            await refused(await client.get("/", headers={"Host": host}), 403, "loopback only")

    visit(steps)


def test_what_changes_something_must_come_from_the_page_itself() -> None:
    async def steps(client: Client) -> None:
        answer = await client.post("/do", json={"name": "a", "count": 1}, headers=own(client))
        assert (answer.status, await answer.json()) == (200, {"name": "a", "count": 1})
        for origin in (
            "http://evil.example",
            "null",
            "",
            "https://localhost:1",
            "http://127.0.0.1",
            "file://",
            "http://[",
        ):
            answer = await client.post("/do", json={"name": "a", "count": 1}, headers={"Origin": origin})
            await refused(answer, 403, "another origin")
        await refused(await client.post("/do", json={}), 403, "another origin")

    visit(steps, routes=echo)


def test_another_site_can_link_here_and_nothing_else() -> None:
    async def steps(client: Client) -> None:
        for site, mode, status in (
            ("cross-site", "no-cors", 403),
            ("same-site", "cors", 403),
            ("cross-site", "navigate", 200),
            ("same-origin", "cors", 200),
            ("none", "navigate", 200),
        ):
            answer = await client.get("/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode})
            assert answer.status == status

    visit(steps)


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("{", "application/json", "not JSON"),
        ("[1]", "application/json", "must be a JSON object"),
        ('{"name": "a"}', "application/json", "lacks 'count'"),
        ('{"name": "a", "count": true}', "application/json", "'count' of a message must be int or float"),
        ('{"name": "a", "count": NaN}', "application/json", "holds NaN"),
        ('{"name": "a", "count": 1, "more": 2}', "application/json", "unknown field 'more'; it has: name, count"),
        ("[" * 20_000, "application/json", "not JSON"),
        ('{"name": "a", "count": 1}', "text/plain", "must be application/json, not text/plain"),
    ],
)
def test_a_request_that_is_wrong_is_answered_with_one_line(body: str, kind: str, words: str) -> None:
    async def steps(client: Client) -> None:
        answer = await client.post("/do", data=body, headers={**own(client), "Content-Type": kind})
        assert answer.status == 400
        error = (await answer.json())["error"]
        assert words in error
        assert "\n" not in error

    visit(steps, routes=echo)


def test_a_failed_job_is_told_and_an_endless_body_is_not_read() -> None:
    async def fail(request: web.Request) -> web.Response:
        await request.text()
        raise JobError("the disk is full")

    async def steps(client: Client) -> None:
        answer = await client.post("/do", data=b"x", headers=own(client))
        assert (answer.status, await answer.json()) == (500, {"error": "the disk is full"})
        assert (await client.post("/do", data=b"x" * (MAX_BODY + 1), headers=own(client))).status == 413

    visit(steps, routes=fail)


def test_elsewhere_a_token_is_needed_given_once_and_kept_in_a_cookie() -> None:
    access = Access("0.0.0.0", 0, TOKEN)

    async def steps(client: Client) -> None:
        await refused(await client.get("/"), 401, "a token is needed")
        await refused(await client.get("/", params={"token": TOKEN[:-1]}), 401, "a token is needed")
        await refused(await client.get("/", params={"token": "ü" * 9}), 401, "a token is needed")
        await refused(await client.get("/static/style.css"), 401, "a token is needed")
        await refused(await client.post("/do", params={"token": TOKEN}, headers=own(client)), 401, "a token is needed")
        first = await client.get("/", params={"token": TOKEN}, allow_redirects=False)
        assert (first.status, first.headers["Location"]) == (303, "/")
        cookie = first.headers["Set-Cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", f"handful-{client.port}="))
        assert (await client.get("/")).status == 200
        answer = await client.post("/do", json={"name": "a", "count": 1}, headers=own(client))
        assert answer.status == 200
        answer = await client.post("/do", json={"name": "a", "count": 1}, headers={"Origin": "http://evil.example"})
        await refused(answer, 403, "another origin")

    visit(steps, access, routes=echo)


def test_a_cookie_of_odd_bytes_is_no_token() -> None:
    async def steps(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        cookie = f"handful-{client.port}=".encode() + b"\xff\xfe"
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost:%d\r\nCookie: %b\r\n" % (client.port or 0, cookie))
        writer.write(b"Connection: close\r\n\r\n")
        assert (await reader.read()).split()[1] == b"401"
        writer.close()

    visit(steps, Access("0.0.0.0", 0, TOKEN))


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *[(host, True) for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.3.4.5")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.1.2.3", "robot.local", "")],
    ],
)
def test_only_loopback_goes_without_a_token(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
    if host:
        access = Access.of(host, 8000)
        assert (access.token is None) is alone
        assert (f"?token={access.token}" in access.address(8000)) is not alone
        assert alone or access.token not in repr(access)


def test_tokens_are_fresh_and_long() -> None:
    tokens = {Access.of("0.0.0.0", 0).token for _ in range(100)}
    assert len(tokens) == 100
    assert min(len(token or "") for token in tokens) >= 32


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [("127.0.0.1", 70000, "port 70000 does not exist"), (" ", 80, "--host is empty")],
)
def test_an_address_that_cannot_be_is_refused(host: str, port: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Access.of(host, port)


def test_a_port_in_use_and_a_host_that_is_none_are_told() -> None:
    async def run() -> None:
        async with serving(make_app(Access(), "record.html", []), Access()) as address:
            port = int(address.rstrip("/").rsplit(":", 1)[1])
            for access in (Access(port=port), Access(host="no.such.host.invalid")):
                with pytest.raises(InputError, match=f"cannot serve at {access.host}, port {access.port}: .+"):
                    async with serving(make_app(access, "record.html", []), access):
                        pass

    asyncio.run(run())


def test_a_bucket_bounds_bursts_and_the_long_run() -> None:
    now = 0.0
    bucket = Bucket(rate=10.0, burst=5.0, clock=lambda: now)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    now = 0.1
    assert [bucket.take(), bucket.take()] == [True, False]
    now = 100.0
    assert bucket.take(5.0)
    assert not bucket.take()


def test_a_long_field_name_is_cut_in_the_answer() -> None:
    with pytest.raises(InputError) as caught:
        parse_object(json.dumps({"x" * 4000: 1}), {})
    assert len(str(caught.value)) < 120
