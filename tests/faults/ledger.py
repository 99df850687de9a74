"""The ledger client: the outside witness of what a door has acknowledged.

It gives each request a number, writes it to its own file before it sends and again when the answer is in. It knows
nothing of the door but HTTP, and its file is complete even if the client itself is killed.

    python -m tests.faults.ledger http://127.0.0.1:8001 /p/KEY.gif /tmp/ledger --seconds 10 --connections 32
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import secrets
import string
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import uvloop

ANSWERED = frozenset({200, 202, 302})
REFUSED = 503
RECONNECT_SECONDS = 0.05
HEADERS = "Referer: https://shop.example/cart\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n"

# What the client does with an answer before its connection goes on: (number, status).
Heard = Callable[[str, int], Awaitable[None]]


@dataclass
class Ledger:
    """Fires at `url` over keep-alive connections until it is told to stop.

    Each connection is one browser after the other: a browser begins without a cookie, keeps the one that it is
    given, and fires `fires_per_browser` times. `targets` are taken in turn; the request's number goes into `other`.
    """

    url: str
    targets: Sequence[str]
    file: Path
    connections: int = 32
    per_second: float = 0.0  # 0: as fast as answers come
    deadline_seconds: float = 10.0  # for one request; after it there is no answer
    fires_per_browser: int = 5
    headers: str = (
        "Referer: https://shop.example/cart\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n"
    )
    heard: Heard | None = None
    name: str = field(default_factory=lambda: "".join(secrets.choice(string.ascii_lowercase) for _ in range(8)))

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self._host, self._port, self._netloc = parts.hostname or "", parts.port or 80, parts.netloc
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_here, name="ledger", daemon=True)
        self._log = self.file.open("ab", buffering=0)
        self._began = 0.0
        self.answers = 0  # answered until now, for tests that wait for some load

    def start(self) -> Self:
        """Fire in a thread of its own."""
        self._thread.start()
        return self

    def stop(self) -> Path:
        """Send nothing more, wait for the answers that are out, and return the file."""
        self._stopping.set()
        self._thread.join(self.deadline_seconds + 20)
        assert not self._thread.is_alive(), "the ledger client hangs"
        return self.file

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run_here(self) -> None:
        uvloop.run(self.run())

    async def run(self, *, seconds: float | None = None) -> None:
        """Fire until `stop`, or for some seconds."""
        self._began = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.connections):
                    group.create_task(self._fire(seconds))
        finally:
            self._log.close()

    async def _fire(self, seconds: float | None) -> None:
        """Be one connection after the other."""
        line = _Line(self._host, self._port)
        cookie, fires = "", 0
        while not self._is_over(seconds):
            number = next(self._numbers)
            due = await self._wait_for_turn(number)
            if fires >= self.fires_per_browser:
                cookie, fires = "", 0
            status, cookie = await self._ask(line, number, cookie, due)
            fires += 1
            if not status:
                line.close()
                await asyncio.sleep(RECONNECT_SECONDS)
        line.close()

    def _is_over(self, seconds: float | None) -> bool:
        return self._stopping.is_set() or (seconds is not None and time.perf_counter() - self._began >= seconds)

    async def _wait_for_turn(self, number: int) -> float:
        """Return when the request was due: a stall counts for all who wait behind it."""
        if not self.per_second:
            return time.perf_counter()
        due = self._began + number / self.per_second
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        return due

    async def _ask(self, line: "_Line", number: int, cookie: str, due: float) -> tuple[int, str]:
        """Send one request; return its status (0 without an answer) and the browser's cookie."""
        name = f"{self.name}.{number}"
        self._write(f"{name} sent {time.time():.3f}")
        request = self._request(self.targets[number % len(self.targets)], name, cookie)
        status, head = 0, b""
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, ValueError):
            async with asyncio.timeout(self.deadline_seconds):
                status, head = await line.ask(request)
        took = (time.perf_counter() - due) * 1000
        fire = _header(head, b"muster-fire")
        self._write(f"{name} {status or 'none'} {fire or '-'} {took:.1f} {time.time():.3f}")
        self.answers += status in ANSWERED
        if self.heard is not None:
            await self.heard(name, status)
        return status, _header(head, b"set-cookie").partition(";")[0] or cookie

    def _request(self, target: str, name: str, cookie: str) -> bytes:
        target += f"{'&' if '?' in target else '?'}other={name}"
        sent = f"Cookie: {cookie}\r\n" if cookie else ""
        return f"GET {target} HTTP/1.1\r\nHost: {self._netloc}\r\n{self.headers}{sent}\r\n".encode()

    def _write(self, line: str) -> None:
        self._log.write(line.encode() + b"\n")


@dataclass
class MessageLedger(Ledger):
    """Sends messages to the HTTP API; the request's number is the messageId, and stands in property `number`."""

    write_key: str = ""

    def _request(self, target: str, name: str, cookie: str) -> bytes:
        said = {
            "writeKey": self.write_key,
            "anonymousId": f"{name[:-1]}",  # ten messages of a person
            "event": "viewed",
            "properties": {"number": name},
            "messageId": name,
        }
        body = json.dumps(said).encode()
        head = f"POST {target} HTTP/1.1\r\nHost: {self._netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


class _Line:
    """One keep-alive connection, opened when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and head when the answer is complete. Raises where it is not."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(_header(head, b"content-length") or 0))
        if _header(head, b"connection") == "close":
            self.close()
        return int(head.split(b" ", 2)[1]), head

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def _header(head: bytes, name: bytes) -> str:
    found = re.search(rb"\r\n" + name + rb": *([^\r]*)", head, re.IGNORECASE)
    return found[1].decode() if found else ""


def main(words: Sequence[str] | None = None) -> None:
    """Fire from a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("targets", nargs="+", metavar="target")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--per-second", type=float, default=0.0)
    parser.add_argument("--deadline-seconds", type=float, default=10.0)
    chosen: dict[str, Any] = vars(parser.parse_args(words))
    seconds = chosen.pop("seconds")
    uvloop.run(Ledger(**chosen).run(seconds=seconds))


if __name__ == "__main__":
    main()
