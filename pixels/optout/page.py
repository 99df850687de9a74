"""The page on which a person opts out and in (pixels.md 1.10): plain words, one button, no script.

Promise: it cannot be framed, so nobody lays it under a button of theirs; and no text of a request stands in it.
"""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from pixels.answers import COMMON_HEADERS, Answer, Header

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "page.css").read_text()
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_HEADERS: list[Header] = [
    ("content-type", "text/html; charset=utf-8"),
    *COMMON_HEADERS,
    (
        "content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
    ),
    ("x-frame-options", "DENY"),
    # The form's POST has to say where it comes from.
    ("referrer-policy", "same-origin"),
]


def _page(**texts: str) -> Answer:
    html = (_FOLDER / "page.html").read_text().format(style=_STYLE, **texts)
    return Answer(200, _HEADERS, html.encode())


IN = _page(
    state="This browser takes part.",
    meaning="You can end that here.",
    action="/optout",
    button="Opt out",
)
OUT = _page(
    state="This browser has opted out.",
    meaning="If you opt in again, it starts with a new number; what was deleted stays deleted.",
    action="/optin",
    button="Opt in again",
)
