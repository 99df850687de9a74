"""A segment's numbers, maintained by deltas and never counted on a page.

Size at an instant = all joins - all leaves, among them those whose time is over and that the sweeper has not yet
published. They keep the number equal to the predicate of `segments.membership` with a dead sweeper, too.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection
from django.utils import timezone

from audience import deltas
from segments.models import Segment
from segments.tables import about

# The leaves and joins by time that the sweeper has not published yet. Needs `membership_due`: it reads what is
# overdue, a few seconds' worth.
_OVERDUE_SQL = """
    SELECT m.segment_id, (m.expires_at AT TIME ZONE a.time_zone)::date, 0, count(*)::int, 0, 0, 0
    FROM segments_membership m
    JOIN segments_segment s ON s.id = m.segment_id AND s.active_version = m.version
    JOIN audience_advertiser a ON a.id = m.advertiser_id
    WHERE m.sweep_at <= %(at)s AND m.expires_at <= %(at)s AND m.segment_id = ANY(%(ids)s)
    GROUP BY 1, 2
    UNION ALL
    SELECT m.segment_id, (m.starts_at AT TIME ZONE a.time_zone)::date, count(*)::int, 0, 0, 0, 0
    FROM segments_membership m
    JOIN segments_segment s ON s.id = m.segment_id AND s.active_version = m.version
    JOIN audience_advertiser a ON a.id = m.advertiser_id
    WHERE m.sweep_at <= %(at)s AND m.sweep_at <= m.starts_at AND m.starts_at <= %(at)s AND m.segment_id = ANY(%(ids)s)
    GROUP BY 1, 2
"""
# What moved the numbers of segments, by day, in one relation that every reader of counts asks: what is merged, what
# is not, and what is overdue. One statement reads all of it: neither merge nor sweep counts anything twice.
MOVES_SQL = f"""
    SELECT segment_id, day, joins, leaves, loads, daily_uniques, monthly_uniques
    FROM segments_segmentday WHERE segment_id = ANY(%(ids)s)
    UNION ALL
    SELECT segment_id, day, joins, leaves, loads, daily_uniques, monthly_uniques
    FROM segments_segmentdelta WHERE segment_id = ANY(%(ids)s)
    UNION ALL {_OVERDUE_SQL} UNION ALL {about("account", _OVERDUE_SQL)}
"""  # noqa: S608 -- constants of ours
_SIZES = f"""
    SELECT s.id, coalesce(moved.size, 0)
    FROM unnest(%(ids)s::bigint[]) AS s(id)
    LEFT JOIN (
        SELECT segment_id, sum(joins - leaves)::bigint AS size FROM ({MOVES_SQL}) moves GROUP BY segment_id
    ) moved ON moved.segment_id = s.id
"""  # noqa: S608 -- constants of ours
_DAYS = f"""
    SELECT day, sum(joins)::int, sum(leaves)::int, sum(loads)::int, sum(daily_uniques)::int
    FROM ({MOVES_SQL}) moves GROUP BY day ORDER BY day
"""  # noqa: S608
_INTO = """
    merged AS (
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


def days(segment: Segment, first: date, last: date, *, at: datetime | None = None) -> list[DayCount]:
    """Return one entry for each day from first to last; a day on which nothing happened keeps the size.

    `at` is now: what is over by then has left, published or not.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, {"ids": [segment.pk], "at": at or timezone.now()})
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
    return deltas.merge("segments_segmentdelta", _INTO, most=most)
