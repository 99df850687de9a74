"""The timeline of a rule by the slow reference: it is asked wherever anything may change, and between.

The instants are found without thought: every time in the facts, moved by every length in the rule, and every day on
which something begins or ends. Where the answer at such an instant differs from that half-way to the next, one was
forgotten, and the reference says so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations_with_replacement, pairwise
from typing import Any

from segments.rules import tree, windows
from segments.rules.windows import Duration
from tests.segments.rules.clocks import (
    DAY,
    clock_changes,
    clock_minutes,
    day_of,
    day_start,
    next_period,
    period_start,
)
from tests.segments.rules.facts import Company, Person, World
from tests.segments.rules.reference import WEATHER_IS_VALID, Asked, holds
from tests.segments.rules.spans import returns_in
from tests.segments.rules.valuing import date_of

Range = tuple[datetime, datetime | None]
TIME_HORIZON, ANNIVERSARY_HORIZON = timedelta(days=32), timedelta(days=400)


def timeline_of(
    rule: tree.Rule, subject: Person | Company, world: World, as_of: datetime, segment: str = ""
) -> list[Range]:
    """Return the ranges, from `as_of` on, in which a rule holds if nothing else happens; None is without end."""
    end = horizon_of(rule, world, as_of)
    asked = Asked(subject, as_of, as_of, world, rule, timeline_of, segment)

    def is_in(t: datetime) -> bool:
        return holds(rule.root, replace(asked, t=t))

    flips = sorted(
        {as_of} | {at for at in instants(rule, subject, world, as_of) if at > as_of and (not end or at < end)}
    )
    ranges: list[Range] = []
    for start, stop in pairwise([*flips, end]):
        answer = is_in(start)
        half_way = start + ((stop - start) / 2 if stop else timedelta(days=40_000))
        assert is_in(half_way) == answer, f"something changes between {start} and {stop}"
        if answer and ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], stop)
        elif answer:
            ranges.append((start, stop))
    return ranges


def horizon_of(rule: tree.Rule, world: World, as_of: datetime) -> datetime | None:
    """Return up to when the timeline is written out: 32 days for times of day, 400 for anniversaries."""
    parts = list(_parts(rule, world))
    ends = [as_of + TIME_HORIZON] if any(isinstance(part, tree.TimeCondition) for part in parts) else []
    if any(isinstance(part, windows.Anniversary) for part in parts):
        ends.append(as_of + ANNIVERSARY_HORIZON)
    return min(ends, default=None)


def instants(rule: tree.Rule, subject: Any, world: World, as_of: datetime) -> set[datetime]:
    """Return every instant at which the answer may change."""
    parts = list(_parts(rule, world))
    found = [at for at in (_instant(value) for value in _scalars((subject, as_of))) if at is not None]
    days = [day for day in (_day(value) for value in _scalars(subject)) if day is not None]
    zones = _zones(rule, parts, subject, world)
    bases = set(found) | {day_start(zone, day) for zone in zones for day in days}
    moved = {at + move for at in bases for move in _moves(parts, world)}
    for zone in zones:
        local = {day_of(zone, at) for at in bases} | set(days)
        moved |= {day_start(zone, day) for day in _days(local, parts, as_of, is_sunday_first=world.is_sunday_first)}
        moved |= set(_times(zone, parts, as_of))
    return moved


def _parts(rule: Any, world: World) -> Iterator[Any]:
    """Yield every part of a rule, and of the rules of the segments that it names."""
    yield rule
    if isinstance(rule, tree.SegmentCondition):
        for key in rule.segments:
            if key in world.rules:
                yield from _parts(world.rules[key], world)
    if is_dataclass(rule):
        for part in fields(rule):
            yield from _parts(getattr(rule, part.name), world)
    elif isinstance(rule, tuple):
        for part in rule:
            yield from _parts(part, world)


def _scalars(value: Any) -> Iterator[Any]:
    if is_dataclass(value):
        for part in fields(value):
            yield from _scalars(getattr(value, part.name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _scalars(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _scalars(part)
    else:
        yield value


def _instant(value: Any) -> datetime | None:
    said = value if isinstance(value, datetime) else date_of(value)
    return said.astimezone(UTC) if isinstance(said, datetime) else None


def _day(value: Any) -> date | None:
    said = date_of(value)
    return said if said is not None and not isinstance(said, datetime) else None


def _zones(rule: tree.Rule, parts: list[Any], subject: Any, world: World) -> set[str]:
    """Return the zones of all clocks that may matter."""
    named = {part.zone for part in parts if isinstance(getattr(part, "zone", None), str)}
    said = {value for value in _scalars(subject) if isinstance(value, str) and "/" in value and len(value) < 40}
    zones = named - {"advertiser", "visitor"} | {world.zone}
    return zones | said if "visitor" in named else zones


def _moves(parts: list[Any], world: World) -> set[timedelta]:
    lengths = {timedelta(microseconds=part.microseconds) for part in parts if isinstance(part, Duration)}
    lengths |= {timedelta(0), world.visit_gap, WEATHER_IS_VALID}
    lengths |= {world.retention} if world.retention else set()
    sums = {one + other for one, other in combinations_with_replacement(lengths, 2)}
    return sums | {-length for length in lengths}


def _days(local: set[date], parts: list[Any], as_of: datetime, *, is_sunday_first: bool) -> Iterator[date]:
    """Yield the days at whose start a calendar word, a day-only value or an anniversary may change."""
    yield from (day + DAY * away for day in local for away in (0, 1))
    lengths = {part.days for part in parts if isinstance(part, Duration)}
    for length in lengths:
        yield from (day + DAY * (length * sign + more) for day in local for sign in (1, -1) for more in (0, 1))
    for part in parts:
        if isinstance(part, windows.Calendar | windows.LastPeriods):
            for day in local:
                start = period_start(part.period, day, is_sunday_first=is_sunday_first)
                last = part.count if isinstance(part, windows.LastPeriods) else 2
                yield from (next_period(part.period, start, count) for count in range(-1, last + 1))
        if isinstance(part, windows.Anniversary):
            away = part.length.days if part.length else 0
            for returns in (returns_in(day, as_of.year + years) for day in local for years in (-1, 0, 1, 2, 3)):
                yield from (returns + DAY * (away * sign + more) for sign in (1, 0, -1) for more in (0, 1))


def _times(zone: str, parts: list[Any], as_of: datetime) -> Iterator[datetime]:
    """Yield when the clock shows the ends of times of day, and when it jumps."""
    ends = {minutes for part in parts if isinstance(part, tree.TimeCondition) for minutes in (part.start, part.end)}
    if not ends:
        return
    day = as_of.date() - DAY
    while day < (as_of + TIME_HORIZON).date() + DAY:
        yield from clock_changes(zone, day)
        for minutes in ends | {0}:
            start = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minutes % 1440)
            # Of all whole quarter-hours by which clocks differ from UTC, those at which this one shows the time.
            around = (start + timedelta(minutes=15 * step) for step in range(-60, 61))
            yield from (at for at in around if clock_minutes(zone, at)[1] == minutes % 1440)
        day += DAY
