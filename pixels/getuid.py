"""`/getuid` and its forms: a partner learns an advertiser's id of the browser (pixels.md 1.9). No fire, and no I/O.

    /getuid, /getuidnb, /getuidu   by a redirect to a host in the advertiser's list of partners
    /getuidj                       as JSON, for the advertiser's own pages
    /getuidp                       as a call of a function, for a script

Promise: by a redirect the id goes to hosts in the list of partners alone, as JSON to listed pages alone. A browser
that says no, or keeps no cookie, is `0`. Of a request nothing enters a body but the checked name of a function.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from audience.instants import now, unix_days
from pixels import answers, cookie, parsing
from pixels.answers import Answer
from pixels.catalogue import Catalogue, KnownAdvertiser, Picture
from pixels.cookies import Cookies
from pixels.firstparty import owner_of_host
from pixels.messages import cors, replies
from pixels.messages.errors import RequestError
from pixels.redirects import MUSTER_ID, NOBODY, Target, read_address
from pixels.steps import Browser, Limits, Request, check

_CALLBACK = re.compile(r"[A-Za-z0-9_$.]{1,64}")
_ID = f"${{{MUSTER_ID}}}"
_CHECKED = "&mb=1"


def may_be_known(cookies: Cookies, request: Request, values: Mapping[str, str]) -> bool:
    """Say whether a browser's id may be told: not where it has opted out (1.10), nor against a plain no (1.4).

    The one place that decides so for user sync. Whatever else is learnt of consent from `values` belongs here.
    """
    if values.get("consent") == "0" or "1" in request.headers.get_all("sec-gpc"):
        return False
    return not cookies.opt_outs_in(request.cookies())


class Asked(NamedTuple):
    """What a request asks: whose id, and where it is to go."""

    values: Mapping[str, str]
    owner: KnownAdvertiser | None = None
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the endpoint: how it reads a request, and what it says to an id."""

    read: Callable[[Request, Picture], Asked]
    say: Callable[[Asked, str], Answer]
    # Sends a browser without an id round once, to see whether it keeps one.
    checks: bool = True
    is_for_pages: bool = False


class GetUid:
    """Answer `/getuid` and its forms."""

    def __init__(self, catalogue: Catalogue, cookies: Cookies, limits: Limits) -> None:
        self._catalogue = catalogue
        self._cookies = cookies
        self._limits = limits

    def answer(self, request: Request) -> Answer:
        form = FORMS[request.path]
        if len(request.path) + len(request.query) + 14 > self._limits.line_bytes:
            return answers.LINE_TOO_LONG
        if request.method == "HEAD":
            return answers.plain_answer(is_script=False)
        if not self._catalogue.is_loaded:
            return answers.not_ready_answer()
        asked = form.read(request, self._catalogue.picture)
        if form.is_for_pages:
            return self._told_to_page(request, form, asked)
        return self._told(request, form, asked) if request.method == "GET" else answers.NOT_ALLOWED

    def _told_to_page(self, request: Request, form: Form, asked: Asked) -> Answer:
        """Answer a page whose origin is listed, or a request that no other page can read."""
        origin = request.headers.get("origin")
        if origin is not None and not self._is_listed(origin, asked.owner):
            return replies.refusal(RequestError.ORIGIN_NOT_ALLOWED)
        if request.method == "OPTIONS":
            return cors.preflight(origin, is_listed=origin is not None, allowed_headers="Content-Type")
        if request.method != "GET":
            return answers.NOT_ALLOWED
        answer = self._told(request, form, asked)
        return answer if origin is None else answer._replace(headers=[*answer.headers, *cors.listed(origin)])

    def _told(self, request: Request, form: Form, asked: Asked) -> Answer:
        if asked.owner is None or not may_be_known(self._cookies, request, asked.values):
            return form.say(asked, NOBODY)
        browser = self._browser(request)
        if browser.is_known:
            answer = form.say(asked, cookie.stored_id(asked.owner.id_key, browser.random))
        elif form.checks and not _is_checked(request):
            return check(request, browser)
        else:
            answer = form.say(asked, NOBODY)
        if browser.set_cookie is None:
            return answer
        return answer._replace(headers=[*answer.headers, ("set-cookie", browser.set_cookie)])

    def _browser(self, request: Request) -> Browser:
        is_first_party = owner_of_host(request, self._catalogue.picture) is not None
        return self._cookies.read(request.cookies(), is_first_party=is_first_party, today=unix_days(now()))

    def _is_listed(self, origin: str, owner: KnownAdvertiser | None) -> bool:
        origins = owner.page_origins if owner is not None else frozenset[str]()
        return cors.is_listed(origin, origins, is_development=self._cookies.is_plain_http)


def _read_redirect(request: Request, picture: Picture) -> Asked:
    """Read `?https://…`, percent-decoded once, or `?member=…&url=…`."""
    return _read_address(request, picture, _decoded)


def _read_encoded(request: Request, picture: Picture) -> Asked:
    """Read `?https://…` and leave it as it is encoded."""
    return _read_address(request, picture, str)


def _read_address(request: Request, picture: Picture, decode: Callable[[str], str]) -> Asked:
    if request.query[:5].lower() == "https":
        # The partner's address is the whole query. The signals of consent in it are as good for us.
        values: Mapping[str, str] = parsing.read(request.query, parsing.CONSENT_PARAMETERS)[0]
        text, owner = decode(request.query.removesuffix(_CHECKED)), owner_of_host(request, picture)
    else:
        values, owner = _read_member(request, picture)[:2]
        text = values.get("url", "")
    if owner is None and "member" not in values:
        return _asked_by(text, values, list(picture.advertisers.values()))
    return _asked_by(text, values, [owner] if owner else [])


def _asked_by(text: str, values: Mapping[str, str], owners: Sequence[KnownAdvertiser]) -> Asked:
    """Return where the id goes and whose it is: of the only one of these owners who has a partner there."""
    text = text.replace("$UID", _ID)
    if _ID not in text:
        place, mark, fragment = text.partition("#")
        text = f"{place}{_ID}{mark}{fragment}"
    target = read_address(text)
    found = [owner for owner in owners if target is not None and owner.partner_hosts.allow(target.host)]
    return Asked(values, found[0], target) if len(found) == 1 else Asked(values)


def _read_member(request: Request, picture: Picture) -> Asked:
    values, _ = parsing.read(request.query, parsing.GETUID_PARAMETERS)
    owner = host_owner = owner_of_host(request, picture)
    if "member" in values:
        owner = picture.advertisers.get(parsing.read_number(values["member"]) or 0)
    return Asked(values, owner if host_owner in (None, owner) else None)


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except ValueError:
        return ""


def _is_checked(request: Request) -> bool:
    return request.query == _CHECKED[1:] or request.query.endswith(_CHECKED)


def _redirect(asked: Asked, uid: str) -> Answer:
    location = asked.target.location(asked.values, uid) if asked.target else None
    plain = answers.plain_answer(is_script=False)
    return plain if location is None else answers.redirected(plain, location)


def _redirect_known(asked: Asked, uid: str) -> Answer:
    return answers.plain_answer(is_script=False) if uid == NOBODY else _redirect(asked, uid)


def _say_json(_: Asked, uid: str) -> Answer:
    return replies.json_answer(200, {"uid": uid})


def _say_call(asked: Asked, uid: str) -> Answer:
    plain, callback = answers.plain_answer(is_script=True), asked.values.get("callback", "")
    if not _CALLBACK.fullmatch(callback):
        return plain
    return plain._replace(body=f'/**/{callback}({{"uid":"{uid}"}})'.encode())


FORMS = {
    "/getuid": Form(_read_redirect, _redirect),
    "/getuidnb": Form(_read_redirect, _redirect_known, checks=False),
    "/getuidu": Form(_read_encoded, _redirect),
    "/getuidj": Form(_read_member, _say_json, is_for_pages=True),
    "/getuidp": Form(_read_member, _say_call),
}
