"""The slow reference: does a rule hold at an instant? Straight from the words of rules.md 2, one instant at a time.

It knows no timeline and no SQL, so that what the compiler says can be held against it. `flips.timeline_of` asks it
at every instant where something may change.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from typing import Any

from segments.rules import tree
from segments.rules.reading.windows import known_zones
from segments.rules.values import Amount, Count, CountTest, Distinct, Name, ValueTest
from segments.rules.windows import Ever, Window, Within
from tests.segments.rules import happening
from tests.segments.rules.clocks import DAY, clock_minutes
from tests.segments.rules.facts import Company, Membership, Person, Sighting, World
from tests.segments.rules.happening import Happened
from tests.segments.rules.spans import Clock, covers
from tests.segments.rules.valuing import key_of, number_of, passes, passes_count, passes_number, scalars_at, value_at

EARTH_KM = 6371.0088
WEATHER_IS_VALID = timedelta(hours=3)
TimelineOf = Callable[[tree.Rule, Any, World, datetime], list[tuple[datetime, datetime | None]]]


@dataclass(frozen=True)
class Asked:
    """A rule asked of one person or company at `t`, with all facts that are known at `as_of`."""

    subject: Person | Company
    t: datetime
    as_of: datetime
    world: World
    rule: tree.Rule
    timeline_of: TimelineOf
    segment: str = ""  # the rule's own key
    memory: dict[Any, Any] = field(default_factory=dict, compare=False)  # what is the same at every instant

    @cached_property
    def happened(self) -> tuple[Happened, ...]:
        """Return the events that are not forgotten yet, oldest first; a company's are those of its people."""
        people = self.subject.people if isinstance(self.subject, Company) else (self.subject,)
        found = [one for person in people for one in self._of_person(person)]
        kept = self.world.retention
        return tuple(
            sorted((one for one in found if kept is None or self.t < one.at + kept), key=lambda one: one.order)
        )

    def _of_person(self, person: Person) -> list[Happened]:
        if id(person) not in self.memory:
            self.memory[id(person)] = happening.happened(person, self.world)
        return self.memory[id(person)]

    def timeline(self, key: str) -> list[tuple[datetime, datetime | None]]:
        """Return the timeline of another segment's rule."""
        known = (key, id(self.subject))
        if known not in self.memory:
            self.memory[known] = self.timeline_of(self.world.rules[key], self.subject, self.world, self.as_of)
        return self.memory[known]

    def clock(self, node: Any) -> Clock:
        """Return whose clock a condition follows."""
        zone = node.zone or self.rule.zone
        if zone == "visitor":
            zone = self._zone_of_visitor()
        return Clock(self.world.zone if zone == "advertiser" else zone, self.world.is_sunday_first)

    def _zone_of_visitor(self) -> str:
        if isinstance(self.subject, Person):
            told = self.subject.attributes.get("time_zone")
            seen = [value_at(sighting.context, ("time_zone",)) for sighting in _newest_first(self.subject)]
            for zone in (told.value if told else None, *seen):
                if zone in known_zones():
                    return zone
        return self.world.zone

    def of(self, subject: Person | Company) -> "Asked":
        return replace(self, subject=subject)


def holds(node: tree.Node, asked: Asked) -> bool:
    """Say whether a node holds."""
    match node:
        case tree.AllOf(children):
            return all(holds(child, asked) for child in children)
        case tree.AnyOf(children):
            return any(holds(child, asked) for child in children)
        case tree.Not(child):
            return not holds(child, asked)
        case _:
            return CONDITIONS[type(node)](node, asked)


# Conditions about events.


def _event(node: tree.EventCondition, asked: Asked) -> bool:
    clock = asked.clock(node)
    matching = happening.matching(node.events, asked.happened, asked.t, clock)
    if node.which != "any":
        matching = matching[:1] if node.which == "first" else matching[-1:]
    covering = [one for one in matching if covers(node.window, one.at, asked.t, clock, one.visit_end)]
    is_amount = isinstance(node.aggregate, Amount)
    return _aggregate_passes(
        node.aggregate, covering, lambda one, name: (one.numbers if is_amount else one.values)(name, clock)
    )


def _aggregate_passes(aggregate: Any, found: list[Any], values: Callable[[Any, Name], list[Any]]) -> bool:
    match aggregate:
        case Count(test):
            return passes_count(test, len(found))
        case Distinct(of, test):
            keys = {key_of(value) for one in found for value in values(one, of)}
            return passes_count(test, len(keys - {None}))
        case Amount(kind, of, test):
            read = [number_of(value) for one in found for value in values(one, of)]
            return passes_number(test, _amount(kind, [Fraction(number) for number in read if number is not None]))
    raise AssertionError(aggregate)


def _amount(kind: str, numbers: list[Fraction]) -> Fraction | None:
    if kind == "sum":
        return sum(numbers, Fraction(0))
    if not numbers:
        return None
    return {"min": min(numbers), "max": max(numbers), "avg": sum(numbers, Fraction(0)) / len(numbers)}[kind]


def _sequence(node: tree.SequenceCondition, asked: Asked) -> bool:
    clock = asked.clock(node)
    return any(
        covers(node.window, at, asked.t, clock, visit_end)
        for at, visit_end in happening.completions(node, asked.happened, asked.t, clock)
        if at <= asked.t
    )


def _change(node: tree.ChangeCondition, asked: Asked) -> bool:
    clock = asked.clock(node)
    matching = happening.matching(node.events, asked.happened, asked.t, clock)

    def measure(window: Window) -> Fraction:
        covering = [one for one in matching if covers(window, one.at, asked.t, clock, one.visit_end)]
        return Fraction(len(covering)) if node.sum is None else _sum(covering, node.sum, clock)

    before, to = measure(node.before), measure(node.to)
    return passes_number(node.test, (to - before) / abs(before) * 100 if before else None)


def _sum(found: Iterable[Happened], name: Name, clock: Clock) -> Fraction:
    read = (number_of(value) for one in found for value in one.numbers(name, clock))
    return sum((Fraction(number) for number in read if number is not None), Fraction(0))


def _favourite(node: tree.FavouriteCondition, asked: Asked) -> bool:
    clock = asked.clock(node)
    groups: dict[str, list[tuple[Any, Happened]]] = {}
    for one in happening.matching(node.events, asked.happened, asked.t, clock):
        if covers(node.window, one.at, asked.t, clock, one.visit_end):
            for value in one.values(node.property, clock):
                if (key := key_of(value)) is not None:
                    groups.setdefault(key, []).append((value, one))
    weights = {
        key: Fraction(len(group)) if node.sum is None else _sum((one for _, one in group), node.sum, clock)
        for key, group in groups.items()
    }
    favourites = [key for key, weight in weights.items() if weight == max(weights.values())]
    return any(passes(node.test, value, asked.t, clock) for key in favourites for value, _ in groups[key])


# Conditions about what is known.


def _attribute(node: tree.AttributeCondition, asked: Asked) -> bool:
    told = asked.subject.attributes.get(node.attribute[0])
    value = value_at(told.value, node.attribute[1:]) if told else None
    if node.for_at_least is not None and (told is None or asked.t < told.since + _delta(node.for_at_least)):
        return False
    return passes(node.test, value, asked.t, asked.clock(node))


def _items(node: tree.ItemsCondition, asked: Asked) -> bool:
    told = asked.subject.attributes.get(node.items[0])
    records = value_at(told.value, node.items[1:]) if told else None
    if not isinstance(records, list | tuple):
        return False
    clock = asked.clock(node)
    amounts = [happening.in_currency(record, asked.world.currency) for record in records]
    found = [
        (record, converted)
        for record, converted in zip(records, amounts, strict=True)
        if all(happening.filter_passes(one, record, {}, asked.t, clock, converted) for one in node.where)
    ]
    is_amount = isinstance(node.aggregate, Amount)
    return _aggregate_passes(node.aggregate, found, lambda one, name: scalars_at(one[is_amount], name))


def _identity(node: tree.IdentityCondition, asked: Asked) -> bool:
    values = [value for kind, value in asked.subject.identifiers if kind == node.kind]
    if isinstance(node.test, CountTest):
        return passes_count(node.test, len(values))
    clock = asked.clock(node)
    return any(passes(node.test, value, asked.t, clock) for value in values or [None])


def _person(node: tree.PersonCondition, asked: Asked) -> bool:
    is_known = any(kind in ("customer_id", "email", "phone") for kind, _ in asked.subject.identifiers)
    return is_known == (node.state == "known")


def _consent(node: tree.ConsentCondition, asked: Asked) -> bool:
    told = asked.subject.consents.get(node.purpose)
    is_over = told is not None and told.until is not None and asked.t >= told.until
    return passes(node.test, None if told is None or is_over else told.state, asked.t, asked.clock(node))


def _situation(node: tree.SituationCondition, asked: Asked) -> bool:
    found = _seen(asked, node.seen, node.field)
    value = found[1] if found and _is_seen_in(node, found[0].at, asked) else None
    return passes(node.test, value, asked.t, asked.clock(node))


def _near(node: tree.NearCondition, asked: Asked) -> bool:
    found = _seen(asked, node.seen, ("place", "lat"))
    if found is None or not _is_seen_in(node, found[0].at, asked):
        return False
    place = found[0].context["place"]
    return great_circle_km(float(node.lat), float(node.lon), place["lat"], place["lon"]) <= float(node.km)


def _is_seen_in(node: tree.SituationCondition | tree.NearCondition, at: datetime, asked: Asked) -> bool:
    return covers(node.window, at, asked.t, asked.clock(node), happening.visit_end_at(asked.subject, at, asked.world))


def _newest_first(person: Person) -> list[Sighting]:
    return sorted(person.sightings, key=lambda sighting: sighting.at, reverse=True)


def _seen(asked: Asked, seen: str, field: Name) -> tuple[Sighting, Any] | None:
    """Return the sighting that decides about a field, with its known value; weather ends 3 hours after it."""
    person = asked.subject
    sightings = [one for one in _newest_first(person) if value_at(one.context, field) is not None]
    if seen == "this_visit":
        visit = happening.visit_at(person, asked.t, asked.world)
        sightings = [one for one in sightings if visit and visit[0] <= one.at < visit[1]]
    if seen == "first":
        sightings.reverse()
    if field[0] == "source":
        sightings = [one for one in sightings if _medium(one) != "internal"]
        if seen != "first":
            sightings.sort(
                key=lambda one: _medium(one) == "direct"
            )  # what came directly, only where nothing else did
    if not sightings or (field[0] == "weather" and asked.t >= sightings[0].at + WEATHER_IS_VALID):
        return None
    return sightings[0], value_at(sightings[0].context, field)


def _medium(sighting: Sighting) -> Any:
    return value_at(sighting.context, ("source", "medium"))


def great_circle_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Return the distance on a sphere, by the haversine formula."""
    one, other = math.radians(lat), math.radians(other_lat)
    half = math.sin((other - one) / 2) ** 2
    half += math.cos(one) * math.cos(other) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


# Conditions about time, chance, segments, companies and people.


def _time(node: tree.TimeCondition, asked: Asked) -> bool:
    day, minutes = clock_minutes(asked.clock(node).zone, asked.t)
    if node.start < node.end:
        return node.start <= minutes < node.end and tree.WEEKDAYS[day.weekday()] in node.days
    if minutes >= node.start:
        return tree.WEEKDAYS[day.weekday()] in node.days
    return minutes < node.end and tree.WEEKDAYS[(day - DAY).weekday()] in node.days


def _segment(node: tree.SegmentCondition, asked: Asked) -> bool:
    is_one = any(_asks_holds(node, node.asks, key, asked) for key in node.segments)
    return not is_one if node.asks == tree.IsMember(is_in=False) else is_one


def _asks_holds(node: tree.SegmentCondition, asks: Any, key: str, asked: Asked) -> bool:
    t, clock = asked.t, asked.clock(node)
    rows = _memberships(key, asked)
    current = next((row for row in rows if _is_current(row, t)), None)
    match asks:
        case tree.IsMember(_, for_at_least, last_added, value):
            return current is not None and _membership_passes(current, for_at_least, last_added, value, t, clock)
        case tree.Joined(window):
            return current is not None and covers(window, current.starts_at, t, clock)
        case tree.Left(window):
            ends = [row.expires_at for row in rows if row.expires_at is not None]
            return current is None and any(covers(window, end, t, clock) for end in ends)
        case tree.WasIn(Ever()):
            return any(row.starts_at <= t for row in rows)
        case tree.WasIn(Within(length)):
            return any(
                row.starts_at <= t and (row.expires_at is None or t < row.expires_at + _delta(length)) for row in rows
            )
    raise AssertionError(asks)


def _membership_passes(
    row: Membership, for_at_least: Any, last_added: Window | None, value: ValueTest | None, t: datetime, clock: Clock
) -> bool:
    if for_at_least is not None and t < row.starts_at + _delta(for_at_least):
        return False
    if last_added is not None and (row.last_added_at is None or not covers(last_added, row.last_added_at, t, clock)):
        return False
    return value is None or passes_number(value, None if row.value is None else Fraction(row.value))


def _is_current(row: Membership, t: datetime) -> bool:
    return row.starts_at <= t and (row.expires_at is None or t < row.expires_at)


def _memberships(key: str, asked: Asked) -> list[Membership]:
    """Return the ranges in another segment; a rule's follow from it, the running one from its stored start."""
    stored = list(asked.subject.memberships.get(key, ()))
    if key not in asked.world.rules:
        return stored
    running = next((row.starts_at for row in stored if _is_current(row, asked.as_of)), asked.as_of)
    past = [row for row in stored if row.expires_at is not None and row.expires_at <= asked.as_of]
    return past + [Membership(running if start == asked.as_of else start, end) for start, end in asked.timeline(key)]


def _bucket(node: tree.BucketCondition, asked: Asked) -> bool:
    salt = asked.segment if node.salt is None else node.salt
    digits = hashlib.sha256(f"{salt}/{asked.subject.id}".encode()).hexdigest()[:12]
    return node.lower <= int(digits, 16) * 10_000 // 2**48 < node.upper


def _account(node: tree.AccountCondition, asked: Asked) -> bool:
    return any(holds(node.account, asked.of(company)) for company in asked.subject.companies)


def _people(node: tree.PeopleCondition, asked: Asked) -> bool:
    people = asked.subject.people
    found = sum(node.who is None or holds(node.who, asked.of(person)) for person in people)
    if isinstance(node.people, CountTest):
        return passes_count(node.people, found)
    return bool(people) and {"any": found > 0, "all": found == len(people), "none": found == 0}[node.people]


def _delta(length: Any) -> timedelta:
    return timedelta(microseconds=length.microseconds)


CONDITIONS: dict[type, Callable[[Any, Asked], bool]] = {
    tree.EventCondition: _event,
    tree.SequenceCondition: _sequence,
    tree.ChangeCondition: _change,
    tree.FavouriteCondition: _favourite,
    tree.AttributeCondition: _attribute,
    tree.ItemsCondition: _items,
    tree.IdentityCondition: _identity,
    tree.PersonCondition: _person,
    tree.ConsentCondition: _consent,
    tree.SituationCondition: _situation,
    tree.NearCondition: _near,
    tree.TimeCondition: _time,
    tree.SegmentCondition: _segment,
    tree.BucketCondition: _bucket,
    tree.AccountCondition: _account,
    tree.PeopleCondition: _people,
}
