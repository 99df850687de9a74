"""How what is the case is told: a few words, and instants by the clock of an advertiser."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from segments.rules import phrases


@dataclass(frozen=True)
class CountedEvent:
    """An event that counts; a visit has the id of its first one."""

    id: UUID
    name: str
    occurred_at: datetime


@dataclass(frozen=True)
class Actual:
    """What is the case, in words, and the newest events that count."""

    says: str
    events: tuple[CountedEvent, ...] = ()


class Teller:
    """Says instants by the clock of an advertiser: "3 May 12:00", with the year where it is another one."""

    def __init__(self, zone: str, as_of: datetime) -> None:
        self.as_of = as_of
        self._zone = ZoneInfo(zone)
        self._year = as_of.astimezone(self._zone).year

    def instant(self, at: datetime, between: str = " ") -> str:
        local = at.astimezone(self._zone)
        day = phrases.day(local.date())
        return f"{day.removesuffix(f' {self._year}')}{between}{local:%H:%M}"
