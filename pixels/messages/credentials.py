"""Which write key a request brings: the user name of Basic auth, or `writeKey` in its body (pixels.md 4.2)."""

import binascii
from base64 import b64decode

from pixels.messages.errors import Refused, RequestError

_LONGEST_HEADER = 512


def read_key(authorization: str | None, told: object) -> str:
    """Return the key of a request; `told` is the body's `writeKey`. Raises `Refused`."""
    by_header = _user_of(authorization)
    by_body = told if isinstance(told, str) else ""
    if by_header and by_body and by_header != by_body:
        raise Refused(RequestError.WRITE_KEY_CONFLICT)
    key = by_header or by_body
    if not key:
        raise Refused(RequestError.MISSING_WRITE_KEY)
    return key


def _user_of(authorization: str | None) -> str:
    """Return the user name of Basic auth, empty where there is none."""
    scheme, _, encoded = (authorization or "")[:_LONGEST_HEADER].partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(encoded.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""
