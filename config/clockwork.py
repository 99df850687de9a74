"""What the installation does by itself, how often, and what of it is due.

Beat keeps no memory. What comes every few seconds is simply sent again. What comes every hour or day is offered
every five minutes and done when its row says that it is due: so a message that was lost, a broker that was emptied,
a worker that was killed and a restart of everything cost minutes, never a day.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from celery import Task
from django.db import connection

from audience import metrics

# Task -> seconds between two of its runs.
CLOCKWORK = {
    "segments.tasks.sweep": 2,
    "segments.tasks.ask_waiting": 2,
    "segments.tasks.merge_counts": 5,
    "segments.tasks.build_rules": 5,
    "segments.tasks.drop_superseded": 3600,
    "pixels.tasks.merge_counts": 5,
    "exports.tasks.tick": 60,
    "exports.tasks.drop_kept_files": 3600,
    "audience.tasks.make_partitions": 3600,
    "audience.tasks.drop_old_partitions": 3600,
    "audience.tasks.fetch_weather": 900,
    "audience.tasks.forget_merges": 24 * 3600,
    "pixels.tasks.forget_pages": 3600,
    "pixels.tasks.forget_id_syncs": 24 * 3600,
    "pixels.tasks.forget_partner_ids": 24 * 3600,
    "segments.tasks.forget_passers_by": 24 * 3600,
    "segments.tasks.forget_event_counts": 24 * 3600,
    "segments.tasks.check_counts": 24 * 3600,
}
OFFERED_EVERY_SECONDS = 300
# A row for each sweep would be a write every two seconds for nobody.
NOTED_EVERY_SECONDS = 10
LOCK = 0x6D75_636C  # "mucl", beside the name's hash

_ENDED = """
    INSERT INTO config_timedtask (name, ended_at, seconds, error) VALUES (%s, now(), %s, '')
    ON CONFLICT (name) DO UPDATE SET ended_at = excluded.ended_at, seconds = excluded.seconds
"""
_FAILED = """
    INSERT INTO config_timedtask (name, failed_at, seconds, error) VALUES (%s, now(), %s, %s)
    ON CONFLICT (name) DO UPDATE SET failed_at = excluded.failed_at, error = excluded.error
"""
# An end that is still to come was written by a clock that has been set back since.
_IS_DUE = """
    SELECT NOT EXISTS (
        SELECT FROM config_timedtask
        WHERE name = %s AND ended_at > now() - make_interval(secs => %s) AND ended_at <= now()
    )
"""

_noted_at: dict[str, float] = {}


def beat_schedule(tasks: set[str]) -> dict[str, dict[str, Any]]:
    """Return beat's entries for those of CLOCKWORK that exist.

    A message that waited until the next one was sent is dropped: that one does its work.
    """
    every = {name: min(seconds, OFFERED_EVERY_SECONDS) for name, seconds in CLOCKWORK.items() if name in tasks}
    return {
        name: {"task": name, "schedule": timedelta(seconds=seconds), "options": {"expires": seconds}}
        for name, seconds in every.items()
    }


class MeasuredTask(Task):
    """Every task of ours: its time is counted, and what belongs to the clockwork is done when it is due."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        return perform(self.name, lambda: self.run(*args, **kwargs))


def perform(name: str, work: Callable[[], Any]) -> Any:
    """Do the work of a task that was sent, unless it is not due or another worker is at it."""
    if CLOCKWORK.get(name, 0) <= OFFERED_EVERY_SECONDS:
        return _measured(name, work)
    with _turn(name) as is_ours:
        return _measured(name, work) if is_ours and _is_due(name) else None


def _measured(name: str, work: Callable[[], Any]) -> Any:
    began = time.monotonic()
    try:
        result = work()
    except Exception as error:
        seconds = time.monotonic() - began
        metrics.observe_task(name, "failed", seconds)
        if name in CLOCKWORK:
            _execute(_FAILED, name, seconds, type(error).__name__)
        raise
    ended = time.monotonic()
    metrics.observe_task(name, "done", ended - began)
    if name in CLOCKWORK and ended - _noted_at.get(name, -NOTED_EVERY_SECONDS) >= NOTED_EVERY_SECONDS:
        _execute(_ENDED, name, ended - began)
        _noted_at[name] = ended
    return result


def _is_due(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_IS_DUE, [name, CLOCKWORK[name]])
        return bool(cursor.fetchone()[0])


@contextmanager
def _turn(name: str) -> Iterator[bool]:
    """Say whether nobody else does this task; it is ours until the block ends, or this process."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [LOCK, name])
        is_ours: bool = cursor.fetchone()[0]
        try:
            yield is_ours
        finally:
            if is_ours:
                cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [LOCK, name])


def _execute(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
