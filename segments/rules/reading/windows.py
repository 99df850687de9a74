"""Reads windows and durations (rules.md 1.3): one row for each key."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache, partial
from typing import Any, NamedTuple, get_args
from zoneinfo import available_timezones

from segments.rules.reading.forms import Form, Scope, open_form
from segments.rules.refusals import did_you_mean
from segments.rules.tree import Path
from segments.rules.windows import (
    CALENDAR_WORDS,
    EVER,
    MICROSECONDS,
    MINUTE,
    Anniversary,
    BetweenAgo,
    BetweenAhead,
    BetweenDates,
    BetweenTimes,
    Calendar,
    DayTest,
    Duration,
    LastPeriods,
    MoreThanAgo,
    MoreThanAhead,
    OnDay,
    Period,
    ThisVisit,
    Window,
    Within,
    WithinNext,
)

_DURATION = re.compile(r"([0-9]{1,9})(min|h|d|w)", re.ASCII)
_VARYING = re.compile(r"\s*([0-9]{1,9})\s*(month|quarter|year)s?\s*", re.ASCII | re.IGNORECASE)
_NEARLY = re.compile(r"\s*([0-9]{1,9})\s*(min|h|d|w)", re.ASCII | re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)

# The longest that a period lasts, in days.
_LONGEST: dict[Period, int] = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
_ONE_MINUTE = Duration(1, "min")
_A_DAY = date(2000, 1, 1)
_AN_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)

_Read = Callable[[Any, Path, Scope], Window]


class _Row(NamedTuple):
    read: _Read
    of_events: bool
    of_dates: bool


def read_window(form: Form, key: str = "window", *, is_forgotten: bool = True) -> Window:
    """Return the window on events that a key holds: an object with one key, such as {"within": "7d"}.

    `is_forgotten` says that what it asks about is kept as long as events are, and not for ever.
    """
    if key not in form:
        return EVER
    inner = open_form(form.source[key], form.at(key), form.scope, keys=WINDOWS)
    names = [name for name in inner.source if name in WINDOWS]
    if len(names) != 1:
        code = "two_things" if names else "no_test"
        if not inner.unknown or names:
            form.refuse(key, code, tests=_list(name for name, row in WINDOWS.items() if row.of_events))
    for unknown in inner.unknown:
        inner.refuse(unknown, "unknown_key", hint=did_you_mean(unknown, WINDOWS))
    if len(names) != 1 or inner.unknown:
        return EVER
    if not WINDOWS[names[0]].of_events:
        inner.refuse(names[0], "not_on_events")
        return EVER
    window = WINDOWS[names[0]].read(inner.source[names[0]], inner.at(names[0]), form.scope)
    if isinstance(window, Calendar) and window.shift == 1:
        inner.refuse(names[0], "not_on_events")
    if is_forgotten:
        form.scope.refuse_beyond_retention(inner.at(names[0]), days_asked(window))
    return window


def read_date_test(key: str, value: Any, path: Path, scope: Scope) -> Window:
    """Return the window of a date test, whose key stands in the condition itself."""
    row = WINDOWS[key]
    if not row.of_dates:
        scope.report.refuse(path, "not_on_dates", key=key)
        return EVER
    return row.read(value, path, scope)


def read_duration(form: Form, key: str) -> Duration | None:
    """Return the duration of a key, None where it is not there."""
    return duration_of(form.source[key], form.at(key), form.scope) if key in form else None


def duration_of(value: Any, path: Path, scope: Scope) -> Duration:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        _refuse_duration(value, path, scope)
        return _ONE_MINUTE
    duration = Duration(int(found[1]), found[2])  # type: ignore[arg-type]  # the expression knows the units
    if duration.microseconds < scope.limits.least_window_minutes * MINUTE:
        scope.report.refuse(path, "too_short", found=value)
    elif duration.microseconds > scope.limits.window_days * MICROSECONDS["d"]:
        scope.report.refuse(path, "too_long", found=value, most=scope.limits.window_days)
    return duration


def _refuse_duration(value: Any, path: Path, scope: Scope) -> None:
    if isinstance(value, str) and (varying := _VARYING.fullmatch(value)):
        period = varying[2].lower()
        days = int(varying[1]) * {"month": 30, "quarter": 90, "year": 365}[period]
        scope.report.refuse(path, "no_fixed_length", found=value.strip(), days=days, period=period)
        return
    nearly = _NEARLY.match(value) if isinstance(value, str) else None
    hint = f" Did you mean '{nearly[1]}{nearly[2].lower()}'?" if nearly else ""
    scope.report.refuse(path, "no_duration", found=value, hint=hint)


def days_asked(window: Window) -> int:
    """Return how many days back the events lie that a window can ask for; 0 where it asks for any age."""
    if isinstance(window, Within | MoreThanAgo):
        return _days(window.length)
    if isinstance(window, BetweenAgo):
        return _days(window.farthest)
    if isinstance(window, Calendar):
        return _LONGEST[window.period] * (2 if window.shift == -1 else 1)
    if isinstance(window, LastPeriods):
        return window.count * _LONGEST[window.period]
    return 0


def _days(length: Duration) -> int:
    """Return the days of a length, begun ones too."""
    return -(-length.microseconds // MICROSECONDS["d"])


@cache
def known_zones() -> frozenset[str]:
    """Return the time zones of this machine; to look for them reads hundreds of files."""
    return frozenset(available_timezones())


def read_zone(form: Form, default: str | None) -> str | None:
    """Return whose clock a condition or a rule follows."""
    if "zone" not in form:
        return default
    value = form.source["zone"]
    if isinstance(value, str) and (value in ("advertiser", "visitor") or value in known_zones()):
        return value
    form.refuse("zone", "no_zone", found=value, hint=_zone_hint(str(value)))
    return default


def _zone_hint(found: str) -> str:
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(known_zones(), reverse=True) if "/" in zone}
    near = cities.get(found.strip().replace(" ", "_").title())
    return f" Did you mean '{near}'?" if near else did_you_mean(found, ("advertiser", "visitor", *known_zones()))


def _list(words: Any) -> str:
    return ", ".join(words)


def _ever(value: Any, path: Path, scope: Scope) -> Window:
    _only_true("ever", value, path, scope)
    return EVER


def _this_visit(value: Any, path: Path, scope: Scope) -> Window:
    _only_true("this_visit", value, path, scope)
    return ThisVisit()


def _only_true(key: str, value: Any, path: Path, scope: Scope) -> None:
    if value is not True:
        scope.report.refuse(path, "wrong_value", key=key, needs="true")


def _length(kind: Callable[[Duration], Window], value: Any, path: Path, scope: Scope) -> Window:
    return kind(duration_of(value, path, scope))


def _lengths(kind: Callable[[Duration, Duration], Window], value: Any, path: Path, scope: Scope) -> Window:
    first, last = _two(value, path, scope, ("'7d'", "'30d'"))
    nearest, farthest = duration_of(first, (*path, 0), scope), duration_of(last, (*path, 1), scope)
    if nearest.microseconds >= farthest.microseconds and first != last:
        scope.report.refuse(path, "bad_order", first=f"'{farthest}'", second=f"'{nearest}'")
    elif nearest.microseconds >= farthest.microseconds:
        scope.report.refuse(path, "bad_pair", first="'7d'", second="'30d'")
    return kind(nearest, farthest)


def _two(value: Any, path: Path, scope: Scope, example: tuple[str, str]) -> tuple[Any, Any]:
    """Return the two of a list of two; others are refused and stood in for by the example."""
    if isinstance(value, list) and len(value) == 2:
        return value[0], value[1]
    scope.report.refuse(path, "bad_pair", first=example[0], second=example[1])
    return example[0].strip("'"), example[1].strip("'")


def _on_day(test: DayTest, value: Any, path: Path, scope: Scope) -> Window:
    return OnDay(test, day_of(value, path, scope))


def day_of(value: Any, path: Path, scope: Scope) -> date:
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # such as 2026-02-30
    scope.report.refuse(path, "no_day", found=value)
    return _A_DAY


def _dates(value: Any, path: Path, scope: Scope) -> Window:
    first, last = _two(value, path, scope, ("'2026-05-01'", "'2026-05-31'"))
    days = day_of(first, (*path, 0), scope), day_of(last, (*path, 1), scope)
    if days[0] > days[1]:
        scope.report.refuse(path, "bad_pair", first=f"'{days[1]}'", second=f"'{days[0]}'")
    return BetweenDates(*days)


def _times(value: Any, path: Path, scope: Scope) -> Window:
    start, end = _two(value, path, scope, ("'2026-05-01T10:00:00Z'", "'2026-05-02T10:00:00Z'"))
    instants = _instant_of(start, (*path, 0), scope), _instant_of(end, (*path, 1), scope)
    if instants[0] >= instants[1] and _AN_INSTANT not in instants:
        scope.report.refuse(path, "bad_pair", first=f"'{end}'", second=f"'{start}'")
    return BetweenTimes(*instants)


def _instant_of(value: Any, path: Path, scope: Scope) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # such as 25:00, or an offset that leads out of the calendar
    scope.report.refuse(path, "no_instant", found=value)
    return _AN_INSTANT


def _calendar(value: Any, path: Path, scope: Scope) -> Window:
    if isinstance(value, dict):
        return _last_periods(value, path, scope)
    if isinstance(value, str) and value in CALENDAR_WORDS:
        return Calendar(*CALENDAR_WORDS[value])
    hint = did_you_mean(value, CALENDAR_WORDS) if isinstance(value, str) else ""
    scope.report.refuse(path, "wrong_value", key="calendar", needs=f"a word such as 'this_month'{hint.rstrip('.')}")
    return Calendar(0, "day")


def _last_periods(value: Any, path: Path, scope: Scope) -> Window:
    form = open_form(value, path, scope, keys=("last", "unit"))
    form.refuse_unknown()
    unit: Period = form.word("unit", get_args(Period), "")  # type: ignore[assignment]  # one of its words
    count = value.get("last")
    most = scope.limits.window_days // _LONGEST[unit]
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        form.refuse("last", "wrong_value", needs=f"a whole number from 1 to {most:,}")
        count = 1
    return LastPeriods(count, unit)


def _anniversary(value: Any, path: Path, scope: Scope) -> Window:
    if value == "today":
        return Anniversary("today")
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in ("within_next", "within"):
        needs = 'one of \'today\', {"within_next": "7d"}, {"within": "7d"}'
        scope.report.refuse(path, "wrong_value", key="anniversary", needs=needs)
        return Anniversary("today")
    form = open_form(value, path, scope, keys=("within_next", "within"))
    (key,) = value
    length = duration_of(value[key], form.at(key), scope)
    if length.unit in ("min", "h"):
        scope.report.refuse(form.at(key), "hours_on_days", name="anniversary")
    elif length.days > 364:
        form.refuse(key, "wrong_value", needs="at most 364 days")
    return Anniversary("within" if key == "within" else "within_next", length)


_DAY_TESTS: tuple[DayTest, ...] = get_args(DayTest)
WINDOWS: dict[str, _Row] = {
    "ever": _Row(_ever, True, False),
    "within": _Row(partial(_length, Within), True, True),
    "between_ago": _Row(partial(_lengths, BetweenAgo), True, True),
    "more_than_ago": _Row(partial(_length, MoreThanAgo), True, True),
    **{test: _Row(partial(_on_day, test), True, True) for test in _DAY_TESTS},
    "between_dates": _Row(_dates, True, True),
    "between_times": _Row(_times, True, True),
    "calendar": _Row(_calendar, True, True),
    "this_visit": _Row(_this_visit, True, False),
    "within_next": _Row(partial(_length, WithinNext), False, True),
    "more_than_ahead": _Row(partial(_length, MoreThanAhead), False, True),
    "between_ahead": _Row(partial(_lengths, BetweenAhead), False, True),
    "anniversary": _Row(_anniversary, False, True),
}
