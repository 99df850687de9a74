"""Opting out and in without the transport: a request in, an answer out, or a no to commit before it.

A no may come from anywhere, a yes only from this host's own page or from a page that an advertiser has listed: the
worst that a stranger's page can do to a visitor is to opt the visitor out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from audience.instants import now
from pixels import answers
from pixels.answers import COMMON_HEADERS, Answer, Header, text_answer
from pixels.catalogue import Catalogue
from pixels.cookies import Cookies
from pixels.facts import Withdrawal
from pixels.firstparty import owner_of_host
from pixels.limits import Rate, network_of
from pixels.messages.cors import is_listed
from pixels.optout import noes, page
from pixels.steps import No, Request

PREFIX = "/opt"
POSTS_PER_ADDRESS = 30
_LONGEST_BODY = 1_024
_PAGE, _IMAGE, _IN = "/optout", "/optout.gif", "/optin"
_METHODS = {_PAGE: ("GET", "HEAD", "POST"), _IMAGE: ("GET", "HEAD"), _IN: ("POST",)}
_TOO_MANY = text_answer(
    429, "Too many requests from your network in a minute. Please try again later.\n", ("retry-after", "60")
)
_FOREIGN = text_answer(403, "Opting in is done on this host's own page, /optout, or on a page that is listed here.\n")
BUSY = text_answer(503, "Your choice could not be kept. Please try again in a moment.\n", ("retry-after", "5"))


@dataclass(frozen=True, slots=True)
class OptingOut:
    """A no that waits for its commit. Then `answer` is sent; `BUSY` where it cannot be stored."""

    withdrawal: Withdrawal
    answer: Answer


class OptOutEndpoint:
    """Answer `/optout`, `/optout.gif` and `/optin`."""

    def __init__(self, catalogue: Catalogue, cookies: Cookies, *, public_url: str) -> None:
        """`public_url` is the door's address as browsers know it."""
        self._catalogue = catalogue
        self._cookies = cookies
        self._own_origin = public_url
        self._posts = Rate(POSTS_PER_ADDRESS)

    def receive(self, request: Request, body: bytes) -> Answer | OptingOut:
        """Return the answer, or a no that has to be committed before its answer."""
        path, method = request.path, request.method
        if path not in _METHODS:
            return answers.NOT_FOUND
        if method not in _METHODS[path]:
            allowed = ", ".join(_METHODS[path])
            return text_answer(405, f"This address takes {allowed}.\n", ("allow", allowed))
        if method == "POST" and not self._posts.allows(network_of(request.address)):
            return _TOO_MANY
        if path == _IN:
            return self._opt_in(request)
        if path == _PAGE and method != "POST":
            return page.OUT if self._cookies.opt_outs_in(request.cookies()) else page.IN
        if method == "HEAD":
            return answers.plain_answer(is_script=False)
        return self._opt_out(request, body)

    def _opt_out(self, request: Request, body: bytes) -> Answer | OptingOut:
        if not self._catalogue.is_loaded:
            return BUSY  # nobody could say which identifiers the browser holds
        picture = self._catalogue.picture
        no = noes.say(self._cookies, request.cookies(), picture, owner_of_host(request, picture), _told_id(body))
        answer = _image(no) if request.path == _IMAGE else _see_page(no.set_cookies)
        return OptingOut(Withdrawal(now(), no.keys), answer) if no.keys else answer

    def _opt_in(self, request: Request) -> Answer:
        if not self._may_opt_in(request):
            return _FOREIGN
        return _see_page([style.line("", 0) for style in self._cookies.opt_outs])

    def _may_opt_in(self, request: Request) -> bool:
        origin, host, picture = request.headers.get("origin"), request.headers.get("host"), self._catalogue.picture
        if not origin:
            return False
        schemes = ("https", "http") if self._cookies.is_plain_http else ("https",)
        if origin == self._own_origin or any(origin == f"{scheme}://{host}" for scheme in schemes):
            return True
        host_owner = owner_of_host(request, picture)
        owners = picture.advertisers.values() if host_owner is None else [host_owner]
        is_development = self._cookies.is_plain_http
        return any(is_listed(origin, owner.page_origins, is_development=is_development) for owner in owners)


def _image(no: No) -> Answer:
    image = answers.plain_answer(is_script=False)
    return image._replace(headers=[*image.headers, *_set(no.set_cookies)])


def _see_page(set_cookies: Sequence[str]) -> Answer:
    return Answer(303, [*COMMON_HEADERS, ("location", _PAGE), *_set(set_cookies)], b"")


def _set(lines: Sequence[str]) -> list[Header]:
    return [("set-cookie", line) for line in lines]


def _told_id(body: bytes) -> str | None:
    """Return the signed id that muster.js keeps for its site, where a body tells it; a form's body tells nothing."""
    if not body or len(body) > _LONGEST_BODY:
        return None
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = told.get("musterId") if isinstance(told, dict) else None
    return value if isinstance(value, str) else None
