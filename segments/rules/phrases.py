"""The smaller parts of sentences: lengths of time, windows, numbers, lists and tests (rules.md 2.18)."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from segments.rules.operators import COUNT_OPERATORS, OPERATORS
from segments.rules.values import EACH, CountTest, Name, ValueTest
from segments.rules.windows import (
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
    ThisVisit,
    Unit,
    Window,
    Within,
    WithinNext,
)

MOST_LISTED = 5
_UNITS: dict[Unit, str] = {"min": "minute", "h": "hour", "d": "day", "w": "week"}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_PLAIN = re.compile(r"[\w@/*?.:+-]+")


def length(duration: Duration) -> str:
    """Return "7 days"."""
    return f"{duration.amount:,} {_unit(duration)}"


def _unit(duration: Duration) -> str:
    return _UNITS[duration.unit] + ("" if duration.amount == 1 else "s")


def lengths(nearest: Duration, farthest: Duration) -> str:
    """Return "7 and 30 days", or both with their units where they differ."""
    first = str(nearest.amount) if nearest.unit == farthest.unit else length(nearest)
    return f"{first} and {length(farthest)}"


def last(duration: Duration) -> str:
    """Return "the last 7 days", "the last hour"; a day is one of 24 hours and no day of a calendar."""
    if duration.unit == "d" and duration.amount == 1:
        return "the last 24 hours"
    return f"the last {length(duration)}" if duration.amount > 1 else f"the last {_unit(duration)}"


def day(value: date) -> str:
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def instant(value: datetime) -> str:
    clock = (
        f"{value:%H:%M}"
        if not value.second and not value.microsecond
        else f"{value:%H:%M:%S.%f}".rstrip("0").rstrip(".")
    )
    return f"{day(value.date())} {clock} UTC"


_DAY_TESTS: dict[DayTest, str] = {
    "on": "on",
    "before": "before",
    "after": "after",
    "on_or_before": "on or before",
    "on_or_after": "on or after",
}


def window(value: Window) -> str:
    """Return when, as the end of a sentence: "in the last 7 days". `ever` is said by whoever knows the retention."""
    match value:
        case Within(length_):
            return f"in {last(length_)}"
        case BetweenAgo(nearest, farthest):
            return f"between {lengths(nearest, farthest)} ago"
        case MoreThanAgo(length_):
            return f"more than {length(length_)} ago"
        case OnDay(test_, day_):
            return f"{_DAY_TESTS[test_]} {day(day_)}"
        case BetweenDates(first, last_):
            return f"from {day(first)} to {day(last_)}"
        case BetweenTimes(start, end):
            return f"from {instant(start)} until {instant(end)}"
        case Calendar():
            return value.word.replace("_", " ")
        case LastPeriods():
            return _last_periods(value)
        case ThisVisit():
            return "in this visit"
        case WithinNext(length_):
            return f"in the next {length(length_) if length_.amount > 1 else _unit(length_)}"
        case MoreThanAhead(length_):
            return f"more than {length(length_)} ahead"
        case BetweenAhead(nearest, farthest):
            return f"between {lengths(nearest, farthest)} ahead"
        case Anniversary("today"):
            return "today"
        case Anniversary(test_, Duration() as length_):
            return window(Within(length_) if test_ == "within" else WithinNext(length_))
    return ""


def _last_periods(value: LastPeriods) -> str:
    this = "today" if value.period == "day" else f"this {value.period}"
    if value.count == 1:
        return this
    before = value.period if value.count == 2 else f"{value.count - 1} {value.period}s"
    return f"{this} or in the {before} before"


def name(steps: Name) -> str:
    """Return a name as people read it: "trial ends"."""
    return " ".join(step for step in steps if step != EACH).replace("_", " ")


def number(value: Decimal) -> str:
    """Return a number in its shortest form: 10.0 is 10."""
    plain = f"{value:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def value(operand: object) -> str:
    """Return a text or number; a text of more than a word stands in quotes."""
    if isinstance(operand, bool):
        return "true" if operand else "false"
    if isinstance(operand, Decimal):
        return number(operand)
    said = str(operand)
    return said if _PLAIN.fullmatch(said) else f"“{said}”"


def listed(words: Sequence[str], between: str) -> str:
    """Return "a, b or c"; of long lists the first few."""
    if len(words) > MOST_LISTED:
        return f"{', '.join(words[:MOST_LISTED])} {between} {len(words) - MOST_LISTED:,} more"
    return f" {between} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def test(asked: ValueTest) -> str:
    """Return a test as what is said of its subject: "is known and is not DE"."""
    row = OPERATORS[asked.operator]
    if row.shape == "truth":
        said = row.sentence.format("" if asked.operand else "not ")
    elif row.shape == "window":
        said = row.sentence.format(window(asked.operand))  # type: ignore[arg-type]  # its shape
    else:
        said = row.sentence.format(operand_of(asked))
    if asked.is_exact_case:
        said += " (heeding case)"
    return said if asked.pick == "any" else f"{said} ({_PICKS[asked.pick]})"


_PICKS = {"all": "all of them", "first": "the first", "last": "the last", "none": "none of them"}


def operand_of(asked: ValueTest) -> str:
    operand = asked.operand
    if not isinstance(operand, tuple):
        return value(operand)
    if asked.operator == "between":
        return f"{value(operand[0])} and {value(operand[1])}"
    return listed([value(one) for one in operand], "and" if asked.operator == "includes_all" else "or")


def amount(asked: ValueTest) -> str:
    """Return a test on a number that was computed, without its verb: "more than 500"."""
    return test(asked).removeprefix("is known and ").removeprefix("is ")


def count(asked: CountTest) -> str:
    """Return "at least 3"; none is "no"."""
    if asked.operator == "none":
        return "no"
    ends = {"between": f"{asked.low:,} and {asked.high or 0:,}", "at_most": f"{asked.high or 0:,}"}
    return COUNT_OPERATORS[asked.operator].sentence.format(ends.get(asked.operator, f"{asked.low:,}"))


def times(asked: CountTest) -> str:
    """Return "at least 3 times", "at most once"."""
    said = count(asked)
    return (
        f"{said.removesuffix(' 1')} once" if asked.operator != "between" and said.endswith(" 1") else f"{said} times"
    )


def count_of(asked: CountTest, one: str, many: str = "") -> str:
    """Return "at least 1 line", "between 2 and 3 lines"."""
    is_one = asked.operator != "between" and count(asked).endswith(" 1")
    return f"{count(asked)} {one if is_one else many or one + 's'}"
