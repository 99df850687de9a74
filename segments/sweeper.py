"""Publish what time has changed: the leaves of members whose interval is over.

Nobody is in a segment because the sweeper is late: readers ask the interval. It makes transitions, and with them
counts and (later) webhooks. It finds its rows by `membership_due`: `sweep_at` is never later than the next change
that nobody has published, and a row that turns out to be still in gets its new end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from audience.columns import batch_cursor, bigints, integers, uuids
from audience.crash import crash_point
from segments.models import Cause, Transition

BATCH_ROWS = 10_000
# Any number that no other advisory lock of ours has.
_ONE_SWEEPER = 0x5EEB

# Needs `membership_due`. What somebody writes at this moment is left to the next sweep: who holds so many locks must
# wait for nobody.
_LOCK_DUE = """
    SELECT m.profile_id, m.segment_id, m.version
    FROM (
        SELECT profile_id, segment_id, version FROM segments_membership
        WHERE sweep_at <= %(at)s ORDER BY sweep_at LIMIT %(most)s
    ) due
    JOIN segments_membership m USING (profile_id, segment_id, version)
    JOIN audience_profile p ON p.id = m.profile_id
    ORDER BY m.profile_id, m.segment_id, m.version
    FOR NO KEY UPDATE OF p, m SKIP LOCKED
"""
# What was due is judged again here, under the locks: a fire may have been faster.
_PUBLISH = """
    WITH swept AS (
        UPDATE segments_membership m
        SET sweep_at = CASE WHEN m.expires_at <= %(at)s THEN NULL ELSE m.expires_at END
        FROM unnest(%(profiles)s::uuid[], %(segments)s::bigint[], %(versions)s::int[])
            AS k(profile_id, segment_id, version)
        WHERE m.profile_id = k.profile_id AND m.segment_id = k.segment_id AND m.version = k.version
            AND m.sweep_at <= %(at)s
        RETURNING m.advertiser_id, m.profile_id, m.segment_id, m.expires_at AS at, m.sweep_at IS NULL AS has_left
    ), published AS (
        INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
        SELECT advertiser_id, profile_id, segment_id, at, %(leave)s, %(cause)s FROM swept WHERE has_left
        ON CONFLICT DO NOTHING
    ), counted AS (
        INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
            monthly_uniques)
        SELECT w.advertiser_id, w.segment_id, (w.at AT TIME ZONE a.time_zone)::date, 0, count(*), 0, 0, 0
        FROM swept w JOIN audience_advertiser a ON a.id = w.advertiser_id
        WHERE w.has_left GROUP BY 1, 2, 3
    )
    SELECT count(*) FILTER (WHERE has_left), count(*) FILTER (WHERE NOT has_left) FROM swept
"""


@dataclass(frozen=True)
class Swept:
    """What was done: leaves published, and rows that only got their new end."""

    leaves: int = 0
    moved: int = 0


def sweep(at: datetime | None = None) -> Swept:
    """Publish every leave that is due at an instant (default now). One sweeper at a time; a second does nothing."""
    at = at or timezone.now()
    total = Swept()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_SWEEPER])
        if not cursor.fetchone()[0]:
            return total
        try:
            while (swept := _sweep_batch(at)) is not None:
                total = Swept(total.leaves + swept.leaves, total.moved + swept.moved)
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


def _sweep_batch(at: datetime) -> Swept | None:
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        cursor.execute(_LOCK_DUE, {"at": at, "most": BATCH_ROWS})
        keys = cursor.fetchall()
        if not keys:
            return None
        profiles, segments, versions = zip(*keys, strict=True)
        due = {"profiles": uuids(profiles), "segments": bigints(segments), "versions": integers(versions)}
        words = {"leave": Transition.Change.LEAVE, "cause": Cause.TIME}
        cursor.execute(_PUBLISH, {"at": at, **due, **words})
        swept = Swept(*cursor.fetchall()[0])
        crash_point("sweep.before_commit")
    crash_point("sweep.after_commit")
    return swept
