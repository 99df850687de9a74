"""Publish what time has changed: the leaves of members whose interval is over, and by rules the joins.

Nobody is in a segment because the sweeper is late: readers ask the interval. It makes transitions, and with them
counts and (later) webhooks. It finds its rows by `membership_due`: `sweep_at` is never later than the next change
that nobody has published, and a row that turns out to be still in gets its new end.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from audience.columns import Cursor, batch_cursor, bigints, integers, uuids
from audience.crash import crash_point
from audience.pacing import Pacing
from segments.evaluation import switch_lock
from segments.models import Cause, Segment, Transition
from segments.ranges import FOREVER
from segments.rules.tree import Of
from segments.tables import ALL, about, of_segment

BATCH_ROWS = 10_000
# Any number that no other advisory lock of ours has.
_ONE_SWEEPER = 0x5EEB

# Needs `membership_due`. What somebody writes at this moment is left to the next sweep: who holds so many locks must
# wait for nobody.
_LOCK_DUE = """
    SELECT m.profile_id, m.segment_id, m.version, m.advertiser_id
    FROM (
        SELECT profile_id, segment_id, version FROM segments_membership
        WHERE sweep_at <= %(at)s ORDER BY sweep_at LIMIT %(most)s
    ) due
    JOIN segments_membership m USING (profile_id, segment_id, version)
    JOIN audience_profile p ON p.id = m.profile_id
    ORDER BY m.profile_id, m.segment_id, m.version
    FOR NO KEY UPDATE OF p, m SKIP LOCKED
"""
# What was due is judged again here, under the locks: a fire may have been faster. `flips` are the starts and ends
# that have come and are not published; the row takes the range that holds, or the next one, or keeps the last.
_PUBLISH = """
    WITH due AS MATERIALIZED (
        SELECT m.*, s.active_version = m.version AS serves, coalesce(m.upcoming, '{}')
            + tstzmultirange(tstzrange(m.starts_at, m.expires_at)) AS ranges
        FROM unnest(%(members)s::uuid[], %(segments)s::bigint[], %(versions)s::int[])
            AS k(profile_id, segment_id, version)
        JOIN segments_membership m USING (profile_id, segment_id, version)
        JOIN segments_segment s ON s.id = m.segment_id
        WHERE m.sweep_at <= %(at)s
    ), flips AS MATERIALIZED (
        SELECT d.advertiser_id, d.profile_id, d.segment_id, d.serves, f.at, f.change
        FROM due d CROSS JOIN LATERAL (
            SELECT lower(r) AS at, %(join)s AS change FROM unnest(d.ranges) r
            UNION ALL SELECT upper(r), %(leave)s FROM unnest(d.ranges) r
        ) f WHERE f.at BETWEEN d.sweep_at AND %(at)s
    ), swept AS (
        UPDATE segments_membership m SET starts_at = coalesce(n.starts_at, m.starts_at),
            expires_at = coalesce(n.expires_at, m.expires_at), upcoming = n.upcoming,
            sweep_at = CASE WHEN n.starts_at > %(at)s THEN n.starts_at
                WHEN n.expires_at > %(at)s THEN n.expires_at END
        FROM due d LEFT JOIN LATERAL (
            SELECT lower(r) AS starts_at, coalesce(upper(r), %(forever)s::timestamptz) AS expires_at,
                nullif(d.ranges - tstzmultirange(tstzrange(NULL, upper(r))), '{}') AS upcoming
            FROM unnest(d.ranges) r
            ORDER BY coalesce(upper(r) <= %(at)s, FALSE), CASE WHEN upper(r) <= %(at)s THEN upper(r) END DESC, r
            LIMIT 1
        ) n ON TRUE
        WHERE m.profile_id = d.profile_id AND m.segment_id = d.segment_id AND m.version = d.version
    ), published AS (
        INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
        SELECT advertiser_id, profile_id, segment_id, at, change, %(cause)s FROM flips WHERE serves
        ORDER BY at, change DESC ON CONFLICT DO NOTHING
    ), counted AS (
        INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
            monthly_uniques)
        SELECT f.advertiser_id, f.segment_id, (f.at AT TIME ZONE a.time_zone)::date,
            count(*) FILTER (WHERE f.change = %(join)s), count(*) FILTER (WHERE f.change = %(leave)s), 0, 0, 0
        FROM flips f JOIN audience_advertiser a ON a.id = f.advertiser_id WHERE f.serves GROUP BY 1, 2, 3
    )
    SELECT count(*) FILTER (WHERE serves AND change = %(leave)s),
        count(*) FILTER (WHERE serves AND change = %(join)s),
        (SELECT count(*) FROM due d WHERE NOT EXISTS (SELECT FROM flips f WHERE f.profile_id = d.profile_id
            AND f.segment_id = d.segment_id))
    FROM flips
"""
_DUE_OF_SEGMENT = """
    SELECT profile_id, segment_id, version FROM segments_membership
    WHERE segment_id = %(segment)s AND version = ANY(%(versions)s) AND sweep_at <= %(at)s
    ORDER BY profile_id, version FOR NO KEY UPDATE
"""


@dataclass(frozen=True)
class Swept:
    """What was done: leaves and joins published, and rows that only got their new end."""

    leaves: int = 0
    joins: int = 0
    moved: int = 0

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(self.leaves + other.leaves, self.joins + other.joins, self.moved + other.moved)


def sweep(at: datetime | None = None) -> Swept:
    """Publish all that is due at an instant (default now). One sweeper at a time; a second does nothing."""
    at = at or timezone.now()
    total, pace = Swept(), Pacing()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_SWEEPER])
        if not cursor.fetchone()[0]:
            return total
        try:
            for of in ALL:
                while (swept := _sweep_batch(of, at)) is not None:
                    total += swept
                    pace.rest()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ONE_SWEEPER])
    return total


@contextmanager
def paused() -> Iterator[None]:
    """Let nobody else sweep inside the block, because the past is being played and leaves would come ahead of it.

    It waits for a sweep that is under way. The lock is this connection's: its own `sweep()` goes through, and when
    the process dies the pause is over.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_ONE_SWEEPER])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ONE_SWEEPER])


def sweep_segment(segment: Segment, versions: Sequence[int], at: datetime) -> None:
    """Publish what is due of one segment, in the caller's transaction; it waits for whoever writes its rows."""
    of = of_segment(segment)
    with batch_cursor(connection.connection) as cursor:
        due = {"segment": segment.pk, "versions": list(versions), "at": at}
        cursor.execute(about(of, _DUE_OF_SEGMENT), due)
        if keys := cursor.fetchall():
            _publish(cursor, of, keys, at)


def _sweep_batch(of: Of, at: datetime) -> Swept | None:
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        cursor.execute(about(of, _LOCK_DUE), {"at": at, "most": BATCH_ROWS})
        keys = cursor.fetchall()
        # While versions are switched their rows are left alone; the next sweep has them.
        if not keys or not _share_switches(cursor, keys):
            return None
        swept = _publish(cursor, of, [key[:3] for key in keys], at)
        crash_point("sweep.before_commit")
    crash_point("sweep.after_commit")
    return swept


def _share_switches(cursor: Cursor, keys: Sequence[tuple[Any, ...]]) -> bool:
    cursor.execute(
        "SELECT bool_and(pg_try_advisory_xact_lock_shared(k)) FROM unnest(%s::bigint[]) k",
        [bigints(sorted({switch_lock(advertiser_id) for *_, advertiser_id in keys}))],
    )
    return bool(cursor.fetchall()[0][0])


def _publish(cursor: Cursor, of: Of, keys: Sequence[tuple[Any, ...]], at: datetime) -> Swept:
    members, segments, versions = zip(*keys, strict=True)
    due = {"members": uuids(members), "segments": bigints(segments), "versions": integers(versions)}
    words = {"join": Transition.Change.JOIN, "leave": Transition.Change.LEAVE, "cause": Cause.TIME}
    cursor.execute(about(of, _PUBLISH), {"at": at, "forever": FOREVER, **due, **words})
    return Swept(*cursor.fetchall()[0])
