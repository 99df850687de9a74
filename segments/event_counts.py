"""How often each event came, by day: maintained as batches record, and never counted from the events themselves."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from audience.columns import bigints, instants, texts
from audience.news import Happened, Moves
from audience.talk import Talk, writes

DAYS = 90
# An advertiser may have any number of names; those that came most often are known.
NAMES_KNOWN = 10_000

# Batches append, and never wait for each other. A day is one of UTC, that of the receipt.
_APPEND = writes(
    """
    INSERT INTO segments_eventdelta (advertiser_id, name, day, came)
    SELECT e.advertiser_id, e.name, (e.at AT TIME ZONE 'UTC')::date, e.came
    FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::bigint[]) e (advertiser_id, name, at, came)
    """
)
_MERGE = """
    WITH taken AS (
        DELETE FROM segments_eventdelta WHERE id IN (
            SELECT id FROM segments_eventdelta ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
        ) RETURNING *
    ), merged AS (
        INSERT INTO segments_eventday AS d (advertiser_id, name, day, came)
        SELECT advertiser_id, name, day, sum(came) FROM taken GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (advertiser_id, name, day) DO UPDATE SET came = d.came + excluded.came
    )
    SELECT count(*) FROM taken
"""
_COUNTS = """
    SELECT name, sum(came)::bigint FROM (
        SELECT name, day, came FROM segments_eventday WHERE advertiser_id = %(advertiser)s
        UNION ALL
        SELECT name, day, came FROM segments_eventdelta WHERE advertiser_id = %(advertiser)s
    ) c WHERE day > %(before)s GROUP BY name ORDER BY 2 DESC, name LIMIT %(most)s
"""
_FORGET = "DELETE FROM segments_eventday WHERE day <= %s"


def count_events(happened: Happened) -> Talk[Mapping[bytes, Moves]]:
    """Note how often each event is in a batch; nobody moves by that."""
    came = Counter((fact.message.advertiser_id, fact.message.event) for fact in happened.facts if fact.message.event)
    if came:
        names = sorted(came)
        yield [
            _APPEND(
                bigints([advertiser_id for advertiser_id, _ in names]),
                texts([name for _, name in names]),
                instants([happened.at] * len(names)),
                bigints([came[name] for name in names]),
            )
        ]
    return {}


def event_counts(advertiser_id: int, at: datetime | None = None) -> dict[str, int]:
    """Return how often each of an advertiser's events came in the last 90 days, the most frequent first."""
    before = (at or timezone.now()).date() - timedelta(days=DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"advertiser": advertiser_id, "before": before, "most": NAMES_KNOWN})
        return dict(cursor.fetchall())


def merge_deltas(*, most: int = 20_000) -> int:
    """Merge what batches have appended into days; return how many rows. Safe to run several times at once."""
    merged = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_MERGE, {"most": most})
            count: int = cursor.fetchone()[0]
        merged += count
        if count < most:
            return merged


def forget(at: datetime | None = None) -> None:
    """Forget the days that nobody is told of any more."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [(at or timezone.now()).date() - timedelta(days=DAYS)])
