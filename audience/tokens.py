"""API tokens: 256 random bits, shown once; what is stored leads to no token."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from audience.models import Advertiser, ApiToken, Role

LONGEST_LIFE = timedelta(days=365)
LIVE_TOKENS_PER_ADVERTISER = 20
_BEGINNING = "muster_"
_PREFIX_LENGTH = 12
_FORM = re.compile(_BEGINNING + r"[A-Za-z0-9_-]{43}")
# A token's last use is kept to the minute: a row version for each call would cost more than the call.
_USE_PRECISION = timedelta(minutes=1)


def issue_token(
    advertiser: Advertiser,
    *,
    name: str,
    role: Role,
    expires_at: datetime,
    may_see_people: bool = False,
    created_by: User | None = None,
) -> tuple[ApiToken, str]:
    """Make a token; return its row and the token itself, which nobody can read again."""
    plain = _BEGINNING + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        advertiser=advertiser,
        name=name,
        role=role,
        expires_at=expires_at,
        may_see_people=may_see_people,
        created_by=created_by,
        prefix=_prefix(plain),
        digest=_digest(plain),
    )
    return token, plain


def verify_token(plain: str, at: datetime | None = None) -> ApiToken | None:
    """Return the live token that was given as text, or None for an unknown, expired or revoked one.

    It looks through all advertisers, because the token is what says for whom the caller acts.
    """
    now = at or timezone.now()
    if not _FORM.fullmatch(plain):
        return None
    row = ApiToken.all_advertisers.filter(prefix=_prefix(plain)).select_related("advertiser").first()
    if row is None or not hmac.compare_digest(row.digest, _digest(plain)):
        return None
    if row.revoked_at is not None or row.expires_at <= now:
        return None
    _note_use(row, now)
    return row


def revoke_token(token: ApiToken) -> None:
    """End a token at once; a second time changes nothing."""
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])


def live_tokens(advertiser: Advertiser, at: datetime | None = None) -> Any:
    """Return an advertiser's tokens that still open the API."""
    return ApiToken.objects.filter(advertiser=advertiser, revoked_at=None, expires_at__gt=at or timezone.now())


def _note_use(token: ApiToken, now: datetime) -> None:
    if token.last_used_at is None or token.last_used_at < now - _USE_PRECISION:
        ApiToken.all_advertisers.filter(pk=token.pk).update(last_used_at=now)
        token.last_used_at = now


def _prefix(plain: str) -> str:
    """Return the part that is stored readable: it finds the row and names the token in lists."""
    return plain.removeprefix(_BEGINNING)[:_PREFIX_LENGTH]


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
