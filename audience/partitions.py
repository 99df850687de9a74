"""Tables partitioned by time: which there are, the partitions made ahead, the old ones dropped.

A model says `partitioning = Partitioning(…)`; its migration makes the parent and a DEFAULT partition, which catches
what comes when this job has not run, so that no fact is ever refused for want of a partition.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from django.apps import apps
from django.db import connection, models, transaction
from django.utils import timezone


@dataclass(frozen=True)
class Partitioning:
    """How one table is cut: `column` by `unit`; `ahead` partitions are kept ready, `keep_days` of the past stay."""

    column: str
    unit: Literal["day", "month"]
    ahead: int
    keep_days: int

    def starts(self, now: datetime) -> Iterator[datetime]:
        """Yield the starts of the partitions that must exist: yesterday's unit, this one, and those ahead."""
        start = self.floor(self.floor(now) - timedelta(seconds=1))
        for _ in range(self.ahead + 2):
            yield start
            start = self.next(start)

    def floor(self, at: datetime) -> datetime:
        day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return day.replace(day=1) if self.unit == "month" else day

    def next(self, start: datetime) -> datetime:
        step = timedelta(days=32 if self.unit == "month" else 1)
        return self.floor(start + step)


def partitioned_models() -> Iterator[tuple[type[models.Model], Partitioning]]:
    """Yield every model whose table is partitioned, with its partitioning."""
    for model in apps.get_models():
        partitioning = getattr(model, "partitioning", None)
        if partitioning is not None:
            yield model, partitioning


def make_partitions(now: datetime | None = None) -> list[str]:
    """Make the partitions that are missing, ahead and for late rows in DEFAULT; return their names.

    Safe to run twice at once.
    """
    made = []
    for model, partitioning in partitioned_models():
        table = model._meta.db_table
        starts = {*partitioning.starts(now or timezone.now()), *_late_starts(table, partitioning)}
        made += [name for start in sorted(starts) if _make(table, name := _name(table, start), start, partitioning)]
    return made


def drop_old_partitions(now: datetime | None = None) -> list[str]:
    """Drop the partitions whose last row is older than the table keeps; return their names."""
    dropped = []
    for model, partitioning in partitioned_models():
        oldest_kept = (now or timezone.now()) - timedelta(days=partitioning.keep_days)
        for name in partition_names(model._meta.db_table):
            start = partition_start(name)
            if start and partitioning.next(start) <= oldest_kept:
                with connection.cursor() as cursor:
                    cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(name)}")
                dropped.append(name)
    return dropped


def partition_names(table: str) -> list[str]:
    """Return the names of a table's partitions, DEFAULT included, sorted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass ORDER BY c.relname",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]


def _late_starts(table: str, partitioning: Partitioning) -> set[datetime]:
    """The partitions for which rows wait in DEFAULT: facts that came later than partitions reach back."""
    with connection.cursor() as cursor:
        unit, column = partitioning.unit, partitioning.column
        cursor.execute(f"SELECT DISTINCT date_trunc('{unit}', {column}, 'UTC') FROM {table}_default")  # noqa: S608
        return {start for (start,) in cursor.fetchall()}


def _make(table: str, name: str, start: datetime, partitioning: Partitioning) -> bool:
    """Make one partition, taking over the rows that waited in DEFAULT; return whether it was missing."""
    end = partitioning.next(start)
    column, default = partitioning.column, f"{table}_default"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"partitions of {table}"])
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is not None:
            return False
        # A partition cannot be attached while DEFAULT holds rows of its range: they move in first. The lock keeps
        # new ones from arriving in between.
        cursor.execute(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING STORAGE)")
        bounds = [start, end]
        moved = f"DELETE FROM {default} WHERE {column} >= %s AND {column} < %s RETURNING *"  # noqa: S608 -- our names
        cursor.execute(f"WITH moved AS ({moved}) INSERT INTO {name} SELECT * FROM moved", bounds)  # noqa: S608
        cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", bounds)
    return True


def _name(table: str, start: datetime) -> str:
    return f"{table}_{start:%Y%m%d}"


def partition_start(name: str) -> datetime | None:
    """Return when a partition begins, by its name; None for DEFAULT."""
    match = re.search(r"_(\d{8})$", name)
    return datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC) if match else None
