"""What comes after a join or leave: the end of that membership, and the next start (rules.md 6).

What has come is told by the transitions that follow it, what is still to come by the membership's row. Both are
worked out for whoever reads a transition: a membership's end moves with each fact, and to write it down would be one
more row for every fire.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from segments.membership import ENDS_AT_SQL
from segments.rules.tree import Of
from segments.tables import AnyTransition, about


class Outlook(NamedTuple):
    """`until`: the end of a join's membership; None without an end, and of a leave.

    `next`: the next start after it that is known, or None. `value`: the membership's, as it is now; of the newest
    join alone, since former values are not kept.
    """

    until: datetime | None
    next: datetime | None
    value: int | None


# At one instant a leave comes before a join. Of those that follow, two entries of the key are read.
_AHEAD = """
    WITH asked AS (
        SELECT k.*, coalesce(f.ats, '{}') AS ats
        FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[])
            WITH ORDINALITY AS k(profile_id, segment_id, at, change, place)
        CROSS JOIN LATERAL (
            SELECT array_agg(t.at ORDER BY t.at, t.change DESC) AS ats FROM (
                SELECT t.at, t.change FROM segments_transition t
                WHERE t.profile_id = k.profile_id AND t.segment_id = k.segment_id
                    AND t.at >= k.at AND (t.at > k.at OR t.change < k.change)
                ORDER BY t.at, t.change DESC LIMIT 2
            ) t
        ) f
    )
    SELECT l.until, l.next, CASE WHEN a.change = 'join' AND a.ats = '{}' THEN m.value END
    FROM asked a
    LEFT JOIN segments_segment g ON g.id = a.segment_id
    LEFT JOIN segments_membership m
        ON m.profile_id = a.profile_id AND m.segment_id = a.segment_id AND m.version = g.active_version
    CROSS JOIN LATERAL (
        SELECT CASE WHEN m.starts_at IS NOT NULL
            THEN tstzmultirange(tstzrange(m.starts_at, m.expires_at)) + coalesce(m.upcoming, '{}') END AS ranges
    ) r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN a.change = 'join' THEN coalesce(
            a.ats[1], (
                SELECT {ends_at}
                FROM unnest(r.ranges) u WHERE upper(u) > a.at ORDER BY u LIMIT 1
            )
        ) END AS until
    ) e
    CROSS JOIN LATERAL (
        SELECT e.until, coalesce(
            a.ats[CASE WHEN a.change = 'join' THEN 2 ELSE 1 END],
            (
                SELECT lower(u) FROM unnest(r.ranges) u
                WHERE lower(u) >= CASE WHEN a.change = 'join' THEN e.until ELSE a.at END ORDER BY u LIMIT 1
            )
        ) AS next
    ) l
    ORDER BY a.place
""".replace("{ends_at}", ENDS_AT_SQL.replace("m.expires_at", "upper(u)"))


def outlooks(rows: Sequence[AnyTransition], of: Of) -> list[Outlook]:
    """Return what comes after transitions of profiles, or of accounts, in their order."""
    columns = [[getattr(row, name) for row in rows] for name in (f"{of}_id", "segment_id", "at", "change")]
    with connection.cursor() as cursor:
        cursor.execute(about(of, _AHEAD), columns)
        return [Outlook(*row) for row in cursor.fetchall()]
