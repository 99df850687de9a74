"""The facts of a worked case or a random scene, in PostgreSQL."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from audience import consents
from audience.columns import batch_cursor
from audience.identity import identifier_id
from audience.instants import instant
from audience.models import Advertiser
from audience.talk import speak
from segments.models import Segment
from segments.rules.nodes import segments_named
from segments.rules.timeline import RuledSegment, StoredSegment, Surroundings
from segments.rules.tree import Rule
from tests.factories import make_segment
from tests.segments.rules.facts import Attribute, Company, Event, Membership, Person, Sighting, World

LONG_AGO = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
OWN_KEY = "this"
SEEN = "seen"  # what is seen of somebody is the context of an event


def as_it_is_stored(subject: Person | Company) -> Any:
    """Return the same person or company with each sighting as an event, and each event as a sighting.

    What is seen of somebody is the context of their events: there is no other place for it.
    """
    if isinstance(subject, Company):
        return replace(subject, people=tuple(as_it_is_stored(person) for person in subject.people))
    seen = tuple(
        Event(SEEN, sighting.at, context=sighting.context, id=UUID(int=900_000 + index))
        for index, sighting in enumerate(subject.sightings)
    )
    sightings = tuple(Sighting(event.occurred_at, event.context) for event in (*subject.events, *seen))
    person = replace(subject, events=(*subject.events, *seen), sightings=sightings, companies=())
    companies = [as_it_is_stored(company) for company in subject.companies]
    # Who belongs to a company is one of its people.
    theirs = [one if person in one.people else replace(one, people=(*one.people, person)) for one in companies]
    return replace(person, companies=tuple(theirs))


def put(subject: Person | Company, advertiser: Advertiser) -> None:
    """Store a person or a company, with all that belongs to it."""
    subject = as_it_is_stored(subject)
    people = subject.people if isinstance(subject, Company) else (subject,)
    companies = (subject,) if isinstance(subject, Company) else subject.companies
    everybody = {person.id: person for person in [*people, *(one for company in companies for one in company.people)]}
    for person in everybody.values():
        _put_person(person, advertiser)
    for company in companies:
        _put_company(company, advertiser)
    pairs = {(person.id, company.id) for person in people for company in companies}
    pairs |= {(person.id, company.id) for company in companies for person in company.people}
    _insert(
        "audience_accountmember",
        [{"profile_id": person, "account_id": company, "since": LONG_AGO} for person, company in sorted(pairs)],
        advertiser,
    )


def surroundings(rule: Rule, subject: Person | Company, world: World, advertiser: Advertiser) -> Surroundings:
    """Return what a rule's meaning depends on; the segments that it names are stored, with their members."""
    people = subject.people if isinstance(subject, Company) else (subject,)
    named = {key for one in (rule, *world.rules.values()) for key in segments_named(one)}
    named |= {key for person in people for key in person.memberships}
    segments = {key: make_segment(advertiser, code=key) for key in sorted(named)}
    for person in people:
        for key, rows in person.memberships.items():
            *past, last = sorted(rows, key=lambda row: row.starts_at)
            _insert("segments_membership", [_membership(person.id, segments[key], last)], advertiser)
            _insert("segments_transition", _transitions(person.id, segments[key], past, last), advertiser)
    return Surroundings(
        zone=world.zone,
        currency=world.currency,
        week_starts_on="sun" if world.is_sunday_first else "mon",
        retention=world.retention,
        visit_gap=world.visit_gap,
        segments={
            key: RuledSegment(segment.pk, world.rules[key], key)
            if key in world.rules
            else StoredSegment(segment.pk, 1)
            for key, segment in segments.items()
        },
        key=OWN_KEY,
    )


def _membership(profile: UUID, segment: Segment, row: Membership) -> dict[str, Any]:
    return {
        "profile_id": profile,
        "segment_id": segment.pk,
        "version": 1,
        "starts_at": row.starts_at,
        "expires_at": row.expires_at or "infinity",
        "value": row.value,
        "last_added_at": row.last_added_at or row.starts_at,
        "decided_at": row.starts_at,
    }


def _transitions(
    profile: UUID, segment: Segment, past: Sequence[Membership], last: Membership
) -> list[dict[str, Any]]:
    """Return the joins and leaves of memberships that are over, and the join of the last one."""
    steps = [(change, at) for row in past for change, at in (("join", row.starts_at), ("leave", row.expires_at))]
    return [
        {"profile_id": profile, "segment_id": segment.pk, "change": change, "at": at, "cause": "fact"}
        for change, at in [*steps, ("join", last.starts_at)]
    ]


def _put_person(person: Person, advertiser: Advertiser) -> None:
    _insert(
        "audience_profile",
        [{"id": person.id, "first_seen_at": LONG_AGO, "last_seen_at": LONG_AGO}],
        advertiser,
    )
    _insert("audience_event", [_event(person.id, event) for event in person.events], advertiser)
    _insert("audience_attribute", _attributes("profile_id", person.id, person.attributes), advertiser)
    _insert(
        "audience_identifier",
        [
            {
                "id": UUID(bytes=identifier_id(advertiser.pk, kind, value)),
                "kind": kind,
                "value": value,
                "profile_id": person.id,
                "first_seen_at": LONG_AGO,
                "last_seen_at": LONG_AGO,
            }
            for kind, value in person.identifiers
        ],
        advertiser,
    )
    said = [
        consents.Said(
            advertiser.pk,
            person.id.bytes,
            purpose,
            consent.state,
            instant(LONG_AGO),
            instant(consent.until) if consent.until else None,
        )
        for purpose, consent in person.consents.items()
    ]
    with batch_cursor(connection.connection) as cursor:
        speak(cursor, consents.put(said, 0))


def _put_company(company: Company, advertiser: Advertiser) -> None:
    row = {"id": company.id, "key": str(company.id), "first_seen_at": LONG_AGO, "last_seen_at": LONG_AGO}
    _insert("audience_account", [row], advertiser)
    _insert("audience_accountattribute", _attributes("account_id", company.id, company.attributes), advertiser)


def _event(profile: UUID, event: Event) -> dict[str, Any]:
    received = event.received_at or event.occurred_at
    return {
        "id": event.id,
        "profile_id": profile,
        "name": event.name,
        "occurred_at": event.occurred_at,
        "received_at": received,
        "properties": as_json(event.properties),
        "context": as_json(event.context),
    }


def _attributes(owner: str, id_: UUID, attributes: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    return [
        {
            owner: id_,
            "name": name,
            "value": as_json(told.value),
            "since": told.since,
            "seen_at": told.since,
            "fact_id": UUID(int=index),
            "source_kind": "identify",
        }
        for index, (name, told) in enumerate(attributes.items())
    ]


class _Number(float):
    """A decimal that JSON writes as it is."""

    def __new__(cls, decimal: Decimal) -> "_Number":
        number = super().__new__(cls, decimal)
        number.decimal = decimal
        return number

    def __repr__(self) -> str:
        return format(self.decimal, "f")


def as_json(value: Any) -> str:
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return _Number(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _insert(table: str, rows: Iterable[Mapping[str, Any]], advertiser: Advertiser) -> None:
    for row in rows:
        columns = {**row, "advertiser_id": advertiser.pk}
        values = [str(value) if isinstance(value, UUID) else value for value in columns.values()]
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"
                " ON CONFLICT DO NOTHING",
                values,
            )
