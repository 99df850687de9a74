"""What a demo is going to fire: who, when, at which pixel, with which value."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
_BETWEEN_TAGS = timedelta(milliseconds=1)


class PlannedFire(NamedTuple):
    """One fire of a demo. `pixel` is the name of a pixel of `config.demo.tags`; `value` as the tag says it."""

    at: datetime
    visitor: int
    pixel: str
    value: str = ""
    path: str = "/"
    agent: str = CHROME


def in_order(fires: Iterable[PlannedFire]) -> list[PlannedFire]:
    """Return the fires in the order of time; the tags of one visitor fire one after the other, 1 ms at least."""
    latest: dict[int, datetime] = {}
    ordered = []
    for fire in sorted(fires, key=lambda fire: fire.at):
        before = latest.get(fire.visitor)
        if before is not None and fire.at < before + _BETWEEN_TAGS:
            fire = fire._replace(at=before + _BETWEEN_TAGS)
        latest[fire.visitor] = fire.at
        ordered.append(fire)
    return sorted(ordered, key=lambda fire: fire.at)


class Story(NamedTuple):
    """What is played: the clock and the currency of the shop, the host of its pages, and all that its visitors do."""

    time_zone: str
    currency: str
    host: str
    fires: list[PlannedFire]
