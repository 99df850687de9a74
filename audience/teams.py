"""Which advertiser a signed-in user works for, and what the role allows.

A user may belong to several teams and works in one at a time; the operator (superuser) may enter every advertiser
and counts as its owner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from zoneinfo import ZoneInfo

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from audience.models import Advertiser, Role, TeamMembership
from audience.tenancy import acting_for

SESSION_KEY = "advertiser_id"
# What a foreign id is answered with, and one that never was.
NOT_FOUND = "There is no such page, or it belongs to somebody else."
_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Seat:
    """A user at work: for whom, and with which rights."""

    advertiser: Advertiser
    role: Role
    may_see_people: bool

    def is_at_least(self, role: Role) -> bool:
        return _RANKS[self.role] >= _RANKS[role]


def advertisers_of(user: User) -> list[Advertiser]:
    """Return the advertisers that a user may work for, by name."""
    if user.is_superuser:
        return list(Advertiser.objects.all())
    return list(Advertiser.objects.filter(team_memberships__user=user))


def seat_of(user: AbstractBaseUser | AnonymousUser, advertiser_id: int | None) -> Seat | None:
    """Return the user's seat at an advertiser; without one named, or with a foreign one, the first of the user's."""
    if not isinstance(user, User) or not user.is_active:
        return None
    advertisers = advertisers_of(user)
    advertiser = next((one for one in advertisers if one.pk == advertiser_id), None)
    if advertiser is None:
        advertiser = advertisers[0] if advertisers else None
    if advertiser is None:
        return None
    if user.is_superuser:
        return Seat(advertiser, Role.OWNER, may_see_people=True)
    membership = TeamMembership.objects.get(user=user, advertiser=advertiser)
    role = Role(membership.role)
    return Seat(advertiser, role, may_see_people=membership.may_see_people or role is Role.OWNER)


def seat_at(request: HttpRequest) -> Seat | None:
    """Return the seat that the middleware found for this request."""
    return cast("Seat | None", getattr(request, "seat", None))


class AdvertiserMiddleware:
    """Put the user's seat on the request and act for its advertiser, by its clock, while the request lasts."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        seat = seat_of(request.user, request.session.get(SESSION_KEY)) if hasattr(request, "user") else None
        request.seat = seat  # type: ignore[attr-defined]
        zone = ZoneInfo(seat.advertiser.time_zone) if seat else None
        with acting_for(seat.advertiser.pk if seat else None), timezone.override(zone):
            return self.get_response(request)
