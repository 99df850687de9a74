"""From the bytes of a body to JSON values that PostgreSQL takes, with every limit of pixels.md 4.2.

Whatever stands in one message spoils no other: bytes that are no UTF-8, NUL and lone surrogates become U+FFFD, and
what is nested too deep for a parser is cut to a depth that is still refused.
"""

import json
import re
import zlib
from typing import Any, Never

from pixels.messages.errors import Bad, MessageError, Refused, RequestError

BODY_BYTES = 500 << 10
EVENT_BYTES = 32 << 10
EVENTS = 2_500
PROPERTIES = 255
DEPTH = 5
LONGEST_NAME = 255
LONGEST_TEXT = 8_192
# Beyond the numbers that others can read; and Python reads no digits beyond 4,300.
LARGEST_NUMBER = 1.7e308
_LONGEST_DIGITS = 400

_GZIP = b"\x1f\x8b"
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# Strings whole, so that brackets in them do not count; of a string without an end the rest.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[{]|[\]}]|[^"\[\]{}]+', re.DOTALL)
_KEPT_DEPTH = 20

Object = dict[str, Any]


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


def check_size(message: Object) -> None:
    """Refuse a message that is larger than 32 kB as compact JSON. Raises `Bad`."""
    try:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise Bad(MessageError.TOO_DEEP) from None
    if len(text.encode(errors="replace")) > EVENT_BYTES:
        raise Bad(MessageError.TOO_LARGE)


def clean_object(value: object) -> Object:
    """Return properties or traits as they may be stored; nothing is an empty object. Raises `Bad`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Bad(MessageError.BAD_TYPE)
    if len(value) > PROPERTIES:
        raise Bad(MessageError.TOO_MANY_PROPERTIES)
    cleaned: Object = _clean(value, 1)
    return cleaned


def clean_text(value: object, longest: int) -> str:
    """Return a text, empty where there is none; whole numbers are taken as their digits. Raises `Bad`."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER:
        value = str(value)
    if not isinstance(value, str):
        raise Bad(MessageError.BAD_TYPE)
    if len(value) > longest:
        raise Bad(MessageError.TOO_LARGE)
    return _NO_TEXT.sub("\ufffd", value)


def dump(value: Object) -> str:
    """Return JSON text of what `clean_object` gave."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value, LONGEST_TEXT)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
            raise Bad(MessageError.TOO_LARGE)
        return value
    if depth > DEPTH:
        raise Bad(MessageError.TOO_DEEP)
    if isinstance(value, list):
        return [_clean(one, depth + 1) for one in value]
    return {clean_text(name, LONGEST_NAME): _clean(one, depth + 1) for name, one in value.items()}


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
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number)
    except ValueError:
        raise Refused(RequestError.INVALID_JSON) from None


def _refuse_constant(_: str) -> Never:
    raise ValueError("NaN and Infinity are no JSON.")


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_DIGITS else float("inf")


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
