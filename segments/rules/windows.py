"""Windows: for how long an event or a date counts (rules.md 1.3).

A window turns a time `x` into the span during which it counts; each class says which. Which keys write which window
is known to `reading_windows` and `writing`.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

Unit = Literal["min", "h", "d", "w"]
Period = Literal["day", "week", "month", "quarter", "year"]
DayTest = Literal["on", "before", "after", "on_or_before", "on_or_after"]

MINUTE = 60_000_000
MICROSECONDS: dict[Unit, int] = {"min": MINUTE, "h": 60 * MINUTE, "d": 1440 * MINUTE, "w": 7 * 1440 * MINUTE}

# The words of `calendar`: how many periods after the present one, and of which length.
CALENDAR_WORDS: dict[str, tuple[Literal[-1, 0, 1], Period]] = {
    "today": (0, "day"),
    "this_week": (0, "week"),
    "this_month": (0, "month"),
    "this_quarter": (0, "quarter"),
    "this_year": (0, "year"),
    "yesterday": (-1, "day"),
    "last_week": (-1, "week"),
    "last_month": (-1, "month"),
    "last_quarter": (-1, "quarter"),
    "last_year": (-1, "year"),
    "tomorrow": (1, "day"),
    "next_week": (1, "week"),
    "next_month": (1, "month"),
    "next_quarter": (1, "quarter"),
    "next_year": (1, "year"),
}


@dataclass(frozen=True)
class Duration:
    """A whole number of a unit, as its author wrote it: 7d is not written back as 1w."""

    amount: int
    unit: Unit

    @property
    def microseconds(self) -> int:
        return self.amount * MICROSECONDS[self.unit]

    @property
    def days(self) -> int:
        """Return the whole days; hours and minutes have none and are refused where days are compared."""
        return self.microseconds // MICROSECONDS["d"]

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"


@dataclass(frozen=True)
class Ever:
    """`[x, ∞)`, the window of a condition that names none."""


EVER = Ever()


@dataclass(frozen=True)
class Within:
    """`[x, x+W)`"""

    length: Duration


@dataclass(frozen=True)
class BetweenAgo:
    """`[x+N, x+M)`, N < M"""

    nearest: Duration
    farthest: Duration


@dataclass(frozen=True)
class MoreThanAgo:
    """`[x+N, ∞)`"""

    length: Duration


@dataclass(frozen=True)
class OnDay:
    """`[x, ∞)` if the local day of x is =, <, >, <=, >= that day, else never."""

    test: DayTest
    day: date


@dataclass(frozen=True)
class BetweenDates:
    """`[x, ∞)` if the local day of x is one from `first` to `last`, both included, else never."""

    first: date
    last: date


@dataclass(frozen=True)
class BetweenTimes:
    """`[x, ∞)` if `start <= x < end`, else never. Both are in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Calendar:
    """The present period: from x to its end (of a date: all of it). The last or next one: the whole one after or
    before that of x. `shift` says which, -1 for the last."""

    shift: Literal[-1, 0, 1]
    period: Period

    @property
    def word(self) -> str:
        return next(word for word, value in CALENDAR_WORDS.items() if value == (self.shift, self.period))


@dataclass(frozen=True)
class LastPeriods:
    """`[x, start of the n-th period after that of x)`: this period and the n-1 before."""

    count: int
    period: Period


@dataclass(frozen=True)
class ThisVisit:
    """`[x, end of the visit of x)`"""


@dataclass(frozen=True)
class WithinNext:
    """`[x-W, x)`"""

    length: Duration


@dataclass(frozen=True)
class MoreThanAhead:
    """`(-∞, x-W)`"""

    length: Duration


@dataclass(frozen=True)
class BetweenAhead:
    """`[x-M, x-N)`, N < M"""

    nearest: Duration
    farthest: Duration


@dataclass(frozen=True)
class Anniversary:
    """Whole days around each yearly return of the day: the day itself, those up to it, or those since it.

    `length` is None for `"today"` alone.
    """

    test: Literal["today", "within_next", "within"]
    length: Duration | None = None


Window: TypeAlias = (
    Ever
    | Within
    | BetweenAgo
    | MoreThanAgo
    | OnDay
    | BetweenDates
    | BetweenTimes
    | Calendar
    | LastPeriods
    | ThisVisit
    | WithinNext
    | MoreThanAhead
    | BetweenAhead
    | Anniversary
)
