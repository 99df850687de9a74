"""The time between being told to end and ending: not ready any more, and still taking requests.

A load balancer asks `/health/ready` every few seconds and needs that long to send its requests elsewhere. granian
stops to accept at once when it is told to end (then it answers what is under way, and closes the connections that are
idle). So its workers of the door listen to SIGTERM themselves and tell it later, by SIGINT. A SIGINT from outside, as
a Ctrl-C on a terminal sends it to all of them, ends them without the wait.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import structlog
from django.conf import settings

# Where `manage.py up` says that it is about to end: for the web, whose signals are granian's.
FILE_VARIABLE = "MUSTER_DRAINING_FILE"
# What is left for the last answers, before granian kills its worker.
LAST_ANSWERS_SECONDS = 12
CLOSING = ("connection", "close")

log = structlog.get_logger(__name__)


class Drain:
    """The drain of a process with an event loop."""

    def __init__(self) -> None:
        self.is_on = False
        self._loop: asyncio.AbstractEventLoop

    def begin_on_sigterm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take SIGTERM from granian, which has set its own handlers before."""
        self._loop = loop
        loop.add_signal_handler(signal.SIGTERM, self._begin)

    def _begin(self) -> None:
        if self.is_on:
            return
        self.is_on = True
        log.info("draining", seconds=settings.MUSTER_DRAIN_SECONDS)
        self._loop.call_later(settings.MUSTER_DRAIN_SECONDS, os.kill, os.getpid(), signal.SIGINT)


def announce() -> None:
    """Say to the processes that were started by this one that all of it is about to end."""
    with suppress(OSError):  # on a full disk it ends all the same
        Path(os.environ[FILE_VARIABLE]).touch()


def take_back() -> None:
    Path(os.environ[FILE_VARIABLE]).unlink(missing_ok=True)


def is_announced() -> bool:
    """Say whether the group that this process belongs to is about to end."""
    name = os.environ.get(FILE_VARIABLE)
    return name is not None and Path(name).exists()
