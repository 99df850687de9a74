"""Instants as PostgreSQL keeps them: whole microseconds since 2000-01-01 00:00 UTC.

Inside a batch instants are such numbers, lengths of time are microseconds too: to make, print and parse a datetime
costs more than everything else that is done with it. Everywhere else they are datetimes.
"""

import time
from datetime import UTC, datetime, timedelta

Instant = int

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_UNIX_EPOCH = 946_684_800 * SECOND  # 2000-01-01 in microseconds since 1970
_MICROSECOND = timedelta(microseconds=1)


def now() -> Instant:
    """Return the present instant by the system's clock."""
    return time.time_ns() // 1_000 - _UNIX_EPOCH


def instant(at: datetime) -> Instant:
    """Return an aware datetime as a number."""
    return (at - EPOCH) // _MICROSECOND


def instant_of_unix(seconds: float) -> Instant:
    """Return Unix time, such as that of a file, as a number."""
    return round(seconds * SECOND) - _UNIX_EPOCH


def moment(at: Instant) -> datetime:
    """Return a number as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=at)


def microseconds(length: timedelta) -> int:
    """Return a length of time in microseconds."""
    return length // _MICROSECOND


def unix_milliseconds(at: Instant) -> int:
    return (at + _UNIX_EPOCH) // 1_000


def instant_of_milliseconds(unix_ms: int) -> Instant:
    return unix_ms * 1_000 - _UNIX_EPOCH


def unix_days(at: Instant) -> int:
    """Return the whole days since 1970-01-01, in UTC."""
    return (at + _UNIX_EPOCH) // (24 * HOUR)
