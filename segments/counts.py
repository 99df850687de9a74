"""A segment's numbers, maintained by deltas and never counted on a page.

Size at an instant = all joins - all leaves - the members whose time is over and whose leave the sweeper has not yet
published. The last term keeps the number equal to the predicate of `segments.membership` with a dead sweeper, too.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection, transaction

from segments.models import Segment

# Needs `membership_due`: it reads what is overdue, a few seconds' worth.
_SIZES = """
    SELECT s.id, coalesce(d.size, 0) - coalesce(o.overdue, 0)
    FROM unnest(%(ids)s::bigint[]) AS s(id)
    LEFT JOIN (
        SELECT segment_id, sum(joins - leaves)::bigint AS size FROM (
            SELECT segment_id, joins, leaves FROM segments_segmentday WHERE segment_id = ANY(%(ids)s)
            UNION ALL
            SELECT segment_id, joins, leaves FROM segments_segmentdelta WHERE segment_id = ANY(%(ids)s)
        ) counts GROUP BY segment_id
    ) d ON d.segment_id = s.id
    LEFT JOIN (
        SELECT m.segment_id, count(*) AS overdue FROM segments_membership m
        JOIN segments_segment g ON g.id = m.segment_id AND g.active_version = m.version
        WHERE m.sweep_at <= %(at)s AND m.expires_at <= %(at)s AND m.segment_id = ANY(%(ids)s)
        GROUP BY m.segment_id
    ) o ON o.segment_id = s.id
"""
_DAYS = """
    SELECT day, sum(joins)::int, sum(leaves)::int, sum(loads)::int, sum(daily_uniques)::int FROM (
        SELECT day, joins, leaves, loads, daily_uniques FROM segments_segmentday WHERE segment_id = %(id)s
        UNION ALL
        SELECT day, joins, leaves, loads, daily_uniques FROM segments_segmentdelta WHERE segment_id = %(id)s
    ) counts GROUP BY day ORDER BY day
"""
_MERGE = """
    WITH taken AS (
        DELETE FROM segments_segmentdelta WHERE id IN (
            SELECT id FROM segments_segmentdelta ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
        ) RETURNING *
    ), merged AS (
        INSERT INTO segments_segmentday AS d (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
            monthly_uniques)
        SELECT advertiser_id, segment_id, day, sum(joins), sum(leaves), sum(loads), sum(daily_uniques),
            sum(monthly_uniques)
        FROM taken GROUP BY advertiser_id, segment_id, day ORDER BY segment_id, day
        ON CONFLICT (segment_id, day) DO UPDATE SET joins = d.joins + excluded.joins,
            leaves = d.leaves + excluded.leaves, loads = d.loads + excluded.loads,
            daily_uniques = d.daily_uniques + excluded.daily_uniques,
            monthly_uniques = d.monthly_uniques + excluded.monthly_uniques
    )
    SELECT count(*) FROM taken
"""


@dataclass(frozen=True, slots=True)
class DayCount:
    """One day of a segment: its size at the end of the day, and how it came to it."""

    day: date
    size: int
    joins: int
    leaves: int
    loads: int
    daily_uniques: int


def sizes(segments: Collection[Segment], at: datetime) -> dict[int, int]:
    """Return how many profiles each segment holds at an instant, which must not lie in the past."""
    with connection.cursor() as cursor:
        cursor.execute(_SIZES, {"ids": [segment.pk for segment in segments], "at": at})
        return dict(cursor.fetchall())


def size(segment: Segment, at: datetime) -> int:
    """Return how many profiles a segment holds at an instant, which must not lie in the past."""
    return sizes([segment], at)[segment.pk]


def days(segment: Segment, first: date, last: date) -> list[DayCount]:
    """Return one entry for each day from first to last; a day on which nothing happened keeps the size."""
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, {"id": segment.pk})
        counts = {row[0]: row[1:] for row in cursor.fetchall()}
    members = sum(row[0] - row[1] for day, row in counts.items() if day < first)
    result = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        joins, leaves, loads, uniques = counts.get(day, (0, 0, 0, 0))
        members += joins - leaves
        result.append(DayCount(day, members, joins, leaves, loads, uniques))
    return result


def merge_deltas(*, most: int = 20_000) -> int:
    """Merge the deltas of batches into days; return how many. Safe to run several times at once."""
    merged = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_MERGE, {"most": most})
            count: int = cursor.fetchone()[0]
        merged += count
        if count < most:
            return merged
