"""JSON values that others send, as they may be stored: bounded in size, depth and number, and fit for PostgreSQL.

NUL and lone surrogates become U+FFFD. What is too large or nested too deep is refused, never cut.
"""

import json
import re
from typing import Any, Literal

import orjson

LARGEST_BYTES = 32 << 10
PROPERTIES = 255
DEPTH = 5
LONGEST_NAME = 255
LONGEST_TEXT = 8_192
# Beyond the numbers that others can read.
LARGEST_NUMBER = 1.7e308

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# `json.dumps` makes an encoder for every value that it writes.
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Object = dict[str, Any]
Reason = Literal["bad_type", "too_large", "too_deep", "too_many_properties"]


class BadValue(ValueError):
    """A value that cannot be stored, with the reason by its code."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def check_size(value: Object) -> None:
    """Refuse an object that is larger than 32 kB as compact JSON. Raises `BadValue`."""
    try:
        text = _write(value)
    except RecursionError:
        raise BadValue("too_deep") from None
    if len(text.encode(errors="replace")) > LARGEST_BYTES:
        raise BadValue("too_large")


def clean_object(value: object) -> Object:
    """Return properties or traits as they may be stored; nothing is an empty object. Raises `BadValue`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadValue("bad_type")
    if len(value) > PROPERTIES:
        raise BadValue("too_many_properties")
    cleaned: Object = _clean(value, 1)
    return cleaned


def clean_dump(value: object) -> str:
    """Return the same as JSON text. Most objects are small and plain, and their text shows it. Raises `BadValue`."""
    text = _plain(value) if isinstance(value, dict) else None
    return dump(clean_object(value)) if text is None else text


def _plain(value: Object) -> str | None:
    """Return the JSON text of an object in which nothing can be wrong; None where something may be.

    None of its names and texts is longer than the whole, it is nested no deeper than it has brackets, and a number
    that is too large is written as null.
    """
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:  # lone surrogates, numbers of more than 64 bits
        return None
    is_large = len(text) > LONGEST_NAME or text.count(b"{") + text.count(b"[") > DEPTH
    return None if is_large or b"null" in text or b"\\u0000" in text else text.decode()


def clean_text(value: object, longest: int) -> str:
    """Return a text, empty where there is none; whole numbers are taken as their digits. Raises `BadValue`."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER:
        value = str(value)
    if not isinstance(value, str):
        raise BadValue("bad_type")
    if len(value) > longest:
        raise BadValue("too_large")
    # What cannot be stored is not printable either, and that is asked ten times as fast.
    return value if value.isprintable() else _NO_TEXT.sub("\ufffd", value)


def dump(value: Object) -> str:
    """Return JSON text of what `clean_object` gave."""
    if not value:
        return "{}"
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        return _write(value)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value, LONGEST_TEXT)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
            raise BadValue("too_large")
        return value
    if depth > DEPTH:
        raise BadValue("too_deep")
    if isinstance(value, list):
        return [_clean(one, depth + 1) for one in value]
    return {clean_text(name, LONGEST_NAME): _clean(one, depth + 1) for name, one in value.items()}
