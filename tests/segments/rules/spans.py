"""Windows, instant by instant: does the span of `x` cover `t`? (rules.md 1.3, 2.1 and 2.2)"""

import calendar
from datetime import date, datetime, timedelta
from typing import NamedTuple

from segments.rules import windows
from segments.rules.windows import Duration, Window
from tests.segments.rules.clocks import day_of, day_start, next_period, period_start


class Clock(NamedTuple):
    """Whose days these are."""

    zone: str
    is_sunday_first: bool = False

    def day(self, instant: datetime) -> date:
        return day_of(self.zone, instant)

    def start(self, day: date) -> datetime:
        return day_start(self.zone, day)

    def period(self, period: str, day: date, count: int = 0) -> datetime:
        """Return when the period `count` after that of a day begins."""
        first = period_start(period, day, is_sunday_first=self.is_sunday_first)
        return self.start(next_period(period, first, count))


def covers(window: Window, x: datetime, t: datetime, clock: Clock, visit_end: datetime | None = None) -> bool:
    """Say whether the span of an event at `x` covers `t`; `visit_end` is the end of its visit, if it has one."""
    if t < x and not isinstance(window, windows.WithinNext | windows.MoreThanAhead | windows.BetweenAhead):
        return False
    match window:
        case windows.Ever():
            return True
        case windows.ThisVisit():
            return visit_end is not None and t < visit_end
        case _:
            return covers_instant(window, x, t, clock, is_whole_period=False)


def covers_instant(window: Window, x: datetime, t: datetime, clock: Clock, *, is_whole_period: bool) -> bool:
    """Say the same of a date value: its present period counts as a whole."""
    match window:
        case windows.Within(length):
            return x <= t < x + _delta(length)
        case windows.BetweenAgo(nearest, farthest):
            return x + _delta(nearest) <= t < x + _delta(farthest)
        case windows.MoreThanAgo(length):
            return x + _delta(length) <= t
        case windows.WithinNext(length):
            return x - _delta(length) <= t < x
        case windows.MoreThanAhead(length):
            return t < x - _delta(length)
        case windows.BetweenAhead(nearest, farthest):
            return x - _delta(farthest) <= t < x - _delta(nearest)
        case windows.BetweenTimes(start, end):
            return start <= x < end
        case windows.Calendar(shift, period):
            day = clock.day(x)
            start = x if shift == 0 and not is_whole_period else clock.period(period, day, -shift)
            return start <= t < clock.period(period, day, 1 - shift)
        case windows.LastPeriods(count, period):
            return x <= t < clock.period(period, clock.day(x), count)
        case _:
            return covers_day(window, clock.day(x), t, clock)


def covers_day(window: Window, day: date, t: datetime, clock: Clock) -> bool:
    """Say the same of a value that is a day: whole days are compared, hours do not pass."""
    today = clock.day(t)
    ahead = (day - today).days
    match window:
        case windows.Within(length):
            return _is_days(length) and 0 <= -ahead <= length.days
        case windows.MoreThanAgo(length):
            return _is_days(length) and -ahead > length.days
        case windows.BetweenAgo(nearest, farthest):
            return _is_days(nearest, farthest) and nearest.days <= -ahead <= farthest.days
        case windows.WithinNext(length):
            return _is_days(length) and 0 <= ahead <= length.days
        case windows.MoreThanAhead(length):
            return _is_days(length) and ahead > length.days
        case windows.BetweenAhead(nearest, farthest):
            return _is_days(nearest, farthest) and nearest.days <= ahead <= farthest.days
        case windows.OnDay(test, fixed):
            return {
                "on": day == fixed,
                "before": day < fixed,
                "after": day > fixed,
                "on_or_before": day <= fixed,
                "on_or_after": day >= fixed,
            }[test]
        case windows.BetweenDates(first, last):
            return first <= day <= last
        case windows.Calendar(shift, period):
            return clock.period(period, day, -shift) <= t < clock.period(period, day, 1 - shift)
        case windows.LastPeriods(count, period):
            return clock.start(day) <= t < clock.period(period, day, count)
        case windows.Anniversary(test, length):
            return _is_near_return(test, length, day, today)
        case _:
            return False  # an instant is asked of a day


def _is_near_return(test: str, length: Duration | None, day: date, today: date) -> bool:
    for year in (today.year - 1, today.year, today.year + 1):
        returns = returns_in(day, year)
        ahead = (returns - today).days
        days = length.days if length else 0
        is_near = {"today": ahead == 0, "within_next": 0 <= ahead <= days, "within": 0 <= -ahead <= days}[test]
        if is_near and returns >= day:
            return True
    return False


def returns_in(day: date, year: int) -> date:
    """Return the day of another year; 29 February returns on the 28th."""
    is_leap_day = (day.month, day.day) == (2, 29) and not calendar.isleap(year)
    return date(year, 2, 28) if is_leap_day else day.replace(year=year)


def _is_days(*lengths: Duration) -> bool:
    return all(length.unit in ("d", "w") for length in lengths)


def _delta(length: Duration) -> timedelta:
    return timedelta(microseconds=length.microseconds)
