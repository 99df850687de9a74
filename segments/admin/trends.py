"""How segments grew: one number a day for many segments, in two statements whatever their number."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, timedelta

from django.db.models import F, Sum

from segments.models import Segment, SegmentDay, SegmentDelta


def trends(segments: Collection[Segment], sizes: Mapping[int, int], last: date, days: int) -> dict[int, list[int]]:
    """Return each segment's size at the end of each of the last days, today's being the size now.

    The line is drawn backwards from the size that is known, so the days before are not read.
    """
    first = last - timedelta(days=days - 1)
    moves: dict[int, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for model in (SegmentDay, SegmentDelta):
        rows = model.objects.filter(segment__in=[one.pk for one in segments], day__gt=first)
        for segment_id, day, change in rows.values_list("segment_id", "day").annotate(
            change=Sum(F("joins") - F("leaves"))
        ):
            moves[segment_id][day] += change
    return {one.pk: _backwards(sizes.get(one.pk, 0), moves[one.pk], last, days) for one in segments}


def _backwards(size: int, moves: Mapping[date, int], last: date, days: int) -> list[int]:
    line = []
    for back in range(days):
        line.append(max(size, 0))
        size -= moves.get(last - timedelta(days=back), 0)
    return line[::-1]
