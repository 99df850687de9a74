"""Play planned fires over HTTP, as browsers would send them: each visitor with a cookie jar of its own.

Fires of one visitor go through one connection, so they arrive in order. All connections draw from one story in the
order of time, with a few fires of head start: none runs days ahead of the others. At the end the shop's server tells
what else it knows: the events of each visitor, in one request.
"""

import asyncio
import contextlib
import json
import ssl
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import uvloop

from config.demo import tags
from config.demo.plan import PlannedFire
from pixels.replay import HEADER, Replay

CONNECTIONS = 128
HEAD_START_FIRES = 2
ANSWER_SECONDS = 30.0
# For how long the door may be away, or not yet have heard of the demo's pixels, before the play ends.
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.2
EVENTS = {pixel.name: pixel.events for pixel in tags.PIXELS}


class PlayStopped(RuntimeError):
    """The play cannot go on; the message says what to do."""


class Reply(NamedTuple):
    """What of an answer matters here."""

    status: int
    cookie: str | None


@dataclass(frozen=True)
class Stage:
    """Where the fires go: the door's address, the page's host, and the public keys of the pixels by name.

    `server_key` is the write key with which the shop's server tells events.
    """

    door: str
    page_host: str
    keys: Mapping[str, str]
    replay: Replay
    server_key: str

    def request(self, fire: PlannedFire, cookie: str | None) -> bytes:
        """Return the request of a fire, as a browser writes it."""
        target = f"/p/{self.keys[fire.pixel]}.gif"
        if fire.value:
            target += "?" + urlencode({"value": fire.value})
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {urlsplit(self.door).netloc}",
            f"User-Agent: {fire.agent}",
            "Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
            f"Referer: https://{self.page_host}{fire.path}",
            f"{HEADER}: {self.replay.sign(fire.at, target)}",
        ]
        if cookie:
            lines.append(f"Cookie: {cookie}")
        return "\r\n".join([*lines, "", ""]).encode()

    def batch(self, messages: Sequence[Mapping[str, Any]], cookie: str | None) -> bytes:
        """Return the request by which the shop's server tells events of one visitor, whose cookie it has read."""
        body = json.dumps({"batch": messages}).encode()
        lines = [
            "POST /v1/batch HTTP/1.1",
            f"Host: {urlsplit(self.door).netloc}",
            f"Authorization: Basic {b64encode(f'{self.server_key}:'.encode()).decode()}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Cookie: {cookie}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


def messages_of(fire: PlannedFire) -> list[dict[str, Any]]:
    """Return what the shop tells of the moment of a fire; of a cart whose total its template has lost, nothing."""
    return [
        {
            "type": "track",
            "event": name,
            "properties": {"total": int(fire.value)},
            "timestamp": fire.at.isoformat(),
            "messageId": f"demo:{name}:{fire.visitor}:{fire.at.isoformat()}",
        }
        for name in EVENTS.get(fire.pixel, ())
        if fire.value.isdigit()
    ]


def play(fires: Iterable[PlannedFire], stage: Stage, on_played: Callable[[PlannedFire], None]) -> None:
    """Fire everything, and return when the last answer is there. Raises `PlayStopped` where the door stays away."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_play(fires, stage, on_played))


async def _play(fires: Iterable[PlannedFire], stage: Stage, on_played: Callable[[PlannedFire], None]) -> None:
    lanes = [Lane(stage, on_played) for _ in range(CONNECTIONS)]
    try:
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane.run())
            for fire in fires:
                await lanes[fire.visitor % CONNECTIONS].put(fire)
            for lane in lanes:
                await lane.put(None)
    except* PlayStopped as stopped:
        raise stopped.exceptions[0] from None
    finally:
        for lane in lanes:
            lane.close()


@dataclass
class Lane:
    """One connection, and the visitors who use it."""

    stage: Stage
    on_played: Callable[[PlannedFire], None]
    jar: dict[int, str] = field(default_factory=dict)
    to_tell: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    waiting: asyncio.Queue[PlannedFire | None] = field(default_factory=lambda: asyncio.Queue(HEAD_START_FIRES))
    connection: "Connection | None" = None

    async def put(self, fire: PlannedFire | None) -> None:
        await self.waiting.put(fire)

    async def run(self) -> None:
        while (fire := await self.waiting.get()) is not None:
            await self._insist(fire.visitor, partial(self.stage.request, fire))
            self.on_played(fire)
            if messages := messages_of(fire):
                self.to_tell[fire.visitor] += messages
        for visitor, messages in self.to_tell.items():
            await self._insist(visitor, partial(self.stage.batch, messages))

    async def _insist(self, visitor: int, request: Callable[[str | None], bytes]) -> None:
        """Send a visitor's request until the door has stored it and the visitor has a cookie."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply = await self._send(request(self.jar.get(visitor)))
            if reply and reply.cookie:
                self.jar[visitor] = reply.cookie
            if reply and reply.status == 200 and visitor in self.jar:
                return
            if time.monotonic() > deadline:
                raise PlayStopped(_complaint(self.stage.door, reply))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _send(self, request: bytes) -> Reply | None:
        """Return the answer, None where there was none."""
        try:
            if self.connection is None or self.connection.is_over:
                self.close()
                self.connection = await Connection.open(self.stage.door)
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self.connection.ask(request)
        except (OSError, EOFError, TimeoutError, ValueError, LookupError, asyncio.LimitOverrunError):
            self.close()  # the door is away, or it is no door
            return None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _complaint(door: str, reply: Reply | None) -> str:
    if reply is None:
        return f"The door at {door} does not answer. Start Muster first (make up), then try again."
    if reply.status != 200:
        return f"The door at {door} answers {reply.status}. Look at its log."
    return f"The door at {door} does not know the demo's pixels: does it use the same database?"


class Connection:
    """One kept-alive HTTP connection, with as much of HTTP as the door speaks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_over = False

    @classmethod
    async def open(cls, url: str) -> "Connection":
        address = urlsplit(url)
        is_secure = address.scheme == "https"
        port = address.port or (443 if is_secure else 80)
        context = ssl.create_default_context() if is_secure else None
        return cls(*await asyncio.open_connection(address.hostname, port, ssl=context))

    async def ask(self, request: bytes) -> Reply:
        """Send a request and read its answer. Raises various errors where it breaks, or is no HTTP."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        await self._reader.readexactly(int(headers.get("content-length", 0)))
        self.is_over = headers.get("connection", "").lower() == "close"
        cookie = headers.get("set-cookie", "").partition(";")[0]
        return Reply(int(status_line.split()[1]), cookie or None)

    def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()
