"""What becomes of memberships when two profiles become one.

It is as if one person had been in all the time: per segment the earliest start, the latest end, the value as a re-add
makes it. Of two facts the later one decides (pixels.md 2.1): where that was a remove, it ends what the other profile
still had. Whoever was in twice is in once from now on, and the leave of the other one is published.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from audience.columns import bigints, instants, texts, uuids
from audience.days import LocalDays
from audience.instants import Instant
from audience.merging import Pair
from audience.talk import Rows, Statement, Talk, reads, writes
from segments.changes import DayOf, Outcome, Published, RowKey, Tally, count_steps, write
from segments.evaluation import keep_from_switching
from segments.membership import Interval, Step
from segments.models import LARGEST_VALUE, Cause, Segment

# One range of the key per profile: `tests/segments/test_plans.py`. Locked against renewals (`segments.renewals`).
_READ = reads(
    """
    SELECT m.profile_id, m.segment_id, m.version, m.starts_at, m.expires_at, m.value, m.last_added_at, m.decided_at,
        m.sweep_at, s.re_add, s.active_version
    FROM unnest(%s::uuid[]) AS k(profile_id) JOIN segments_membership m USING (profile_id)
    JOIN segments_segment s ON s.id = m.segment_id
    ORDER BY m.profile_id, m.segment_id, m.version FOR NO KEY UPDATE OF m
    """
)
_ZONES = reads("SELECT id, time_zone FROM audience_advertiser WHERE id = ANY(%s::bigint[])")
_DROP = writes("DELETE FROM segments_membership WHERE profile_id = ANY(%s::uuid[])")
_READ_TRANSITIONS = reads(
    """
    SELECT profile_id, segment_id, change, at FROM segments_transition
    WHERE profile_id = ANY(%s::uuid[]) ORDER BY at
    """
)
# Who has read them does not read them again: they keep their places in the order of `segments.positions`.
_MOVE_TRANSITIONS = writes(
    """
    UPDATE segments_transition t SET profile_id = k.into_id, at = k.new_at
    FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::timestamptz[], %s::uuid[], %s::timestamptz[])
        AS k(gone, segment_id, change, at, into_id, new_at)
    WHERE t.profile_id = k.gone AND t.segment_id = k.segment_id AND t.at = k.at AND t.change = k.change
    """
)


def merge_memberships(pairs: Sequence[Pair], at: Instant) -> Talk[None]:
    """Move the memberships and transitions of profiles to those that they are merged into."""
    owners = {pair.into: pair.advertiser_id for pair in pairs}
    profiles = uuids(sorted({profile for pair in pairs for profile in (pair.gone, pair.into)}))
    advertisers = sorted({*owners.values()})
    zones_of = _ZONES(bigints(advertisers))
    rows, zones, told = yield [
        keep_from_switching(advertisers),
        _READ(profiles),
        zones_of,
        _READ_TRANSITIONS(profiles),
    ]
    day_of = LocalDays({advertiser: ZoneInfo(zone) for advertiser, zone in zones})
    whither = {pair.gone: pair.into for pair in pairs}
    outcome = _fold(rows, whither, owners, at, day_of)
    statements: list[Statement] = [_DROP(uuids(sorted(whither)))]
    if moved := _moved(told, whither):
        gone, segments, changes, times, into, new_times = zip(*moved, strict=True)
        columns = uuids(gone), bigints(segments), texts(changes), instants(times), uuids(into), instants(new_times)
        statements.append(_MOVE_TRANSITIONS(*columns))
    yield [*statements, *write(outcome)]


def _moved(told: Rows, whither: Mapping[bytes, bytes]) -> list[tuple[Any, ...]]:
    """Return the transitions that go over, the oldest first: the key of each, whose it is from now on, and when.

    Of several at one instant, as an edit makes them, each later one moves on by a microsecond: they stay as many.
    """
    taken = {tuple(key) for key in told if key[0] not in whither}
    moved = []
    for profile, segment, change, at in told:
        if (into := whither.get(profile)) is None:
            continue
        new_at = at
        while (into, segment, change, new_at) in taken:
            new_at += 1
        taken.add((into, segment, change, new_at))
        moved.append((profile, segment, change, at, into, new_at))
    return moved


def _fold(
    rows: Rows, whither: Mapping[bytes, bytes], owners: Mapping[bytes, int], at: Instant, day_of: DayOf
) -> Outcome:
    """Return what the rows of several profiles come to; rows in which nothing goes stay as they are."""
    found: dict[RowKey, list[Interval]] = defaultdict(list)
    has_gone: set[RowKey] = set()
    re_adds: dict[RowKey, str] = {}
    active: set[RowKey] = set()
    for profile, segment, version, *state, re_add, active_version in rows:
        key = whither.get(profile, profile), segment, version
        found[key].append(_begun(Interval._make(state), at))
        re_adds[key] = re_add
        if profile in whither:
            has_gone.add(key)
        if version == active_version:
            active.add(key)
    outcome = Outcome([], {}, {}, [], defaultdict(Tally))
    for key in sorted(has_gone):
        merged, steps = unite(found[key], re_adds[key], at)
        outcome.rows[key], outcome.owners[key] = merged, owners[key[0]]
        if key in active:
            outcome.steps.extend(Published(owners[key[0]], key, step) for step in steps)
    count_steps(outcome.tallies, outcome.steps, day_of)
    return outcome


def _begun(row: Interval, at: Instant) -> Interval:
    """Return a row, or a marker where somebody is to join later, by time. The rule is asked anew after the merge."""
    if row.sweep_at is not None and row.sweep_at <= row.starts_at:
        return row._replace(starts_at=at, expires_at=at, sweep_at=None)
    return row


def unite(intervals: Iterable[Interval], re_add: str, at: Instant) -> tuple[Interval, tuple[Step, ...]]:
    """Return the one interval of several profiles that become one at an instant, and the steps to publish."""
    # At one instant a remove wins.
    rows = sorted(intervals, key=lambda row: (row.decided_at, row.expires_at <= row.decided_at, row.value or 0))
    merged = rows[0]
    for row in rows[1:]:
        merged = _unite(merged, row, re_add)
    # Who is over and not yet published leaves by time, as the sweeper would have it.
    overdue = [row for row in rows if row.sweep_at is not None and row.expires_at <= at]
    sweeps = [row.sweep_at for row in rows if row.sweep_at is not None and row.expires_at > at]
    is_in = merged.expires_at > at and bool(sweeps)
    # Before what a fact of the same instant makes of the one who stays.
    steps = [Step("leave", min(row.expires_at, at - 1), Cause.TIME) for row in overdue]
    steps += [Step("leave", at - 1, Cause.MERGE)] * (len(sweeps) - is_in)
    return merged._replace(sweep_at=min(*sweeps, merged.expires_at) if is_in else None), _apart(steps)


def _apart(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Let leaves at one instant be a microsecond apart: two at the same are one row of the database."""
    apart: dict[Instant, Step] = {}
    for step in steps:
        at = step.at
        while at in apart:
            at -= 1
        apart[at] = step._replace(at=at)
    return tuple(apart.values())


def _unite(earlier: Interval, later: Interval, re_add: str) -> Interval:
    """Unite two rows, of which the second was decided later."""
    end = max(earlier.expires_at, later.expires_at)
    if later.expires_at <= later.decided_at:  # decided by a remove
        end = min(end, later.decided_at)
    first, last = sorted(
        (row._replace(expires_at=min(row.expires_at, end)) for row in (earlier, later)),
        key=lambda row: (row.expires_at, row.starts_at < row.expires_at),
    )
    is_one = first.starts_at < first.expires_at and last.starts_at <= first.expires_at
    added = [row.last_added_at for row in (earlier, later) if row.last_added_at is not None]
    return Interval(
        starts_at=min(first.starts_at, last.starts_at) if is_one else last.starts_at,
        expires_at=end,
        value=_value(earlier, later, re_add) if is_one else last.value,
        last_added_at=max(added, default=None),
        decided_at=later.decided_at,
        sweep_at=None,
    )


def _value(earlier: Interval, later: Interval, re_add: str) -> int | None:
    """Return the value of two memberships that are one, as a re-add makes it (pixels.md 2.3)."""
    if earlier.value is None or later.value is None:
        return earlier.value if later.value is None else later.value
    if re_add == Segment.ReAdd.HIGHEST:
        return max(earlier.value, later.value)
    if re_add == Segment.ReAdd.SUM:
        return min(earlier.value + later.value, LARGEST_VALUE)
    return later.value
