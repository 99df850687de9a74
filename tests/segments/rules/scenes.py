"""Random facts: somebody, or a company, with all that the random rules of `strategies` ask about.

Times lie on a coarse grid and the lengths of the rules are few, so that ends of spans often fall on one instant; some
grids lie where clocks change. The laws at the head of rules.md are held on scenes by the slow reference and by the
compiler.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from segments.rules.tree import Of, Rule
from tests.segments.rules.cases import Case
from tests.segments.rules.cases_of_events import RULE_1
from tests.segments.rules.facts import Attribute, Company, Consent, Event, Membership, Person, Sighting, World, at
from tests.segments.rules.strategies import WORDS, rules

STARTS = [at("05-01 10:00"), at("03-27 22:00"), at("10-23 22:00"), at("05-30 21:30")]
STEPS = [timedelta(minutes=20), timedelta(hours=6), timedelta(days=1)]
SPAN = timedelta(days=4)

AMOUNTS = [0, 1, 10, -10, Decimal("0.1"), Decimal("0.2"), "10", "9,5", "x", None, True]
PRICES = [0, 10, Decimal("0.1"), "x"]
DAYS = ["2026-03-28", "2026-05-02", "2026-05-03", "2026-10-25", "2024-02-29"]
INSTANTS = ["2026-05-02T10:00:00Z", "2026-05-03T12:00:00+02:00", "2026-03-29T01:30:00Z"]
RULES = {"r": Case("r", RULE_1, Person(), "").read()}

texts = st.sampled_from([*WORDS, "", " ", None])
lines = st.lists(st.fixed_dictionaries({}, optional={"name": texts, "price": st.sampled_from(PRICES)}), max_size=3)
properties = st.fixed_dictionaries(
    {},
    optional={
        "category": st.one_of(texts, st.lists(st.sampled_from(WORDS), max_size=2)),
        "total": st.sampled_from(AMOUNTS),
        "due": st.sampled_from([*DAYS, *INSTANTS, "soon"]),
        "gift": st.sampled_from([True, False, "true"]),
        "lines": lines,
        "currency": st.sampled_from(["EUR", "eur", "USD", "", 5]),
        "exchange_rate": st.sampled_from([2, "0.5", 0, "x"]),
    },
)
countries = st.fixed_dictionaries({"country": st.sampled_from(WORDS)})
contexts = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from(["web", "server"]),
        "device": st.fixed_dictionaries({"type": st.sampled_from(["mobile", "shoes"])}),
        "browser": st.fixed_dictionaries({"version": st.sampled_from(["9.1", "10.0", "9", "x"])}),
        "language": st.sampled_from(["de", "de-AT", "den", "en"]),
    },
)
sighted = st.fixed_dictionaries(
    {},
    optional={
        "place": st.one_of(
            countries,
            st.fixed_dictionaries({"lat": st.sampled_from([48.1, 48.354]), "lon": st.sampled_from([11.0, 11.786])}),
        ),
        "source": st.fixed_dictionaries(
            {"medium": st.sampled_from(["direct", "internal", "email"]), "campaign": st.sampled_from(WORDS)}
        ),
        "weather": st.fixed_dictionaries({"condition": st.sampled_from(["rain", "clear"])}),
        "time_zone": st.sampled_from(["America/New_York", "Europe/Berlin"]),
    },
)


@dataclass(frozen=True)
class Scene:
    """A rule, somebody to ask it of, and when."""

    rule: Rule
    subject: Person | Company
    world: World
    as_of: datetime


@st.composite
def _times(draw: st.DrawFn, start: datetime) -> datetime:
    step = draw(st.sampled_from(STEPS))
    return start + step * draw(st.integers(0, SPAN // step if step > STEPS[0] else 12))


@st.composite
def _events(draw: st.DrawFn, start: datetime, number: int) -> tuple[Event, ...]:
    names = draw(
        st.lists(
            st.sampled_from(["view", "view", "buy", "add"]), min_size=draw(st.sampled_from([0, 2, 4])), max_size=8
        )
    )
    return tuple(
        Event(
            name,
            occurred := draw(_times(start)),
            draw(properties),
            draw(contexts),
            received_at=occurred + draw(st.sampled_from([timedelta(0), timedelta(0), timedelta(hours=6)])),
            id=UUID(int=number * 1_000 + index),
        )
        for index, name in enumerate(names)
    )


@st.composite
def _attributes(draw: st.DrawFn, start: datetime) -> dict[str, Attribute]:
    values: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "plan": texts,
                "tags": st.one_of(st.lists(texts, max_size=3), texts),
                "trial_ends": st.sampled_from([*INSTANTS, "soon"]),
                "renewal": st.sampled_from(DAYS),
                "age": st.sampled_from(AMOUNTS),
                "lines": lines,
                "time_zone": st.sampled_from(["America/New_York", "nowhere"]),
            },
        )
    )
    return {name: Attribute(value, draw(_times(start))) for name, value in values.items()}


@st.composite
def _memberships(draw: st.DrawFn, start: datetime) -> dict[str, tuple[Membership, ...]]:
    if draw(st.booleans()):
        return {}
    began, last = sorted([draw(_times(start)), draw(_times(start))])
    ends = draw(st.sampled_from([None, timedelta(minutes=20), timedelta(days=1), timedelta(days=7)]))
    value = draw(st.sampled_from([None, 1, 10]))
    # It has been in before, up to five times, each after the other.
    past, before = [], began
    for step in draw(st.lists(st.sampled_from(STEPS), max_size=5)):
        before -= step
        past.append(Membership(before - step, before))
        before -= step
    return {"x": (*past, Membership(began, last + ends if ends else None, value, last))}


@st.composite
def people(draw: st.DrawFn, start: datetime, number: int = 1) -> Person:
    consent = draw(st.sampled_from([None, Consent("granted"), Consent("denied"), Consent("granted", start + SPAN)]))
    seen = draw(st.lists(st.tuples(_times(start), sighted), max_size=3, unique_by=lambda pair: pair[0]))
    return Person(
        id=UUID(int=number),
        events=draw(_events(start, number)),
        attributes=draw(_attributes(start)),
        identifiers=draw(
            st.sampled_from(
                [(), (("browser", "b1"),), (("email", "shoes@example.com"), ("browser", "b1"), ("browser", "b2"))]
            )
        ),
        consents={"advertising": consent} if consent else {},
        sightings=tuple(Sighting(when, context) for when, context in seen),
        memberships=draw(_memberships(start)),
    )


@st.composite
def companies(draw: st.DrawFn, start: datetime) -> Company:
    members = tuple(draw(people(start, number)) for number in range(1, 1 + draw(st.integers(0, 2))))
    return Company(UUID(int=99), draw(_attributes(start)), members, draw(_memberships(start)))


@st.composite
def scenes(draw: st.DrawFn, of: Of = "profile") -> Scene:
    start = draw(st.sampled_from(STARTS))
    subject: Person | Company
    if of == "account":
        subject = draw(companies(start))
    else:
        subject = draw(people(start, 77))
        if draw(st.booleans()):
            company = draw(companies(start))
            subject = replace(subject, companies=(replace(company, people=(*company.people, subject)),))
    world = World(
        retention=draw(st.sampled_from([None, None, timedelta(days=800)])),
        is_sunday_first=draw(st.booleans()),
        rules=RULES,
    )
    as_of = max([start, *_known_at(subject)]) + draw(st.sampled_from([timedelta(0), *STEPS]))
    return Scene(draw(rules(of)), subject, world, as_of)


def _known_at(subject: Person | Company) -> list[datetime]:
    """Return when each fact came; what they say of later is no fact yet."""
    others = subject.people if isinstance(subject, Company) else subject.companies
    times = [attribute.since for attribute in subject.attributes.values()]
    times += [row.last_added_at or row.starts_at for rows in subject.memberships.values() for row in rows]
    if isinstance(subject, Person):
        times += [event.order[1] for event in subject.events] + [sighting.at for sighting in subject.sightings]
    return times + [at for other in others for at in _known_at(other)]
