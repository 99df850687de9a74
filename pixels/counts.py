"""How often a pixel fired, how it ended, and on which pages: merged from the deltas that batches wrote."""

from django.db import connection

from audience import deltas

# Of all pages that a pixel was seen on, those that were seen last.
MOST_PAGES = 1_000

_INTO = """
    hours AS (
        INSERT INTO pixels_firehour AS h (advertiser_id, pixel_id, hour, outcome, reason, fires)
        SELECT advertiser_id, pixel_id, hour, outcome, reason, sum(fires) FROM taken
        GROUP BY advertiser_id, pixel_id, hour, outcome, reason
        ORDER BY pixel_id, hour, outcome, reason, advertiser_id
        ON CONFLICT (pixel_id, hour, outcome, reason, advertiser_id) DO UPDATE SET fires = h.fires + excluded.fires
    ), pages AS (
        INSERT INTO pixels_seenpage AS s (advertiser_id, pixel_id, host, path, fires, refused, first_at, last_at)
        SELECT advertiser_id, pixel_id, page_host, page_path, sum(fires),
            coalesce(sum(fires) FILTER (WHERE outcome = 'rejected'), 0), min(last_at), max(last_at)
        FROM taken WHERE pixel_id IS NOT NULL AND page_host <> ''
        GROUP BY advertiser_id, pixel_id, page_host, page_path
        ORDER BY pixel_id, page_host, page_path
        ON CONFLICT (pixel_id, host, path) DO UPDATE SET fires = s.fires + excluded.fires,
            refused = s.refused + excluded.refused, first_at = least(s.first_at, excluded.first_at),
            last_at = greatest(s.last_at, excluded.last_at)
    )
"""
_FORGET = """
    DELETE FROM pixels_seenpage WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY pixel_id ORDER BY last_at DESC, id DESC) AS place
            FROM pixels_seenpage
            WHERE pixel_id IN (SELECT pixel_id FROM pixels_seenpage GROUP BY pixel_id HAVING count(*) > %(most)s)
        ) ranked WHERE place > %(most)s
    )
"""


def merge_deltas(*, most: int = 20_000) -> int:
    """Merge the deltas of batches into hours and pages; return how many. Safe to run several times at once."""
    return deltas.merge("pixels_firedelta", _INTO, most=most)


def forget_pages() -> int:
    """Keep the pages that each pixel was seen on last, up to 1,000; return how many were forgotten."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, {"most": MOST_PAGES})
        return int(cursor.rowcount)
