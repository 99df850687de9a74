"""The time between being told to end and ending: not ready any more, and still taking requests.

A load balancer asks `/health/ready` every few seconds and needs that long to send its requests elsewhere. SIGTERM
begins it; a SIGINT, as a Ctrl-C on a terminal sends it to all processes, or a SIGQUIT ends it without the wait.
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
# What is left for the last answers, before a listener's worker is killed.
LAST_ANSWERS_SECONDS = 12

log = structlog.get_logger(__name__)


class Drain:
    """The drain of a process with an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen to signals from now on."""
        self.is_on = False
        self._loop = loop
        self._is_over = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self._begin)
        for urgent in (signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(urgent, self._end)

    @property
    def is_past(self) -> bool:
        return self._is_over.is_set()

    async def over(self) -> None:
        """Return when it is time to end."""
        await self._is_over.wait()

    def _begin(self) -> None:
        if self.is_on:
            return
        self.is_on = True
        log.info("draining", seconds=settings.MUSTER_DRAIN_SECONDS)
        self._loop.call_later(settings.MUSTER_DRAIN_SECONDS, self._end)

    def _end(self) -> None:
        self.is_on = True
        self._is_over.set()


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
