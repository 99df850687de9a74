"""Apply changes to memberships: rows, transitions and deltas in the caller's transaction.

The caller holds the row locks of the profiles (`audience.identity`), so nobody decides about them at the same time.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from audience.arrays import instants, plain, texts
from segments.membership import Change, Decision, Interval, Step, decide


class RowKey(NamedTuple):
    """The key of a membership row. Batches write in its order."""

    profile_id: UUID
    segment_id: int
    version: int


class Asked(NamedTuple):
    """One change that somebody asks for a profile of an advertiser."""

    advertiser_id: int
    profile_id: UUID
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
    SELECT m.profile_id, m.segment_id, m.version, m.starts_at, m.expires_at, m.value, m.last_added_at,
        m.decided_at, m.sweep_at
    FROM unnest(%s::uuid[], %s::bigint[], %s::int[]) AS k(profile_id, segment_id, version)
    JOIN segments_membership m USING (profile_id, segment_id, version)
"""
_WRITE = """
    INSERT INTO segments_membership AS m (advertiser_id, profile_id, segment_id, version, starts_at, expires_at,
        value, last_added_at, decided_at, sweep_at)
    SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::int[], %s::timestamptz[], %s::timestamptz[],
        %s::int[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    ON CONFLICT (profile_id, segment_id, version) DO UPDATE SET starts_at = excluded.starts_at,
        expires_at = excluded.expires_at, value = excluded.value, last_added_at = excluded.last_added_at,
        decided_at = excluded.decided_at, sweep_at = excluded.sweep_at
"""
_PUBLISH = """
    INSERT INTO segments_transition (advertiser_id, profile_id, segment_id, at, change, cause)
    SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[])
    ON CONFLICT DO NOTHING
"""
_COUNT = """
    INSERT INTO segments_segmentdelta (advertiser_id, segment_id, day, joins, leaves, loads, daily_uniques,
        monthly_uniques)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::date[], %s::int[], %s::int[], %s::int[], %s::int[],
        %s::int[])
"""


class Published(NamedTuple):
    """A step of a profile in a segment."""

    advertiser_id: int
    key: RowKey
    step: Step


def apply_changes(
    cursor: psycopg.Cursor[tuple[object, ...]], asked: Sequence[Asked], day_of: DayOf
) -> list[Decision]:
    """Apply changes in the order given; return the decision of each.

    Several changes of one membership are folded one after the other and written once.
    """
    if not asked:
        return []
    rows = _read(cursor, {_key(one) for one in asked})
    owners: dict[RowKey, int] = {}
    decisions, steps, tallies = [], [], _tallies()
    for one in asked:
        key = _key(one)
        old = rows.get(key)
        decision = decide(old, one.change)
        rows[key], owners[key] = decision.interval, one.advertiser_id
        steps += [Published(one.advertiser_id, key, step) for step in decision.steps]
        if decision.is_load:
            _count_load(tallies, one, old, day_of)
        decisions.append(decision)
    _write(cursor, rows, owners)
    publish(cursor, steps, day_of, tallies)
    return decisions


def publish(
    cursor: psycopg.Cursor[tuple[object, ...]],
    steps: Sequence[Published],
    day_of: DayOf,
    tallies: dict[tuple[int, int, date], Tally] | None = None,
) -> None:
    """Write joins and leaves as transitions, and with them the deltas of their days."""
    tallies = _tallies() if tallies is None else tallies
    for advertiser_id, key, step in steps:
        tally = tallies[advertiser_id, key.segment_id, day_of(advertiser_id, step.at)]
        tally.joins += step.change == "join"
        tally.leaves += step.change == "leave"
    if steps:
        cursor.execute(
            _PUBLISH,
            [
                plain(step.advertiser_id for step in steps),
                plain(step.key.profile_id for step in steps),
                plain(step.key.segment_id for step in steps),
                instants(step.step.at for step in steps),
                texts(step.step.change for step in steps),
                texts(step.step.cause for step in steps),
            ],
        )
    _write_tallies(cursor, tallies)


def _key(asked: Asked) -> RowKey:
    return RowKey(asked.profile_id, asked.change.segment_id, asked.change.version)


def _tallies() -> dict[tuple[int, int, date], Tally]:
    return defaultdict(Tally)


def _read(cursor: psycopg.Cursor[tuple[object, ...]], keys: set[RowKey]) -> dict[RowKey, Interval | None]:
    cursor.execute(_READ, [plain(key[column] for key in keys) for column in range(3)])
    return {RowKey(*row[:3]): Interval(*row[3:]) for row in cursor.fetchall()}  # type: ignore[arg-type]


def _count_load(
    tallies: dict[tuple[int, int, date], Tally], asked: Asked, old: Interval | None, day_of: DayOf
) -> None:
    day = day_of(asked.advertiser_id, asked.change.at)
    tally = tallies[asked.advertiser_id, asked.change.segment_id, day]
    tally.loads += 1
    before = old.last_added_at if old else None
    last = day_of(asked.advertiser_id, before) if before else None
    tally.daily_uniques += last != day
    tally.monthly_uniques += last is None or (last.year, last.month) != (day.year, day.month)


def _write(
    cursor: psycopg.Cursor[tuple[object, ...]],
    rows: dict[RowKey, Interval | None],
    owners: dict[RowKey, int],
) -> None:
    keys = sorted(owners)
    intervals = [row for key in keys if (row := rows[key]) is not None]
    cursor.execute(
        _WRITE,
        [
            plain(owners[key] for key in keys),
            *(plain(key[column] for key in keys) for column in range(3)),
            instants(row.starts_at for row in intervals),
            instants(row.expires_at for row in intervals),
            plain(row.value for row in intervals),
            instants(row.last_added_at for row in intervals),
            instants(row.decided_at for row in intervals),
            instants(row.sweep_at for row in intervals),
        ],
    )


def _write_tallies(cursor: psycopg.Cursor[tuple[object, ...]], tallies: dict[tuple[int, int, date], Tally]) -> None:
    if not tallies:
        return
    keys = sorted(tallies)
    counts = [astuple(tallies[key]) for key in keys]
    cursor.execute(
        _COUNT,
        [
            plain(key[0] for key in keys),
            plain(key[1] for key in keys),
            texts(key[2].isoformat() for key in keys),
            *(plain(column) for column in zip(*counts, strict=True)),
        ],
    )
