"""Members who are added again while they are in: most of what a door stores, done without reading and locking first.

The process that wrote a row last knows what it wrote. It decides from that, and the statement renews the row only if
it is still so (compare and set). Where a door knows its visitors, a batch then needs one round trip in place of two.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence

import psycopg

from audience.columns import bigints, instants, integers, uuids
from audience.memory import Memory
from audience.talk import Statement, writes
from segments.changes import Asked, Intervals, Outcome, RowKey
from segments.membership import Interval

# A changed row costs its batch another try, and resting costs each batch a round trip.
FREQUENT_SECONDS = 0.1
REST_SECONDS = 10.0
# By profile: `audience.identity.Known.losses`, and nobody whose `seen_at` has to be written.
Losses = Mapping[bytes, int]
# A division by zero: the one way to fail a statement from within that works on a server without functions of ours.
RowsChanged = psycopg.errors.DivisionByZero

# `sweep_at` is the sweeper's to move. Nor is a profile renewed that has lost an identifier to another one: the door
# may take somebody for it who is not it any more.
# One index descent per key, in the order of the keys: `tests/segments/test_plans.py`.
_RENEW = writes(
    """
    WITH renewed AS (
        UPDATE segments_membership m SET starts_at = k.starts_at, expires_at = k.expires_at, value = k.value,
            last_added_at = k.last_added_at, decided_at = k.decided_at, sweep_at = least(m.sweep_at, k.expires_at)
        FROM unnest(%s::uuid[], %s::bigint[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::int[],
            %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::timestamptz[],
            %s::int[])
            AS k(profile_id, segment_id, version, starts_at, expires_at, value, last_added_at, decided_at,
                 known_starts_at, known_expires_at, known_value, known_decided_at, losses)
        JOIN audience_profile p ON p.id = k.profile_id AND p.losses = k.losses
        WHERE m.profile_id = k.profile_id AND m.segment_id = k.segment_id AND m.version = k.version
            AND m.starts_at = k.known_starts_at AND m.expires_at = k.known_expires_at
            AND m.value IS NOT DISTINCT FROM k.known_value AND m.decided_at = k.known_decided_at
            AND m.sweep_at IS NOT NULL
        RETURNING 1
    )
    SELECT 1 / (count(*) = %s::int)::int FROM renewed
    """
)


class Renewals:
    """The rows that a process wrote last.

    Promise: a row that somebody else has changed meanwhile is not renewed; then `RowsChanged` ends the transaction.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._memory: Memory[RowKey, Interval] = Memory(most)
        self._doubted_at = self._rests_until = float("-inf")

    def of(self, asked: Sequence[Asked], losses: Losses) -> Intervals:
        """Return the rows that may be renewed: of profiles of which every change is an add to a known, present row.

        A join, a leave and all that may be one needs the profile's lock, and so does a profile without `losses`.
        """
        if self._clock() < self._rests_until:
            return {}
        known = self._memory.recall({one.key for one in asked})
        doubtful = set()
        for _, key, change, at, _ in asked:
            row = known.get(key)
            is_present = row is not None and row.holds_at(at) and row.sweep_at is not None
            if not is_present or change.do != "add" or key[0] not in losses:
                doubtful.add(key[0])
        return {key: row for key, row in known.items() if key[0] not in doubtful} if doubtful else known

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


def renew(known: Intervals, outcome: Outcome, losses: Losses) -> Statement:
    """Return the statement that makes of the known rows what the outcome says; it fails with `RowsChanged`."""
    keys = sorted(known)
    profiles, segments, versions = zip(*keys, strict=True)
    starts, ends, values, added, decided, _ = zip(*[outcome.rows[key] for key in keys], strict=True)
    known_starts, known_ends, known_values, _, known_decided, _ = zip(*[known[key] for key in keys], strict=True)
    return _RENEW(
        uuids(profiles),
        bigints(segments),
        integers(versions),
        instants(starts),
        instants(ends),
        integers(values),
        instants(added),
        instants(decided),
        instants(known_starts),
        instants(known_ends),
        integers(known_values),
        instants(known_decided),
        integers([losses[profile] for profile in profiles]),
        len(keys),
    )
