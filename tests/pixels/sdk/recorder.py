"""Two real HTTP servers for the SDK in a browser: a site with pages, and a pixel host that writes down what arrives.

The pixel host answers as a test tells it; what Muster itself answers is the matter of the door's tests.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pixels import sdk
from pixels.answers import GIF
from tests.pixels.doors import until

# Signed values as a server mints them.
FIRST_ID = "1.k1.000102030405060708090a0b0c0d0e0f.20779.6cEnH6AEZ5rSdABMf0FOCA"
SECOND_ID = "1.k2.000102030405060708090a0b0c0d0e0f.20779.AAAAAAAAAAAAAAAAAAAAAA"
GOOD = {"success": True, "accepted": 1, "duplicate": 0, "suppressed": 0, "rejected": [], "outcome": "applied"}
NO_CHANGES: dict[str, Any] = {"joined": [], "left": [], "segments": [], "id": FIRST_ID}


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    text: str = field(repr=False)

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The messages in it, of a single call or of a batch."""
        if self.method != "POST" or not self.path.startswith("/v1/"):
            return []
        return self.body["batch"] if self.path == "/v1/batch" else [self.body]

    @property
    def is_beacon(self) -> bool:
        """A beacon asks for no answer that could be read."""
        return self.method == "POST" and self.headers.get("sec-fetch-mode") == "no-cors"


Reply = tuple[int, Any]


def good(**more: Any) -> Reply:
    return 200, {**GOOD, **NO_CHANGES, **more}


@dataclass
class PixelHost:
    """What has arrived, and what is answered. `is_listed` says whether the site may read with cookies."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    answer: Callable[[Seen], Reply] = lambda request: good()
    is_listed: bool = True
    is_reachable: bool = True
    may_answer: threading.Event = field(default_factory=threading.Event)
    script: bytes = field(default=sdk.SCRIPT, repr=False)

    def __post_init__(self) -> None:
        self.may_answer.set()

    @property
    def asked(self) -> list[Seen]:
        """The requests, without those for the script."""
        return [request for request in list(self.seen) if request.path not in sdk.PATHS]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for request in self.asked for event in request.events]

    @property
    def names(self) -> list[str]:
        """What the messages are called, in the order in which they came."""
        return [event.get("event") or event["type"] for event in self.events]

    def wait_for(self, *names: str) -> list[dict[str, Any]]:
        """Return the messages once these have come, and no others."""
        with suppress(AssertionError):
            until(lambda: len(self.names) >= len(names))
        came = self.names
        assert came == [*names], f"these came: {came}"
        return self.events

    def requests(self, path: str) -> list[Seen]:
        return [request for request in self.asked if request.path == path]


@dataclass
class Site:
    """A site of pages: the HTML of each path, and headers that go with all of them."""

    port: int = 0
    pages: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    opened: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path, headers
    may_go: threading.Event = field(default_factory=threading.Event)  # until then `/go` is not answered


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def read(self) -> Seen:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Seen(self.command, parts.path, query, headers, text)

    def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with suppress(OSError):  # the browser has gone on
            self._say(status, body, headers)

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _PixelHandler(_Handler):
    host: PixelHost

    def do_GET(self) -> None:
        request, host = self.read(), self.host
        host.seen.append(request)
        if request.path in sdk.PATHS:
            self.say(200, host.script, {"Content-Type": "text/javascript", "Cache-Control": "no-store"})
            return
        host.may_answer.wait()
        if not host.is_reachable:
            self.close_connection = True
            return
        if request.path.endswith(".gif"):
            self.say(200, GIF, {"Content-Type": "image/gif", "Cache-Control": "no-store"})
            return
        status, said = host.answer(request)
        text = said if isinstance(said, str) else json.dumps(said)
        self.say(status, text.encode(), {"Content-Type": "application/json", **self.cors(request)})

    do_POST = do_GET

    def do_OPTIONS(self) -> None:
        request = self.read()
        allowed = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": "Muster-Id"}
        self.say(204, b"", {**allowed, **self.cors(request)})

    def cors(self, request: Seen) -> dict[str, str]:
        if not self.host.is_listed:
            return {"Access-Control-Allow-Origin": "*"}
        origin = request.headers.get("origin", "")
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}


class _SiteHandler(_Handler):
    site: Site

    def do_GET(self) -> None:
        request = self.read()
        self.site.opened.append((request.path, request.headers))
        if request.path == "/go":
            self.site.may_go.wait()
        content = self.site.pages.get(request.path)
        kind = "text/javascript" if request.path.endswith(".js") else "text/html; charset=utf-8"
        status = 404 if content is None else 200
        self.say(status, (content or "").encode(), {"Content-Type": kind, **self.site.headers})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def serving(handler: type[_Handler]) -> Iterator[int]:
    """Serve on a free port of this machine."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def pixel_host() -> Iterator[PixelHost]:
    host = PixelHost()
    with serving(type("Handler", (_PixelHandler,), {"host": host})) as host.port:
        yield host


@contextmanager
def site() -> Iterator[Site]:
    pages = Site()
    with serving(type("Handler", (_SiteHandler,), {"site": pages})) as pages.port:
        yield pages
