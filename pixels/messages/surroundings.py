"""What surrounds a message: what its request shows of the sender, and what of a page call's addresses is kept."""

from typing import Any

from audience.context.page import kept_path, page_fields
from audience.context.reading import Seen
from pixels.steps import Request

# Properties of a page call that hold addresses; `search` is a query string and nothing else.
_ADDRESSES = ("url", "referrer")
_QUERY = "search"


def seen_of(request: Request, *, is_server: bool) -> Seen:
    """Return what a request shows of a browser. That of a server shows a server, where nobody is."""
    if is_server:
        return Seen(channel="server")
    headers = request.headers
    page = headers.get("referer") or ""
    return Seen(
        agent=headers.get("user-agent") or "",
        address=request.address,
        page=page,
        language=headers.get("accept-language") or "",
        channel="web" if page or headers.get("origin") else "",
    )


def cut_addresses(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a page call with its addresses cut as its context's are."""
    kept = {name: value for name, value in properties.items() if name != _QUERY}
    for name in _ADDRESSES:
        if isinstance(kept.get(name), str):
            kept[name] = page_fields(kept[name]).get("url", "")
    if isinstance(kept.get("path"), str):
        kept["path"] = kept_path(kept["path"].partition("?")[0].partition("#")[0])
    return kept
