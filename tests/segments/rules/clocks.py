"""Local days and calendar periods, straight from rules.md 2.1."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

QUARTER_HOUR = timedelta(minutes=15)
DAY = timedelta(days=1)


@lru_cache(100_000)
def day_start(zone: str, day: date) -> datetime:
    """Return the earliest instant that bears a date; of a date that was skipped, that of the next."""
    clock = ZoneInfo(zone)
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=27)
    while instant.astimezone(clock).date() < day:
        instant += QUARTER_HOUR
    return instant


def day_of(zone: str, instant: datetime) -> date:
    """Return the local day in which an instant lies: from its start to the start of the next."""
    day = instant.astimezone(ZoneInfo(zone)).date() + DAY
    while day_start(zone, day) > instant:
        day -= DAY
    return day


def period_start(period: str, day: date, *, is_sunday_first: bool = False) -> date:
    """Return the first day of the period in which a day lies."""
    if period == "week":
        return day - DAY * ((day.weekday() + is_sunday_first) % 7)
    if period == "month":
        return day.replace(day=1)
    if period == "quarter":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day.replace(month=1, day=1) if period == "year" else day


def next_period(period: str, start: date, count: int = 1) -> date:
    """Return the first day of the period `count` after the one that begins at `start`; negative is before."""
    if period in ("day", "week"):
        return start + DAY * count * (7 if period == "week" else 1)
    months = start.year * 12 + start.month - 1 + count * {"month": 1, "quarter": 3, "year": 12}[period]
    return date(months // 12, months % 12 + 1, 1)


def clock_minutes(zone: str, instant: datetime) -> tuple[date, int]:
    """Return what a clock on the wall shows: its date, and the minutes since its midnight."""
    local = instant.astimezone(ZoneInfo(zone))
    return local.date(), local.hour * 60 + local.minute


@lru_cache(10_000)
def clock_changes(zone: str, day: date) -> tuple[datetime, ...]:
    """Return the instants of a UTC day at which the clock jumps."""
    clock = ZoneInfo(zone)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    steps = [start + QUARTER_HOUR * step for step in range(96)]
    return tuple(
        step
        for step in steps
        if step.astimezone(clock).utcoffset() != (step - QUARTER_HOUR).astimezone(clock).utcoffset()
    )
