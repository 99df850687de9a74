"""Secrets at rest: sealed under a key that is not in the database, for one place only.

Promise: what `seal` returns opens for the same place only; moved to another row it does not.
`settings.DELIVERY_KEYS` holds Fernet keys (32 bytes as URL-safe Base64): the first seals, all open.
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

VERSION = "v1"
NONCE_BYTES = 12


class Unreadable(ValueError):
    """A secret does not open: it is another place's, its key is lost, or a byte of it has changed."""


def seal(place: bytes, secret: str) -> str:
    """Return a secret encrypted and authenticated for one place: `v1:KEY NAME:BASE64`."""
    key = settings.DELIVERY_KEYS[0]
    nonce = os.urandom(NONCE_BYTES)
    box = nonce + AESGCM(_derive(key, b"seal")).encrypt(nonce, secret.encode(), place)
    return f"{VERSION}:{_key_name(key)}:{base64.b64encode(box).decode()}"


def unseal(place: bytes, sealed: str) -> str:
    """Return the secret; raises `Unreadable`."""
    try:
        _, key_name, text = sealed.split(":")
        box = base64.b64decode(text)
        key = next(key for key in settings.DELIVERY_KEYS if _key_name(key) == key_name)
        return AESGCM(_derive(key, b"seal")).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], place).decode()
    except (InvalidTag, StopIteration, ValueError) as error:
        raise Unreadable from error


def is_under_first_key(sealed: str) -> bool:
    """Say whether a secret is sealed under the key that seals now."""
    return sealed.split(":")[1] == _key_name(settings.DELIVERY_KEYS[0])


def keyed_digest(text: str) -> str:
    """Return a digest that nobody without our keys can try passwords against."""
    return hmac.new(_derive(settings.DELIVERY_KEYS[0], b"digest"), text.encode(), "sha256").hexdigest()


def _derive(key: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"muster delivery " + purpose).derive(base64.urlsafe_b64decode(key))


def _key_name(key: str) -> str:
    return hashlib.sha256(base64.urlsafe_b64decode(key)).hexdigest()[:8]
