"""What of a message's `context` is kept: the fields of rules.md 1.5, each cut to what may be stored.

Addresses of pages lose their query string and what stands behind `#`, as a Referer does; the sender's address is not
kept at all.
"""

from typing import Any
from urllib.parse import urlsplit

from pixels.messages.bodies import LONGEST_NAME, clean_text
from pixels.messages.errors import Bad
from pixels.pages import LONGEST_PATH, read_address

LONGEST_ADDRESS = 2_048
# Properties of a page call that hold addresses; `search` is a query string and nothing else.
_ADDRESSES = ("url", "referrer")
_QUERY = "search"


def context_of(context: dict[str, Any], *, is_server: bool) -> dict[str, Any]:
    """Return the known fields of a message's context, by group. What cannot be read is left out."""
    page = context.get("page")
    page = page if isinstance(page, dict) else {}
    address = cut(_text(page.get("url"), LONGEST_ADDRESS))
    place = read_address(address)
    fields: dict[str, Any] = {
        "page": _known(
            url=address,
            host=place.host,
            path=(place.path or _text(page.get("path"), LONGEST_PATH).partition("?")[0])[:LONGEST_PATH],
            title=_text(page.get("title"), LONGEST_NAME),
        ),
        "language": _text(context.get("locale"), 40),
        "time_zone": _text(context.get("timezone"), 64),
        "channel": "server" if is_server else "web",
    }
    return {name: value for name, value in fields.items() if value}


def cut(address: str) -> str:
    """Return an http(s) address without query string and fragment; empty for anything else."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def cut_addresses(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a page call with its addresses cut as its context's are."""
    kept = {name: value for name, value in properties.items() if name != _QUERY}
    for name in _ADDRESSES:
        if isinstance(kept.get(name), str):
            kept[name] = cut(kept[name])
    return kept


def _text(value: object, longest: int) -> str:
    try:
        return clean_text(value, longest)
    except Bad:
        return ""


def _known(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}
