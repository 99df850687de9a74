"""Write keys of the HTTP API: public ones that stand in pages, and server keys that are shown once.

mw_4f9c2b7a1c0d5e8f      public: 16 hex digits; no secret
ms_…                     server: 256 random bits; only a prefix and the SHA-256 are stored
"""

import hashlib
import secrets

from django.contrib.auth.models import User
from django.utils import timezone

from audience.models import Advertiser, WriteKey

_PUBLIC, _SERVER = "mw_", "ms_"
_PREFIX_LENGTH = 12


def issue_write_key(
    advertiser: Advertiser, *, name: str, kind: WriteKey.Kind, created_by: User | None = None
) -> tuple[WriteKey, str]:
    """Make a write key; return its row and the key itself. A server key nobody can read again."""
    row = WriteKey(advertiser=advertiser, name=name, kind=kind, created_by=created_by)
    if kind == WriteKey.Kind.PUBLIC:
        plain = row.public_key = _PUBLIC + secrets.token_hex(8)
    else:
        plain = _SERVER + secrets.token_urlsafe(32)
        row.prefix, row.digest = plain.removeprefix(_SERVER)[:_PREFIX_LENGTH], digest_of(plain)
    row.save()
    return row, plain


def revoke_write_key(key: WriteKey) -> None:
    """Switch a key off at once; a second time changes nothing."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])


def digest_of(plain: str) -> str:
    """Return what is stored of a server key, for a door that keeps the digests in memory."""
    return hashlib.sha256(plain.encode()).hexdigest()
