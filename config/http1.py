"""HTTP/1.1 on one connection: bytes in, requests one after the other, answers in their order.

llhttp (the parser of Node.js, by httptools) reads; nothing here knows what the requests are about. A general server
in between, with a task and a future for each request, took as long as all that the door does with a fire.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote_from_bytes, unquote_to_bytes

import httptools

from pixels.answers import Answer, text_answer

# What a client may hold open, and what it may send before it has an answer.
IDLE_SECONDS = 75.0  # longer than nginx keeps a connection to us, so that it never sends into one that we close
SLOWEST_REQUEST_SECONDS = 60.0
FRESH_SECONDS = 2.0  # who has connected no longer ago is about to send a request
HEAD_BYTES = 64 << 10
PIPELINED_REQUESTS = 16
# A body that is too large is read to its end, and not kept, so that its client can read why; up to here.
DISCARDED_BYTES = 8 << 20

BAD_REQUEST = text_answer(400, "This is no HTTP request.\n")
HEAD_TOO_LARGE = text_answer(431, "The head of the request is too large.\n")
_STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n" for one in HTTPStatus}
_BODILESS = frozenset({204, 304})
_ASCII = bytes(range(128))


class Message:
    """One request as it came, with its header fields by name in lower case.

    Bytes beyond ASCII are Latin-1 in fields, as under WSGI. `target` has no fragment. `body` is cut one byte behind
    the most that is kept.
    """

    __slots__ = ("_repeated", "body", "fields", "is_last", "method", "target")

    def __init__(self, target: bytes) -> None:
        self.method = "GET"
        self.target = target
        self.body = b""
        self.is_last = False
        # The first one of each name; few of them are ever asked for.
        self.fields: dict[bytes, bytes] = {}
        self._repeated: list[tuple[bytes, bytes]] = []

    def repeat(self, name: bytes, value: bytes) -> None:
        """Add a field of a name that is there already."""
        self._repeated.append((name, value))

    def get(self, name: str, /) -> str | None:
        """Return the first value of a field."""
        value = self.fields.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def get_all(self, name: str, /) -> list[str]:
        first = self.get(name)
        if first is None:
            return []
        if not self._repeated:
            return [first]
        return [first, *(value.decode("latin-1") for one, value in self._repeated if one == name.encode())]

    def path_and_query(self) -> tuple[str, str]:
        """Return the path, decoded, and the query string as it was sent; what is no UTF-8 in it is escaped."""
        target = self.target
        if not target.startswith(b"/"):
            target = _after_host(target)
        path, _, query = target.partition(b"?")
        if b"%" in path:
            path = unquote_to_bytes(path)
        return path.decode(errors="replace"), query.decode(errors="surrogateescape")


def _with_ascii_line(data: bytes) -> bytes:
    """Escape what is no ASCII in a request line: llhttp refuses it, and there are clients that send it so."""
    line, end, rest = data.partition(b"\r\n")
    return quote_from_bytes(line, safe=_ASCII).encode() + end + rest


def _after_host(target: bytes) -> bytes:
    """Return path and query of a target with scheme and host, as a proxy may send it, or of `*`."""
    try:
        parts = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return target
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


class Site:
    """What all connections of one listener share: who receives, and the clock."""

    def __init__(
        self,
        receive: "Callable[[Connection, Message], None]",
        *,
        body_bytes: int,
        idle_seconds: float | None = None,
        is_closing: bool = False,
    ) -> None:
        """`receive` is to call `answer` of the connection, at once or later, exactly once.

        A connection that is idle for `idle_seconds`, by default `IDLE_SECONDS`, is closed.
        """
        self.receive = receive
        self.body_bytes = body_bytes
        self.idle_seconds = IDLE_SECONDS if idle_seconds is None else idle_seconds
        self.connections: set[Connection] = set()
        # Every answer says that it is the last one on its connection.
        self.is_closing = is_closing
        self.now = 0.0
        self.date = ""
        self.tick()

    def tick(self) -> None:
        """Move the clock; to be called every second. Connections that are idle or stuck are closed."""
        self.now = time.monotonic()
        self.date = f"date: {formatdate(usegmt=True)}\r\n"
        for one in [one for one in self.connections if one.is_overdue(self.now)]:
            one.abort()

    def close_idle(self) -> None:
        """Close what waits for nothing; the rest is closed by its answers. To be called until none is left.

        A connection that was opened a moment ago is about to bring a request.
        """
        self.is_closing = True
        for one in [one for one in self.connections if one.is_idle(self.now)]:
            one.close()


class Connection(asyncio.Protocol):
    """One client's connection. At most one of its requests is being answered at any time."""

    __slots__ = (
        "_begun_at", "_body", "_body_bytes", "_head_bytes", "_heard_at", "_is_cut", "_is_full", "_is_moving",
        "_is_paused", "_is_used", "_open", "_parser", "_read", "_site", "_transport", "_waiting", "address",
    )  # fmt: skip

    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self.address = ""
        # The request that is being read, if one has begun: since when, the bytes of its head and of its body so far.
        self._read: Message | None = None
        self._begun_at = 0.0
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._is_cut = False  # nothing more is read
        # The request that is being answered, and those after it; an answer in place of a request is for what is none.
        self._open: Message | None = None
        self._waiting: deque[Message | Answer] = deque()
        self._heard_at = site.now
        self._is_full = self._is_moving = self._is_paused = self._is_used = False

    def is_idle(self, now: float) -> bool:
        """Say whether nothing is under way, and nothing is to be expected."""
        if self._open is not None or self._waiting or self._begun_at:
            return False
        return self._is_used or now - self._heard_at > FRESH_SECONDS

    def is_overdue(self, now: float) -> bool:
        """Say whether the client has been silent for too long, or is too slow with its request."""
        if self._begun_at:
            return now - self._begun_at > SLOWEST_REQUEST_SECONDS
        return self._open is None and now - self._heard_at > self._site.idle_seconds

    def close(self) -> None:
        """Close when what was written has been sent."""
        self._is_cut = True
        self._transport.close()

    def abort(self) -> None:
        self._is_cut = True
        self._transport.abort()

    def answer(self, answer: Answer) -> None:
        """Answer the open request. A client that has gone away hears nothing."""
        message, self._open = self._open, None
        self._is_used = True
        is_last = (
            message is None or message.is_last or ((self._is_cut or self._site.is_closing) and not self._waiting)
        )
        if not self._transport.is_closing():
            self._transport.write(_written(answer, message, self._site.date, is_last=is_last))
            if is_last:
                self.close()
        if self._waiting and not self._is_moving:
            self._move_on()

    def _move_on(self) -> None:
        """Have the waiting requests answered, one after the other, as far as they are answered at once."""
        self._is_moving = True
        waiting = self._waiting
        while waiting and self._open is None and not self._is_full and not self._transport.is_closing():
            message = waiting.popleft()
            if isinstance(message, Answer):
                self.answer(message)
            else:
                self._open = message
                self._site.receive(self, message)
        self._is_moving = False
        if self._is_paused or self._is_full or len(waiting) >= PIPELINED_REQUESTS:
            self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        """Read no more than can be answered."""
        if self._transport.is_closing():
            self._waiting.clear()
            return
        must_pause = self._is_full or len(self._waiting) >= PIPELINED_REQUESTS
        if must_pause and not self._is_paused:
            self._transport.pause_reading()
        elif self._is_paused and not must_pause:
            self._transport.resume_reading()
        self._is_paused = must_pause

    def _end_with(self, answer: Answer) -> None:
        """Read nothing more; this answer is the last one."""
        self._is_cut = True
        self._begun_at = 0.0
        self._waiting.append(answer)

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else ""
        self._site.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._is_cut = True
        self._waiting.clear()
        self._site.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._is_cut:
            return
        self._heard_at = self._site.now
        if self._read is None and not data.isascii():
            data = _with_ascii_line(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_cut = True  # the request itself has been taken, and is answered as if it had not asked for that
        except httptools.HttpParserError:
            self._end_with(BAD_REQUEST)
        if self._read is not None or not self._waiting:
            self._wait_for_more(len(data))
        if self._waiting:
            if self._open is None:
                self._move_on()
            else:
                self._pause_or_resume()

    def _wait_for_more(self, count: int) -> None:
        """Look at a request that has begun and is not all there."""
        if not self._begun_at:
            self._begun_at = self._site.now
            message = self._read
            if message is not None and message.get("expect") is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._body_bytes:
            self._head_bytes += count
        if self._head_bytes > HEAD_BYTES:
            self._end_with(HEAD_TOO_LARGE)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if not self._is_moving:
            self._move_on()

    # The parser calls these.

    def on_url(self, part: bytes) -> None:
        if self._read is None:
            self._read = Message(part)
        else:
            self._read.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        message, name = self._read, name.lower()
        if name in (fields := message.fields):  # type: ignore[union-attr]  # a head begins with its URL
            message.repeat(name, value)  # type: ignore[union-attr]
        else:
            fields[name] = value

    def on_body(self, part: bytes) -> None:
        if self._body_bytes <= self._site.body_bytes:
            self._body.append(part)
        self._body_bytes += len(part)
        if self._body_bytes > DISCARDED_BYTES and not self._is_cut:
            self.on_message_complete()
            self._is_cut = True

    def on_message_complete(self) -> None:
        message, self._read = self._read, None
        if message is None or self._is_cut:
            return
        self._begun_at = 0.0
        self._head_bytes = 0
        if self._body_bytes:
            message.body = b"".join(self._body)[: self._site.body_bytes + 1]
            self._body.clear()
            self._body_bytes = 0
        method = self._parser.get_method()
        if method != b"GET":
            message.method = method.decode()
        message.is_last = not self._parser.should_keep_alive()
        self._waiting.append(message)


def _written(answer: Answer, message: Message | None, date: str, *, is_last: bool) -> bytes:
    """Return an answer as it goes over the wire."""
    status, headers, body = answer
    lines = [_STATUS_LINES[status], date]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    if is_last:
        lines.append("connection: close\r\n")
    elif message is not None and message.get("connection") is not None:  # HTTP/1.0 keeps it where both say so
        lines.append("connection: keep-alive\r\n")
    lines.append("\r\n" if status in _BODILESS else f"content-length: {len(body)}\r\n\r\n")
    head = "".join(lines).encode("latin-1")
    is_asked = message is None or message.method != "HEAD"
    return head + body if is_asked and status not in _BODILESS else head
