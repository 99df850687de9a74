"""A TCP proxy whose line can be made slow, silent or short while it runs."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from enum import Enum, auto
from typing import Any, Self

READ_BYTES = 65_536
TRICKLE_SECONDS = 1.0


class Mode(Enum):
    """What the proxy does with what passes."""

    PASS = auto()
    DELAY = auto()  # each piece waits for `delay_seconds`, both ways
    TRICKLE = auto()  # one byte a second, both ways
    SWALLOW = auto()  # take everything, never answer
    CUT_ANSWER = auto()  # hand the request on, drop the answer in which `cut_at` stands, hang up
    REFUSE = auto()  # let nobody in; who is in stays


class Proxy:
    """A proxy in front of a server of this machine, in a thread of its own.

    `server` is the path of a Unix socket or (host, port). `set()` switches the mode for what passes from then on,
    on open connections too. `refused_share` of new connections are refused in every mode.
    """

    def __init__(self, server: str | tuple[str, int]) -> None:
        self._server = server
        self.mode = Mode.PASS
        self.delay_seconds = 0.1
        self.refused_share = 0.0
        # What PostgreSQL has committed it answers with b"COMMIT". Empty: the next answer.
        self.cut_at = b""
        # How many bytes may still pass, both ways together, until every connection is cut; None: any number.
        self.bytes_left: int | None = None
        self.passed_bytes = 0
        self.cuts = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._lines: set[_Line] = set()
        self._listener: asyncio.Server

    def start(self) -> Self:
        self._thread.start()
        self._run(self._listen()).result(10)
        return self

    def stop(self) -> None:
        self._run(self._end()).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def set(self, mode: Mode, *, cut_at: bytes = b"") -> None:
        """Switch the mode. Connections of which something was swallowed are hung up."""
        self.cut_at, self.mode = cut_at, mode
        self._run(self._cut(lambda line: line.has_swallowed)).result(10)

    def cut_after(self, count: int) -> None:
        """Cut every connection once so many more bytes have passed."""
        self.bytes_left = count

    def heal(self) -> None:
        """Let everything pass again."""
        self.bytes_left, self.refused_share = None, 0.0
        self.set(Mode.PASS)

    def cut(self) -> None:
        """Hang up on everybody, now."""
        self._run(self._cut(lambda _: True)).result(10)

    def _run(self, work: Coroutine[Any, Any, None]) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._listener.close()
        await self._cut(lambda _: True)

    async def _cut(self, is_meant: Callable[["_Line"], bool]) -> None:
        for line in filter(is_meant, list(self._lines)):
            line.hang_up()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.REFUSE or random.random() < self.refused_share:
            writer.transport.abort()
            return
        try:
            there = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        line = _Line(self, (reader, writer), there)
        self._lines.add(line)
        try:
            await line.carry()
        finally:
            line.hang_up()
            self._lines.discard(line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._server, str):
            return await asyncio.open_unix_connection(self._server)
        return await asyncio.open_connection(*self._server)

    def allow(self, data: bytes) -> bytes:
        """Count what passes and return as much of it as may."""
        if self.bytes_left is not None:
            data = data[: self.bytes_left]
            self.bytes_left -= len(data)
        self.passed_bytes += len(data)
        return data


class _Line:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self.has_swallowed = False

    async def carry(self) -> None:
        """Carry bytes both ways until one side ends."""
        up = asyncio.create_task(self._up())
        down = asyncio.create_task(self._down())
        _, running = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)

    def hang_up(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def _up(self) -> None:
        while data := await self._client[0].read(READ_BYTES):
            await self._hand_on(data, self._server[1])

    async def _down(self) -> None:
        proxy = self._proxy
        while data := await self._server[0].read(READ_BYTES):
            if proxy.mode is Mode.CUT_ANSWER and proxy.cut_at in data:
                # The server has done what it was asked for, and nobody will hear of it.
                proxy.cuts += 1
                self.hang_up()
                return
            await self._hand_on(data, self._client[1])

    async def _hand_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        proxy = self._proxy
        if proxy.mode is Mode.SWALLOW:
            self.has_swallowed = True
            return
        if proxy.mode is Mode.DELAY:
            await asyncio.sleep(proxy.delay_seconds)
        elif proxy.mode is Mode.TRICKLE:
            data = await self._trickle(data, writer)
        allowed = proxy.allow(data)
        writer.write(allowed)
        await writer.drain()
        if len(allowed) < len(data) or proxy.bytes_left == 0:
            proxy.cuts += 1
            await self._end_after(writer)

    async def _trickle(self, data: bytes, writer: asyncio.StreamWriter) -> bytes:
        """Send one byte a second; return what is left when the mode has changed."""
        while data and self._proxy.mode is Mode.TRICKLE:
            writer.write(self._proxy.allow(data[:1]))
            await writer.drain()
            data = data[1:]
            await asyncio.sleep(TRICKLE_SECONDS)
        return data

    async def _end_after(self, writer: asyncio.StreamWriter) -> None:
        """Let the last bytes go out, then hang up."""
        writer.close()
        await writer.wait_closed()
        self.hang_up()
