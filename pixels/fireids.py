"""The id of a fire: made by us, or from the request id that the proxy in front of us gives and logs.

An id tells the fire's time: so whoever has the id, from a log or from an answer, can find the fire again, and a
request that comes twice is done once. It is a UUID version 7 whose first 12 random bits are the fraction of the
millisecond (RFC 9562, 6.2, method 3), so that no two facts of a person come at one time.

    X-Request-Id: 1795377600.125-7f3a9c2e51d04b6f8a1be2c3d4f50617

is the proxy's Unix time at the start of the request in seconds with three decimals `-` 32 hex digits. Its fraction of
the millisecond is made up of these digits.
"""

import re
from random import getrandbits

from audience.ids import uuid7_of
from audience.instants import MINUTE, Instant, instant_of_milliseconds, unix_milliseconds

HEADER = "x-request-id"
# Clocks of our own machines differ by less. What claims more is no time of a request that has just arrived.
MOST_SKEW = MINUTE
_FORM = re.compile(r"([0-9]{1,11})\.([0-9]{3})-([0-9a-f]{32})")


def new(now: Instant) -> bytes:
    """Return the id, 16 bytes, of a fire that arrives now."""
    fraction = (now % 1_000 * 4_096 + 999) // 1_000
    return uuid7_of(unix_milliseconds(now), fraction << 62 | getrandbits(62))


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
    fraction = int.from_bytes(fire_id[6:8]) & 0xFFF
    return instant_of_milliseconds(int.from_bytes(fire_id[:6])) + (fraction * 1_000 >> 12)
