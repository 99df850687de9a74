"""Secrets at rest: sealed under a key that is not in the database, for one destination and one purpose.

Promise: what `seal` returns opens for the same advertiser, destination and kind of secret only; moved to another row
it does not. `settings.DELIVERY_KEYS` holds Fernet keys (32 bytes as URL-safe Base64): the first seals, all open.
"""

import base64
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from exports.models import Destination, DestinationSecret
from exports.reasons import DeliveryError

VERSION = "v1"
NONCE_BYTES = 12


def keep_secret(destination: Destination, kind: str, secret: str, *, set_by: str) -> None:
    """Seal a secret of a destination and store it in place of an earlier one."""
    DestinationSecret.objects.filter(destination=destination, kind=kind).delete()
    DestinationSecret.objects.create(
        destination=destination, kind=kind, sealed=seal(_place(destination, kind), secret), set_by=set_by
    )


def drop_secret(destination: Destination, kind: str) -> None:
    """Forget a secret of a destination."""
    DestinationSecret.objects.filter(destination=destination, kind=kind).delete()


def secret_of(destination: Destination, kind: str) -> str | None:
    """Open a stored secret; None where there is none. Raises `DeliveryError` secret_unreadable."""
    stored = DestinationSecret.objects.filter(destination=destination, kind=kind).first()
    return None if stored is None else unseal(_place(destination, kind), stored.sealed)


def rotate(stored: DestinationSecret) -> bool:
    """Seal a secret anew under the first key; return whether that was needed."""
    if stored.sealed.split(":")[1] == _key_name(settings.DELIVERY_KEYS[0]):
        return False
    place = _place(stored.destination, stored.kind)
    stored.sealed = seal(place, unseal(place, stored.sealed))
    stored.save(update_fields=["sealed"])
    return True


def seal(place: bytes, secret: str) -> str:
    """Return a secret encrypted and authenticated for one place: `v1:KEY NAME:BASE64`."""
    key = settings.DELIVERY_KEYS[0]
    nonce = os.urandom(NONCE_BYTES)
    box = nonce + AESGCM(_derive(key, b"seal")).encrypt(nonce, secret.encode(), place)
    return f"{VERSION}:{_key_name(key)}:{base64.b64encode(box).decode()}"


def unseal(place: bytes, sealed: str) -> str:
    """Return the secret; raises `DeliveryError` secret_unreadable for another place, a lost key or a changed byte."""
    try:
        _, key_name, text = sealed.split(":")
        box = base64.b64decode(text)
        key = next(key for key in settings.DELIVERY_KEYS if _key_name(key) == key_name)
        return AESGCM(_derive(key, b"seal")).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], place).decode()
    except (InvalidTag, StopIteration, ValueError) as error:
        raise DeliveryError("secret_unreadable") from error


def keyed_digest(text: str) -> str:
    """Return a digest that nobody without our keys can try passwords against."""
    return hmac.new(_derive(settings.DELIVERY_KEYS[0], b"digest"), text.encode(), "sha256").hexdigest()


def _place(destination: Destination, kind: str) -> bytes:
    return f"{destination.advertiser_id}:{destination.pk}:{kind}".encode()


def _derive(key: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"muster delivery " + purpose).derive(base64.urlsafe_b64decode(key))


def _key_name(key: str) -> str:
    return hashlib.sha256(base64.urlsafe_b64decode(key)).hexdigest()[:8]
