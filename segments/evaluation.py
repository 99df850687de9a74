"""A rule's answer about people, brought into their membership rows: the one statement for a batch, one, or everybody.

The timeline of the compiled rule is put beside the row that is there. Whoever comes in joins at the moment of asking,
whoever stays keeps `starts_at`, and what time has changed by then is published on the way. A version that is being
built gets its rows in the same way; it has nothing to publish before it serves.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from audience.columns import uuids
from audience.instants import Instant, moment
from audience.talk import Statement, Talk, Template, reads, writes
from segments.models import Cause
from segments.ranges import FOREVER
from segments.rules.timeline import Compiled

# Each batch holds its advertisers' locks together with the others; a switch of versions has its own alone.
_SWITCH_LOCK = 0x5017C4 << 32
_SHARE = writes("SELECT pg_advisory_xact_lock_shared(k) FROM (SELECT unnest(%s::bigint[]) AS k ORDER BY 1) keys")

# `told`: the timelines. `known`: the row of each, with all of its ranges. `settled`: which flips of the row lie
# before the moment of asking without having been published, and whether somebody was in after them; a flip at the
# very moment is decided by the new timeline. `coming`: the row as it is to be.
_EVALUATE = """
    WITH ask AS MATERIALIZED (
        SELECT %s::timestamptz AS at, v.advertiser_id, v.segment_id, v.number AS version, %s::text AS cause,
            g.active_version = v.number AS serves, a.time_zone
        FROM segments_ruleversion v JOIN segments_segment g ON g.id = v.segment_id
        JOIN audience_advertiser a ON a.id = v.advertiser_id
        WHERE v.segment_id = %s::bigint AND v.number = %s::int AND v.state IN ('active', 'building')
    ), told AS MATERIALIZED (
        SELECT s.profile_id, {timeline} AS ranges FROM unnest(%s::uuid[]) AS s(profile_id)
    ), known AS (
        SELECT ask.*, t.profile_id, t.ranges, m.starts_at, m.expires_at, m.sweep_at, m.upcoming,
            m.sweep_at IS NOT NULL AND m.sweep_at > m.starts_at AS is_published,
            CASE WHEN m.profile_id IS NULL THEN '{{}}' ELSE coalesce(m.upcoming, '{{}}')
                + tstzmultirange(tstzrange(m.starts_at, m.expires_at)) END AS old,
            (SELECT r FROM unnest(t.ranges) r LIMIT 1) AS first
        FROM ask CROSS JOIN told t LEFT JOIN segments_membership m
            ON m.profile_id = t.profile_id AND m.segment_id = ask.segment_id AND m.version = ask.version
        WHERE m.profile_id IS NOT NULL OR NOT isempty(t.ranges)
    ), settled AS MATERIALIZED (
        SELECT k.*, k.ranges @> k.at AS is_in, k.old @> k.at AS is_old,
            k.is_published <> (mod(coalesce(cardinality(f.flips), 0), 2) = 1) AS was_in, f.flips
        FROM known k LEFT JOIN LATERAL (
            SELECT array_agg(b ORDER BY b) AS flips
            FROM (SELECT unnest(ARRAY[lower(r), upper(r)]) AS b FROM unnest(k.old) r) bounds
            WHERE b >= k.sweep_at AND b < k.at
        ) f ON k.sweep_at < k.at
    ), coming AS MATERIALIZED (
        SELECT s.*,
            CASE WHEN s.is_in AND NOT s.was_in THEN s.at
                WHEN s.was_in AND (s.is_in OR s.first IS NULL)
                    THEN coalesce(s.flips[cardinality(s.flips)], s.starts_at)
                WHEN s.first IS NOT NULL THEN lower(s.first)
                ELSE least(s.starts_at, s.at) END AS new_starts_at,
            CASE WHEN s.first IS NOT NULL THEN coalesce(upper(s.first), %s::timestamptz)
                ELSE least(s.expires_at, s.at) END AS new_expires_at,
            CASE WHEN s.first IS NOT NULL AND s.ranges <> tstzmultirange(s.first)
                THEN s.ranges - tstzmultirange(s.first) END AS new_upcoming
        FROM settled s
    ), steps AS MATERIALIZED (
        SELECT c.profile_id, f.at, (mod(f.number, 2) = 1) <> c.is_published AS is_join, 'time' AS cause,
            FALSE AS is_now
        FROM coming c CROSS JOIN LATERAL unnest(c.flips) WITH ORDINALITY AS f(at, number)
        UNION ALL
        SELECT c.profile_id, c.at, c.is_in, CASE WHEN c.is_in = c.is_old THEN 'time' ELSE c.cause END, TRUE
        FROM coming c WHERE c.is_in <> c.was_in
    ), written AS (
        INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at,
            last_added_at, decided_at, sweep_at, upcoming)
        SELECT advertiser_id, profile_id, segment_id, version, new_starts_at, new_expires_at, new_starts_at, at,
            CASE WHEN is_in THEN new_expires_at WHEN first IS NOT NULL THEN new_starts_at END, new_upcoming
        FROM coming
        WHERE (starts_at, expires_at, upcoming) IS DISTINCT FROM (new_starts_at, new_expires_at, new_upcoming)
            OR is_in <> is_published OR flips IS NOT NULL
        ORDER BY profile_id
        ON CONFLICT (profile_id, segment_id, version) DO UPDATE SET starts_at = excluded.starts_at,
            expires_at = excluded.expires_at, last_added_at = excluded.last_added_at,
            decided_at = excluded.decided_at, sweep_at = excluded.sweep_at, upcoming = excluded.upcoming
    ), published AS (
        INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
        SELECT ask.advertiser_id, s.profile_id, ask.segment_id, s.at,
            CASE WHEN s.is_join THEN 'join' ELSE 'leave' END, s.cause
        FROM ask CROSS JOIN steps s WHERE ask.serves ON CONFLICT DO NOTHING
    ), counted AS (
        INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
            monthly_uniques)
        SELECT ask.advertiser_id, ask.segment_id, (s.at AT TIME ZONE ask.time_zone)::date,
            count(*) FILTER (WHERE s.is_join), count(*) FILTER (WHERE NOT s.is_join), 0, 0, 0
        FROM ask CROSS JOIN steps s WHERE ask.serves GROUP BY 1, 2, 3
    )
    SELECT s.profile_id, s.is_join FROM ask CROSS JOIN steps s WHERE ask.serves AND s.is_now
"""


class Ruled(NamedTuple):
    """A version of a segment's rule, ready to be asked."""

    advertiser_id: int
    segment_id: int
    version: int
    compiled: Compiled


class Moved(NamedTuple):
    """Somebody who has joined a segment by its rule, or left it, at the moment of asking."""

    profile_id: bytes
    segment_id: int
    has_joined: bool


def evaluate(asked: Sequence[tuple[Ruled, Sequence[bytes], Cause]], at: Instant) -> Talk[list[Moved]]:
    """Bring the memberships of profiles up to what rules say of them, one rule after the other.

    The caller holds the locks of the profiles, and has stored all facts; none of them is later than `at`.
    """
    if not asked:
        return []
    answers = yield [
        _SHARE(_keys({ruled.advertiser_id for ruled, _, _ in asked})),
        *[_statement(ruled, profiles, at, cause) for ruled, profiles, cause in asked],
    ]
    return [
        Moved(profile, ruled.segment_id, is_join)
        for (ruled, _, _), rows in zip(asked, answers, strict=True)
        for profile, is_join in rows
    ]


def switch_lock(advertiser_id: int) -> int:
    """Return the key of the lock that batches share and a switch of versions takes alone."""
    return _SWITCH_LOCK + advertiser_id


def _keys(advertisers: set[int]) -> str:
    return "{" + ",".join(str(switch_lock(one)) for one in sorted(advertisers)) + "}"


def _statement(ruled: Ruled, profiles: Sequence[bytes], at: Instant, cause: Cause) -> Statement:
    as_of = moment(at)
    template = _template(ruled.compiled.sql)
    head = (as_of.isoformat(), str(cause.value), ruled.segment_id, ruled.version)
    return template(*head, *ruled.compiled.values(as_of), uuids(sorted(profiles)), FOREVER.isoformat())


@lru_cache(8192)
def _template(timeline: str) -> Template:
    """Return the statement around a timeline; rules that differ in their values alone share one."""
    return reads(_EVALUATE.format(timeline=timeline))
