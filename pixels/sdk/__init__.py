"""muster.js as browsers get it: read from its source, made small, with its name as an ETag (pixels.md 4.1)."""

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

import rjsmin

from pixels.answers import NOT_ALLOWED, Answer, Header

# The second one is for pages that want to keep this version of the calls.
PATHS = frozenset({"/muster.js", "/muster-1.js"})
SOURCE = Path(__file__).with_name("muster.js")
# What a page holds itself: stand-ins that take calls until the script is there.
SNIPPET = (
    "(function(w,m){m=w.muster=w.muster||{q:[]};"
    '"init page track identify group consent segments fire optOut optIn ready".split(" ").forEach(\n'
    "function(n){m[n]=m[n]||function(){var a=[].slice.call(arguments);"
    "return new Promise(function(r){m.q.push([n,a,r])})}})})(window);\n"
)
NOTICE = "/* muster.js 1: what it sends and stores is told in docs/muster-js.md of Muster. */\n"


class Form(NamedTuple):
    """One form in which the script is sent, and what is said to a browser that has it."""

    etag: str
    whole: Answer
    unchanged: Answer


def build(source: str) -> bytes:
    """Return the script without its comments and white space. Names stay, so that it can be read in a browser."""
    small: str = rjsmin.jsmin(source)
    return f"{NOTICE}{small}\n".encode()


def answer(method: str, accept_encoding: str | None, if_none_match: str | None) -> Answer:
    """Answer a request for the script, in a form that the browser takes."""
    if method not in ("GET", "HEAD"):
        return NOT_ALLOWED
    form = _PACKED if _takes_gzip(accept_encoding or "") else _PLAIN
    return form.unchanged if _has(form.etag, if_none_match or "") else form.whole


def _form(body: bytes, *encoding: Header) -> Form:
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    kept: list[Header] = [
        ("cache-control", "public, max-age=3600"),
        ("etag", etag),
        ("vary", "Accept-Encoding"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
    ]
    described = [("content-type", "text/javascript; charset=utf-8"), *encoding, *kept]
    return Form(etag, Answer(200, described, body), Answer(304, kept, b""))


def _takes_gzip(accept_encoding: str) -> bool:
    for item in accept_encoding.lower().split(","):
        name, _, weight = item.replace(" ", "").partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" if weight else True
    return False


def _has(etag: str, if_none_match: str) -> bool:
    """Say whether the browser has this very form. A proxy that packs an answer marks its name as weak."""
    names = {name.strip().removeprefix("W/") for name in if_none_match.split(",")}
    return etag in names or "*" in names


SCRIPT = build(SOURCE.read_text())
_PLAIN = _form(SCRIPT)
_PACKED = _form(gzip.compress(SCRIPT, 9, mtime=0), ("content-encoding", "gzip"))
