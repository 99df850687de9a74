"""Rules as people write them, and what somebody did, for tests that ask about rules."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from audience.models import Attribute, AttributeName, Event, Profile
from audience.tenancy import acting_for
from segments.rules.reading.rules import read
from segments.rules.tree import Rule


def text_of(node: dict[str, Any], of: str = "profile") -> str:
    return json.dumps({"muster_rule": 1, "of": of, "rule": node})


def rule_of(node: dict[str, Any], of: str = "profile") -> Rule:
    return read(text_of(node, of)).rule


def viewed(profile: Profile, *ago: timedelta, name: str = "view", **properties: Any) -> None:
    """Give a profile an event at each of these times before now."""
    with acting_for(profile.advertiser_id):
        for length in ago:
            at = timezone.now() - length
            Event.objects.create(
                profile=profile, id=uuid4(), name=name, occurred_at=at, received_at=at, properties=properties
            )


def told(profile: Profile, since: datetime | None = None, **values: Any) -> None:
    """Tell attributes of a profile."""
    at = since or timezone.now()
    with acting_for(profile.advertiser_id):
        for name, value in values.items():
            Attribute.objects.create(
                profile=profile, name=name, value=value, since=at, seen_at=at, fact_id=uuid4(), source_kind="identify"
            )
            AttributeName.objects.get_or_create(
                advertiser_id=profile.advertiser_id, of="profile", name=name, defaults={"first_at": at}
            )
