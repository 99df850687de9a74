"""What a query string says (pixels.md §0, 1.1): parameters by name, list items, numbers, values, lifetimes.

Nothing here knows an advertiser or a segment. All of it takes any text and raises nothing.
"""

import string
from collections.abc import Mapping, Set
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from pixels.reasons import Reason

LARGEST_VALUE = 2_147_483_647
LIST_PARAMETERS = frozenset({"add", "add_code", "remove", "remove_code", "seg", "seg_code"})
CONSENT_PARAMETERS = frozenset({"gdpr", "gdpr_consent", "gpp", "gpp_sid", "us_privacy", "consent"})
_SIGNING_PARAMETERS = frozenset({"sig", "n", "cid"})
KNOWN_PARAMETERS = (
    LIST_PARAMETERS
    | CONSENT_PARAMETERS
    | _SIGNING_PARAMETERS
    | {
        *("member", "value", "keep", "other", "t", "redir", "pid", "pg", "eid", "order_id", "mb"),
    }
)
# Those of `/px`, where `id` is the pixel's number.
PX_PARAMETERS = KNOWN_PARAMETERS | {"id"}
# User sync (1.9).
SETUID_PARAMETERS = (
    CONSENT_PARAMETERS
    | _SIGNING_PARAMETERS
    | {
        *("member", "partner", "user", "other", "pid", "pg", "eid", "mb"),
    }
)
MAPUID_PARAMETERS = SETUID_PARAMETERS - {"partner"} | {"seg", "seg_code", "keep"}
GETUID_PARAMETERS = CONSENT_PARAMETERS | {"member", "url", "callback", "mb"}
# Of a tag's free text, so much is kept.
LONGEST_OTHER = 64
# An id above every number that we give out; longer numbers are not worth the arithmetic.
_BEYOND_ALL_NUMBERS = 10**18
_CODE_SIGNS = string.ascii_letters + string.digits + "_-"
_MINUTES_OF_UNIT = {"m": 1, "h": 60, "d": 24 * 60}
# Ten years and more: every lifetime above is shortened to the segment's longest anyway.
_LONGEST_LIFETIME_DIGITS = 7

Do = Literal["add", "remove"]


class Item(NamedTuple):
    """One action as the tag wrote it. `name` is a segment's number, or its code; empty texts are absent."""

    do: Do
    name: str
    is_code: bool = False
    value: str = ""
    lifetime: str = ""


def read(query: str, known: Set[str] = KNOWN_PARAMETERS) -> tuple[dict[str, str], Reason | None]:
    """Return the known parameters that are not empty, percent-decoded once, and what is wrong with the query.

    A repeated list parameter is joined by a comma. Of any other repeated one the first counts: with the fault it
    decides nothing but whose live view shows the fire. What cannot be decoded is left out.
    """
    values: dict[str, str] = {}
    fault = None if query.isprintable() or _is_text(query) else Reason.BAD_ENCODING
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if "%" in pair:
            try:
                name, value = _decode(name), _decode(value)
            except ValueError:
                fault = Reason.BAD_ENCODING
                continue
        if not value or name not in known:
            continue
        if name not in values:
            values[name] = value
        elif name in LIST_PARAMETERS:
            values[name] += "," + value
        elif name != "mb":  # ours, from the cookie check
            fault = fault or Reason.REPEATED_PARAMETER
    return values, fault


def read_items(values: Mapping[str, str], add: str = "add") -> list[Item]:
    """Return what a tag asks for: adds, then removes. An item's own value and lifetime beat `value` and `keep`.

    `add` is the parameter that names what to add.
    """
    items: list[Item] = []
    value, lifetime = values.get("value", ""), values.get("keep", "")
    for parameter, is_code in ((add, False), (f"{add}_code", True)):
        for text in values.get(parameter, "").split(","):
            if text:
                name, _, rest = text.partition(":")
                own_value, _, own_lifetime = rest.partition(":")
                items.append(Item("add", name, is_code, own_value or value, own_lifetime or lifetime))
    for parameter, is_code in (("remove", False), ("remove_code", True)):
        for text in values.get(parameter, "").split(","):
            if text:
                items.append(Item("remove", text, is_code))
    return items


def read_number(text: str) -> int | None:
    """Return a positive whole number, None for anything else."""
    if not (text.isdigit() and text.isascii()):
        return None
    digits = text.lstrip("0")
    if len(digits) > 18:
        return _BEYOND_ALL_NUMBERS
    return int(digits) if digits else None


def is_code(text: str) -> bool:
    """Say whether `text` is `[A-Za-z0-9_-]{1,50}`."""
    return 0 < len(text) <= 50 and not text.strip(_CODE_SIGNS)


def read_value(text: str) -> int | Reason:
    """Return a whole number from 0 to 2147483647, or why it is none (2.3). Nothing is ever cut or wrapped."""
    if text.isdigit() and text.isascii():
        digits = text.lstrip("0")
        if len(digits) > 10 or (value := int(digits or "0")) > LARGEST_VALUE:
            return Reason.VALUE_OVERFLOW
        return value
    return Reason.PLACEHOLDER_LEFT if is_placeholder(text) else Reason.BAD_VALUE


def is_placeholder(text: str) -> bool:
    """Say whether a tag manager has left its placeholder: `[VALUE]`, `{{x}}`, `${x}`."""
    return (text.startswith("[") and text.endswith("]")) or (text.startswith(("{{", "${")) and text.endswith("}"))


def read_lifetime(text: str) -> int | Reason:
    """Return minutes: `90`, `90m`, `36h` or `7d`. 0, a sign and any other text are `bad_lifetime` (2.2)."""
    unit = 1
    if text[-1:] in _MINUTES_OF_UNIT:
        text, unit = text[:-1], _MINUTES_OF_UNIT[text[-1]]
    if not (text.isdigit() and text.isascii()):
        return Reason.BAD_LIFETIME
    digits = text.lstrip("0")[: _LONGEST_LIFETIME_DIGITS + 1]
    return int(digits) * unit if digits else Reason.BAD_LIFETIME


def _decode(text: str) -> str:
    """Percent-decode once. Raises ValueError for what is no UTF-8 or holds a control character."""
    if "%" not in text:
        return text
    decoded = unquote_to_bytes(text).decode()
    if not decoded.isprintable() and not _is_text(decoded):
        raise ValueError("control character")
    return decoded


def _is_text(text: str) -> bool:
    """Say whether there is no control character and no half of a surrogate pair."""
    return not any(sign < " " or "\x7f" <= sign <= "\x9f" or "\ud800" <= sign <= "\udfff" for sign in text)
