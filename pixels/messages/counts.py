"""How many messages each write key brought, and how they ended: merged from the deltas that batches wrote."""

from django.db import connection, transaction

from audience.crash import crash_point

_MERGE = """
    WITH taken AS (
        DELETE FROM pixels_messagedelta WHERE id IN (
            SELECT id FROM pixels_messagedelta ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED
        ) RETURNING *
    ), hours AS (
        INSERT INTO pixels_messagehour AS h (advertiser_id, source_id, hour, outcome, error, messages)
        SELECT advertiser_id, source_id, hour, outcome, error, sum(messages) FROM taken
        GROUP BY advertiser_id, source_id, hour, outcome, error
        ORDER BY source_id, hour, outcome, error, advertiser_id
        ON CONFLICT (source_id, hour, outcome, error, advertiser_id)
            DO UPDATE SET messages = h.messages + excluded.messages
    )
    SELECT count(*) FROM taken
"""


def merge_deltas(*, most: int = 20_000) -> int:
    """Merge the deltas of batches into hours; return how many. Safe to run several times at once."""
    merged = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_MERGE, {"most": most})
            count: int = cursor.fetchone()[0]
            crash_point("count.merged")
        merged += count
        if count < most:
            return merged
