"""How many fires in a minute one browser or one network address may send. Held in memory, never stored.

Each process counts for itself: with several workers the limit is that many times higher.
"""

import time
from collections.abc import Callable, Hashable

WINDOW_SECONDS = 60.0
MOST_KEYS = 200_000


class Rate:
    """At most `most` in the minute that begins with a key's first one; 0 is no limit."""

    def __init__(self, most: int, *, most_keys: int = MOST_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_keys = most_keys
        self._clock = clock
        # Two generations: the old one is thrown away whole, so that nobody has to look for what has ended.
        # The lists are [start, count]; two threads may at worst count one fire too few.
        self._now: dict[Hashable, list[float]] = {}
        self._before: dict[Hashable, list[float]] = {}
        self._turned_at = clock()

    def allows(self, key: Hashable) -> bool:
        """Count one more of `key` and say whether it is within the limit."""
        if not self._most:
            return True
        now = self._clock()
        if now - self._turned_at >= WINDOW_SECONDS or len(self._now) >= self._most_keys:
            self._before, self._now, self._turned_at = self._now, {}, now
        window = self._now.get(key)
        if window is None:
            window = self._now[key] = self._before.get(key) or [now, 0]
        if now - window[0] >= WINDOW_SECONDS:
            window[:] = now, 0
        window[1] += 1
        return window[1] <= self._most


def network_of(address: str) -> str:
    """Return what one subscriber holds: an IPv4 address, or the first 64 bits of an IPv6 one."""
    if ":" not in address or "." in address:
        return address
    head, gap, tail = address.partition("::")
    groups = head.split(":") if head else []
    if gap:
        missing = 8 - len(groups) - (tail.count(":") + 1 if tail else 0)
        groups += ["0"] * missing + tail.split(":")
    return ":".join(groups[:4])
