"""When an export is due: wall-clock times of a zone as instants, through the nights when clocks change.

An hour that does not exist counts at the first instant after the gap, once; an hour that exists twice counts the
first time only. What runs every hour goes by elapsed time: 23 times on the short day, 25 times on the long one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError

BY_HAND, ONCE, HOURLY, NIGHTLY, WEEKLY, CRON = "by_hand", "once", "hourly", "nightly", "weekly", "cron"
CHOICES = (
    (BY_HAND, "Only when somebody presses Run now"),
    (ONCE, "Once, at a time"),
    (HOURLY, "Every hour, at a minute"),
    (NIGHTLY, "Every day, at a time"),
    (WEEKLY, "Every week, on a day at a time"),
    (CRON, "As five cron fields say"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEKDAY_CHOICES = tuple(enumerate(WEEKDAYS))
SHORTEST_STEP_MINUTES = 15
# 29 February on a given weekday may be 40 years away; further than this nobody plans.
HORIZON_DAYS = 366 * 9

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAMES = {name: number for number, name in enumerate(_DAYS)} | {
    name: number for number, name in enumerate(_MONTHS, start=1)
}
_CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_CRON_PART = re.compile(r"(\*|[0-9a-z]+(?:-[0-9a-z]+)?)(?:/(\d{1,2}))?")


@dataclass(frozen=True)
class Schedule:
    """What the marketer chose; only the fields that belong to `kind` count. `weekday` 0 is Monday."""

    kind: str
    zone: str = "UTC"
    once_at: datetime | None = None
    at_time: time = time(4, 0)
    minute: int = 0
    weekday: int = 0
    cron: str = ""


@dataclass(frozen=True)
class _Pattern:
    """The times that count: `hours` None is every hour, by elapsed time. Weekdays: 0 is Sunday, as in cron."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...] | None = None
    days: frozenset[int] | None = None
    months: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None

    def has(self, day: date) -> bool:
        if self.months is not None and day.month not in self.months:
            return False
        in_days = self.days is None or day.day in self.days
        in_weekdays = self.weekdays is None or day.isoweekday() % 7 in self.weekdays
        if self.days is not None and self.weekdays is not None:
            return in_days or in_weekdays  # cron: where both are given, either will do
        return in_days and in_weekdays


def next_due(schedule: Schedule, after: datetime) -> datetime | None:
    """Return the first due time later than `after`, in UTC; None where there is none."""
    return next(upcoming(schedule, after), None)


def next_times(schedule: Schedule, after: datetime, count: int = 5) -> list[datetime]:
    """Return the next due times, for people to look at."""
    return list(islice(upcoming(schedule, after), count))


def upcoming(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Yield the due times later than `after`, in UTC, in order."""
    if schedule.kind == ONCE:
        if schedule.once_at is not None and schedule.once_at > after:
            yield schedule.once_at.astimezone(UTC)
        return
    pattern = _pattern(schedule)
    if pattern is None:
        return
    zone = ZoneInfo(schedule.zone)
    # Yesterday too: a time of a day that has no such hour falls on the next day where midnight is skipped.
    first = after.astimezone(zone).date() - timedelta(days=1)
    latest = after
    for offset in range(HORIZON_DAYS):
        day = first + timedelta(days=offset)
        if not pattern.has(day):
            continue
        for due in _times_of(day, pattern, zone):
            if due > latest:
                latest = due
                yield due


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which a zone's clock shows `wall` the first time, or the first one after a gap."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    return _end_of_gap(wall, zone)


def check_zone(name: str) -> None:
    """Refuse a name that is no time zone."""
    if name not in available_timezones():
        raise ValidationError(f"“{name}” is no time zone. Write one such as Europe/Berlin.")


def check_cron(text: str) -> None:
    """Refuse cron fields that cannot be read or come more often than every 15 minutes."""
    pattern = _cron_pattern(text)
    gaps = [later - earlier for earlier, later in zip(pattern.minutes, pattern.minutes[1:], strict=False)]
    if len(pattern.minutes) > 1:
        gaps.append(60 - pattern.minutes[-1] + pattern.minutes[0])
    if gaps and min(gaps) < SHORTEST_STEP_MINUTES:
        raise ValidationError("An export runs at most every 15 minutes, for example */15 * * * *.")


def _pattern(schedule: Schedule) -> _Pattern | None:
    at = schedule.at_time
    match schedule.kind:
        case "hourly":
            return _Pattern((schedule.minute,))
        case "nightly":
            return _Pattern((at.minute,), (at.hour,))
        case "weekly":
            return _Pattern((at.minute,), (at.hour,), weekdays=frozenset({(schedule.weekday + 1) % 7}))
        case "cron":
            return _cron_pattern(schedule.cron)
    return None


def _times_of(day: date, pattern: _Pattern, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the times of one local day in order; two may be equal in a gap."""
    if pattern.hours is not None:
        walls = (datetime.combine(day, time(hour, minute)) for hour in pattern.hours for minute in pattern.minutes)
        yield from (instant_of(wall, zone) for wall in walls)
        return
    minute = instant_of(datetime.combine(day, time()), zone)
    end = instant_of(datetime.combine(day + timedelta(days=1), time()), zone)
    while minute < end:
        if minute.astimezone(zone).minute in pattern.minutes:
            yield minute
        minute += timedelta(minutes=1)


def _end_of_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the clock jumps over `wall`, to the second."""
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    old_offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _cron_pattern(text: str) -> _Pattern:
    fields = text.lower().split()
    if len(fields) != len(_CRON_FIELDS):
        raise ValidationError("Write five fields: minute, hour, day, month and weekday, for example 30 4 * * 1-5.")
    minutes, hours, days, months, weekdays = (
        _cron_field(field, *bounds) for field, bounds in zip(fields, _CRON_FIELDS, strict=True)
    )
    return _Pattern(
        minutes=tuple(sorted(minutes)),
        hours=None if fields[1] == "*" else tuple(sorted(hours)),
        days=None if fields[2] == "*" else frozenset(days),
        months=None if fields[3] == "*" else frozenset(months),
        weekdays=None if fields[4] == "*" else frozenset(day % 7 for day in weekdays),
    )


def _cron_field(field: str, name: str, low: int, high: int) -> set[int]:
    numbers: set[int] = set()
    for part in field.split(","):
        match = _CRON_PART.fullmatch(part)
        if match is None:
            raise ValidationError(f"“{field}” is no {name} of a cron line.")
        first, last = _cron_range(match[1], name, low, high)
        if match[2] and "-" not in match[1]:
            last = high  # "5/15" is from 5 on, every 15
        numbers.update(range(first, last + 1, _cron_step(match[2], name)))
    return numbers


def _cron_range(text: str, name: str, low: int, high: int) -> tuple[int, int]:
    if text == "*":
        return low, high
    ends = [_NAMES.get(end, int(end) if end.isdigit() else -1) for end in text.split("-")]
    if not all(low <= end <= high for end in ends) or ends[0] > ends[-1]:
        raise ValidationError(f"“{text}” is no {name}: it goes from {low} to {high}.")
    return ends[0], ends[-1]


def _cron_step(text: str | None, name: str) -> int:
    step = int(text) if text else 1
    if step < 1:
        raise ValidationError(f"The step of a cron line's {name} is at least 1.")
    return step
