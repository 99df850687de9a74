"""Messages for tests, recorded as a door does it: one batch, one transaction."""

import itertools
import json
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction

from audience import attribute_changes
from audience.columns import batch_cursor
from audience.identity import Key
from audience.instants import instant
from audience.messages import Message
from audience.models import Attribute, Event, Identifier
from audience.recording import record
from audience.talk import speak
from tests.factories import NOON

_numbers = itertools.count(1)


class Sender:
    """Writes messages of one advertiser; an identifier is written `browser:1`, minutes count from noon."""

    def __init__(self, advertiser):
        self.advertiser = advertiser

    def key(self, text):
        kind, _, value = text.rpartition(":")
        return Key(self.advertiser.pk, kind, value)

    def message(self, own=None, *proven, at=0, kind="track", received=None, number=None, **fields):
        for name in ("properties", "context", "traits"):
            fields[name] = json.dumps(fields.get(name, {}))
        occurred_at = instant(NOON + timedelta(minutes=at))
        received_at = occurred_at if received is None else instant(NOON + timedelta(minutes=received))
        previous = fields.pop("previous", None)
        return Message(
            id=UUID(int=number or next(_numbers)).bytes,
            kind=kind,
            advertiser_id=self.advertiser.pk,
            received_at=received_at,
            occurred_at=occurred_at,
            own=self.key(own) if own else None,
            proven=tuple(map(self.key, proven)),
            linked=tuple(map(self.key, fields.pop("linked", ()))),
            previous=self.key(previous) if previous else None,
            event=fields.pop("event", "page" if kind == "track" else ""),
            **fields,
        )

    def send(self, own=None, *proven, **fields):
        """Record one message; return how it ended."""
        return record_all([self.message(own, *proven, **fields)])[0]


def record_all(messages):
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        return speak(cursor, record(messages))


def names_of(advertiser):
    """Return each profile's identifiers, by which people are compared."""
    names = {}
    for row in Identifier.all_advertisers.filter(advertiser=advertiser):
        names.setdefault(row.profile_id, set()).add(f"{row.kind}:{row.value}")
    return {profile: frozenset(values) for profile, values in names.items()}


def people(advertiser):
    """Return the advertiser's people, each as the set of its identifiers."""
    return set(names_of(advertiser).values())


def events_by_person(advertiser):
    """Return each person's events as (name, minutes after noon): those that were told.

    Changes of attributes are what a worker has seen change, and so as the messages came to it.
    """
    names, found = names_of(advertiser), {}
    for event in Event.all_advertisers.filter(advertiser=advertiser).exclude(name=attribute_changes.NAME):
        minutes = (event.occurred_at - NOON) // timedelta(minutes=1)
        found.setdefault(names[event.profile_id], []).append((event.name, minutes))
    return {person: sorted(events) for person, events in found.items()}


def attributes_of(profile_id):
    rows = Attribute.all_advertisers.filter(profile_id=profile_id)
    return {row.name: row.value for row in rows}
