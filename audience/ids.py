"""Ids that we make ourselves: ordered by time, so that new rows go to the end of an index."""

import time
from random import getrandbits
from uuid import UUID


def uuid7(unix_ms: int | None = None) -> UUID:
    """Return a UUID version 7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    return UUID(bytes=uuid7_bytes(time.time_ns() // 1_000_000 if unix_ms is None else unix_ms))


def uuid7_bytes(unix_ms: int) -> bytes:
    """Return the same as 16 bytes.

    Nothing rests on nobody guessing it, so the bits come from Python's generator, which each process seeds afresh,
    and not from the system's.
    """
    return uuid7_of(unix_ms, getrandbits(74))


def uuid7_of(unix_ms: int, random: int) -> bytes:
    """Return the UUID of these milliseconds and these 74 bits."""
    high = ((unix_ms & 0xFFFF_FFFF_FFFF) << 16) | 0x7000 | (random >> 62)
    return (high << 64 | 0b10 << 62 | (random & 0x3FFF_FFFF_FFFF_FFFF)).to_bytes(16)
