"""Load on a server of this machine: as fast as it answers (wrk), or at a fixed rate with the time of each answer."""

import asyncio
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

LUA = Path(__file__).parent / "visitors.lua"


# A page view is a connection of its own to the proxy, and that one keeps many to the door.
CONNECTIONS = 256


def fastest(
    url: str, target: str, cookies: Path, *, seconds: int, connections: int = CONNECTIONS, body: Path | None = None
) -> float:
    """Return the good answers per second at full load.

    Raises if an answer was an error. With a file of bodies, one a line, these are POSTs.
    """
    if shutil.which("wrk") is None:
        sys.exit("make bench needs the program wrk. On Debian: apt-get install wrk")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(LUA), url, "--", target, str(cookies)]
    command += [str(body)] if body else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])


@contextmanager
def beside(url: str, target: str, cookies: Path, *, seconds: int) -> Iterator[list[float]]:
    """Load a server as heavily as it answers while the block works; the list holds answers per second, in pieces.

    The last piece may reach beyond the end of the block, and is left out.
    """
    pieces: list[float] = []
    done = threading.Event()

    def fire() -> None:
        while not done.is_set():
            pieces.append(fastest(url, target, cookies, seconds=seconds))

    thread = threading.Thread(target=fire)
    thread.start()
    try:
        yield pieces
    finally:
        done.set()
        thread.join()
        del pieces[max(1, len(pieces) - 1) :]


def at_rate(
    url: str,
    target: str,
    cookies: Sequence[str],
    *,
    per_second: float,
    seconds: float,
    connections: int = 128,
    bodies: Sequence[str] = (),
) -> list[float]:
    """Return the milliseconds from the instant at which each request was due to its answer, sorted.

    A request that has to wait for a free connection counts from when it was due, so that a stall is not left out.
    """
    return uvloop.run(_at_rate(url, target, cookies, per_second, seconds, connections, bodies))


async def _at_rate(url, target, cookies, per_second, seconds, connections, bodies):
    parts = urlsplit(url)
    due: asyncio.Queue[float | None] = asyncio.Queue()
    times: list[float] = []

    async def worker():
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (at := await due.get()) is not None:
            body = random.choice(bodies) if bodies else ""
            writer.write(
                f"{'POST' if body else 'GET'} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                "Referer: https://shop.example/cart\r\nOrigin: https://shop.example\r\n"
                f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
                f"Cookie: {random.choice(cookies)}\r\n\r\n{body}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head, re.I)[1]))
            times.append((time.perf_counter() - at) * 1000)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
        writer.close()

    workers = [asyncio.create_task(worker()) for _ in range(connections)]
    start = time.perf_counter()
    for number in range(int(per_second * seconds)):
        at = start + number / per_second
        if (pause := at - time.perf_counter()) > 0.001:
            await asyncio.sleep(pause)
        due.put_nowait(at)
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return sorted(times)


def percentile(sorted_times: Sequence[float], percent: float) -> float:
    return sorted_times[min(len(sorted_times) - 1, int(len(sorted_times) * percent / 100))]
