"""Whether an address is free to listen on, and who has it if not.

granian listens with SO_REUSEPORT: a second instance would not fail, it would take every other
connection. So we look before we start it.
"""

import os
import socket
import time
from pathlib import Path

LISTENING = "0A"  # the state in /proc/net/tcp


class PortTakenError(Exception):
    """Somebody else listens there; the message says who."""


def parse_bind(bind: str) -> tuple[str, int]:
    """Return "127.0.0.1:8000" or "[::1]:8000" as (host, port)."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


def nearby(bind: str) -> tuple[str, int]:
    """Return where a listener that is bound to `bind` is reached from this machine."""
    host, port = parse_bind(bind)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104


def await_free(bind: str, *, setting: str, timeout_seconds: float = 5.0) -> None:
    """Return when `bind` is free; it may take a moment until an instance that was killed is gone."""
    host, port = parse_bind(bind)
    deadline = time.monotonic() + timeout_seconds
    while not _is_free(host, port):
        if time.monotonic() > deadline:
            raise PortTakenError(
                f"Port {port} on {host} is taken by {_holder(port)}. "
                f"End that program, or choose another address with {setting}=127.0.0.1:PORT."
            )
        time.sleep(0.1)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not count
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """Name the process that listens on `port`, as far as this machine lets us see."""
    sockets = _listening_sockets(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for handle in (process / "fd").iterdir():
                if handle.readlink().name in sockets:
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    return f"process {process.name} ({os.fsdecode(b' '.join(words)).strip()[:300]})"
        except OSError:
            continue  # gone, or another user's
    return "a program of another user"


def _listening_sockets(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found
