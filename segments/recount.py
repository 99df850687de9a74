"""The nightly check: the maintained numbers beside a real count, and rows that cross advertisers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import connection
from django.db.backends.utils import CursorWrapper

from segments.counts import sizes
from segments.membership import HOLDS_OF_ACTIVE_VERSION_SQL
from segments.models import Segment
from segments.tables import about

log = structlog.get_logger(__name__)

# Between this database and whoever writes to it; a start refuses more (safety.md S3).
CLOCK_DIFFERENCE = timedelta(seconds=2)

_COUNT_PROFILES = f"""
    SELECT m.segment_id, count(*) FROM segments_membership m
    JOIN segments_segment s ON s.id = m.segment_id
    WHERE {HOLDS_OF_ACTIVE_VERSION_SQL} GROUP BY m.segment_id
"""  # noqa: S608 -- the predicate is ours
_COUNT = f"{_COUNT_PROFILES} UNION ALL {about('account', _COUNT_PROFILES)}"
# The one relation that no key of the schema can hold, see `audience.models.Identifier`.
_CROSSED = """
    SELECT count(*) FROM audience_identifier i
    LEFT JOIN audience_profile p ON p.id = i.profile_id AND p.advertiser_id = i.advertiser_id
    WHERE p.id IS NULL
"""


@dataclass(frozen=True)
class Difference:
    """A number that is not what a real count says."""

    what: str
    maintained: int
    counted: int

    def __str__(self) -> str:
        return f"{self.what}: {self.maintained} in the books, {self.counted} counted"


def differences(at: datetime | None = None) -> Iterator[Difference]:
    """Count everything and yield what differs from the maintained numbers; nothing where all is well.

    It reads whole tables in one snapshot: a job for the night.
    """
    # One snapshot: a fire between two of these statements would look like a difference.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            found = list(differences_of_snapshot(at))
        finally:
            cursor.execute("COMMIT")
    yield from found


def differences_of_snapshot(at: datetime | None = None) -> Iterator[Difference]:
    """Do the same in the caller's transaction, which must be one snapshot."""
    with connection.cursor() as cursor:
        at = at or _instant_after_the_snapshot(cursor)
        segments = list(Segment.all_advertisers.all())
        maintained = sizes(segments, at)
        cursor.execute(_COUNT, {"at": at})
        counted = dict(cursor.fetchall())
        cursor.execute(_CROSSED)
        (crossed,) = cursor.fetchone()
    for segment in segments:
        if maintained[segment.pk] != counted.get(segment.pk, 0):
            what = f"size of segment {segment.pk} of advertiser {segment.advertiser_id}"
            yield Difference(what, maintained[segment.pk], counted.get(segment.pk, 0))
    if crossed:
        yield Difference("identifiers without a profile of their advertiser", 0, crossed)


def _instant_after_the_snapshot(cursor: CursorWrapper) -> datetime:
    """Return an instant at which everybody whose join the snapshot holds is in, or out again.

    The time of a join is the door's, whose clock may be a little ahead of the database's.
    """
    cursor.execute("SELECT clock_timestamp()")
    now: datetime = cursor.fetchone()[0]
    return now + CLOCK_DIFFERENCE


def report_differences() -> int:
    """Log every difference; return how many there are."""
    found = list(differences())
    for difference in found:
        log.error("count_differs", what=difference.what, kept=difference.maintained, counted=difference.counted)
    return len(found)
