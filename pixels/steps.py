"""The order of checks of a fire (pixels.md §0): one list of steps; the first that drops it gives the reason.

Whose fire it is has been found before, as far as it can be read, so that a marketer sees refused fires too. A step of
the line looks at nothing but what a tag says, so it is asked once for all fires of that tag; a step of the request
looks at the browser, the clock or counters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import quote

from audience.identity import Key
from audience.instants import Instant
from pixels import agents, parsing
from pixels.answers import Answer, check_answer
from pixels.limits import Rate, network_of
from pixels.personal import holds_personal_data
from pixels.reading import Drop, Reading
from pixels.reasons import Reason


class Headers(Protocol):
    """The headers of a request, by name in lower case."""

    def get(self, name: str, /) -> str | None: ...

    def get_all(self, name: str, /) -> list[str]: ...


@dataclass(slots=True)
class Request:
    """One request as a transport hands it over: `query` as it was sent, `address` the client's own.

    `request_id` is the word of a proxy of ours; None where there is none.
    """

    method: str
    path: str
    query: str
    headers: Headers
    address: str
    request_id: str | None = None

    def cookies(self) -> str:
        """Return all cookies in one line. HTTP/1.1 has one Cookie line; others may have several."""
        lines = self.headers.get_all("cookie")
        return lines[0] if len(lines) == 1 else "; ".join(lines)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold, and how many of them may come in a minute (0: any number)."""

    query_bytes: int = 8192
    line_bytes: int = 16384
    actions: int = 100
    fires_per_browser: int = 120
    fires_per_address: int = 6000


class Browser(NamedTuple):
    """The browser that fires: its cookie's random bytes, and the line that gives it a new cookie."""

    random: bytes
    is_known: bool = False
    set_cookie: str | None = None
    is_reminted: bool = False


class No(NamedTuple):
    """A browser's no: the cookie lines that keep it and take the id away, and the identifiers that the id was."""

    set_cookies: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclass(slots=True)
class Draft:
    """One fire on its way through the steps."""

    request: Request
    at: Instant
    reading: Reading
    agent: agents.Agent
    browser: Browser | None = None
    no: No | None = None
    is_replayed: bool = False


OfLine = Callable[[Reading], Reason | None]
OfRequest = Callable[[Draft], Reason | Answer | None]


class Steps:
    """The list of steps, with the limits and the counters that some of them need."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._browsers = Rate(limits.fires_per_browser)
        self._addresses = Rate(limits.fires_per_address)
        self._of_line: list[tuple[int, OfLine]] = [
            (0, self.drop_too_long),
            (1, drop_badly_written),
            # 2, of the request: the opt-out cookie
            (3, drop_personal_data),
            (4, drop_without_advertiser),
            (5, drop_without_pixel),
            (5, drop_bad_sync),
            (6, drop_empty),
            (7, self.drop_too_many_segments),
            # 8, of the request. 1.4: consent
            (9, drop_unsigned),
            # `eid` and one-time numbers: the committer knows what came before
        ]
        self._of_request: list[tuple[int, OfRequest]] = [
            (2, drop_opted_out),
            (10, drop_bots),
            (11, drop_cookieless),
            (12, self.drop_too_frequent),
        ]

    def drop_of_line(self, reading: Reading) -> Drop | None:
        """Return the first step of the line that drops every fire of a tag."""
        for position, step in self._of_line:
            reason = step(reading)
            if reason is not None:
                return Drop(position, reason)
        return None

    def first_drop(self, draft: Draft) -> Reason | Answer | None:
        """Return why a fire is dropped, an answer where it is no fire yet, or None where it goes on."""
        drop = draft.reading.drop
        for position, step in self._of_request:
            if drop is not None and drop.position < position:
                return drop.reason
            verdict = step(draft)
            if verdict is not None:
                return verdict
        return None

    def drop_too_long(self, reading: Reading) -> Reason | None:
        query, most = reading.query, self._limits.query_bytes
        if len(query) <= most and (query.isascii() or len(query.encode(errors="replace")) <= most):
            return None
        return Reason.TOO_LONG

    def drop_too_many_segments(self, reading: Reading) -> Reason | None:
        return Reason.TOO_MANY_SEGMENTS if len(reading.items) > self._limits.actions else None

    def drop_too_frequent(self, draft: Draft) -> Reason | None:
        """Drop what one browser or network address sends too often. A browser that keeps no cookie is a new one.

        What is sent again comes as fast as it can, from one address.
        """
        if draft.is_replayed:
            return None
        if draft.browser and not self._browsers.allows(draft.browser.random):
            return Reason.RATE_LIMITED
        return None if self._addresses.allows(network_of(draft.request.address)) else Reason.RATE_LIMITED


def drop_badly_written(reading: Reading) -> Reason | None:
    """Drop what is no text, or names a parameter twice."""
    return reading.fault


def drop_personal_data(reading: Reading) -> Reason | None:
    return Reason.PERSONAL_DATA if holds_personal_data(reading.query, reading.values) else None


def drop_without_advertiser(reading: Reading) -> Reason | None:
    """Drop what leads to no advertiser, and codes or ids without `member`."""
    member = reading.values.get("member")
    if not member and any(item.is_code for item in reading.items):
        return Reason.MISSING_MEMBER
    if reading.pixel_key is not None:
        return None  # its pixel says whose it is
    if member:
        if reading.owner is not None:
            return None
        return Reason.UNKNOWN_MEMBER if parsing.read_number(member) else Reason.BAD_NUMBER
    if reading.owner is not None:
        return None
    if reading.sync is not None:
        return Reason.MISSING_MEMBER
    if not reading.items:
        return Reason.EMPTY
    return Reason.UNKNOWN_SEGMENT if parsing.read_number(reading.items[0].name) else Reason.BAD_NUMBER


def drop_without_pixel(reading: Reading) -> Reason | None:
    """Drop an unknown key, and what is paused. A tag exported from a pixel stops with it."""
    if reading.pixel is None:
        return Reason.UNKNOWN_PIXEL
    return Reason.PIXEL_PAUSED if reading.pixel.is_paused else None


def drop_bad_sync(reading: Reading) -> Reason | None:
    """Drop the ids of a partner that is not in the list, and ids that are too many or too long."""
    return None if reading.sync is None else reading.sync.fault


def drop_empty(reading: Reading) -> Reason | None:
    is_something = reading.items or reading.conversion is not None or (reading.sync and reading.sync.ids)
    return None if is_something else Reason.EMPTY


def drop_unsigned(reading: Reading) -> Reason | None:
    """Drop a customer id without signature, and every signature: nobody has a signing key yet, so none is good."""
    if "sig" in reading.values:
        return Reason.SIGNATURE_BAD
    return Reason.SIGNATURE_MISSING if "cid" in reading.values else None


def drop_opted_out(draft: Draft) -> Reason | None:
    return None if draft.no is None else Reason.OPTED_OUT


def drop_bots(draft: Draft) -> Reason | None:
    """Drop declared crawlers, and pages that are loaded ahead and not shown."""
    headers = draft.request.headers
    if draft.agent.is_crawler or agents.is_only_prefetched(headers.get("sec-purpose"), headers.get("purpose")):
        return Reason.BOT
    return None


def drop_cookieless(draft: Draft) -> Reason | Answer | None:
    """With the cookie check on, send a browser without our cookie round once to see whether it keeps one."""
    owner, browser = draft.reading.owner, draft.browser
    if owner is None or not owner.is_cookie_check_on or browser is None or browser.is_known:
        return None
    if "mb" in draft.reading.values:
        return Reason.NO_COOKIE
    return check(draft.request, browser)


def check(request: Request, browser: Browser) -> Answer:
    """Return the cookie check's answer: the same request comes back, with the cookie if the browser keeps any."""
    # Sent back as it came; what is no ASCII cannot stand in a header.
    query = request.query if request.query.isascii() else quote(request.query, safe="!#$%&'()*+,-./:;=?@[]_{|}~")
    return check_answer(f"{request.path}?{query}&mb=1" if query else f"{request.path}?mb=1", browser.set_cookie or "")
