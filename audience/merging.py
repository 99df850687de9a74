"""A profile goes into another one: all that hangs on it moves, and its row goes.

Rooms above register a step for what they keep of profiles (`on_merge`). Everything happens in the caller's
transaction, which holds the locks of all profiles named (`audience.identity`). Rows are inserted under the new
profile and deleted under the old one; none changes its profile id, by which large tables are distributed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from audience import attributes, consents, touches
from audience.columns import bigints, instants, uuids
from audience.crash import crash_point
from audience.instants import Instant
from audience.talk import Talk, writes

# As long as events and transitions.
KEPT = timedelta(days=13 * 31)


class Pair(NamedTuple):
    """A profile that goes, and the one that it goes into, which stays. Several may go into one."""

    advertiser_id: int
    gone: bytes
    into: bytes


# What a room does when profiles merge at an instant.
Step = Callable[[Sequence[Pair], Instant], Talk[None]]
_steps: list[Step] = []


def on_merge(step: Step) -> None:
    """Register what a room above does with what it keeps of profiles. Steps run in the order of registration."""
    if step not in _steps:
        _steps.append(step)


# Identifiers are distributed by a key of their own, so theirs may change in place. Needs the index on `profile_id`.
_MOVE_IDENTIFIERS = writes(
    """
    UPDATE audience_identifier i SET profile_id = k.into_id
    FROM unnest(%s::uuid[], %s::uuid[]) AS k(gone, into_id) WHERE i.profile_id = k.gone
    """
)
_MOVE_EVENTS = writes(
    """
    WITH moved AS (
        DELETE FROM audience_event e USING unnest(%s::uuid[], %s::uuid[]) AS k(gone, into_id)
        WHERE e.profile_id = k.gone
        RETURNING e.id, e.advertiser_id, k.into_id, e.name, e.occurred_at, e.received_at, e.properties, e.context
    )
    INSERT INTO audience_event (id, advertiser_id, profile_id, name, occurred_at, received_at, properties, context)
    SELECT * FROM moved ON CONFLICT DO NOTHING
    """
)
_MOVE_ACCOUNTS = writes(
    """
    WITH moved AS (
        DELETE FROM audience_accountmember m USING unnest(%s::uuid[], %s::uuid[]) AS k(gone, into_id)
        WHERE m.profile_id = k.gone RETURNING m.advertiser_id, k.into_id, m.account_id, m.since
    )
    INSERT INTO audience_accountmember AS m (advertiser_id, profile_id, account_id, since)
    SELECT advertiser_id, into_id, account_id, min(since) FROM moved GROUP BY advertiser_id, into_id, account_id
    ON CONFLICT (profile_id, account_id) DO UPDATE SET since = least(m.since, excluded.since)
    """
)
# The gone one's row goes last: what hangs on it has a key to it, which is looked at when the transaction commits.
_MOVE_PROFILES = writes(
    """
    WITH gone AS (
        DELETE FROM audience_profile p USING unnest(%s::uuid[], %s::uuid[]) AS k(gone, into_id)
        WHERE p.id = k.gone RETURNING k.into_id, p.first_seen_at, p.last_seen_at
    ), seen AS (
        SELECT into_id, min(first_seen_at) AS first, max(last_seen_at) AS last FROM gone GROUP BY into_id
    )
    UPDATE audience_profile p SET first_seen_at = least(p.first_seen_at, s.first),
        last_seen_at = greatest(p.last_seen_at, s.last)
    FROM seen s WHERE p.id = s.into_id
    """
)
_NOTE = writes(
    """
    WITH earlier AS (
        UPDATE audience_merge m SET into_id = k.into_id
        FROM unnest(%s::uuid[], %s::uuid[]) AS k(gone, into_id) WHERE m.into_id = k.gone
    )
    INSERT INTO audience_merge (id, advertiser_id, into_id, at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::timestamptz[])
    """
)


def merge(pairs: Sequence[Pair], at: Instant) -> Talk[None]:
    """Merge stored profiles. None that goes may stay in another pair."""
    if not pairs:
        return
    pairs = sorted(pairs, key=lambda pair: pair.gone)
    gone, into = uuids([pair.gone for pair in pairs]), uuids([pair.into for pair in pairs])
    yield [_MOVE_IDENTIFIERS(gone, into), _MOVE_EVENTS(gone, into), _MOVE_ACCOUNTS(gone, into)]
    whither, owners = _whither(pairs), {pair.into: pair.advertiser_id for pair in pairs}
    yield from attributes.move(whither, owners)
    yield from touches.move(whither, owners)
    yield [consents.MOVE(gone, into)]
    for step in _steps:
        yield from step(pairs, at)
    advertisers, times = bigints([pair.advertiser_id for pair in pairs]), instants([at] * len(pairs))
    yield [_MOVE_PROFILES(gone, into), _NOTE(gone, into, gone, advertisers, into, times)]
    crash_point("profile.merged")


def forget_merges(now: datetime | None = None) -> int:
    """Forget where profiles went more than 13 months ago, when nothing is kept that names them; return how many."""
    with connection.cursor() as cursor:
        oldest_kept = (now or timezone.now()) - KEPT
        cursor.execute("DELETE FROM audience_merge WHERE at < %s", [oldest_kept])
        forgotten: int = cursor.rowcount
    return forgotten


def _whither(pairs: Sequence[Pair]) -> Mapping[bytes, bytes]:
    return {pair.gone: pair.into for pair in pairs}
