"""Whose browser sends a message: by its cookie, or by the signed id that muster.js keeps where cookies are blocked.

Promise: only a value that we have signed names a browser; nobody can choose one.
"""

from typing import NamedTuple

from audience.identity import Key
from audience.instants import Instant, unix_days
from audience.values import Object
from pixels import cookie
from pixels.catalogue import KnownAdvertiser
from pixels.cookie import BrowserId
from pixels.cookies import Cookies
from pixels.steps import Request

HEADER = "muster-id"


class Sending(NamedTuple):
    """The browser of one request. `set_cookie` and `new_id` tell a browser that has just got its id."""

    key: Key
    random: bytes
    set_cookie: str | None = None
    new_id: str | None = None


def known_browser(
    cookies: Cookies, request: Request, owner: KnownAdvertiser, told: str | None, at: Instant, *, is_first_party: bool
) -> Sending | None:
    """Return the browser that a request proves; `told` is the id in its body, beside that of the header."""
    today = unix_days(at)
    browser = cookies.read(request.cookies(), is_first_party=is_first_party, today=today)
    if browser.is_known:
        return Sending(_key(owner, browser.random), browser.random, browser.set_cookie)
    for value in (request.headers.get(HEADER), told):
        known = cookies.signer.verify(value) if value else None
        if known is not None and not known.is_over(today):
            return Sending(_key(owner, known.random), known.random)
    return None


def new_browser(
    cookies: Cookies, request: Request, owner: KnownAdvertiser, at: Instant, *, is_first_party: bool
) -> Sending:
    """Return a browser that gets its id now."""
    today = unix_days(at)
    browser = cookies.read(request.cookies(), is_first_party=is_first_party, today=today)
    value = cookies.signer.sign(BrowserId(browser.random, today, cookies.signer.key_id))
    return Sending(_key(owner, browser.random), browser.random, browser.set_cookie, value)


def told_id(content: Object) -> str | None:
    """Return the signed id in a body: that of its context, or of its first message's."""
    batch = content.get("batch")
    first = batch[0] if isinstance(batch, list) and batch else None
    for one in (content, first):
        context = one.get("context") if isinstance(one, dict) else None
        value = context.get("musterId") if isinstance(context, dict) else None
        if isinstance(value, str):
            return value
    return None


def names_nobody(content: Object) -> bool:
    """Say whether no message of a body brings an id that its client has made."""
    batch = content.get("batch")
    messages = batch if isinstance(batch, list) else [content]
    return not any(isinstance(one, dict) and one.get("anonymousId") for one in messages)


def _key(owner: KnownAdvertiser, random: bytes) -> Key:
    return cookie.key_of(owner.id, owner.id_key, random)
