"""The clock of the installation: exactly one beat ticks, and others wait to take over.

An installation on several machines may start several beats. Whoever holds the advisory lock ticks;
a standby looks every second whether the lock has come free. A beat that has lost its connection has
lost the lock with it, and ends (its supervisor starts it again, as a standby).
"""

import contextlib
import time
from typing import Any

import psycopg
import structlog
from celery.beat import Scheduler
from django.conf import settings

from config.celery import prepare_broker
from config.clockwork import beat_schedule
from config.environment import conninfo
from config.heartbeat import Heart

LOCK = 0x6D75_7374_6274  # "mustbt"

log = structlog.get_logger(__name__)


class StandbyScheduler(Scheduler):
    """Celery's own scheduler in memory, which starts to tick when it holds the lock."""

    max_interval = 1  # the longest that a lost lock goes unseen
    _ticked_at = 0.0

    def setup_schedule(self) -> None:
        """Wait for the lock, then take up the clockwork."""
        self.lock = psycopg.connect(conninfo(settings.DATABASES["default"]), autocommit=True)
        if not self._holds_lock():
            log.info("standby: another beat ticks")
            while not self._holds_lock():
                time.sleep(1)
        prepare_broker()
        log.info("this beat ticks")
        self.heart = Heart("beat")
        self.merge_inplace(beat_schedule(set(self.app.tasks)))

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, as long as the connection that holds the lock lives."""
        try:
            self.lock.execute("SELECT 1")
            self.heart.beat(self.lock)
        except psycopg.Error as error:
            log.error("the lock is lost with its connection", error=type(error).__name__)
            raise SystemExit(1) from error
        self._follow_the_clock()
        return float(super().tick(*args, **kwargs))

    def close(self) -> None:
        """Let the next one tick."""
        super().close()
        with contextlib.suppress(psycopg.Error):
            self.heart.leave(self.lock)
        self.lock.close()

    def _follow_the_clock(self) -> None:
        """Count anew where the clock was set back: Celery would be silent until it shows the last sending again."""
        before, self._ticked_at = self._ticked_at, time.time()
        if self._ticked_at >= before - self.max_interval:
            return
        log.warning("the clock was set back", seconds=round(before - self._ticked_at))
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()
        self._heap = None

    def _holds_lock(self) -> bool:
        row = self.lock.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        return bool(row and row[0])
