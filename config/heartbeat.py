"""Each worker and the beat say every ten seconds that they are there; who ends in order says so, too.

The rows are for people who look (the System page) and for alarms. Nothing waits for them.
"""

import os
import socket
import threading
import time
from collections.abc import Callable

import psycopg
import structlog
from django.conf import settings

from config.environment import conninfo

EVERY_SECONDS = 10.0

_BEAT = """
    INSERT INTO config_heartbeat (program, host, pid, started_at, beat_at)
    VALUES (%s, %s, %s, now() - make_interval(secs => %s), now())
    ON CONFLICT (program, host) DO UPDATE SET pid = excluded.pid, started_at = excluded.started_at,
        beat_at = excluded.beat_at
"""
# A machine that is gone for a day is not coming back under its name.
_FORGET = "DELETE FROM config_heartbeat WHERE beat_at < now() - interval '1 day'"
_LEAVE = "DELETE FROM config_heartbeat WHERE program = %s AND host = %s AND pid = %s"

log = structlog.get_logger(__name__)
Connection = psycopg.Connection[tuple[object, ...]]


class Heart:
    """The heartbeat of one program of this machine."""

    def __init__(self, program: str) -> None:
        self._key = (program, socket.gethostname(), os.getpid())
        self._began = time.monotonic()
        self._last = -EVERY_SECONDS

    def beat(self, connection: Connection) -> None:
        """Say that the program is there, if it is time to; `connection` commits by itself."""
        now = time.monotonic()
        if now - self._last < EVERY_SECONDS:
            return
        self._last = now
        try:
            connection.execute(_BEAT, [*self._key, now - self._began])
            connection.execute(_FORGET)
        except psycopg.errors.UndefinedTable:
            log.debug("no heartbeat before the first migration")

    def leave(self, connection: Connection) -> None:
        try:
            connection.execute(_LEAVE, self._key)
        except psycopg.errors.UndefinedTable:
            log.debug("no heartbeat before the first migration")


class Pulse(threading.Thread):
    """A thread that lets a worker's heart beat. It connects each time, so that a fork inherits no connection."""

    def __init__(self, program: str) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._heart = Heart(program)
        self._ending = threading.Event()

    def run(self) -> None:
        while True:
            self._say(self._heart.beat)
            if self._ending.wait(EVERY_SECONDS):
                self._say(self._heart.leave)
                return

    def end(self) -> None:
        """Say goodbye, as far as the database is there."""
        self._ending.set()
        self.join(timeout=5)

    def _say(self, what: Callable[[Connection], None]) -> None:
        try:
            with psycopg.connect(
                conninfo(settings.DATABASES["default"]), autocommit=True, connect_timeout=5
            ) as connection:
                what(connection)
        except psycopg.Error as error:
            log.warning("no heartbeat", error=type(error).__name__)
