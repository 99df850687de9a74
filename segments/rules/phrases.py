"""The smaller parts of sentences: lengths of time, windows, numbers, lists and tests (rules.md 2.18)."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import singledispatch

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
    Ever,
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


@singledispatch
def window(value: Window) -> str:
    """Return when, as the end of a sentence: "in the last 7 days". `ever` is said by whoever knows the retention."""
    raise TypeError(value)


@window.register
def _(value: Ever) -> str:
    return ""


@window.register
def _(value: Within) -> str:
    return f"in {last(value.length)}"


@window.register
def _(value: BetweenAgo) -> str:
    return f"between {lengths(value.nearest, value.farthest)} ago"


@window.register
def _(value: MoreThanAgo) -> str:
    return f"more than {length(value.length)} ago"


@window.register
def _(value: OnDay) -> str:
    return f"{_DAY_TESTS[value.test]} {day(value.day)}"


_DAY_TESTS: dict[DayTest, str] = {
    "on": "on",
    "before": "before",
    "after": "after",
    "on_or_before": "on or before",
    "on_or_after": "on or after",
}


@window.register
def _(value: BetweenDates) -> str:
    return f"from {day(value.first)} to {day(value.last)}"


@window.register
def _(value: BetweenTimes) -> str:
    return f"from {instant(value.start)} until {instant(value.end)}"


@window.register
def _(value: Calendar) -> str:
    return value.word.replace("_", " ")


@window.register
def _(value: LastPeriods) -> str:
    start = "today" if value.period == "day" else f"this {value.period}"
    if value.count == 1:
        return start
    return f"{start} or in the {value.count - 1} {value.period}{'s' if value.count > 2 else ''} before"


@window.register
def _(value: ThisVisit) -> str:
    return "in this visit"


@window.register
def _(value: WithinNext) -> str:
    return f"in the next {length(value.length)}" if value.length.amount > 1 else f"in the next {_unit(value.length)}"


@window.register
def _(value: MoreThanAhead) -> str:
    return f"more than {length(value.length)} ahead"


@window.register
def _(value: BetweenAhead) -> str:
    return f"between {lengths(value.nearest, value.farthest)} ahead"


@window.register
def _(value: Anniversary) -> str:
    if value.length is None:
        return "today"
    return window(Within(value.length) if value.test == "within" else WithinNext(value.length))


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
