"""Apply changes to memberships: rows, transitions and deltas in the caller's transaction.

The caller holds the row locks of the profiles (`audience.identity`), so nobody decides about them at the same time.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import NamedTuple

import psycopg

from audience.arrays import instants, plain, texts
from segments.membership import Change, Decision, Interval, Step, decide


class RowKey(NamedTuple):
    """The key of a membership row. Batches write in its order; the profile's id is a UUID as text."""

    profile_id: str
    segment_id: int
    version: int


class Asked(NamedTuple):
    """One change that somebody asks for a profile of an advertiser."""

    advertiser_id: int
    profile_id: str
    change: Change


@dataclass
class Tally:
    """What a batch adds to a segment's numbers on one day."""

    joins: int = 0
    leaves: int = 0
    loads: int = 0
    daily_uniques: int = 0
    monthly_uniques: int = 0


DayOf = Callable[[int, datetime], date]  # the advertiser's local day of an instant

# One index descent per key: `tests/segments/test_plans.py`.
_READ = """
    SELECT m.profile_id::text, m.segment_id, m.version, m.starts_at, m.expires_at, m.value, m.last_added_at,
        m.decided_at, m.sweep_at
    FROM unnest(%s::uuid[], %s::bigint[], %s::int[]) AS k(profile_id, segment_id, version)
    JOIN segments_membership m USING (profile_id, segment_id, version)
"""
# One statement for the rows and what follows from them: each round trip costs a batch 50 microseconds.
_WRITE = """
    WITH memberships AS (
        INSERT INTO segments_membership (advertiser_id, profile_id, segment_id, version, starts_at, expires_at, value,
            last_added_at, decided_at, sweep_at)
        SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::int[], %s::timestamptz[], %s::timestamptz[],
            %s::int[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
        ON CONFLICT (profile_id, segment_id, version) DO UPDATE SET starts_at = excluded.starts_at,
            expires_at = excluded.expires_at, value = excluded.value, last_added_at = excluded.last_added_at,
            decided_at = excluded.decided_at, sweep_at = excluded.sweep_at
    ), transitions AS (
        INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
        SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[])
        ON CONFLICT DO NOTHING
    )
    INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
        monthly_uniques)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::date[], %s::int[], %s::int[], %s::int[], %s::int[],
        %s::int[])
"""


class Published(NamedTuple):
    """A step of a profile in a segment."""

    advertiser_id: int
    profile_id: str
    segment_id: int
    step: Step


Tallies = dict[tuple[int, int, date], Tally]
Rows = dict[RowKey, Interval]


def apply_changes(
    cursor: psycopg.Cursor[tuple[object, ...]], asked: Sequence[Asked], day_of: DayOf
) -> list[Decision]:
    """Apply changes in the order given; return the decision of each.

    Several changes of one membership are folded one after the other and written once.
    """
    if not asked:
        return []
    keys = [RowKey(profile_id, change.segment_id, change.version) for _, profile_id, change in asked]
    rows = _read(cursor, set(keys))
    owners: dict[RowKey, int] = {}
    decisions: list[Decision] = []
    steps: list[Published] = []
    tallies: Tallies = defaultdict(Tally)
    for key, (advertiser_id, profile_id, change) in zip(keys, asked, strict=True):
        old = rows.get(key)
        decision = decide(old, change)
        rows[key], owners[key] = decision.interval, advertiser_id
        if decision.steps:
            steps += [Published(advertiser_id, profile_id, key.segment_id, step) for step in decision.steps]
        if decision.is_load:
            _count_load(tallies, advertiser_id, change, old, day_of)
        decisions.append(decision)
    _count_steps(tallies, steps, day_of)
    cursor.execute(
        _WRITE, [*_membership_columns(rows, owners), *_transition_columns(steps), *_delta_columns(tallies)]
    )
    return decisions


def _read(cursor: psycopg.Cursor[tuple[object, ...]], keys: set[RowKey]) -> Rows:
    cursor.execute(_READ, [plain(column) for column in zip(*keys, strict=True)])
    return {RowKey(*row[:3]): Interval(*row[3:]) for row in cursor.fetchall()}  # type: ignore[arg-type]


def _count_load(tallies: Tallies, advertiser_id: int, change: Change, old: Interval | None, day_of: DayOf) -> None:
    day = day_of(advertiser_id, change.at)
    tally = tallies[advertiser_id, change.segment_id, day]
    tally.loads += 1
    before = old.last_added_at if old else None
    last = day_of(advertiser_id, before) if before else None
    if last != day:
        tally.daily_uniques += 1
        tally.monthly_uniques += last is None or (last.year, last.month) != (day.year, day.month)


def _count_steps(tallies: Tallies, steps: Sequence[Published], day_of: DayOf) -> None:
    for advertiser_id, _, segment_id, step in steps:
        tally = tallies[advertiser_id, segment_id, day_of(advertiser_id, step.at)]
        tally.joins += step.change == "join"
        tally.leaves += step.change == "leave"


def _membership_columns(rows: Rows, owners: dict[RowKey, int]) -> list[str]:
    keys = sorted(owners)
    profiles, segments, versions = zip(*keys, strict=True)
    starts, ends, values, added, decided, sweeps = zip(*(rows[key] for key in keys), strict=True)
    return [
        plain([owners[key] for key in keys]),
        plain(profiles),
        plain(segments),
        plain(versions),
        instants(starts),
        instants(ends),
        plain(values),
        instants(added),
        instants(decided),
        instants(sweeps),
    ]


def _transition_columns(steps: Sequence[Published]) -> list[str]:
    if not steps:
        return ["{}"] * 6
    advertisers, profiles, segments, published = zip(*steps, strict=True)
    changes, times, causes = zip(*published, strict=True)
    return [plain(advertisers), plain(profiles), plain(segments), instants(times), texts(changes), texts(causes)]


def _delta_columns(tallies: Tallies) -> list[str]:
    if not tallies:
        return ["{}"] * 8
    keys = sorted(tallies)
    advertisers, segments, days = zip(*keys, strict=True)
    counts = zip(*(astuple(tallies[key]) for key in keys), strict=True)
    printed_days = plain(day.isoformat() for day in days)
    return [plain(advertisers), plain(segments), printed_days, *(plain(column) for column in counts)]
