"""How a page proves which user it speaks for: a hash that the site's own server has made (pixels.md 4.3).

`userHash` is hex HMAC-SHA256(identity secret, "user:" + userId), `groupHash` the same with "group:". An advertiser
has up to two live secrets, so that one can be replaced without a gap.
"""

import hmac
import secrets
from collections.abc import Collection
from typing import Literal

import structlog
from django.db import transaction

from audience.models import Advertiser, IdentitySecret
from audience.sealing import Unreadable, is_under_first_key, seal, unseal

log = structlog.get_logger(__name__)

LIVE_SECRETS = 2
What = Literal["user", "group"]


def hash_of(secret: str, what: What, id_: str) -> str:
    """Return the hash that proves a user or group id."""
    return hmac.new(secret.encode(), f"{what}:{id_}".encode(errors="replace"), "sha256").hexdigest()


def is_proven(live: Collection[str], what: What, id_: str, claimed: str) -> bool:
    """Say whether a hash was made with one of the live secrets; compared in constant time."""
    given = claimed.encode(errors="replace")
    found = [hmac.compare_digest(hash_of(secret, what, id_).encode(), given) for secret in live]
    return any(found)


def make_secret(advertiser: Advertiser) -> str:
    """Make an advertiser's new secret and return it: it is shown once. Of the others the newest stays live."""
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        # Two at once wait for each other here.
        Advertiser.objects.select_for_update(no_key=True).get(pk=advertiser.pk)
        stored = IdentitySecret.all_advertisers.filter(advertiser=advertiser).order_by("-pk")
        others = [row.pk for row in stored[LIVE_SECRETS - 1 :]]
        IdentitySecret.all_advertisers.filter(pk__in=others).delete()
        IdentitySecret.all_advertisers.create(advertiser=advertiser, sealed=seal(_place(advertiser.pk), secret))
    return secret


def open_secret(advertiser_id: int, sealed: str) -> str:
    """Return a secret of an advertiser from its sealed form. Raises `Unreadable`."""
    return unseal(_place(advertiser_id), sealed)


def live_secrets() -> dict[int, list[str]]:
    """Return the live secrets by advertiser id, the newest first, for a door that keeps them in memory.

    One that does not open (its key is lost) is logged and left out: it must not close the door for all the others.
    """
    found: dict[int, list[str]] = {}
    for row in IdentitySecret.all_advertisers.order_by("-pk"):
        try:
            secret = unseal(_place(row.advertiser_id), row.sealed)
        except Unreadable:
            log.error("identity_secret_unreadable", advertiser=row.advertiser_id)
        else:
            found.setdefault(row.advertiser_id, []).append(secret)
    return found


def rotate(stored: IdentitySecret) -> bool:
    """Seal a secret anew under the first key; return whether that was needed. Raises `Unreadable`."""
    if is_under_first_key(stored.sealed):
        return False
    place = _place(stored.advertiser_id)
    stored.sealed = seal(place, unseal(place, stored.sealed))
    stored.save(update_fields=["sealed"])
    return True


def _place(advertiser_id: int) -> bytes:
    return f"{advertiser_id}:identity".encode()
