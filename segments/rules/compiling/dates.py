"""When a date of a profile, an event or a record passes a window: a timeline (rules.md 1.3, 2.2).

A value is an instant, or a day without a time, as it says itself. An instant moves by lengths of time, a day by whole
local days: both are asked for, and the one that the value is decides.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from segments.rules.compiling.clock import Clock
from segments.rules.compiling.scene import Uncompilable
from segments.rules.compiling.spans import days_bounds
from segments.rules.compiling.sql import ALWAYS, AS_OF_SQL, NEVER, Sql, duration, instant, sql
from segments.rules.windows import (
    Anniversary,
    BetweenAgo,
    BetweenAhead,
    BetweenDates,
    BetweenTimes,
    Calendar,
    Duration,
    LastPeriods,
    MoreThanAgo,
    MoreThanAhead,
    OnDay,
    Window,
    Within,
    WithinNext,
)

ANNIVERSARY_HORIZON_DAYS = 400
# After it nothing changes any more: Python, and so whoever reads a timeline, knows no year of five digits.
LAST_CHANGE = Sql("'9999-12-31 00:00+00'::timestamptz")
_X, _DAY = Sql("d.instant"), Sql("d.day")


class Asked(NamedTuple):
    """The timelines of an instant `d.instant` and of a day `d.day`. None: such a value is not asked about so."""

    of_instant: Sql | None
    of_day: Sql | None


def date_timeline(value: Sql, window: Window, clock: Clock, *, days_only: bool) -> Sql:
    """Return when a text that is a date passes the window; never where it is none."""
    asked = asked_of(window, clock)
    return sql(
        """(SELECT t.t * tstzmultirange(tstzrange(NULL, {last})) + CASE WHEN t.t @> {last}
            THEN tstzmultirange(tstzrange({last}, NULL)) ELSE {never} END
        FROM (
            SELECT CASE WHEN d.day IS NOT NULL THEN {of_day} WHEN d.instant IS NOT NULL THEN {of_instant}
                ELSE {never} END AS t
            FROM (SELECT segments_day({value}) AS day, {instant} AS instant) d
        ) t)""",
        last=LAST_CHANGE,
        of_day=asked.of_day or NEVER,
        of_instant=asked.of_instant or NEVER,
        never=NEVER,
        value=value,
        instant=Sql("NULL::timestamptz") if days_only else sql("segments_instant({value})", value=value),
    )


def asked_of(window: Window, clock: Clock) -> Asked:
    try:
        row = _WINDOWS[type(window)]
    except KeyError:
        raise Uncompilable(f"Dates cannot be asked about by a window of the kind {type(window).__name__}.") from None
    return row(window, clock)


def _range(low: Sql | None, high: Sql | None) -> Sql:
    nothing = Sql("NULL::timestamptz")
    return sql("tstzmultirange(tstzrange({low}, {high}))", low=low or nothing, high=high or nothing)


def _after(length: Duration) -> Sql:
    return sql("({x} + {length})", x=_X, length=duration(length.microseconds))


def _before(length: Duration) -> Sql:
    return sql("({x} - {length})", x=_X, length=duration(length.microseconds))


def _whole(of_day: Sql, *lengths: Duration) -> Sql | None:
    """Return what is said of days, where the lengths are whole days: hours and minutes are not asked of a day."""
    return of_day if all(length.unit in ("d", "w") for length in lengths) else None


def _days(clock: Clock, low: int | None, high: int | None) -> Sql:
    """Return from the start of one local day to that of another, each so many days after the value."""
    return _range(
        None if low is None else clock.start_after(_DAY, low),
        None if high is None else clock.start_after(_DAY, high),
    )


def _within(window: Within, clock: Clock) -> Asked:
    return Asked(_range(_X, _after(window.length)), _whole(_days(clock, 0, window.length.days + 1), window.length))


def _between_ago(window: BetweenAgo, clock: Clock) -> Asked:
    of_instant = _range(_after(window.nearest), _after(window.farthest))
    of_day = _days(clock, window.nearest.days, window.farthest.days + 1)
    return Asked(of_instant, _whole(of_day, window.nearest, window.farthest))


def _more_than_ago(window: MoreThanAgo, clock: Clock) -> Asked:
    return Asked(
        _range(_after(window.length), None), _whole(_days(clock, window.length.days + 1, None), window.length)
    )


def _within_next(window: WithinNext, clock: Clock) -> Asked:
    return Asked(_range(_before(window.length), _X), _whole(_days(clock, -window.length.days, 1), window.length))


def _between_ahead(window: BetweenAhead, clock: Clock) -> Asked:
    of_instant = _range(_before(window.farthest), _before(window.nearest))
    of_day = _days(clock, -window.farthest.days, 1 - window.nearest.days)
    return Asked(of_instant, _whole(of_day, window.nearest, window.farthest))


def _more_than_ahead(window: MoreThanAhead, clock: Clock) -> Asked:
    return Asked(_range(None, _before(window.length)), _whole(_days(clock, None, -window.length.days), window.length))


def _if(*claims: Sql | None) -> Sql:
    said = [claim for claim in claims if claim is not None]
    test = sql("{one} AND {other}", one=said[0], other=said[1]) if len(said) == 2 else said[0]
    return sql("CASE WHEN {test} THEN {always} ELSE {never} END", test=test, always=ALWAYS, never=NEVER)


def _fixed_days(window: OnDay | BetweenDates, clock: Clock) -> Asked:
    begin, end = days_bounds(window, clock)

    def lies(start: Sql) -> Sql:
        return _if(
            sql("{x} >= {begin}", x=start, begin=begin) if begin else None,
            sql("{x} < {end}", x=start, end=end) if end else None,
        )

    return Asked(lies(_X), lies(clock.start(_DAY)))


def _between_times(window: BetweenTimes, clock: Clock) -> Asked:
    begin = sql("{x} >= {begin}", x=_X, begin=instant(window.start))
    return Asked(_if(begin, sql("{x} < {end}", x=_X, end=instant(window.end))), None)


def _calendar(window: Calendar, clock: Clock) -> Asked:
    def whole(day: Sql) -> Sql:
        begin = clock.period_start(day, window.period, -window.shift)
        return _range(begin, clock.period_start(day, window.period, 1 - window.shift))

    return Asked(whole(clock.day(_X)), whole(_DAY))


def _last_periods(window: LastPeriods, clock: Clock) -> Asked:
    end_of_instant = clock.period_start(clock.day(_X), window.period, window.count)
    end_of_day = clock.period_start(_DAY, window.period, window.count)
    return Asked(_range(_X, end_of_instant), _range(clock.start(_DAY), end_of_day))


def _anniversary(window: Anniversary, clock: Clock) -> Asked:
    days = window.length.days if window.length else 0
    low = -days if window.test == "within_next" else 0
    high = 1 + (days if window.test == "within" else 0)

    def returns(day: Sql) -> Sql:
        # A day plus years is one of the same month: 29 February returns on the 28th.
        return sql(
            """(SELECT coalesce(range_agg(tstzrange({low}, {high})), {never}) FROM (
                SELECT ({day} + years * interval '1 year')::date AS day
                FROM (SELECT (extract(year FROM {today}) - extract(year FROM {day}))::int AS now) n,
                    generate_series(n.now - 2, n.now + 3) AS years
                WHERE years >= 0
            ) r)""",
            low=clock.start_after(Sql("r.day"), low),
            high=clock.start_after(Sql("r.day"), high),
            never=NEVER,
            day=day,
            today=clock.day(AS_OF_SQL),
        )

    return Asked(returns(clock.day(_X)), returns(_DAY))


_WINDOWS: dict[type[Any], Callable[[Any, Clock], Asked]] = {
    Within: _within,
    BetweenAgo: _between_ago,
    MoreThanAgo: _more_than_ago,
    WithinNext: _within_next,
    BetweenAhead: _between_ahead,
    MoreThanAhead: _more_than_ahead,
    OnDay: _fixed_days,
    BetweenDates: _fixed_days,
    BetweenTimes: _between_times,
    Calendar: _calendar,
    LastPeriods: _last_periods,
    Anniversary: _anniversary,
}
