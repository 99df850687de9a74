"""The order of checks of a fire (pixels.md §0): one list of steps; the first that drops it gives the reason.

Whose fire it is has been found before, as far as it can be read, so that a marketer sees refused fires too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from urllib.parse import quote

from pixels import agents, parsing
from pixels.answers import Answer, check_answer
from pixels.catalogue import KnownAdvertiser, KnownPixel, Picture
from pixels.limits import Rate, network_of
from pixels.parsing import Item
from pixels.personal import holds_personal_data
from pixels.reasons import Note, Reason


class Headers(Protocol):
    """The headers of a request, by name in lower case."""

    def get(self, name: str, /) -> str | None: ...

    def get_all(self, name: str, /) -> list[str]: ...


@dataclass(slots=True)
class Request:
    """One request as a transport hands it over: `query` as it was sent, `address` the client's own."""

    method: str
    path: str
    query: str
    headers: Headers
    address: str


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


class Draft:
    """One fire on its way through the steps."""

    __slots__ = (
        "agent",
        "at",
        "browser",
        "fault",
        "is_replayed",
        "items",
        "notes",
        "owner",
        "picture",
        "pixel",
        "pixel_key",
        "request",
        "values",
    )

    def __init__(self, request: Request, at: datetime, picture: Picture, pixel_key: str | None) -> None:
        self.request = request
        self.at = at
        self.is_replayed = False
        self.picture = picture
        self.pixel_key = pixel_key  # None for /seg
        self.values: dict[str, str] = {}
        self.fault: Reason | None = None
        self.items: Sequence[Item] = ()
        self.owner: KnownAdvertiser | None = None
        self.pixel: KnownPixel | None = None
        self.browser: Browser | None = None
        self.agent = agents.UNKNOWN
        self.notes: list[Note] = []

    def note(self, note: Note) -> None:
        if note not in self.notes:
            self.notes.append(note)


Step = Callable[[Draft], Reason | Answer | None]


class Steps:
    """The list of steps, with the limits and the counters that some of them need."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._browsers = Rate(limits.fires_per_browser)
        self._addresses = Rate(limits.fires_per_address)
        self._steps: tuple[Step, ...] = (
            self.drop_too_long,
            drop_badly_written,
            # 1.10: the opt-out cookie
            drop_personal_data,
            drop_without_advertiser,
            drop_without_pixel,
            drop_empty,
            self.drop_too_many_segments,
            # 1.4: consent
            drop_unsigned,
            # `eid` and one-time numbers: the committer knows what came before
            drop_bots,
            drop_cookieless,
            self.drop_too_frequent,
        )

    def first_drop(self, draft: Draft) -> Reason | Answer | None:
        """Return why a fire is dropped, an answer where it is no fire yet, or None where it goes on."""
        for step in self._steps:
            verdict = step(draft)
            if verdict is not None:
                return verdict
        return None

    def drop_too_long(self, draft: Draft) -> Reason | None:
        query, most = draft.request.query, self._limits.query_bytes
        if len(query) <= most and (query.isascii() or len(query.encode(errors="replace")) <= most):
            return None
        return Reason.TOO_LONG

    def drop_too_many_segments(self, draft: Draft) -> Reason | None:
        return Reason.TOO_MANY_SEGMENTS if len(draft.items) > self._limits.actions else None

    def drop_too_frequent(self, draft: Draft) -> Reason | None:
        """Drop what one browser or network address sends too often. A browser that keeps no cookie is a new one.

        What is sent again comes as fast as it can, from one address.
        """
        if draft.is_replayed:
            return None
        if draft.browser and not self._browsers.allows(draft.browser.random):
            return Reason.RATE_LIMITED
        return None if self._addresses.allows(network_of(draft.request.address)) else Reason.RATE_LIMITED


def drop_badly_written(draft: Draft) -> Reason | None:
    """Drop what is no text, or names a parameter twice."""
    return draft.fault


def drop_personal_data(draft: Draft) -> Reason | None:
    return Reason.PERSONAL_DATA if holds_personal_data(draft.request.query, draft.values) else None


def drop_without_advertiser(draft: Draft) -> Reason | None:
    """Drop what leads to no advertiser, and codes without `member`."""
    if draft.pixel_key is not None:
        return None  # its pixel says whose it is
    member = draft.values.get("member")
    if member:
        if draft.owner is not None:
            return None
        return Reason.UNKNOWN_MEMBER if parsing.read_number(member) else Reason.BAD_NUMBER
    if any(item.is_code for item in draft.items):
        return Reason.MISSING_MEMBER
    if draft.owner is not None:
        return None
    if not draft.items:
        return Reason.EMPTY
    return Reason.UNKNOWN_SEGMENT if parsing.read_number(draft.items[0].name) else Reason.BAD_NUMBER


def drop_without_pixel(draft: Draft) -> Reason | None:
    """Drop an unknown key, and what is paused. A tag exported from a pixel stops with it."""
    if draft.pixel is None:
        return Reason.UNKNOWN_PIXEL
    return Reason.PIXEL_PAUSED if draft.pixel.is_paused else None


def drop_empty(draft: Draft) -> Reason | None:
    return None if draft.items else Reason.EMPTY


def drop_unsigned(draft: Draft) -> Reason | None:
    """Drop a customer id without signature, and every signature: nobody has a signing key yet, so none is good."""
    if "sig" in draft.values:
        return Reason.SIGNATURE_BAD
    return Reason.SIGNATURE_MISSING if "cid" in draft.values else None


def drop_bots(draft: Draft) -> Reason | None:
    """Drop declared crawlers, and pages that are loaded ahead and not shown."""
    headers = draft.request.headers
    if draft.agent.is_crawler or agents.is_only_prefetched(headers.get("sec-purpose"), headers.get("purpose")):
        return Reason.BOT
    return None


def drop_cookieless(draft: Draft) -> Reason | Answer | None:
    """With the cookie check on, send a browser without our cookie round once to see whether it keeps one."""
    browser = draft.browser
    if draft.owner is None or not draft.owner.is_cookie_check_on or browser is None or browser.is_known:
        return None
    if "mb" in draft.values:
        return Reason.NO_COOKIE
    request = draft.request
    # Sent back as it came; what is no ASCII cannot stand in a header.
    query = request.query if request.query.isascii() else quote(request.query, safe="!#$%&'()*+,-./:;=?@[]_{|}~")
    return check_answer(f"{request.path}?{query}&mb=1" if query else f"{request.path}?mb=1", browser.set_cookie or "")
