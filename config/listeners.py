"""The command lines of the two listeners: granian for Django, gunicorn with a loop of our own for the door."""

import sys

from config.drain import LAST_ANSWERS_SECONDS
from config.ports import parse_bind


def web_listener(bind: str, *, threads: int) -> list[str]:
    """Return granian's command line up to the name of a WSGI application."""
    host, port = parse_bind(bind)
    return [
        *(sys.executable, "-m", "granian", "--interface=wsgi", f"--host={host}", f"--port={port}"),
        *("--workers=1", f"--blocking-threads={threads}", "--http=1", "--no-ws", "--backlog=2048"),
        *("--log-level=error", "--respawn-failed-workers", "--respawn-interval=1"),
        f"--workers-kill-timeout={LAST_ANSWERS_SECONDS}",
    ]


def door_listener(bind: str, *, workers: int, drain_seconds: int = 0) -> list[str]:
    """Return gunicorn's command line for the door."""
    host, port = parse_bind(bind)
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [
        *(sys.executable, "-m", "gunicorn", "--worker-class=config.doorkeeper.Doorkeeper", f"--bind={place}"),
        *(f"--workers={workers}", "--backlog=2048", "--timeout=60", "--no-control-socket", "--log-level=warning"),
        *(f"--graceful-timeout={drain_seconds + LAST_ANSWERS_SECONDS}", "config.door:serve"),
    ]
