"""The hot door without its transport: a request in, an answer or a fire out. Nothing here waits or does I/O."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from audience.context.place import NO_PLACES, Places
from audience.identity import Key
from audience.instants import Instant, instant, moment, now, unix_days
from pixels import agents, answers, conversions, cookie, fireids, pages, parsing, sdk
from pixels.answers import Answer
from pixels.batch import Ended
from pixels.catalogue import Catalogue, KnownAdvertiser, Picture
from pixels.cookies import Cookies
from pixels.facts import Fact, Fire, Withdrawal
from pixels.firstparty import owner_of_host
from pixels.getuid import FORMS, GetUid
from pixels.messages.surroundings import seen_of
from pixels.optout.noes import said_before
from pixels.parsing import LONGEST_OTHER
from pixels.piggybacks import Followers, filled
from pixels.reading import CALLS, Reading, read_line
from pixels.reasons import SUPPRESSING, Note, Outcome, Reason
from pixels.redirects import NOBODY
from pixels.replay import HEADER as REPLAY_HEADER
from pixels.replay import Replay
from pixels.steps import Draft, Limits, Request, Steps
from pixels.stored import Stored
from pixels.sync import SYNC_PARAMETERS, with_ids

# What is wrong is the text itself: nothing of it is kept.
_TEXT_IS_WRONG = frozenset({Reason.TOO_LONG, Reason.BAD_ENCODING, Reason.PERSONAL_DATA})
_DONE = frozenset({Outcome.APPLIED, Outcome.PENDING})
REMEMBERED_LINES = 4_096
LONGEST_REMEMBERED_LINE = 512


class Pending(NamedTuple):
    """A fire that waits for its commit. Then `answer_of` is sent; `refusal` where it cannot be stored.

    `withdrawn` are the identifiers of a browser that has opted out: what they led to ends with this fire.
    """

    fire: Fire
    answer: Answer
    # What is said instead where the fire was done: that which lets partners' pixels follow.
    done: Callable[[Ended], Answer] | None = None
    withdrawn: tuple[Key, ...] = ()

    @property
    def fact(self) -> Fact:
        """What is to be committed."""
        return Withdrawal(self.fire.received_at, self.withdrawn, self.fire) if self.withdrawn else self.fire

    def answer_of(self, stored: Ended) -> Answer:
        """Return the answer of a fire that ended so."""
        if self.done is None or isinstance(stored, Withdrawal) or stored.outcome not in _DONE:
            return self.answer
        return self.done(stored)

    def refusal(self) -> Answer:
        """Return the answer of a fire that is not stored."""
        return answers.busy_answer(self.fire.id)


class Endpoint:
    """Turn requests into fires."""

    def __init__(
        self,
        catalogue: Catalogue,
        cookies: Cookies,
        limits: Limits,
        replay: Replay,
        places: Places = NO_PLACES,
    ) -> None:
        """`places` tell where a fire was."""
        self._catalogue = catalogue
        self._places = places
        self._cookies = cookies
        self._replay = replay
        self._limits = limits
        # None where nobody knows the country of a fire.
        self._country_of = places.country_of if places else None
        self._steps = Steps(limits)
        self._getuid = GetUid(catalogue, cookies, limits)
        # What lines say against a picture, by path, query and first-party host; another picture begins another.
        self._lines: tuple[Picture, dict[tuple[str, str, int], Reading]] = (catalogue.picture, {})

    def receive(self, request: Request, logged_id: bytes | None = None) -> Answer | Pending:
        """Return the answer, or the fire that has to be committed before its answer.

        `logged_id` is the id of a fire that is read from a log: it has its time from there.
        """
        path, query = request.path, request.query
        # A call says itself what is done, and by `t` what it wants to be answered.
        is_call, is_script = path in CALLS, path.endswith(".js")
        is_fire = is_call or (path.startswith("/p/") and (is_script or path.endswith(".gif")))
        if not is_fire and path not in SYNC_PARAMETERS:
            return self._other(request)
        # "GET", two spaces, a question mark and "HTTP/1.1" stand around them.
        if len(path) + len(query) + 14 > self._limits.line_bytes:
            return answers.LINE_TOO_LONG
        if request.method != "GET":
            if request.method == "HEAD":
                return answers.plain_answer(is_script=is_script or (is_call and _asks_for_script(query)))
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
        # A rejected fire gets a cookie like an applied one; whoever has said no gets none, however the fire ends.
        set_cookie = draft.browser.set_cookie if draft.browser else None
        is_script = is_script or (is_call and draft.reading.values.get("t") == "1")
        answer = answers.fire_answer(fire_id, is_script=is_script, set_cookie=set_cookie)
        country = "" if self._country_of is None or verdict in SUPPRESSING else self._country_of(request.address)
        fire, followers = _fire(fire_id, draft, verdict, self._places, country)
        if draft.no is not None:
            answer.headers.extend(("set-cookie", line) for line in draft.no.set_cookies)
            return Pending(fire, answer, withdrawn=draft.no.keys)
        if followers is None and draft.reading.redirect is None:
            return Pending(fire, answer)
        return _with_partners(Pending(fire, answer), draft, followers, is_script=is_script)

    def _other(self, request: Request) -> Answer:
        """Answer what is no fire."""
        if request.path in sdk.PATHS:
            headers = request.headers
            return sdk.answer(request.method, headers.get("accept-encoding"), headers.get("if-none-match"))
        return self._getuid.answer(request) if request.path in FORMS else answers.NOT_FOUND

    def _draft(self, request: Request, received_at: Instant, *, is_logged: bool) -> Draft:
        """Read a request and find out whose fire it is."""
        headers, picture = request.headers, self._catalogue.picture
        header = headers.get(REPLAY_HEADER)
        told = None if header is None else self._told_time(request, header, received_at)
        at = received_at if told is None else told
        host_owner = owner_of_host(request, picture) if picture.first_party_hosts else None
        reading = self._read(request, picture, host_owner, at)
        browser, line = None, request.cookies()
        no = said_before(self._cookies, line, picture, host_owner) if "mopt" in line else None
        if reading.owner is not None and no is None:
            today = unix_days(received_at)
            browser = self._cookies.read(line, is_first_party=host_owner is not None, today=today)
        agent = agents.describe(headers.get("user-agent"))
        return Draft(request, at, reading, agent, browser, no, is_replayed=is_logged or told is not None)

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


def _fire(
    fire_id: bytes, draft: Draft, reason: Reason | None, places: Places, country: str
) -> tuple[Fire, Followers | None]:
    reading, headers, browser = draft.reading, draft.request.headers, draft.browser
    owner, values = reading.owner, reading.values
    is_kept = reason not in _TEXT_IS_WRONG
    page = pages.page_of(headers.get("origin"), headers.get("referer"), values.get("pg", "") if is_kept else "")
    if draft.no is not None:
        return _bare(fire_id, draft, reason, page.host), None
    decided = reading.decided(reason, page.host)
    sync = reading.sync
    partner_ids = sync.ids if sync is not None and reason is None else ()
    conversion = reading.conversion if reason is None else None
    if reason is None and not decided.changes and conversion is None and not partner_ids:
        reason = decided.refusals[0].reason if decided.refusals else Reason.EMPTY
    notes = reading.notes + decided.notes
    if browser is not None and browser.is_reminted:
        notes = (*notes, Note.ID_REMINTED)
    shown = decided.shown
    if conversion is not None and owner is not None:
        seen = seen_of(draft.request, is_server=False)
        conversion = conversions.surround(conversion, seen, page, owner, places)
        shown = conversions.show(conversion, shown)
    if sync is not None and partner_ids:
        shown = with_ids(shown, sync)
    fire = Fire(
        fire_id,
        draft.at,
        owner.id if owner else None,
        reading.pixel.id if reading.pixel else None,
        cookie.key_of(owner.id, owner.id_key, browser.random) if owner and browser else None,
        decided.changes,
        reason,
        notes,
        shown,
        reading.event_id() if is_kept else None,
        values.get("other", "")[:LONGEST_OTHER] if is_kept else "",
        page.host,
        page.path,
        draft.agent.browser,
        draft.agent.device,
        partner_ids,
        conversion,
        country=country,
    )
    return fire, decided.followers


def _bare(fire_id: bytes, draft: Draft, reason: Reason | None, host: str) -> Fire:
    """Return what is kept of a visitor who has said no: that there was one, and on which host."""
    owner, pixel = draft.reading.owner, draft.reading.pixel
    owner_id, pixel_id = owner.id if owner else None, pixel.id if pixel else None
    return Fire(fire_id, draft.at, owner_id, pixel_id, None, reason=reason, page_host=host)


def _with_partners(plain: Pending, draft: Draft, followers: Followers | None, *, is_script: bool) -> Pending:
    """Send the browser on to `redir`, or let the piggybacks follow. One redirect an answer: `redir` comes first.

    Nothing follows a fire that is sent again: its browser has gone.
    """
    reading, fire = draft.reading, plain.fire
    if fire.reason in SUPPRESSING or reading.owner is None or draft.is_replayed:
        return plain
    browser = fire.browser.value if fire.browser else NOBODY
    if reading.redirect is not None:
        location = filled(reading.redirect, reading.owner, reading.values, browser)
        if location is not None:
            return Pending(fire, answers.redirected(plain.answer, location))
        fire = fire._replace(notes=(*fire.notes, Note.REDIRECT_NOT_ALLOWED))
    if followers is None:
        return plain._replace(fire=fire)
    if is_script:
        fire = fire._replace(id_syncs=followers.id_syncs)
        return Pending(fire, plain.answer, partial(_with_script, plain.answer, followers))
    location = followers.location(reading.values, browser)
    if location is None:
        return plain._replace(fire=fire)
    redirect = answers.redirected(plain.answer, location)
    return Pending(fire, plain.answer, lambda _: redirect)


def _with_script(plain: Answer, followers: Followers, stored: Ended) -> Answer:
    body = followers.body(stored.synced if isinstance(stored, Stored) else ())
    return plain if body is None else plain._replace(body=body)


def _asks_for_script(query: str) -> bool:
    return parsing.read(query)[0].get("t") == "1"
