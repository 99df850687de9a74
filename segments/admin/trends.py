"""How segments grew: one number a day for many segments, in one statement whatever their number."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, timedelta

from django.db import connection
from django.utils import timezone

from segments.counts import MOVES_SQL
from segments.models import Segment

_MOVED = f"""
    SELECT segment_id, day, sum(joins - leaves)::bigint FROM ({MOVES_SQL}) moves WHERE day > %(first)s GROUP BY 1, 2
"""  # noqa: S608 -- constants of ours


def trends(segments: Collection[Segment], sizes: Mapping[int, int], last: date, days: int) -> dict[int, list[int]]:
    """Return each segment's size at the end of each of the last days, today's being the size now.

    The line is drawn backwards from the size that is known, so the days before are not read.
    """
    first = last - timedelta(days=days - 1)
    moves: dict[int, dict[date, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        ids = [one.pk for one in segments]
        cursor.execute(_MOVED, {"ids": ids, "first": first, "at": timezone.now()})
        for segment_id, day, change in cursor.fetchall():
            moves[segment_id][day] = change
    return {one.pk: _backwards(sizes.get(one.pk, 0), moves[one.pk], last, days) for one in segments}


def _backwards(size: int, moves: Mapping[date, int], last: date, days: int) -> list[int]:
    line = []
    for back in range(days):
        line.append(max(size, 0))
        size -= moves.get(last - timedelta(days=back), 0)
    return line[::-1]
