"""What happened, as plain values: people and companies with all that a rule may ask about.

Instants of the worked cases are written "05-01 10:00", in UTC and 2026.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

NOBODY = UUID(int=0)
SOMEBODY = UUID(int=1)
SOME_COMPANY = UUID(int=2)

_AT = re.compile(r"(?:(\d{4})-)?(\d\d)-(\d\d)(?: (\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?")


def at(text: str) -> datetime:
    """Return the instant of "05-01", "05-01 10:00", "2027-06-05 10:00" or "05-08 09:59:59.999999"."""
    year, month, day, hour, minute, second, fraction = _AT.fullmatch(text).groups()
    return datetime(
        int(year or 2026),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "").ljust(6, "0")),
        tzinfo=UTC,
    )


@dataclass(frozen=True)
class Event:
    """`received_at` is when it was applied, too; events at one instant are ordered by it, then by id."""

    name: str
    occurred_at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    received_at: datetime | None = None
    id: UUID = NOBODY

    @property
    def order(self) -> tuple[datetime, datetime, UUID]:
        return self.occurred_at, self.received_at or self.occurred_at, self.id


@dataclass(frozen=True)
class Attribute:
    """`since` is when it took this value."""

    value: Any
    since: datetime


@dataclass(frozen=True)
class Consent:
    state: str
    until: datetime | None = None


@dataclass(frozen=True)
class Sighting:
    """What was seen of a person at an instant: a context as that of an event."""

    at: datetime
    context: Mapping[str, Any]


@dataclass(frozen=True)
class Membership:
    """One membership in another segment, `[starts_at, expires_at)`; None is without end."""

    starts_at: datetime
    expires_at: datetime | None = None
    value: int | None = None
    last_added_at: datetime | None = None


@dataclass(frozen=True)
class Person:
    id: UUID = SOMEBODY
    events: tuple[Event, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    identifiers: tuple[tuple[str, str], ...] = ()
    consents: Mapping[str, Consent] = field(default_factory=dict)
    sightings: tuple[Sighting, ...] = ()
    memberships: Mapping[str, tuple[Membership, ...]] = field(default_factory=dict)
    companies: tuple["Company", ...] = ()


@dataclass(frozen=True)
class Company:
    id: UUID = SOME_COMPANY
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    people: tuple[Person, ...] = ()
    memberships: Mapping[str, tuple[Membership, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """What an advertiser has set, and the rules of its other segments."""

    zone: str = "Europe/Berlin"
    retention: timedelta | None = None
    visit_gap: timedelta = timedelta(minutes=30)
    is_sunday_first: bool = False
    currency: str = "EUR"
    rules: Mapping[str, Any] = field(default_factory=dict)  # key of a rule segment to its `Rule`


_EVENT = re.compile(r"([a-z_]+?)(-?\d+(?:\.\d+)?)?@(.+)")


def events(text: str, **properties: Any) -> tuple[Event, ...]:
    """Return the events of "v@05-01 10:00, b60@05-02 10:00": a view, and a `buy` with the `total` 60."""
    made = []
    for part in text.split(", ") if text else []:
        name, total, when = _EVENT.fullmatch(part).groups()
        said = {**properties, **({"total": Decimal(total)} if total else {})}
        made.append(Event({"v": "view", "b": "buy"}.get(name, name), at(when), said))
    return tuple(made)


def person(*happened: Event, number: int = 1, **known: Any) -> Person:
    """Return a person; events that have no id are given one each."""
    numbered = (
        replace(event, id=UUID(int=number * 1_000 + index)) if event.id == NOBODY else event
        for index, event in enumerate(happened)
    )
    return Person(id=known.pop("id", UUID(int=number)), events=tuple(numbered), **known)


def told(since: str = "05-01", **values: Any) -> dict[str, Attribute]:
    """Return attributes that all took their values at one instant."""
    return {name: Attribute(value, at(since)) for name, value in values.items()}
