"""When an export is due, through the nights when clocks change."""

import itertools
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core.exceptions import ValidationError

from exports.timetable import Schedule, check_cron, check_zone, next_due, next_times, upcoming

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def nightly(hour: int, minute: int, zone: str) -> Schedule:
    return Schedule("nightly", zone=zone, at_time=time(hour, minute))


CLOCK_CASES = [
    # an hour that does not exist: the first instant after the gap, once
    ("X15", nightly(2, 30, BERLIN), "2027-03-27T12:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
    ("X15", nightly(2, 30, NEW_YORK), "2027-03-13T12:00", ["2027-03-14T07:00", "2027-03-15T06:30"]),
    # an hour that exists twice: the first time only
    ("X16", nightly(2, 30, BERLIN), "2027-10-30T12:00", ["2027-10-31T00:30", "2027-11-01T01:30"]),
    ("X16", nightly(1, 30, NEW_YORK), "2027-11-06T12:00", ["2027-11-07T05:30", "2027-11-08T06:30"]),
    # midnight that does not exist (Beirut, 2027-03-28): one o'clock
    ("X15", nightly(0, 0, "Asia/Beirut"), "2027-03-27T12:00", ["2027-03-27T22:00", "2027-03-28T21:00"]),
    # two times in one gap are one run
    (
        "X15",
        Schedule("cron", BERLIN, cron="0,30 2 * * *"),
        "2027-03-27T12:00",
        ["2027-03-28T01:00", "2027-03-29T00:00"],
    ),
]


@pytest.mark.parametrize(("spec", "schedule", "after", "expected"), CLOCK_CASES)
@pytest.mark.spec("X15")
@pytest.mark.spec("X16")
def test_a_time_of_a_changing_night(spec: str, schedule: Schedule, after: str, expected: list[str]) -> None:
    assert next_times(schedule, at(after), len(expected)) == [at(text) for text in expected]


@pytest.mark.parametrize(("day", "runs"), [("2027-03-28", 23), ("2027-10-31", 25), ("2027-05-05", 24)])
@pytest.mark.spec("X16")
def test_hourly_goes_by_elapsed_time(day: str, runs: int) -> None:
    zone = Schedule("hourly", BERLIN, minute=15)
    midnight = next_due(nightly(0, 0, BERLIN), at(f"{day}T12:00") - timedelta(days=1))
    next_midnight = next_due(nightly(0, 0, BERLIN), midnight)
    due = list(_until(zone, midnight, next_midnight))
    assert len(due) == len(set(due)) == runs
    assert {later - earlier for earlier, later in itertools.pairwise(due)} == {timedelta(hours=1)}


def _until(schedule: Schedule, after: datetime, until: datetime):
    for due in upcoming(schedule, after):
        if due >= until:
            return
        yield due


SCHEDULES = [
    (Schedule("by_hand"), []),
    (Schedule("once", once_at=at("2027-01-02T03:04")), ["2027-01-02T03:04"]),
    (Schedule("once", once_at=at("2026-01-02T03:04")), []),
    (Schedule("hourly", minute=5), ["2027-01-01T00:05", "2027-01-01T01:05"]),
    (Schedule("hourly", "Asia/Kathmandu", minute=0), ["2027-01-01T00:15", "2027-01-01T01:15"]),
    (nightly(4, 0, BERLIN), ["2027-01-01T03:00", "2027-01-02T03:00"]),
    (Schedule("weekly", at_time=time(4), weekday=0), ["2027-01-04T04:00", "2027-01-11T04:00"]),
    (Schedule("weekly", at_time=time(4), weekday=6), ["2027-01-03T04:00", "2027-01-10T04:00"]),
    (Schedule("cron", cron="30 4 1 * *"), ["2027-01-01T04:30", "2027-02-01T04:30"]),
    (Schedule("cron", cron="0 4 * * mon-wed"), ["2027-01-04T04:00", "2027-01-05T04:00"]),
    (Schedule("cron", cron="0 4 29 feb *"), ["2028-02-29T04:00", "2032-02-29T04:00"]),
    (Schedule("cron", cron="0 0 13 * 5"), ["2027-01-08T00:00", "2027-01-13T00:00"]),  # either will do, as in cron
    (Schedule("cron", cron="*/30 */12 * * 7"), ["2027-01-03T00:00", "2027-01-03T00:30"]),
    (Schedule("cron", cron="0 0 31 2 *"), []),
]


@pytest.mark.parametrize(("schedule", "expected"), SCHEDULES)
def test_the_next_times_of_a_schedule(schedule: Schedule, expected: list[str]) -> None:
    assert next_times(schedule, at("2027-01-01T00:00"), 2) == [at(text) for text in expected]


@pytest.mark.parametrize("text", ["*/15 * * * *", "0 4 * * *", "7,37 1-5 * jan,jul sun", "5/20 * * * *"])
def test_a_cron_line_that_is_taken(text: str) -> None:
    check_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "*/10 * * * *",
        "0,10 * * * *",
        "50,4 * * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 4 0 * *",
        "0 4 * *",
        "0 4 * * 8",
        "a b c d e",
        "0 4 * * *; rm",
        "5-1 * * * *",
        "*/0 * * * *",
        "",
    ],
)
def test_a_cron_line_that_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        check_cron(text)


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        check_zone("Berlin")
