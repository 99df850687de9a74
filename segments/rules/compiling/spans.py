"""For how long an event counts: a window as SQL over the event's time (rules.md 1.3 and 2.8)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from segments.rules.compiling.clock import Clock
from segments.rules.compiling.scene import Uncompilable
from segments.rules.compiling.sql import AS_OF_SQL, Sql, day, duration, instant, sql
from segments.rules.windows import (
    BetweenAgo,
    BetweenDates,
    BetweenTimes,
    Calendar,
    Duration,
    Ever,
    LastPeriods,
    MoreThanAgo,
    OnDay,
    Window,
    Within,
)

# Why few events are enough. "newest": all have begun and end in the order of their times, so that the n newest tell
# until when there are n. "oldest": they begin in that order and never end. Else all that matter are read.
Enough = Literal["newest", "oldest", "all"]
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """The span `[low, high)` of an event, for events that meet all conditions in `only`; `high` None is no end.

    The conditions also leave out what does not count any more, so that it is not read: what was before `since`.
    """

    low: Sql
    high: Sql | None = None
    only: tuple[Sql, ...] = ()
    since: Sql | None = None
    enough: Enough = "newest"

    @property
    def range(self) -> Sql:
        """Return the span as a range, an empty one where the end would come before the start."""
        if self.high is None:
            return sql("tstzrange({low}, NULL)", low=self.low)
        return sql("tstzrange({low}, greatest({low}, {high}))", low=self.low, high=self.high)


def span_of(window: Window, x: Sql, clock: Clock) -> Span:
    """Return the span of what was at `x`."""
    try:
        span = _SPANS[type(window)]
    except KeyError:
        raise Uncompilable(f"Events cannot be asked about by a window of the kind {type(window).__name__}.") from None
    return span(window, x, clock)


def forgotten_after(span: Span, x: Sql, retention: timedelta | None) -> Span:
    """Return the span with its end cut at `x + R`: an event is forgotten when it is as old as the retention."""
    if retention is None:
        return span
    kept = duration(retention // MICROSECOND)
    end, begin = sql("({x} + {kept})", x=x, kept=kept), _ago(kept)
    return replace(
        span,
        high=end if span.high is None else sql("least({high}, {end})", high=span.high, end=end),
        only=(*span.only, sql("{x} > {begin}", x=x, begin=begin)),
        since=span.since or begin,
        enough="all" if span.enough == "oldest" else span.enough,
    )


def _ago(length: Sql) -> Sql:
    return sql("({as_of} - {length})", as_of=AS_OF_SQL, length=length)


def _later(x: Sql, length: Duration) -> Sql:
    return sql("({x} + {length})", x=x, length=duration(length.microseconds))


def _younger(x: Sql, length: Duration, low: Sql, enough: Enough) -> Span:
    """Return the span of an event that counts until a length of time has passed."""
    begin = _ago(duration(length.microseconds))
    return Span(low, _later(x, length), (sql("{x} > {begin}", x=x, begin=begin),), begin, enough)


def _from(x: Sql, begin: Sql, span: Span) -> Span:
    return replace(span, only=(*span.only, sql("{x} >= {begin}", x=x, begin=begin)), since=begin)


def _ever(window: Ever, x: Sql, clock: Clock) -> Span:
    return Span(x)


def _within(window: Within, x: Sql, clock: Clock) -> Span:
    return _younger(x, window.length, x, "newest")


def _between_ago(window: BetweenAgo, x: Sql, clock: Clock) -> Span:
    return _younger(x, window.farthest, _later(x, window.nearest), "all")


def _more_than_ago(window: MoreThanAgo, x: Sql, clock: Clock) -> Span:
    return Span(_later(x, window.length), enough="oldest")


def days_bounds(window: OnDay | BetweenDates, clock: Clock) -> tuple[Sql | None, Sql | None]:
    """Return from when to when the days last that a window is about."""
    first = window.first if isinstance(window, BetweenDates) else window.day
    last = window.last if isinstance(window, BetweenDates) else window.day
    test = "between" if isinstance(window, BetweenDates) else window.test
    begin, end = clock.start(day(first)), clock.start_after(day(last), 1)
    return {
        "between": (begin, end),
        "on": (begin, end),
        "before": (None, begin),
        "after": (end, None),
        "on_or_before": (None, end),
        "on_or_after": (begin, None),
    }[test]


def _fixed(x: Sql, begin: Sql | None, end: Sql | None) -> Span:
    span = Span(x, only=(sql("{x} < {end}", x=x, end=end),) if end else ())
    return _from(x, begin, span) if begin else span


def _days(window: OnDay | BetweenDates, x: Sql, clock: Clock) -> Span:
    return _fixed(x, *days_bounds(window, clock))


def _between_times(window: BetweenTimes, x: Sql, clock: Clock) -> Span:
    return _fixed(x, instant(window.start), instant(window.end))


def _calendar(window: Calendar, x: Sql, clock: Clock) -> Span:
    if window.shift > 0:
        raise Uncompilable("No event lies in the future.")
    local = clock.day(x)
    begin = clock.period_start(clock.day(AS_OF_SQL), window.period, window.shift)
    end = clock.period_start(local, window.period, 1 - window.shift)
    if window.shift == 0:
        return _from(x, begin, Span(x, end))
    return _from(x, begin, Span(clock.period_start(local, window.period, 1), end, enough="all"))


def _last_periods(window: LastPeriods, x: Sql, clock: Clock) -> Span:
    begin = clock.period_start(clock.day(AS_OF_SQL), window.period, 1 - window.count)
    return _from(x, begin, Span(x, clock.period_start(clock.day(x), window.period, window.count)))


_SPANS: dict[type[Any], Callable[[Any, Sql, Clock], Span]] = {
    Ever: _ever,
    Within: _within,
    BetweenAgo: _between_ago,
    MoreThanAgo: _more_than_ago,
    OnDay: _days,
    BetweenDates: _days,
    BetweenTimes: _between_times,
    Calendar: _calendar,
    LastPeriods: _last_periods,
}
