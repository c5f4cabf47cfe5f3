"""What every page here is served by: files by name, and a door that lets in only whom it should.

A page binds to loopback unless told otherwise; on any other address a token is needed, printed with the address, handed
over once and kept in a cookie from then on. Another site open in the same browser can neither call nor listen: requests
that change something, and websockets, must come from the page's own origin, and on loopback the host must be named as
such (or a hostile name could be pointed at it). Sizes and rates are bounded. No path from a request ever reaches the
file system: files are looked up by name in a table made at start.
"""

import asyncio
import hmac
import ipaddress
import json
import re
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from handful import InputError, JobError

STATIC = Path(__file__).resolve().parent / "static"

# Largest body of a request, and largest message on a websocket [bytes].
MAX_BODY = 64 * 1024
MAX_MESSAGE = 4 * 1024

_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


_TOKEN = re.compile(r"[A-Za-z0-9_-]{12,128}")
_STRANGERS = ("cross-site", "same-site")


@dataclass(frozen=True)
class Access:
    """Where a page is served, and who may see it.

    Attributes:
        host: address or name to bind to.
        port: port; 0 takes a free one.
        token: what a visitor must bring; None where the address is loopback, which only this machine reaches.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, host: str, port: int, token: str | None = None) -> "Access":
        """The access that a host asks for: with a token wherever others could reach it, a fresh one unless given.

        Raises:
            InputError: a port outside 0 to 65535, an empty host, or a token that is short or no part of an address.
        """
        if not 0 <= port <= 65535:
            raise InputError(f"port {port} does not exist; ports are 0 (any free one) to 65535")
        if not host.strip():
            raise InputError("--host is empty; give an address to bind to, e.g. 127.0.0.1 or 0.0.0.0")
        if token is not None and not _TOKEN.fullmatch(token):
            raise InputError("--token needs 12 to 128 letters, digits, '-' or '_'; without it a fresh one is made")
        return cls(host, port, token or (None if is_loopback(host) else secrets.token_urlsafe(24)))

    def address(self, port: int) -> str:
        """What a person opens: the URL, with the token where one is needed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}/" + (f"?token={self.token}" if self.token else "")


def is_loopback(host: str) -> bool:
    """Whether a host, as given to --host or as in a Host header without its port, is this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Bucket:
    """A bound on how often something may happen: `rate` per second, `burst` at once.

    Args:
        rate: how many per second in the long run.
        burst: how many at once.
        clock: seconds, for tests.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst = rate, burst
        self._clock, self._left, self._seen = clock, burst, clock()

    def take(self, cost: float = 1.0) -> bool:
        """Whether it may happen now; if so it is counted."""
        now = self._clock()
        self._left = min(self.burst, self._left + self.rate * (now - self._seen))
        self._seen = now
        if self._left < cost:
            return False
        self._left -= cost
        return True


def make_app(access: Access, page: str, static: Iterable[str]) -> web.Application:
    """An application that serves one page and the files it needs; the caller adds its own routes.

    Args:
        access: who may see it.
        page: name of the file in `static/` that is served at "/".
        static: names of the files that are served at "/static/<name>".
    """
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_errors, _door(access)])
    files = {name: ((STATIC / name).read_bytes(), _KINDS[Path(name).suffix]) for name in {page, *static}}

    async def send(request: web.Request) -> web.Response:
        name = request.match_info.get("name", page)
        if name not in files:
            raise web.HTTPNotFound(text="there is no such file\n")
        body, kind = files[name]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    app.router.add_get("/", send)
    app.router.add_get("/static/{name}", send)
    app.on_response_prepare.append(_harden)
    return app


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "handful"


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A request that is wrong is answered with one line; the page shows it."""
    try:
        return await handler(request)
    except InputError as error:
        return web.json_response({"error": str(error)}, status=400)
    except JobError as error:
        return web.json_response({"error": str(error)}, status=500)


def _door(access: Access) -> Middleware:
    @web.middleware
    async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if access.token is None and not is_loopback(_name_of(host)):
            raise web.HTTPForbidden(text="this page is served on loopback only; open it by that address\n")
        # What another site embeds or fetches is refused; a link that a person follows is not.
        headers = request.headers
        if headers.get("Sec-Fetch-Site") in _STRANGERS and headers.get("Sec-Fetch-Mode") != "navigate":
            raise web.HTTPForbidden(text="this came from another origin than the page itself\n")
        calls = request.method not in ("GET", "HEAD") or "Upgrade" in request.headers
        if calls and not _same_origin(request.headers.get("Origin", ""), host):
            raise web.HTTPForbidden(text="this came from another origin than the page itself\n")
        if access.token is not None:
            # A cookie belongs to a host, whatever the port: two servers side by side must not share its name.
            cookie = f"handful-{urlsplit(f'//{host}').port or 80}"
            if _equal(request.cookies.get(cookie, ""), access.token):
                return await handler(request)
            if request.method == "GET" and _equal(request.query.get("token", ""), access.token):
                # The token leaves the address at once, so that it stays in no history and no picture of the screen.
                answer = web.HTTPSeeOther(request.path)
                answer.set_cookie(cookie, access.token, httponly=True, samesite="Strict", path="/")
                raise answer
            raise web.HTTPUnauthorized(text="a token is needed: open the address that the command printed\n")
        return await handler(request)

    return door


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and parts.netloc.lower() == host.lower()


def _equal(given: str, secret: str) -> bool:
    """Compared in constant time."""
    # A header's bytes that are no UTF-8 come as surrogates.
    return hmac.compare_digest(given.encode(errors="surrogateescape"), secret.encode())


async def json_body(request: web.Request, fields: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """The JSON object in a request's body, with exactly these fields; the body's size is bounded.

    Raises:
        InputError: it is no JSON object, or has other fields or types.
    """
    if request.content_type != "application/json":
        raise InputError(f"a request's body must be application/json, not {request.content_type}")
    return parse_object(await request.text(), fields)


def parse_object(text: str, fields: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """A JSON object with exactly these fields, of these types; a bool is no number, and no number is not finite.

    Raises:
        InputError: anything else, naming the field.
    """
    found = read_json(text)
    if not isinstance(found, dict):
        raise InputError("a message must be a JSON object")
    for name, kinds in fields.items():
        if name not in found:
            raise InputError(f"a message lacks '{name}'")
        wanted = kinds if isinstance(kinds, tuple) else (kinds,)
        value = found[name]
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise InputError(f"'{name}' of a message must be {' or '.join(kind.__name__ for kind in wanted)}")
    extra = sorted(set(found) - set(fields))
    if extra:
        raise InputError(f"a message has the unknown field '{extra[0][:40]}'; it has: {', '.join(fields)}")
    return found


def read_json(text: str) -> Any:
    """JSON without NaN, infinities or endless nesting.

    Raises:
        InputError: the text is not that.
    """

    def refuse(name: str) -> None:
        raise InputError(f"a message holds {name}, which is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError("a message is not JSON") from error


@asynccontextmanager
async def serving(app: web.Application, access: Access) -> AsyncIterator[str]:
    """Serve an application for as long as the context is open; gives the address that a person opens.

    Raises:
        InputError: the host or port cannot be bound.
    """
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1.0, max_line_size=4096)
    await runner.setup()
    try:
        site = web.TCPSite(runner, access.host, access.port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot serve at {access.host}, port {access.port}: {reason}") from error
        yield access.address(runner.addresses[0][1])
    finally:
        await asyncio.shield(runner.cleanup())


@contextmanager
def signals(stop: Callable[[], object]) -> Iterator[None]:
    """Inside, a Ctrl-C or a SIGTERM stops in order; afterwards they do what they did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
