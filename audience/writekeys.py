"""Write keys of the HTTP API: public ones that stand in pages, and server keys that are shown once.

mw_4f9c2b7a1c0d5e8f      public: 16 hex digits; no secret
ms_…                     server: 256 random bits; only a prefix and the SHA-256 are stored
"""

import hashlib
import hmac
import re
import secrets

from django.contrib.auth.models import User
from django.utils import timezone

from audience.models import Advertiser, WriteKey

_PUBLIC, _SERVER = "mw_", "ms_"
_PREFIX_LENGTH = 12
_PUBLIC_FORM = re.compile(_PUBLIC + r"[0-9a-f]{8,37}")
_SERVER_FORM = re.compile(_SERVER + r"[A-Za-z0-9_-]{43}")


def issue_write_key(
    advertiser: Advertiser, *, name: str, kind: WriteKey.Kind, created_by: User | None = None
) -> tuple[WriteKey, str]:
    """Make a write key; return its row and the key itself. A server key nobody can read again."""
    row = WriteKey(advertiser=advertiser, name=name, kind=kind, created_by=created_by)
    if kind == WriteKey.Kind.PUBLIC:
        plain = row.public_key = _PUBLIC + secrets.token_hex(8)
    else:
        plain = _SERVER + secrets.token_urlsafe(32)
        row.prefix, row.digest = _prefix(plain), digest_of(plain)
    row.save()
    return row, plain


def find_write_key(plain: str) -> WriteKey | None:
    """Return the live key that was given as text; None for an unknown or revoked one.

    It looks through all advertisers, because the key is what says for whom the sender writes.
    """
    live = WriteKey.all_advertisers.filter(revoked_at=None)
    if _PUBLIC_FORM.fullmatch(plain):
        return live.filter(public_key=plain).first()
    if not _SERVER_FORM.fullmatch(plain):
        return None
    row = live.filter(prefix=_prefix(plain)).first()
    return row if row is not None and hmac.compare_digest(row.digest, digest_of(plain)) else None


def revoke_write_key(key: WriteKey) -> None:
    """Switch a key off at once; a second time changes nothing."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])


def digest_of(plain: str) -> str:
    """Return what is stored of a server key, for a door that keeps the digests in memory."""
    return hashlib.sha256(plain.encode()).hexdigest()


def _prefix(plain: str) -> str:
    return plain.removeprefix(_SERVER)[:_PREFIX_LENGTH]
