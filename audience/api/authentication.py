"""Who calls the API: the bearer of a token, and nobody else. A login of the admin counts for nothing here."""

import re

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from audience.models import ApiToken, Role
from audience.teams import Seat
from audience.tokens import verify_token

_HEADER = re.compile(r"[Bb]earer +(?P<token>[A-Za-z0-9_-]{1,200})")


class BearerToken(BaseAuthentication):
    """`Authorization: Bearer <token>`. A token in the address would end in logs, so it is not looked for there."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiToken] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        match = _HEADER.fullmatch(header)
        token = verify_token(match["token"]) if match else None
        if token is None:
            raise AuthenticationFailed
        return AnonymousUser(), token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def seat_of_token(token: ApiToken) -> Seat:
    """Return for whom a token acts and what it may do. Seeing people is never implied by its role."""
    return Seat(token.advertiser, Role(token.role), token.may_see_people)
