"""The state of the installation as its rows and its broker tell it: read when somebody asks, never kept.

One look feeds both the System page and `/metrics`, so that they cannot differ. Every statement answers in
milliseconds on large tables: by an index, on a small table, or with an end to its count.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db import connection, models
from django.db.models.functions import Now
from django.utils import timezone

from audience.partitions import partition_names, partition_start, partitioned_models
from exports.models import Run
from pixels.models import FireDelta, MessageDelta
from segments.models import EventDelta, SegmentDelta
from segments.tables import ALL, about

# What batches append and a task merges.
DELTAS = (SegmentDelta, EventDelta, FireDelta, MessageDelta)
# A backlog is told up to here: who has more knows enough.
MOST_COUNTED = 100_000
QUEUES = ("celery", "exports")
BROKER_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Sign:
    """A heartbeat: which program, on which machine, how many seconds ago."""

    program: str
    host: str
    seconds: float


@dataclass(frozen=True)
class Partitions:
    """How far ahead a table's partitions reach, and how many rows wait in DEFAULT (up to MOST_COUNTED)."""

    table: str
    headroom_seconds: float
    unit_seconds: float
    default_rows: int


@dataclass(frozen=True)
class Backlog:
    """Rows of a delta table that wait to be merged (up to MOST_COUNTED)."""

    table: str
    rows: int


@dataclass(frozen=True)
class Runs:
    """Open runs by state, and what went wrong with runs lately."""

    by_state: dict[str, int]
    stalled: int
    failed_in_a_day: int


@dataclass(frozen=True)
class Timed:
    """A task of the clockwork: seconds since it ended (None: never) and the error, if it failed after that."""

    name: str
    seconds_ago: float | None
    error: str


def sweeper_lateness() -> float:
    """Return for how many seconds the oldest change by time has been waiting; needs `membership_due`."""
    oldest = """
        SELECT extract(epoch FROM now() - min(sweep_at))::float8 FROM segments_membership WHERE sweep_at IS NOT NULL
    """
    return max(0.0, *[_value(about(of, oldest)) or 0.0 for of in ALL])


def backlogs() -> list[Backlog]:
    """Return how many deltas wait to be merged."""
    return [Backlog(_table(model), _count(_table(model))) for model in DELTAS]


def oldest_delta_seconds() -> float:
    """Return the age of the oldest delta of fires."""
    statement = "SELECT extract(epoch FROM now() - last_at)::float8 FROM pixels_firedelta ORDER BY id LIMIT 1"
    return max(0.0, _value(statement) or 0.0)


def partitions(now: datetime | None = None) -> list[Partitions]:
    """Return how far ahead the partitions of each table reach."""
    now = now or timezone.now()
    found = []
    for model, partitioning in partitioned_models():
        table = _table(model)
        starts = [start for name in partition_names(table) if (start := partition_start(name))]
        headroom = (partitioning.next(max(starts)) - now).total_seconds() if starts else 0.0
        unit = partitioning.next(partitioning.floor(now)) - partitioning.floor(now)
        found.append(Partitions(table, headroom, unit.total_seconds(), _count(f"{table}_default")))
    return found


def runs() -> Runs:
    """Return how many runs are under way, have lost their worker, or failed within a day."""
    open_runs = Run.all_advertisers.filter(state__in=Run.OPEN).order_by()
    by_state = dict(open_runs.values_list("state").annotate(number=models.Count("pk")))
    now = Now()
    failed = Run.all_advertisers.filter(state=Run.State.FAILED, ended_at__gt=now - timedelta(days=1))
    return Runs(
        {state.value: by_state.get(state.value, 0) for state in Run.OPEN},
        open_runs.filter(lease_ends_at__lt=now).count(),
        failed.count(),
    )


def signs() -> list[Sign]:
    """Return the heartbeats of workers and beat, the latest first."""
    statement = """
        SELECT program, host, extract(epoch FROM now() - beat_at)::float8 FROM config_heartbeat ORDER BY beat_at DESC
    """
    return [Sign(*row) for row in _rows(statement)]


def timed_tasks() -> list[Timed]:
    """Return when each task of the clockwork last ended; one that has never been tried is not in it."""
    statement = """
        SELECT name, extract(epoch FROM now() - ended_at)::float8,
            CASE WHEN failed_at > coalesce(ended_at, '-infinity') THEN error ELSE '' END
        FROM config_timedtask ORDER BY name
    """
    return [Timed(*row) for row in _rows(statement)]


def queue_lengths() -> dict[str, int]:
    """Return how many messages wait in each queue of the broker; raises what the broker's client raises."""
    with current_app.connection_for_read() as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_PATIENCE_SECONDS)
        channel: Any = broker.default_channel
        return {queue: int(channel._size(queue)) for queue in QUEUES}


def _count(table: str) -> int:
    return int(_value(f"SELECT count(*) FROM (SELECT FROM {table} LIMIT {MOST_COUNTED}) counted") or 0)  # noqa: S608


def _value(statement: str) -> Any:
    rows = _rows(statement)
    return rows[0][0] if rows else None


def _rows(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _table(model: type[models.Model]) -> str:
    return model._meta.db_table
