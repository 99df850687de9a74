"""Members who are added again while they are in: most of what a door stores, done without reading and locking first.

A process that has met a member decides from what it knows, however old that is: whoever is in and is added again
stays in, and the statement says what becomes of the row whatever other processes have made of it meanwhile. It fails
where the member is not in any more. Where doors know their visitors, a batch needs one round trip in place of two.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter

import psycopg

from audience.columns import bigints, instants, integers, uuids
from audience.days import Day
from audience.instants import Instant
from audience.memory import Memory
from audience.talk import Statement, writes
from segments.changes import Asked, DayOf, Intervals, RowKey
from segments.membership import Change, Interval
from segments.models import Segment

# A changed row costs its batch another try, and resting costs each batch a round trip.
FREQUENT_SECONDS = 0.1
REST_SECONDS = 10.0
# By profile: `audience.identity.Known.losses`, and nobody whose `seen_at` has to be written.
Losses = Mapping[bytes, int]
# A division by zero: the one way to fail a statement from within that works on a server without functions of ours.
RowsChanged = psycopg.errors.DivisionByZero

# What `segments.membership.decide` makes of an add to a row that holds, said in SQL: of facts that come out of order
# the later one decides. `sweep_at` is the sweeper's to move; without one the end is published already. Nor is a
# profile renewed that has lost an identifier to another one: the door may take somebody for it who is not it any
# more. One index descent per key, in the order of the keys: `tests/segments/test_plans.py`.
_RENEW = writes(
    """
    WITH renewed AS (
        UPDATE segments_membership m SET
            expires_at = CASE WHEN m.decided_at <= k.at THEN coalesce(k.expires_at, m.expires_at)
                ELSE m.expires_at END,
            value = CASE WHEN m.decided_at <= k.at THEN coalesce(k.value, m.value) ELSE m.value END,
            last_added_at = CASE WHEN m.decided_at <= k.at THEN k.at ELSE m.last_added_at END,
            decided_at = greatest(m.decided_at, k.at),
            sweep_at = CASE WHEN m.decided_at <= k.at THEN least(m.sweep_at, k.expires_at) ELSE m.sweep_at END
        FROM unnest(%s::uuid[], %s::bigint[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::int[])
            AS k(profile_id, segment_id, version, at, expires_at, value, losses)
        JOIN audience_profile p ON p.id = k.profile_id AND p.losses = k.losses
        WHERE m.profile_id = k.profile_id AND m.segment_id = k.segment_id AND m.version = k.version
            AND m.starts_at <= k.at AND k.at < m.expires_at AND m.sweep_at IS NOT NULL
        RETURNING 1
    )
    SELECT 1 / (count(*) = %s::int)::int FROM renewed
    """
)
# A batch that renews some rows and reads others takes all their locks at once, in order: two of them with each
# other's rows the other way round would wait for each other.
_LOCK = writes(
    """
    SELECT count(*) FROM (
        SELECT FROM unnest(%s::uuid[], %s::bigint[], %s::int[]) AS k(profile_id, segment_id, version)
        JOIN segments_membership m USING (profile_id, segment_id, version)
        ORDER BY m.profile_id, m.segment_id, m.version FOR NO KEY UPDATE OF m
    ) locked
    """
)


class Renewals:
    """The rows that a process wrote last.

    Promise: what is renewed becomes what it had become by reading first, whatever other processes have made of it;
    where that needs the profile's lock, `RowsChanged` ends the transaction.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._memory: Memory[RowKey, Interval] = Memory(most)
        self._doubted_at = self._rests_until = float("-inf")

    def of(self, asked: Sequence[Asked], losses: Losses, day_of: DayOf) -> Intervals:
        """Return the rows that may be renewed, as they become: of profiles of which each change adds to a known,
        present row.

        A join, a leave and all that may be one needs the profile's lock; so does a profile without `losses`, what is
        the first of its day, a value that depends on the one before, and whoever is added twice at once.
        """
        if self._clock() < self._rests_until:
            return {}
        known = self._memory.recall({one.key for one in asked})
        rows: Intervals = {}
        doubtful = set()
        for advertiser_id, key, change, at, _ in asked:
            row, day = known.get(key), day_of(advertiser_id, at)
            if row is None or key[0] not in losses or key in rows or not _is_renewal(row, change, at, day):
                doubtful.add(key[0])
            else:
                end = _end(change, at) or row.expires_at
                rows[key] = Interval(row.starts_at, end, row.value, at, at, row.sweep_at)
        return {key: row for key, row in rows.items() if key[0] not in doubtful} if doubtful else rows

    def keep(self, rows: Intervals) -> None:
        """Keep what has been committed."""
        self._memory.keep(rows)

    def doubt(self, keys: Collection[RowKey]) -> None:
        """Forget rows one of which another process has changed.

        Where that happens again and again, everything is read for a while: several doors that share their visitors
        would only find out each other's changes.
        """
        now = self._clock()
        if now - self._doubted_at < FREQUENT_SECONDS:
            self._rests_until = now + REST_SECONDS
        self._doubted_at = now
        self._memory.forget(keys)


def _is_renewal(row: Interval, change: Change, at: Instant, day: Day) -> bool:
    """Say whether an add to a row leaves open nothing but whether it is still one that holds."""
    if change.do != "add" or not row.holds_at(at) or row.sweep_at is None or row.last_added_at is None:
        return False
    if change.value is not None and change.re_add != Segment.ReAdd.REPLACE:
        return False
    # Others can only have added it later than we know: on this day it has been counted.
    return day.starts_at <= row.last_added_at < day.ends_at


def lock(asked: Sequence[Asked]) -> Statement:
    """Return the statement that locks the rows behind changes; for batches not all of which is renewed."""
    profiles, segments, versions = zip(*{one.key for one in asked}, strict=True)
    return _LOCK(uuids(profiles), bigints(segments), integers(versions))


def renew(asked: Sequence[Asked], losses: Losses) -> Statement:
    """Return the statement that renews the rows of adds, each of another row; it fails with `RowsChanged`."""
    inorder = sorted(asked, key=attrgetter("key"))
    keys = [one.key for one in inorder]
    profiles, segments, versions = zip(*keys, strict=True)
    return _RENEW(
        uuids(profiles),
        bigints(segments),
        integers(versions),
        instants([one.at for one in inorder]),
        instants([_end(one.change, one.at) for one in inorder]),
        integers([one.change.value for one in inorder]),
        integers([losses[profile] for profile in profiles]),
        len(keys),
    )


def _end(change: Change, at: Instant) -> Instant | None:
    """Return the end that an add asks for; None where the row keeps its own."""
    return None if change.refire == Segment.Refire.KEEP else at + change.lifetime
