"""What the people of one account did, newest first. An account may have any number of people; what is read does not.

Of an account with more than `PEOPLE_READ` people the first are taken, in the order of the key, and whoever shows it
says so. Their newest events are those of the `PEOPLE_ASKED` of them who were seen last.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from audience.models import Account, AccountMember, Event, Profile
from audience.timeline import in_key_order

PEOPLE_READ = 1000
PEOPLE_ASKED = 100
EVENTS_SHOWN = 50

_FIELDS = ("profile_id", "id", "name", "occurred_at", "received_at")
# For each profile a range of the primary key, backwards; what is sorted is no more than people times events.
_NEWEST = """
    SELECT e.profile_id, e.id, e.name, e.occurred_at, e.received_at, e.properties::text, e.context::text
    FROM unnest(%(profiles)s::uuid[]) AS p(id) CROSS JOIN LATERAL (
        SELECT * FROM audience_event e WHERE e.profile_id = p.id AND e.advertiser_id = %(advertiser)s
        ORDER BY e.occurred_at DESC, e.id DESC LIMIT %(events)s
    ) e ORDER BY e.occurred_at DESC, e.id DESC LIMIT %(events)s
"""


def people_of(account: Account) -> list[UUID]:
    """Return the first profiles of an account, along the index (account, profile)."""
    members = AccountMember.objects.filter(account_id=account.pk).order_by("profile_id")
    return list(members.values_list("profile_id", flat=True)[:PEOPLE_READ])


def pooled_activity(account: Account, people: Sequence[UUID]) -> list[Event]:
    """Return the newest events of those of the people who were seen last."""
    lately = Profile.objects.filter(pk__in=people).order_by("-last_seen_at", "pk")
    values: dict[str, Any] = {
        "profiles": list(lately.values_list("pk", flat=True)[:PEOPLE_ASKED]),
        "advertiser": account.advertiser_id,
        "events": EVENTS_SHOWN,
    }
    with in_key_order(), connection.cursor() as cursor:
        cursor.execute(_NEWEST, values)
        rows = cursor.fetchall()
    return [
        Event(
            advertiser_id=account.advertiser_id,
            properties=json.loads(properties),
            context=json.loads(context),
            **dict(zip(_FIELDS, fields, strict=True)),
        )
        for *fields, properties, context in rows
    ]
