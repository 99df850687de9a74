"""The hot door without its transport: a request in, an answer or a fire out. Nothing here waits or does I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from audience.instants import Instant, instant, moment, now, unix_days
from pixels import agents, answers, cookie, fireids, pages, parsing, sdk
from pixels.answers import Answer
from pixels.catalogue import Catalogue, KnownAdvertiser, Picture
from pixels.cookie import Signer, Style
from pixels.facts import Fire
from pixels.reading import LONGEST_OTHER, Reading, read_line
from pixels.reasons import SUPPRESSING, Note, Reason
from pixels.replay import HEADER as REPLAY_HEADER
from pixels.replay import Replay
from pixels.steps import Browser, Draft, Limits, Request, Steps

# What is wrong is the text itself: nothing of it is kept.
_TEXT_IS_WRONG = frozenset({Reason.TOO_LONG, Reason.BAD_ENCODING, Reason.PERSONAL_DATA})
REMEMBERED_LINES = 4_096
LONGEST_REMEMBERED_LINE = 512


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

    def __init__(
        self,
        catalogue: Catalogue,
        cookies: Cookies,
        limits: Limits,
        replay: Replay,
        country_of: Callable[[str], str] | None = None,
    ) -> None:
        """`country_of` an address; without it nobody knows the country of a fire."""
        self._catalogue = catalogue
        self._cookies = cookies
        self._replay = replay
        self._limits = limits
        self._country_of = country_of
        self._steps = Steps(limits)
        # What lines say against a picture, by path, query and first-party host; another picture begins another.
        self._lines: tuple[Picture, dict[tuple[str, str, int], Reading]] = (catalogue.picture, {})

    def receive(self, request: Request, logged_id: bytes | None = None) -> Answer | Pending:
        """Return the answer, or the fire that has to be committed before its answer.

        `logged_id` is the id of a fire that is read from a log: it has its time from there.
        """
        path, query = request.path, request.query
        is_seg, is_script = path == "/seg", path.endswith(".js")
        if not is_seg and not (path.startswith("/p/") and (is_script or path.endswith(".gif"))):
            return _other(request)
        # "GET", two spaces, a question mark and "HTTP/1.1" stand around them.
        if len(path) + len(query) + 14 > self._limits.line_bytes:
            return answers.LINE_TOO_LONG
        if request.method != "GET":
            if request.method == "HEAD":
                return answers.head_answer(is_script=is_script or (is_seg and _asks_for_script(query)))
            return answers.NOT_ALLOWED
        if not self._catalogue.is_loaded:
            return answers.not_ready_answer()

        received_at = now()
        fire_id = logged_id or fireids.of_fresh_request(request.request_id, received_at)
        if fire_id is None:
            fire_id = fireids.new(received_at)
        else:
            received_at = fireids.time_of(fire_id)
        draft = self._draft(request, received_at, is_logged=logged_id is not None)
        verdict = self._steps.first_drop(draft)
        if isinstance(verdict, Answer):
            return verdict
        # A rejected fire gets a cookie like an applied one; a suppressed one (1.4) will get none.
        set_cookie = draft.browser.set_cookie if draft.browser else None
        is_script = is_script or (is_seg and draft.reading.values.get("t") == "1")
        answer = answers.fire_answer(fire_id, is_script=is_script, set_cookie=set_cookie)
        country = "" if self._country_of is None or verdict in SUPPRESSING else self._country_of(request.address)
        return Pending(_fire(fire_id, draft, verdict, country), answer)

    def _draft(self, request: Request, received_at: Instant, *, is_logged: bool) -> Draft:
        """Read a request and find out whose fire it is."""
        headers, picture = request.headers, self._catalogue.picture
        header = headers.get(REPLAY_HEADER)
        told = None if header is None else self._told_time(request, header, received_at)
        at = received_at if told is None else told
        host_owner = owner_of_host(request, picture) if picture.first_party_hosts else None
        reading = self._read(request, picture, host_owner, at)
        browser = None
        if reading.owner is not None:
            today = unix_days(received_at)
            browser = self._cookies.read(request, is_first_party=host_owner is not None, today=today)
        agent = agents.describe(headers.get("user-agent"))
        return Draft(request, at, reading, agent, browser, is_replayed=is_logged or told is not None)

    def _told_time(self, request: Request, header: str, at: Instant) -> Instant | None:
        """Return the time that a fire of the past brings along, where it is signed by our own key."""
        path, query = request.path, request.query
        told = self._replay.read(header, f"{path}?{query}" if query else path, moment(at))
        return None if told is None else instant(told)

    def _read(self, request: Request, picture: Picture, host_owner: KnownAdvertiser | None, at: Instant) -> Reading:
        path, query = request.path, request.query
        of_picture, lines = self._lines
        if of_picture is not picture:
            lines = {}
            self._lines = (picture, lines)
        key = (path, query, host_owner.id if host_owner else 0)
        reading = lines.get(key)
        if reading is None:
            reading = read_line(path, query, picture, host_owner, at)
            reading.drop = self._steps.drop_of_line(reading)
            if reading.is_lasting and len(path) + len(query) <= LONGEST_REMEMBERED_LINE:
                if len(lines) >= REMEMBERED_LINES:
                    lines.clear()
                lines[key] = reading
        return reading


def _fire(fire_id: bytes, draft: Draft, reason: Reason | None, country: str) -> Fire:
    reading, headers, browser = draft.reading, draft.request.headers, draft.browser
    owner, values = reading.owner, reading.values
    is_kept = reason not in _TEXT_IS_WRONG
    page = pages.page_of(headers.get("origin"), headers.get("referer"), values.get("pg", "") if is_kept else "")
    decided = reading.decided(reason, page.host)
    if reason is None and not decided.changes:
        reason = decided.refusals[0].reason if decided.refusals else Reason.EMPTY
    notes = reading.notes + decided.notes
    if browser is not None and browser.is_reminted:
        notes = (*notes, Note.ID_REMINTED)
    return Fire(
        fire_id,
        draft.at,
        owner.id if owner else None,
        reading.pixel.id if reading.pixel else None,
        cookie.key_of(owner.id, owner.id_key, browser.random) if owner and browser else None,
        decided.changes,
        reason,
        notes,
        decided.shown,
        reading.event_id() if is_kept else None,
        values.get("other", "")[:LONGEST_OTHER] if is_kept else "",
        page.host,
        page.path,
        draft.agent.browser,
        draft.agent.device,
        country,
    )


def _other(request: Request) -> Answer:
    """Answer what is no fire."""
    if request.path in sdk.PATHS:
        headers = request.headers
        return sdk.answer(request.method, headers.get("accept-encoding"), headers.get("if-none-match"))
    return answers.NOT_FOUND


def _asks_for_script(query: str) -> bool:
    return parsing.read(query)[0].get("t") == "1"


def owner_of_host(request: Request, picture: Picture) -> KnownAdvertiser | None:
    """Return the advertiser of a first-party host; another advertiser's rows do not exist there."""
    host = request.headers.get("host") or ""
    return picture.first_party_hosts.get(host.partition(":")[0].lower().rstrip("."))


def _cookie_values(request: Request, name: str) -> list[str]:
    """Return the values sent under one name. HTTP/1.1 has one Cookie line; others may have several."""
    first = request.headers.get("cookie")
    if first is None:
        return []
    return cookie.values_of(first, name) or cookie.values_of("; ".join(request.headers.get_all("cookie")), name)
