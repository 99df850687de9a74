"""Where people came from first and last, by the sources of their events (`audience.context.source`).

Which events came decides, not their order. A step within the site is no source. A direct visit is the last one only
where nothing else is known: the last touch passes over direct visits (rules.md 1.4, `situation`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from audience.columns import bigints, instants, texts, uuids
from audience.context.source import DIRECT, INTERNAL
from audience.events import Fact
from audience.instants import Instant
from audience.talk import Talk, reads, writes

Which = Literal["first", "last"]
# What happens on one page, or comes in one batch, has one context.
REMEMBERED_CONTEXTS = 1_024
FIRST: Which = "first"
LAST: Which = "last"


class Touch(NamedTuple):
    """One source: of two the greater one is the later one, any source being later than a direct visit."""

    is_known: bool  # where from; a direct visit is not
    at: Instant
    fact_id: bytes
    source: str  # JSON of `audience.context.source.Source.fields`


class Told(NamedTuple):
    """A touch of a profile."""

    advertiser_id: int
    profile_id: bytes
    which: Which
    touch: Touch


# A row is replaced by one that is earlier, or later; `Touch` has the same order. Most tell nothing new, and an
# upsert would lock and log each of them.
_PUT = writes(
    """
    INSERT INTO audience_touch (advertiser_id, profile_id, which, is_known, at, fact_id, source)
    SELECT n.advertiser_id, n.profile_id, n.which, n.is_known = 1, n.at, n.fact_id, n.source::jsonb
    FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::bigint[], %s::timestamptz[], %s::uuid[], %s::text[])
        AS n(advertiser_id, profile_id, which, is_known, at, fact_id, source)
    LEFT JOIN audience_touch t ON t.profile_id = n.profile_id AND t.which = n.which
    WHERE t.profile_id IS NULL OR CASE n.which WHEN 'first' THEN (n.at, n.fact_id) < (t.at, t.fact_id)
        ELSE (n.is_known = 1, n.at, n.fact_id) > (t.is_known, t.at, t.fact_id) END
    ON CONFLICT (profile_id, which) DO UPDATE
    SET is_known = excluded.is_known, at = excluded.at, fact_id = excluded.fact_id, source = excluded.source
    """
)
_TAKE = reads(
    """
    DELETE FROM audience_touch WHERE profile_id = ANY(%s::uuid[])
    RETURNING profile_id, which, is_known, at, fact_id, source::text
    """
)


def put(facts: Sequence[Fact]) -> Talk[None]:
    """Keep where events say that people came from. The caller holds the locks of their profiles."""
    told = [
        Told(fact.message.advertiser_id, fact.profile_id, which, touch)
        for fact in facts
        if '"source"' in fact.message.context and (touch := _touch_of(fact)) is not None
        for which in (FIRST, LAST)
    ]
    yield from _write(told)


def move(whither: Mapping[bytes, bytes], owners: Mapping[bytes, int]) -> Talk[None]:
    """Move the touches of profiles to those that they are merged into; `owners` are the latter's advertisers."""
    (rows,) = yield [_TAKE(uuids(sorted(whither)))]
    yield from _write(
        [Told(owners[whither[profile]], whither[profile], which, Touch(*touch)) for profile, which, *touch in rows]
    )


def _touch_of(fact: Fact) -> Touch | None:
    medium, source = _source_in(fact.message.context)
    if medium == INTERNAL:
        return None
    return Touch(medium != DIRECT, fact.message.occurred_at, fact.message.id, source)


@lru_cache(REMEMBERED_CONTEXTS)
def _source_in(context: str) -> tuple[str, str]:
    """Return the medium and the JSON of the source that a context holds."""
    source: dict[str, Any] = json.loads(context).get("source", {})
    return source.get("medium", INTERNAL), json.dumps(source, ensure_ascii=False, separators=(",", ":"))


def _write(told: Iterable[Told]) -> Talk[None]:
    best: dict[tuple[bytes, Which], Told] = {}
    for one in told:
        key = one.profile_id, one.which
        best[key] = _better(best[key], one) if key in best else one
    if not best:
        return
    advertisers, profiles, whichs, touches = zip(*[best[key] for key in sorted(best)], strict=True)
    known, times, facts, sources = zip(*touches, strict=True)
    yield [
        _PUT(
            bigints(advertisers),
            uuids(profiles),
            texts(whichs),
            bigints(known),
            instants(times),
            uuids(facts),
            texts(sources),
        )
    ]


def _better(one: Told, other: Told) -> Told:
    if one.which == LAST:
        return max(one, other, key=lambda told: told.touch)
    return min(one, other, key=lambda told: told.touch[1:])
