"""Rules' answers about people, brought into their membership rows: the same for a batch, for one and for everybody.

The timeline of a compiled rule is put beside the row that is there. Whoever comes in joins at the moment of asking,
whoever stays keeps `starts_at`, and what time has changed by then is published on the way. A version that is being
built gets its rows in the same way; it has nothing to publish before it serves.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from audience.columns import Uuids, bigints, instants, integers, texts, uuids
from audience.instants import Instant, microseconds, moment
from audience.talk import Statement, Talk, Template, reads, writes
from segments.asking import Question, as_a_whole, ask, crowd
from segments.models import Cause
from segments.ranges import FOREVER
from segments.rules.timeline import Compiled
from segments.rules.tree import Of
from segments.tables import ALL, about

# Each batch holds its advertisers' locks together with the others; a switch of versions has its own alone.
_SWITCH_LOCK = 0x5017C4 << 32
_SHARE = writes("SELECT pg_advisory_xact_lock_shared(k) FROM (SELECT unnest(%s::bigint[]) AS k ORDER BY 1) keys")

# `known`: the row of each, with all of its ranges; of versions that serve or are being built. `settled`: which flips
# of the row lie before the moment of asking without having been published, and whether somebody was in after them; a
# flip at the very moment is decided by the new timeline. `coming`: the row as it is to be. Who stays in, and longer,
# keeps `sweep_at`, which is indexed (see the model): most of what facts change is that.
# A fact of another batch may be later than this one: whoever it has moved already is asked about from then on, and
# moves the next microsecond, or two joins would be one row of the database.
_BRING_PROFILES = """
    WITH known AS (
        SELECT l.at, t.profile_id, t.segment_id, t.version, t.cause, t.fact_id, t.other_id,
            CASE WHEN l.at > c.at THEN t.ranges * tstzmultirange(tstzrange(l.at, NULL)) ELSE t.ranges END AS ranges,
            t.known_until, v.advertiser_id,
            g.active_version = t.version AS serves, m.starts_at, m.expires_at, m.sweep_at, m.upcoming,
            m.sweep_at IS NOT NULL AND m.sweep_at > m.starts_at AS is_published,
            CASE WHEN m.profile_id IS NULL THEN '{}' ELSE coalesce(m.upcoming, '{}')
                + tstzmultirange(tstzrange(m.starts_at, m.expires_at)) END AS old
        FROM (SELECT %s::timestamptz AS at) c CROSS JOIN :answers
        JOIN segments_ruleversion v ON v.segment_id = t.segment_id AND v.number = t.version
            AND v.state IN ('active', 'building')
        JOIN segments_segment g ON g.id = t.segment_id
        LEFT JOIN segments_membership m
            ON m.profile_id = t.profile_id AND m.segment_id = t.segment_id AND m.version = t.version:bounds
        CROSS JOIN LATERAL (
            SELECT CASE WHEN m.decided_at > c.at THEN m.decided_at + interval '1 microsecond' ELSE c.at END AS at
        ) l
        WHERE m.profile_id IS NOT NULL OR NOT isempty(t.ranges)
    ), settled AS MATERIALIZED (
        SELECT k.*, (SELECT r FROM unnest(k.ranges) r LIMIT 1) AS first, k.ranges @> k.at AS is_in,
            k.old @> k.at AS is_old,
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
        SELECT c.advertiser_id, c.profile_id, c.segment_id, f.at, (mod(f.number, 2) = 1) <> c.is_published AS is_join,
            'time' AS cause, NULL::uuid AS fact_id, NULL::bigint AS other_id, FALSE AS is_now
        FROM coming c CROSS JOIN LATERAL unnest(c.flips) WITH ORDINALITY AS f(at, number) WHERE c.serves
        UNION ALL
        SELECT c.advertiser_id, c.profile_id, c.segment_id, c.at, c.is_in,
            CASE WHEN c.is_in = c.is_old THEN 'time' ELSE c.cause END,
            CASE WHEN c.is_in <> c.is_old THEN c.fact_id END, CASE WHEN c.is_in <> c.is_old THEN c.other_id END, TRUE
        FROM coming c WHERE c.serves AND c.is_in <> c.was_in
    ), written AS (
        INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at,
            last_added_at, decided_at, sweep_at, upcoming, known_until)
        SELECT advertiser_id, profile_id, segment_id, version, new_starts_at, new_expires_at, new_starts_at, at,
            CASE WHEN is_in AND is_published AND sweep_at > at THEN least(sweep_at, new_expires_at)
                WHEN is_in THEN new_expires_at WHEN first IS NOT NULL THEN new_starts_at END, new_upcoming,
            known_until
        FROM coming
        WHERE (starts_at, expires_at, upcoming) IS DISTINCT FROM (new_starts_at, new_expires_at, new_upcoming)
            OR is_in <> is_published OR flips IS NOT NULL
        ORDER BY profile_id, segment_id, version
        ON CONFLICT (profile_id, segment_id, version) DO UPDATE SET starts_at = excluded.starts_at,
            expires_at = excluded.expires_at, last_added_at = excluded.last_added_at,
            decided_at = excluded.decided_at, sweep_at = excluded.sweep_at, upcoming = excluded.upcoming,
            known_until = excluded.known_until
    ), published AS (
        INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause, fact_id,
            other_segment_id)
        SELECT advertiser_id, profile_id, segment_id, at, CASE WHEN is_join THEN 'join' ELSE 'leave' END, cause,
            fact_id, other_id
        FROM steps ORDER BY at, is_join ON CONFLICT DO NOTHING
    ), counted AS (
        INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
            monthly_uniques)
        SELECT s.advertiser_id, s.segment_id, (s.at AT TIME ZONE a.time_zone)::date,
            count(*) FILTER (WHERE s.is_join), count(*) FILTER (WHERE NOT s.is_join), 0, 0, 0
        FROM steps s JOIN audience_advertiser a ON a.id = s.advertiser_id GROUP BY 1, 2, 3
    )
    SELECT profile_id, segment_id, is_join FROM steps WHERE is_now
"""
_ANSWERS = """
    unnest(%s::uuid[], %s::bigint[], %s::int[], %s::text[], %s::uuid[], %s::bigint[], %s::tstzmultirange[],
        %s::timestamptz[]) AS t(profile_id, segment_id, version, cause, fact_id, other_id, ranges, known_until)
"""
_BRING_ANSWERS = _BRING_PROFILES.replace(":answers", _ANSWERS).replace(":bounds", "")
_BRING: Mapping[Of, Template] = {of: reads(about(of, _BRING_ANSWERS)) for of in ALL}
# The answers about a crowd do not leave the database. The bounds keep the join to its rows.
_CROWD = """
    (SELECT a.profile_id, %s::bigint AS segment_id, %s::int AS version, %s::text AS cause, NULL::uuid AS fact_id,
        NULL::bigint AS other_id, a.ranges, nullif(%s::text, '')::timestamptz AS known_until
    FROM (:crowd) a) t
"""
_BRING_CROWD = _BRING_PROFILES.replace(":answers", _CROWD).replace(
    ":bounds", " AND m.profile_id BETWEEN %s::uuid AND %s::uuid"
)


class Ruled(NamedTuple):
    """A version of a segment's rule, ready to be asked."""

    advertiser_id: int
    segment_id: int
    version: int
    compiled: Compiled
    of: Of = "profile"


class Moved(NamedTuple):
    """A member who has joined a segment by its rule, or left it, at the moment of asking."""

    member_id: bytes
    segment_id: int
    has_joined: bool


class Because(NamedTuple):
    """Why a rule is asked about somebody, which is what a move by its answer is caused by.

    The fact, or the segment that has changed, is told where that is one.
    """

    cause: Cause
    fact_id: bytes | None = None
    segment_id: int | None = None


class Asked(NamedTuple):
    """A rule, and about whom it is asked and why. `place`: see `rulebook.Entry`."""

    ruled: Ruled
    about: Mapping[bytes, Because]
    place: int = 0


class AskedOfCrowd(NamedTuple):
    """A rule that is asked about all profiles of a range of ids, which are given in order. It has to be `crowded`."""

    ruled: Ruled
    ids: Uuids
    cause: Cause
    place: int = 0


def evaluate(asked: Sequence[Asked | AskedOfCrowd], at: Instant) -> Talk[list[Moved]]:
    """Bring memberships up to what rules say of the members; those of a place know the rows of lower ones.

    The caller holds the locks of the members, and has stored all facts; none of them is later than `at`.
    """
    moved: list[Moved] = []
    if asked:
        yield [keep_from_switching(one.ruled.advertiser_id for one in asked)]
    for place, of in sorted({(one.place, one.ruled.of) for one in asked}):
        group = [one for one in asked if (one.place, one.ruled.of) == (place, of)]
        for one in group:
            if isinstance(one, AskedOfCrowd):
                moved += yield from _bring_crowd(one, at)
        moved += yield from _bring_each(of, [one for one in group if isinstance(one, Asked)], at)
    return moved


def _bring_each(of: Of, group: Sequence[Asked], at: Instant) -> Talk[list[Moved]]:
    """Ask rules of one place, each about its own people, and bring what they say."""
    if not group:
        return []
    answers = yield from ask([_question(one) for one in group], at)
    until = [_known_until(one.ruled, at) for one in group]
    told = [
        (answer.id, one.ruled.segment_id, one.ruled.version, *one.about[answer.id], answer.ranges, known_until)
        for answer in answers
        for one, known_until in [(group[answer.number], until[answer.number])]
    ]
    if not told:
        return []
    (rows,) = yield [_bring(of, told, at)]
    return [Moved(*row) for row in rows]


def _question(asked: Asked) -> Question:
    ruled = asked.ruled
    return Question(ruled.segment_id, ruled.version, ruled.compiled, tuple(asked.about))


def _bring_crowd(asked: AskedOfCrowd, at: Instant) -> Talk[list[Moved]]:
    """Bring what a rule says of a crowd."""
    ruled = asked.ruled
    if ruled.compiled.crowded is None:
        raise ValueError("This rule can only be asked of each.")
    found, until = crowd(ruled.compiled.crowded, asked.ids, at), _known_until(ruled, at)
    statement = reads(_BRING_CROWD.replace(":crowd", found.text))(
        moment(at).isoformat(),
        ruled.segment_id,
        ruled.version,
        str(asked.cause.value),
        "" if until is None else moment(until).isoformat(),
        *found.values,
        found.first,
        found.last,
        FOREVER.isoformat(),
    )
    (rows,) = yield as_a_whole(statement)
    return [Moved(*row) for row in rows]


def switch_lock(advertiser_id: int) -> int:
    """Return the key of the lock that batches share and a switch of versions takes alone."""
    return _SWITCH_LOCK + advertiser_id


def keep_from_switching(advertisers: Iterable[int]) -> Statement:
    """Return the statement that lets no version be switched until the transaction ends.

    Whoever locks rows of rules' segments takes this before: a switch has the lock first, and then waits for rows.
    """
    return _SHARE("{" + ",".join(str(switch_lock(one)) for one in sorted(set(advertisers))) + "}")


def _known_until(ruled: Ruled, at: Instant) -> Instant | None:
    horizon = ruled.compiled.horizon
    return None if horizon is None else at + microseconds(horizon)


def _bring(of: Of, told: Sequence[tuple[Any, ...]], at: Instant) -> Statement:
    members, segments, versions, causes, facts, others, ranges, known_until = zip(*told, strict=True)
    return _BRING[of](
        moment(at).isoformat(),
        uuids(members),
        bigints(segments),
        integers(versions),
        texts([str(cause.value) for cause in causes]),
        uuids(facts),
        bigints(others),
        texts(ranges),
        instants(known_until),
        FOREVER.isoformat(),
    )
