"""Rows for tests: plain functions, each with the least that its row needs."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from audience.identity import identifier_id
from audience.ids import uuid7
from audience.models import Advertiser, Identifier, Profile
from audience.tenancy import acting_for
from pixels.models import Partner, Piggyback, Pixel, PixelAction
from segments.models import Membership, Segment

_numbers = itertools.count(1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def make_advertiser(**fields: Any) -> Advertiser:
    return Advertiser.objects.create(**{"name": f"Advertiser {next(_numbers)}"} | fields)


def make_segment(advertiser: Advertiser, code: str = "cart", **fields: Any) -> Segment:
    defaults = {"name": code.title(), "code": code, "write_mode": Segment.WriteMode.OPEN}
    with acting_for(advertiser.pk):
        return Segment.objects.create(**defaults | fields)


def make_pixel(advertiser: Advertiser, *segments: Segment, name: str = "Cart page", **fields: Any) -> Pixel:
    """Make a pixel that adds to the segments."""
    with acting_for(advertiser.pk):
        pixel = Pixel.objects.create(name=name, **fields)
        for segment in segments:
            PixelAction.objects.create(pixel=pixel, segment=segment)
    return pixel


def make_profile(advertiser: Advertiser, *, seen_at: datetime = NOON, **identifiers: str) -> Profile:
    """Make a profile; `customer_id="C-1"` gives it that identifier."""
    with acting_for(advertiser.pk):
        profile = Profile.objects.create(id=uuid7(), first_seen_at=seen_at, last_seen_at=seen_at)
        for kind, value in identifiers.items():
            id_ = UUID(bytes=identifier_id(advertiser.pk, kind, value))
            seen = {"first_seen_at": seen_at, "last_seen_at": seen_at}
            Identifier.objects.create(id=id_, kind=kind, value=value, profile=profile, **seen)
    return profile


def make_member(
    segment: Segment,
    profile: Profile | UUID | None = None,
    *,
    starts_at: datetime = NOON,
    lifetime: timedelta = timedelta(days=30),
    **fields: Any,
) -> Membership:
    """Put a profile (a new one by default) into a segment, as a fire would have done; counts are not kept."""
    owner = Advertiser.objects.get(pk=segment.advertiser_id)
    profile = profile or make_profile(owner, seen_at=starts_at)
    times = {"starts_at": starts_at, "expires_at": starts_at + lifetime, "sweep_at": starts_at + lifetime}
    decided = {"last_added_at": starts_at, "decided_at": starts_at, "version": segment.active_version}
    with acting_for(segment.advertiser_id):
        return Membership.objects.create(
            profile_id=getattr(profile, "pk", profile), segment=segment, **times | decided | fields
        )


def make_partner(advertiser: Advertiser, name: str = "acme", **fields: Any) -> Partner:
    """Make a partner that asks from sync.partner.example."""
    with acting_for(advertiser.pk):
        return Partner.objects.create(name=name, **{"hosts": ["sync.partner.example"]} | fields)


def make_piggyback(segment: Segment, url: str, kind: str = Piggyback.Kind.IMAGE, **fields: Any) -> Piggyback:
    with acting_for(segment.advertiser_id):
        return Piggyback.objects.create(segment=segment, url=url, kind=kind, **fields)
