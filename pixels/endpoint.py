"""The door without its transport: a request in, an answer or a fire out. Nothing here waits or does I/O."""

import string
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from audience.ids import uuid7
from pixels import agents, answers, cookie, pages, parsing
from pixels.actions import Decided, decide, refuse_all
from pixels.answers import Answer
from pixels.catalogue import Catalogue, KnownAdvertiser, KnownPixel, Picture
from pixels.cookie import SECONDS_OF_A_DAY, Signer, Style
from pixels.facts import Fire
from pixels.parsing import Item
from pixels.reasons import Note, Reason
from pixels.replay import HEADER as REPLAY_HEADER
from pixels.replay import Replay
from pixels.steps import Browser, Draft, Limits, Request, Steps

# What may stand in the tag of a pixel, and the pixel's own row decides.
DECIDED_BY_PIXEL = ("add", "remove", "add_code", "remove_code", "seg", "seg_code", "member")
LONGEST_OTHER = 64
LONGEST_EVENT_ID = 64
_EVENT_ID_SIGNS = string.ascii_letters + string.digits + "._-"
# What is wrong is the text itself: nothing of it is kept.
_TEXT_IS_WRONG = frozenset({Reason.TOO_LONG, Reason.BAD_ENCODING, Reason.PERSONAL_DATA})


class Pending(NamedTuple):
    """A fire that waits for its commit. Then `answer` is sent; `answers.busy_answer` where it cannot be stored."""

    fire: Fire
    answer: Answer


@dataclass(frozen=True, slots=True)
class Cookies:
    """How this installation writes its cookie."""

    signer: Signer
    is_partitioned: bool = True
    is_plain_http: bool = False

    def style(self, *, is_first_party: bool) -> Style:
        if self.is_plain_http:
            return cookie.PLAIN_HTTP
        if is_first_party:
            return cookie.FIRST_PARTY
        return cookie.PARTITIONED if self.is_partitioned else cookie.UNPARTITIONED

    def read(self, request: Request, *, is_first_party: bool, today: int) -> Browser:
        """Return the browser's id, a new one where it sent none that is good (`today` in days since 1970-01-01)."""
        style = self.style(is_first_party=is_first_party)
        sent = _cookie_values(request, style.name)
        for value in sent:
            known = self.signer.verify(value)
            if known is None or known.is_over(today):
                continue
            if known.key_id == self.signer.key_id:
                return Browser(known.random, is_known=True)
            renewed = self.signer.renew(known)
            header = style.header(self.signer.sign(renewed), renewed.minted_day, today)
            return Browser(known.random, is_known=True, set_cookie=header)
        new = self.signer.mint(today)
        header = style.header(self.signer.sign(new), today, today)
        return Browser(new.random, set_cookie=header, is_reminted=bool(sent))


class Endpoint:
    """Turn requests into fires."""

    def __init__(self, catalogue: Catalogue, cookies: Cookies, limits: Limits, replay: Replay) -> None:
        self._catalogue = catalogue
        self._cookies = cookies
        self._replay = replay
        self._limits = limits
        self._steps = Steps(limits)

    def receive(self, request: Request) -> Answer | Pending:
        """Return the answer, or the fire that has to be committed before its answer."""
        is_seg, is_script = request.path == "/seg", request.path.endswith(".js")
        if not is_seg and not (request.path.startswith("/p/") and (is_script or request.path.endswith(".gif"))):
            return answers.NOT_FOUND
        # "GET", two spaces, a question mark and "HTTP/1.1" stand around them.
        if len(request.path) + len(request.query) + 14 > self._limits.line_bytes:
            return answers.LINE_TOO_LONG
        if request.method == "HEAD":
            return answers.head_answer(is_script=is_script or (is_seg and _asks_for_script(request.query)))
        if request.method != "GET":
            return answers.NOT_ALLOWED
        if not self._catalogue.is_loaded:
            return answers.not_ready_answer()

        now = time.time()
        fire_id = uuid7(int(now * 1000))
        draft = self._draft(request, None if is_seg else _pixel_key(request.path), now)
        verdict = self._steps.first_drop(draft)
        if isinstance(verdict, Answer):
            return verdict
        fire = self._fire(fire_id, draft, verdict)
        # A rejected fire gets a cookie like an applied one; a suppressed one (1.4) will get none.
        set_cookie = draft.browser.set_cookie if draft.browser else None
        is_script = is_script or (is_seg and draft.values.get("t") == "1")
        return Pending(fire, answers.fire_answer(fire_id, is_script=is_script, set_cookie=set_cookie))

    def _draft(self, request: Request, pixel_key: str | None, now: float) -> Draft:
        """Read a request and find out whose fire it is."""
        picture = self._catalogue.picture
        host_owner = _owner_of_host(request, picture)
        draft = Draft(request, datetime.fromtimestamp(now, UTC), picture, pixel_key)
        if (header := request.headers.get(REPLAY_HEADER)) is not None:
            self._take_time(draft, header)
        draft.values, draft.fault = parsing.read(request.query)
        if pixel_key is None:
            _find_by_parameters(draft, host_owner)
        else:
            _find_by_key(draft, pixel_key, host_owner)
        draft.agent = agents.describe(request.headers.get("user-agent"))
        if draft.owner is not None:
            today = int(now) // SECONDS_OF_A_DAY
            draft.browser = self._cookies.read(request, is_first_party=host_owner is not None, today=today)
            if draft.browser.is_reminted:
                draft.note(Note.ID_REMINTED)
        return draft

    def _take_time(self, draft: Draft, header: str) -> None:
        """Take the time that a fire of the past brings along, where it is signed by our own key."""
        path, query = draft.request.path, draft.request.query
        at = self._replay.read(header, f"{path}?{query}" if query else path, draft.at)
        if at is not None:
            draft.at, draft.is_replayed = at, True

    def _fire(self, fire_id: UUID, draft: Draft, reason: Reason | None) -> Fire:
        owner, headers, values = draft.owner, draft.request.headers, draft.values
        is_kept = reason not in _TEXT_IS_WRONG
        told_path = values.get("pg", "") if is_kept else ""
        page = pages.page_of(headers.get("origin"), headers.get("referer"), told_path)
        decided = NOTHING
        if owner is not None and reason is None:
            decided = decide(draft.items, owner, draft.picture, page.host, draft.at, draft.notes)
        elif owner is not None and reason is not None:
            decided = refuse_all(draft.items, owner, draft.picture, reason)
        eid = _event_id(draft) if is_kept else None
        return Fire(
            id=fire_id,
            received_at=draft.at,
            advertiser_id=owner.id if owner else None,
            pixel_id=draft.pixel.id if draft.pixel else None,
            browser=cookie.stored_id(owner.id_key, draft.browser.random) if owner and draft.browser else None,
            changes=tuple(decided.changes),
            refusals=tuple(decided.refusals),
            reason=reason,
            notes=tuple(draft.notes),
            eid=eid,
            other=values.get("other", "")[:LONGEST_OTHER] if is_kept else "",
            page_host=page.host,
            page_path=page.path,
            browser_name=draft.agent.browser,
            device=draft.agent.device,
            codes=decided.codes,
        )


NOTHING = Decided([], [], {})


def _asks_for_script(query: str) -> bool:
    return parsing.read(query)[0].get("t") == "1"


def _pixel_key(path: str) -> str:
    return path[len("/p/") : path.rindex(".")]


def _owner_of_host(request: Request, picture: Picture) -> KnownAdvertiser | None:
    """Return the advertiser of a first-party host; another advertiser's rows do not exist there."""
    if not picture.first_party_hosts:
        return None
    host = request.headers.get("host") or ""
    return picture.first_party_hosts.get(host.partition(":")[0].lower().rstrip("."))


def _find_by_parameters(draft: Draft, host_owner: KnownAdvertiser | None) -> None:
    """`/seg`: the tag says what is done; the fire is filed under the pixel it was exported from."""
    values, picture = draft.values, draft.picture
    draft.items = parsing.read_items(values)
    owner = draft.owner = _owner_of_parameters(draft, host_owner)
    if owner is None:
        return
    exported_from = picture.pixel(values["pid"], draft.at) if "pid" in values else None
    is_own = exported_from is not None and exported_from.advertiser_id == owner.id
    draft.pixel = exported_from if is_own else owner.direct_pixel


def _owner_of_parameters(draft: Draft, host_owner: KnownAdvertiser | None) -> KnownAdvertiser | None:
    """`member`; without it the owner of the first known number; else whose host it is."""
    picture, member = draft.picture, draft.values.get("member")
    if member:
        owner = picture.advertisers.get(parsing.read_number(member) or 0)
        return owner if host_owner in (None, owner) else None
    for item in draft.items:
        segment = None if item.is_code else picture.segments.get(parsing.read_number(item.name) or 0)
        if segment is not None and (host_owner is None or segment.advertiser_id == host_owner.id):
            return picture.advertisers.get(segment.advertiser_id)
    return host_owner


def _find_by_key(draft: Draft, key: str, host_owner: KnownAdvertiser | None) -> None:
    """`/p/<key>`: the pixel's row says what is done."""
    pixel = draft.picture.pixel(key, draft.at)
    if pixel is None or (host_owner is not None and pixel.advertiser_id != host_owner.id):
        return
    draft.pixel = pixel
    draft.owner = draft.picture.advertisers.get(pixel.advertiser_id)
    draft.items = _items_of_pixel(pixel, draft)


def _items_of_pixel(pixel: KnownPixel, draft: Draft) -> Sequence[Item]:
    values = draft.values
    value, lifetime = values.get("value", ""), values.get("keep", "")
    if (value and not pixel.takes_value) or (lifetime and not pixel.takes_lifetime):
        draft.note(Note.PARAMETER_IGNORED)
    if not values.keys().isdisjoint(DECIDED_BY_PIXEL):
        draft.note(Note.PARAMETER_IGNORED)
    value, lifetime = value if pixel.takes_value else "", lifetime if pixel.takes_lifetime else ""
    if not value and not lifetime:
        return pixel.items
    return [
        item._replace(value=value or item.value, lifetime=lifetime or item.lifetime) if item.do == "add" else item
        for item in pixel.items
    ]


def _event_id(draft: Draft) -> str | None:
    eid = draft.values.get("eid")
    if eid is None:
        return None
    if len(eid) > LONGEST_EVENT_ID or eid.strip(_EVENT_ID_SIGNS):
        draft.note(Note.PARAMETER_IGNORED)
        return None
    return eid


def _cookie_values(request: Request, name: str) -> list[str]:
    """Return the values sent under one name. HTTP/1.1 has one Cookie line; others may have several."""
    first = request.headers.get("cookie")
    if first is None:
        return []
    return cookie.values_of(first, name) or cookie.values_of("; ".join(request.headers.get_all("cookie")), name)
