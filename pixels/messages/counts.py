"""How many messages each write key brought, and how they ended: merged from the deltas that batches wrote."""

from audience import deltas

_INTO = """
    hours AS (
        INSERT INTO pixels_messagehour AS h (advertiser_id, source_id, hour, outcome, error, messages)
        SELECT advertiser_id, source_id, hour, outcome, error, sum(messages) FROM taken
        GROUP BY advertiser_id, source_id, hour, outcome, error
        ORDER BY source_id, hour, outcome, error, advertiser_id
        ON CONFLICT (source_id, hour, outcome, error, advertiser_id)
            DO UPDATE SET messages = h.messages + excluded.messages
    )
"""


def merge_deltas(*, most: int = 20_000) -> int:
    """Merge the deltas of batches into hours; return how many. Safe to run several times at once."""
    return deltas.merge("pixels_messagedelta", _INTO, most=most)
