"""Which pages may call, and read the answer: headers for `Origin`, and the preflight (pixels.md 1.11, 4.2).

Promise: credentials are allowed to the exact origins in the advertiser's list and to no other; `*` never goes with
them.
"""

from collections.abc import Collection

from pixels.answers import COMMON_HEADERS, Answer, Header

MAX_AGE_SECONDS = 7_200
_VARY: Header = ("vary", "Origin")
_ANYBODY: list[Header] = [("access-control-allow-origin", "*"), _VARY]
_LOCAL = ("http://localhost", "http://127.0.0.1")


def is_listed(origin: str | None, origins: Collection[str], *, is_development: bool) -> bool:
    """Say whether an advertiser's list holds this very origin. Plain http is for one's own machine alone."""
    if not origin or origin not in origins:
        return False
    return origin.startswith("https://") or (is_development and _is_local(origin))


def headers_of(origin: str | None, *, is_listed: bool) -> list[Header]:
    """Return what lets a page read the answer of a message; nothing where no page asks."""
    if not origin:
        return []
    return listed(origin) if is_listed else _ANYBODY


def listed(origin: str) -> list[Header]:
    """Return what lets a listed origin read an answer that rests on its cookie."""
    return [("access-control-allow-origin", origin), ("access-control-allow-credentials", "true"), _VARY]


def preflight(origin: str | None, *, is_listed: bool, allowed_headers: str) -> Answer:
    """Return what a browser asks for before it sends."""
    headers = [
        *COMMON_HEADERS,
        *headers_of(origin, is_listed=is_listed),
        ("access-control-allow-methods", "GET, POST"),
        ("access-control-allow-headers", allowed_headers),
        ("access-control-max-age", str(MAX_AGE_SECONDS)),
    ]
    return Answer(204, headers, b"")


def _is_local(origin: str) -> bool:
    return any(origin == place or origin.startswith(f"{place}:") for place in _LOCAL)
