"""Apply changes to memberships: rows, transitions and deltas in the caller's transaction.

The caller holds the row locks of the profiles (`audience.identity`), so nobody decides about them at the same time.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Any, NamedTuple

from audience.columns import bigints, dates, instants, integers, texts, uuids
from audience.days import Day
from audience.instants import Instant
from audience.talk import Rows, Statement, Talk, reads, writes
from segments.membership import Change, Decision, Interval, Step, decide
from segments.models import Cause

# The key of a membership row: profile, segment, version. Batches write in its order. A plain tuple, because one is
# made, hashed and sorted for every fact.
RowKey = tuple[bytes, int, int]


class Asked(NamedTuple):
    """One change that somebody asks for a row of an advertiser, at an instant, and the fact that it comes from."""

    advertiser_id: int
    key: RowKey
    change: Change
    at: Instant
    fact_id: bytes | None = None

    @classmethod
    def of(
        cls, advertiser_id: int, profile_id: bytes, change: Change, at: Instant, fact_id: bytes | None = None
    ) -> "Asked":
        return cls(advertiser_id, (profile_id, change.segment_id, change.version), change, at, fact_id)


@dataclass
class Tally:
    """What a batch adds to a segment's numbers on one day."""

    joins: int = 0
    leaves: int = 0
    loads: int = 0
    daily_uniques: int = 0
    monthly_uniques: int = 0


_NUMBERS = attrgetter("joins", "leaves", "loads", "daily_uniques", "monthly_uniques")
DayOf = Callable[[int, Instant], Day]  # the advertiser's local day of an instant

# One index descent per key: `tests/segments/test_plans.py`. A renewal goes without the profile's lock, so rows are
# locked here as well.
_READ = reads(
    """
    SELECT m.profile_id, m.segment_id, m.version, m.starts_at, m.expires_at, m.value, m.last_added_at,
        m.decided_at, m.sweep_at
    FROM unnest(%s::uuid[], %s::bigint[], %s::int[]) AS k(profile_id, segment_id, version)
    JOIN segments_membership m USING (profile_id, segment_id, version)
    ORDER BY m.profile_id, m.segment_id, m.version FOR NO KEY UPDATE OF m
    """
)
_WRITE = writes(
    """
    WITH memberships AS (
        INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at, value,
            last_added_at, decided_at, sweep_at)
        SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::int[], %s::timestamptz[], %s::timestamptz[],
            %s::int[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
        ON CONFLICT (profile_id, segment_id, version) DO UPDATE SET starts_at = excluded.starts_at,
            expires_at = excluded.expires_at, value = excluded.value, last_added_at = excluded.last_added_at,
            decided_at = excluded.decided_at, sweep_at = excluded.sweep_at
    )
    INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause, fact_id)
    SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[],
        %s::uuid[])
    ON CONFLICT DO NOTHING
    """
)
_COUNT = writes(
    """
    INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
        monthly_uniques)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::date[], %s::int[], %s::int[], %s::int[], %s::int[],
        %s::int[])
    """
)


class Published(NamedTuple):
    """A step of a row, and the fact that brought it."""

    advertiser_id: int
    key: RowKey
    step: Step
    fact_id: bytes | None = None


Tallies = dict[tuple[int, int, date], Tally]
Intervals = dict[RowKey, Interval]


@dataclass
class Outcome:
    """What changes make of rows: the decision of each change, and what has to be written."""

    decisions: list[Decision]
    rows: Intervals
    owners: dict[RowKey, int]
    steps: list[Published]
    tallies: Tallies


def apply_changes(asked: Sequence[Asked], day_of: DayOf) -> Talk[list[Decision]]:
    """Apply changes in the order given; return the decision of each."""
    if not asked:
        return []
    (found,) = yield [read(asked)]
    outcome = fold(rows_of(found), asked, day_of)
    yield write(outcome)
    return outcome.decisions


def read(asked: Sequence[Asked]) -> Statement:
    """Return the statement that reads the rows behind changes, for `fold`."""
    keys = {one.key for one in asked}
    profiles, segments, versions = zip(*keys, strict=True) if keys else ((),) * 3
    return _READ(uuids(profiles), bigints(segments), integers(versions))


def rows_of(found: Rows) -> Intervals:
    """Return what the statement of `read` gave."""
    return {row[:3]: Interval._make(row[3:]) for row in found}


def fold(rows: Intervals, asked: Sequence[Asked], day_of: DayOf) -> Outcome:
    """Decide the changes one after the other; each row is written once. `rows` comes to hold what they become."""
    owners: dict[RowKey, int] = {}
    decisions: list[Decision] = []
    steps: list[Published] = []
    tallies: Tallies = defaultdict(Tally)
    for advertiser_id, key, change, at, fact_id in asked:
        old = rows.get(key)
        decision = decide(old, change, at)
        rows[key], owners[key] = decision.interval, advertiser_id
        if decision.steps:
            steps += [
                Published(advertiser_id, key, step, None if step.cause is Cause.TIME else fact_id)
                for step in decision.steps
            ]
        if decision.is_load:
            day = day_of(advertiser_id, at)
            tally = tallies[advertiser_id, change.segment_id, day.date]
            tally.loads += 1
            if old is None or old.last_added_at is None:
                tally.daily_uniques += 1
                tally.monthly_uniques += 1
            elif not day.starts_at <= old.last_added_at < day.ends_at:
                last = day_of(advertiser_id, old.last_added_at).date
                tally.daily_uniques += 1
                tally.monthly_uniques += (last.year, last.month) != (day.date.year, day.date.month)
        decisions.append(decision)
    count_steps(tallies, steps, day_of)
    return Outcome(decisions, rows, owners, steps, tallies)


def write(outcome: Outcome) -> list[Statement]:
    """Return the statements that write rows, transitions and deltas."""
    statements = []
    keys = sorted(outcome.owners)
    if keys or outcome.steps:
        of_rows = _membership_columns(keys, outcome.rows, outcome.owners)
        statements.append(_WRITE(*of_rows, *_transition_columns(outcome.steps)))
    if outcome.tallies:
        statements.append(_COUNT(*_delta_columns(outcome.tallies)))
    return statements


def count_loads(tallies: Tallies, asked: Sequence[Asked], day_of: DayOf) -> None:
    """Count adds that bring nothing else, and are not the first of their day."""
    for advertiser_id, key, _, at, _ in asked:
        tallies[advertiser_id, key[1], day_of(advertiser_id, at).date].loads += 1


def count_steps(tallies: Tallies, steps: Sequence[Published], day_of: DayOf) -> None:
    """Count joins and leaves on the days on which they fall."""
    for advertiser_id, (_, segment_id, _), step, _ in steps:
        tally = tallies[advertiser_id, segment_id, day_of(advertiser_id, step.at).date]
        tally.joins += step.change == "join"
        tally.leaves += step.change == "leave"


def _membership_columns(keys: Sequence[RowKey], rows: Intervals, owners: dict[RowKey, int]) -> list[Any]:
    profiles, segments, versions = zip(*keys, strict=True) if keys else ((),) * 3
    states = zip(*[rows[key] for key in keys], strict=True) if keys else ((),) * 6
    starts, ends, values, added, decided, sweeps = states
    return [
        bigints([owners[key] for key in keys]),
        uuids(profiles),
        bigints(segments),
        integers(versions),
        instants(starts),
        instants(ends),
        integers(values),
        instants(added),
        instants(decided),
        instants(sweeps),
    ]


def _transition_columns(steps: Sequence[Published]) -> list[Any]:
    advertisers, keys, published, facts = zip(*steps, strict=True) if steps else ((),) * 4
    profiles, segments, _ = zip(*keys, strict=True) if steps else ((),) * 3
    changes, times, causes = zip(*published, strict=True) if steps else ((),) * 3
    return [
        bigints(advertisers),
        uuids(profiles),
        bigints(segments),
        instants(times),
        texts(changes),
        texts(causes),
        uuids(facts),
    ]


def _delta_columns(tallies: Tallies) -> list[Any]:
    keys = sorted(tallies)
    advertisers, segments, days = zip(*keys, strict=True) if keys else ((),) * 3
    counts = zip(*[_NUMBERS(tallies[key]) for key in keys], strict=True) if keys else ((),) * 5
    return [bigints(advertisers), bigints(segments), dates(days), *(integers(column) for column in counts)]
