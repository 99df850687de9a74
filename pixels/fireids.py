"""The id of a fire: made by us, or from the request id that the proxy in front of us gives and logs.

An id tells the fire's time, to the millisecond: so whoever has the id, from a log or from an answer, can find the
fire again, and a request that comes twice is done once.

    X-Request-Id: 1795377600.125-7f3a9c2e51d04b6f8a1be2c3d4f50617

is the proxy's Unix time at the start of the request in seconds with three decimals `-` 32 hex digits.
"""

import re

from audience.ids import uuid7_bytes, uuid7_of
from audience.instants import MINUTE, Instant, instant_of_milliseconds, unix_milliseconds

HEADER = "x-request-id"
# Clocks of our own machines differ by less. What claims more is no time of a request that has just arrived.
MOST_SKEW = MINUTE
_FORM = re.compile(r"([0-9]{1,11})\.([0-9]{3})-([0-9a-f]{32})")


def new(now: Instant) -> bytes:
    """Return the id, 16 bytes, of a fire that arrives now."""
    return uuid7_bytes(unix_milliseconds(now))


def of_request(text: str | None) -> bytes | None:
    """Return the id of the fire that a request id makes; None where it has another form than ours."""
    match = _FORM.fullmatch(text) if text else None
    if match is None:
        return None
    seconds, milliseconds, random = match.groups()
    return uuid7_of(int(seconds + milliseconds), int(random, 16) >> 54)


def of_fresh_request(text: str | None, now: Instant) -> bytes | None:
    """Return the same, where its time is about now."""
    fire_id = of_request(text)
    if fire_id is None or abs(time_of(fire_id) - now) > MOST_SKEW:
        return None
    return fire_id


def time_of(fire_id: bytes) -> Instant:
    """Return when the fire was received."""
    return instant_of_milliseconds(int.from_bytes(fire_id[:6]))
