"""From the bytes of a body to JSON values (pixels.md 4.2); `audience.values` says which of those may be stored.

Whatever stands in one message spoils no other: bytes that are no UTF-8 become U+FFFD, and what is nested too deep for
a parser is cut to a depth that is still refused.
"""

import json
import re
import zlib
from typing import Any, Never

from audience.values import Object
from pixels.messages.errors import Refused, RequestError

BODY_BYTES = 500 << 10
EVENTS = 2_500
# No number that may be stored has more; and Python reads no digits beyond 4,300.
_LONGEST_DIGITS = 400

_GZIP = b"\x1f\x8b"
# Strings whole, so that brackets in them do not count; of a string without an end the rest.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[{]|[\]}]|[^"\[\]{}]+', re.DOTALL)
_KEPT_DEPTH = 20


def read(body: bytes) -> Object:
    """Return the object that a body holds, packed by gzip or not. Raises `Refused`."""
    text = unpack(body).decode(errors="replace").removeprefix("\ufeff")
    try:
        value = _parse(text)
    except RecursionError:
        value = _parse(_shallow(text))
    if not isinstance(value, dict):
        raise Refused(RequestError.INVALID_JSON)
    return value


def unpack(body: bytes) -> bytes:
    """Return the unpacked bytes. No more than the limit is ever unpacked."""
    if body[:2] == _GZIP:
        body = _gunzip(body)
    if len(body) > BODY_BYTES:
        raise Refused(RequestError.PAYLOAD_TOO_LARGE)
    return body


def _gunzip(body: bytes) -> bytes:
    unpacked = b""
    try:
        while body:  # a file of gzip may have several members
            unpacker = zlib.decompressobj(wbits=31)
            unpacked += unpacker.decompress(body, BODY_BYTES + 1 - len(unpacked))
            if len(unpacked) > BODY_BYTES:
                break
            if not unpacker.eof:
                raise Refused(RequestError.INVALID_JSON)
            body = unpacker.unused_data
    except zlib.error:
        raise Refused(RequestError.INVALID_JSON) from None
    return unpacked


def _parse(text: str) -> Any:
    try:
        return _parser.decode(text)
    except ValueError:
        raise Refused(RequestError.INVALID_JSON) from None


def _refuse_constant(_: str) -> Never:
    raise ValueError("NaN and Infinity are no JSON.")


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_DIGITS else float("inf")


# `json.loads` makes a decoder for every body that it reads.
_parser = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole_number)


def _shallow(text: str) -> str:
    """Return JSON whose containers below a depth are each the number 0."""
    kept: list[str] = []
    depth = 0
    for token in _TOKENS.findall(text):
        depth += token in ("[", "{")
        if depth <= _KEPT_DEPTH:
            kept.append(token)
        elif depth == _KEPT_DEPTH + 1 and token in ("[", "{"):
            kept.append("0")
        depth -= token in ("]", "}")
    return "".join(kept)
