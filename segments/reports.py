"""The segment load report: who came into segments on which day, from the maintained numbers and never by a count.

It reads `segments.counts.MOVES_SQL` in one statement, so a merge or sweep meanwhile counts nothing twice. Rows are by
segment; a split by pixel or domain would be a further column of `LoadRow`, read from the kept fires.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from audience.models import Advertiser
from segments.counts import MOVES_SQL
from segments.models import Segment

MOST_DAYS = 366
MOST_ROWS = 100_000
CSV_HEADERS = ("day", "segment", "name", "total_loads", "daily_uniques", "joins", "leaves", "active")
_DAY = timedelta(days=1)
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# The same as in the files of exports, which a spreadsheet opens, too.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")

# Reads days by the key (segment, day); the rest are few. What was before the period becomes one row without a day.
_COUNTS = f"""
    SELECT segment_id, CASE WHEN day >= %(first)s THEN day END, sum(joins)::bigint, sum(leaves)::bigint,
        sum(loads)::bigint, sum(daily_uniques)::bigint, sum(monthly_uniques)::bigint
    FROM ({MOVES_SQL}) moves WHERE day <= %(last)s GROUP BY 1, 2
"""  # noqa: S608 -- constants of ours


class NoReport(Exception):
    """Why there is no report: a code for programs, `bad_dates` or `too_many_rows`, and a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Period:
    """Days of the advertiser's clock, both ends included."""

    first: date
    last: date

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + number * _DAY for number in range(len(self)))


class LoadRow(NamedTuple):
    """One day of one segment; `active` is its size when the day ended, or by now."""

    day: date
    segment: Segment
    total_loads: int
    daily_uniques: int
    joins: int
    leaves: int
    active: int


class MonthRow(NamedTuple):
    """One calendar month of one segment. One that is not over yet is counted so far."""

    month: date
    segment: Segment
    monthly_uniques: int
    average_daily_uniques: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by day, then in the order of the segments; months where the period holds them from their first day on."""

    period: Period
    time_zone: str
    as_of: datetime
    rows: list[LoadRow]
    months: list[MonthRow]


class _Counts(NamedTuple):
    joins: int = 0
    leaves: int = 0
    loads: int = 0
    daily_uniques: int = 0
    monthly_uniques: int = 0


_Days = Mapping[date | None, _Counts]


def today_of(advertiser: Advertiser, now: datetime) -> date:
    """Return the day of an instant by the advertiser's clock."""
    return now.astimezone(ZoneInfo(advertiser.time_zone)).date()


def named_periods(today: date) -> dict[str, Period]:
    """Return the periods that have a name; the report begins with `week`."""
    return {
        "today": Period(today, today),
        "yesterday": Period(today - _DAY, today - _DAY),
        "week": Period(today - 6 * _DAY, today),
        "month": Period(today.replace(day=1), today),
    }


def own_period(first: str, last: str, today: date) -> Period:
    """Return the period between two written days; raise `NoReport` where they make none."""
    period = Period(_day(first), _day(last))
    if period.first > period.last:
        raise NoReport("bad_dates", "The first day is after the last.")
    if period.last > today:
        raise NoReport("bad_dates", f"The last day lies in the future. Today is {today}.")
    if len(period) > MOST_DAYS:
        raise NoReport("bad_dates", f"These are {len(period):,} days. A report holds at most {MOST_DAYS}.")
    return period


def _day(text: str) -> date:
    if not text:
        raise NoReport("bad_dates", "Give both days, the first and the last.")
    try:
        if _WRITTEN.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise NoReport("bad_dates", "Write a day as year, month and day, for example 2026-11-22.")


def segment_loads(advertiser: Advertiser, segments: Sequence[Segment], period: Period, as_of: datetime) -> Report:
    """Return a row for each day and segment, a day without loads included; raise `NoReport` where these are too many.

    `as_of` is now. All segments belong to the advertiser.
    """
    if len(segments) * len(period) > MOST_ROWS:
        raise NoReport(
            "too_many_rows",
            f"{len(segments):,} segments on {len(period)} days are more than {MOST_ROWS:,} rows. "
            "Choose fewer days or one segment.",
        )
    counts = _read(segments, period, as_of)
    by_segment = [_rows_of(segment, counts[segment.pk], period) for segment in segments]
    rows = [row for rows_of_day in zip(*by_segment, strict=True) for row in rows_of_day]
    months = list(_months(segments, counts, period, today_of(advertiser, as_of)))
    return Report(period, advertiser.time_zone, as_of, rows, months)


def _read(segments: Sequence[Segment], period: Period, as_of: datetime) -> Mapping[int, _Days]:
    found: dict[int, dict[date | None, _Counts]] = defaultdict(dict)
    ids = [segment.pk for segment in segments]
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"ids": ids, "first": period.first, "last": period.last, "at": as_of})
        for segment_id, day, *counts in cursor.fetchall():
            found[segment_id][day] = _Counts(*counts)
    return found


def _rows_of(segment: Segment, counts: _Days, period: Period) -> list[LoadRow]:
    before = counts.get(None, _Counts())
    active = before.joins - before.leaves
    rows = []
    for day in period:
        one = counts.get(day, _Counts())
        active += one.joins - one.leaves
        rows.append(LoadRow(day, segment, one.loads, one.daily_uniques, one.joins, one.leaves, active))
    return rows


def _months(
    segments: Sequence[Segment], counts: Mapping[int, _Days], period: Period, today: date
) -> Iterator[MonthRow]:
    for month in _months_in(period, today):
        for segment in segments:
            days = [counts[segment.pk].get(day, _Counts()) for day in month]
            average = round(sum(day.daily_uniques for day in days) / len(month), 1)
            uniques = sum(day.monthly_uniques for day in days)
            yield MonthRow(month.first, segment, uniques, average, _end_of_month(month.first) < today)


def _months_in(period: Period, today: date) -> Iterator[Period]:
    """Yield the calendar months that a period holds from their first day to their last, or to today."""
    first = period.first if period.first.day == 1 else _end_of_month(period.first) + _DAY
    while first <= period.last:
        last = min(_end_of_month(first), today)
        if last <= period.last:
            yield Period(first, last)
        first = _end_of_month(first) + _DAY


def _end_of_month(day: date) -> date:
    return (day.replace(day=1) + 31 * _DAY).replace(day=1) - _DAY


class Sums(NamedTuple):
    """Rows added up. People are different within a day and a segment only, so `daily_uniques` counts some again."""

    total_loads: int
    daily_uniques: int
    joins: int
    leaves: int


def sums(rows: Iterable[LoadRow]) -> Sums:
    """Return rows added up; `active` has no sum over days."""
    total = [0] * len(Sums._fields)
    for row in rows:
        for place, number in enumerate(row[2:6]):
            total[place] += number
    return Sums(*total)


def as_csv(report: Report) -> str:
    """Return the rows as a CSV file that a spreadsheet can open: no text in it is taken for a formula."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(CSV_HEADERS)
    for day, segment, *numbers in report.rows:
        writer.writerow([day.isoformat(), _harmless(segment.code), _harmless(segment.name), *numbers])
    return file.getvalue()


def file_name(report: Report) -> str:
    return f"segment-loads_{report.period.first}_{report.period.last}.csv"


def _harmless(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA_SIGNS) else text
