"""The HTTP API without its transport: a request in, an answer or messages out. Nothing here waits or does I/O.

The order of checks: method, size and JSON, write key, origin, rate; then each message for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from audience.context.place import Places
from audience.context.reading import Keeping
from audience.ids import uuid7_bytes
from audience.instants import Instant, moment, now, unix_milliseconds
from audience.messages import Kind
from audience.values import Object
from pixels.answers import NOT_FOUND, Answer, Header
from pixels.catalogue import Catalogue, KnownAdvertiser
from pixels.cookies import Cookies
from pixels.facts import Withdrawal
from pixels.firstparty import owner_of_host
from pixels.limits import Rate, network_of
from pixels.messages import bodies, cors, replies, serverfires
from pixels.messages.arrivals import Arrival, Kept
from pixels.messages.browsers import Sending, known_browser, names_nobody, new_browser, told_id
from pixels.messages.credentials import read_key
from pixels.messages.errors import Refused, RequestError
from pixels.messages.optedout import suppress
from pixels.messages.ownsegments import OwnSegments, Shown, written
from pixels.messages.reading import Read, messages_of, read_request
from pixels.messages.sender import KnownWriteKey, Sender
from pixels.messages.serverfires import Named
from pixels.messages.surroundings import seen_of
from pixels.optout.noes import said_before
from pixels.reasons import Outcome
from pixels.steps import No, Request
from pixels.stored import Stored

PREFIX = "/v1/"
CALLS: dict[str, Kind | None] = {
    **dict.fromkeys(("track", "t"), "track"),
    **dict.fromkeys(("identify", "i"), "identify"),
    **dict.fromkeys(("page", "p"), "page"),
    **dict.fromkeys(("screen", "s"), "screen"),
    **dict.fromkeys(("group", "g"), "group"),
    **dict.fromkeys(("alias", "a"), "alias"),
    **dict.fromkeys(("batch", "b"), None),
}
OWN_SEGMENTS = "/v1/me/segments"
_PROJECTS, _SETTINGS = "/v1/projects/", "/settings"
_HEADERS_OF_CALLS = "Authorization, Content-Type, Muster-Id"
_HEADERS_OF_OWN_SEGMENTS = "Muster-Id, Content-Type"
READS_PER_BROWSER = 60
_LONGEST_QUERY = 8_192


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How many calls may come in a minute (0: any number)."""

    per_address: int = 1_000
    per_server_key: int = 10_000


class Posted(NamedTuple):
    """Messages that wait for their commit, and what their answer needs beside it."""

    reads: Sequence[Read]
    arrivals: Sequence[Arrival]
    headers: list[Header]
    new_id: str | None
    shows_segments: bool
    # Whose segments the answer shows, where it may show any.
    own: OwnSegments | None
    # What a browser that has opted out still held.
    withdrawal: Withdrawal | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A page that asks for the segments of its browser."""

    own: OwnSegments
    at: Instant
    headers: list[Header]


@dataclass(frozen=True, slots=True)
class PostedFires:
    """Fires of a server that wait for their commit."""

    sent: Sequence[Named]


class _Call(NamedTuple):
    """A request whose key is known. `is_listed`: it comes from a page of the advertiser's own list."""

    request: Request
    key: KnownWriteKey
    owner: KnownAdvertiser
    host_owner: KnownAdvertiser | None
    origin: str | None
    is_listed: bool
    at: Instant


class MessageEndpoint:
    """Turn requests under `/v1/` into messages."""

    def __init__(
        self, catalogue: Catalogue, cookies: Cookies, limits: CallLimits, places: Places, *, public_url: str
    ) -> None:
        """`public_url` is the door's address as clients know it."""
        self._catalogue = catalogue
        self._cookies = cookies
        self._places = places
        self._public_url = public_url
        self._addresses = Rate(limits.per_address)
        self._server_keys = Rate(limits.per_server_key)
        self._readers = Rate(READS_PER_BROWSER)

    def receive(self, request: Request, body: bytes) -> Answer | Posted | PostedFires | Asked:
        """Return the answer, or what has to be committed or read before it."""
        path, call = request.path, request.path.removeprefix(PREFIX)
        is_post, is_own = call in CALLS or path == serverfires.PATH, path == OWN_SEGMENTS
        if not is_post and not is_own and not _is_settings(path):
            return NOT_FOUND
        if not self._catalogue.is_loaded:
            return replies.refusal(RequestError.BUSY)
        if request.method == "OPTIONS":
            return self._preflight(request, is_own=is_own)
        if request.method != ("POST" if is_post else "GET"):
            allowed = "POST, OPTIONS" if is_post else "GET, OPTIONS"
            return replies.refusal(RequestError.METHOD_NOT_ALLOWED, [("allow", allowed)])
        try:
            if path == serverfires.PATH:
                return self._receive_fires(request, body)
            if is_post:
                return self._post(request, CALLS[call], body)
            return self._ask(request) if is_own else self._settings(request)
        except Refused as refused:
            return replies.refusal(refused.error)

    def reply(self, posted: Posted, kept: Sequence[Kept], segments: Sequence[Shown] = ()) -> Answer:
        """Return the answer of messages that are kept; `segments` are those that `posted.own` has."""
        more: dict[str, Any] = {} if posted.new_id is None else {"id": posted.new_id}
        if posted.shows_segments:
            more |= self._shown(posted, kept, segments)
        return replies.reply(posted.reads, kept, more, posted.headers)

    def reply_to_fires(self, posted: PostedFires, ended: Sequence[Stored | Kept]) -> Answer:
        """Return the answer of a server's fires that are kept."""
        return serverfires.reply(posted.sent, ended, self._catalogue.picture)

    def own_segments(self, asked: Asked, segments: Sequence[Shown]) -> Answer:
        """Return the answer for a page that asked for its browser's segments."""
        return _segments_answer(asked.at, segments, asked.headers)

    def _receive_fires(self, request: Request, body: bytes) -> PostedFires:
        content = bodies.read(body)
        call = self._call(request, read_key(request.headers.get("authorization"), content.get("writeKey")))
        if not call.key.is_server:
            raise Refused(RequestError.SERVER_KEY_NEEDED)
        if not self._is_within_rate(call):
            raise Refused(RequestError.RATE_LIMITED)
        by = serverfires.Sending(call.key, call.owner, self._catalogue.picture, self._cookies.signer, call.at)
        return PostedFires(serverfires.read(content, by))

    def _post(self, request: Request, kind: Kind | None, body: bytes) -> Answer | Posted:
        origin = request.headers.get("origin")
        headers = cors.headers_of(origin, is_listed=False)
        try:
            unpacked = bodies.unpack(body)
            content = bodies.read(unpacked)
            call = self._call(request, read_key(request.headers.get("authorization"), content.get("writeKey")))
            headers = cors.headers_of(origin, is_listed=call.is_listed)
            if origin and call.key.are_origins_enforced and not call.is_listed:
                return replies.refusal(RequestError.ORIGIN_NOT_ALLOWED)
            if not self._is_within_rate(call):
                raise Refused(RequestError.RATE_LIMITED)
            told = told_id(content)
            if (no := self._no(call, told)) is not None:
                return self._suppressed(call, len(messages_of(content, kind)), no, headers)
            sending = self._sending(call, content, told)
            reads = read_request(content, kind, self._sender(call, sending), size=len(unpacked))
        except Refused as refused:
            return replies.refusal(refused.error, headers)
        return self._posted(call, reads, sending, headers)

    def _posted(self, call: _Call, reads: Sequence[Read], sending: Sending | None, headers: list[Header]) -> Posted:
        at, key = call.at, call.key
        arrivals = [
            Arrival(
                uuid7_bytes(unix_milliseconds(at)), at, key.advertiser_id, key.id, one.message, one.error, *one.look
            )
            for one in reads
        ]
        shows_segments = "segments=1" in call.request.query.split("&")
        if sending is None:
            return Posted(reads, arrivals, headers, None, shows_segments, None)
        if sending.set_cookie is not None:
            headers = [*headers, ("set-cookie", sending.set_cookie)]
        may_read = shows_segments and call.is_listed and self._readers.allows(sending.random)
        own = OwnSegments(sending.key) if may_read else None
        return Posted(reads, arrivals, headers, sending.new_id, shows_segments, own)

    def _no(self, call: _Call, told: str | None) -> No | None:
        """Return what the browser that sends has said by its cookie. A server has none that it could mean.

        `told` is the signed id that its page has kept.
        1.4 belongs here: consent, from context, query and headers.
        """
        if call.key.is_server:
            return None
        picture = self._catalogue.picture
        return said_before(self._cookies, call.request.cookies(), picture, call.host_owner, told)

    def _suppressed(self, call: _Call, number: int, no: No, headers: list[Header]) -> Posted:
        reads, arrivals = suppress(number, call.key, call.at)
        headers = [*headers, *(("set-cookie", line) for line in no.set_cookies)]
        withdrawal = Withdrawal(call.at, no.keys) if no.keys else None
        shows_segments = "segments=1" in call.request.query.split("&")
        return Posted(reads, arrivals, headers, None, shows_segments, None, withdrawal)

    def _sending(self, call: _Call, content: Object, told: str | None) -> Sending | None:
        """Return the browser that sends; a page's that has no id of any kind gets one."""
        found = self._browser(call, told)
        if found is None and not call.key.is_server and call.origin is not None and names_nobody(content):
            is_first_party = call.host_owner is not None
            return new_browser(self._cookies, call.request, call.owner, call.at, is_first_party=is_first_party)
        return found

    def _browser(self, call: _Call, told: str | None) -> Sending | None:
        is_first_party = call.host_owner is not None
        return known_browser(self._cookies, call.request, call.owner, told, call.at, is_first_party=is_first_party)

    def _sender(self, call: _Call, sending: Sending | None) -> Sender:
        return Sender(
            call.key,
            call.at,
            sending.key if sending else None,
            call.owner.identity_secrets,
            seen_of(call.request, is_server=call.key.is_server),
            Keeping(is_own=call.owner.hosts.allow),
            call.owner.phone_country,
            self._places,
        )

    def _shown(self, posted: Posted, kept: Sequence[Kept], segments: Sequence[Shown]) -> dict[str, Any]:
        """Return what `?segments=1` adds: nothing of segments while a message waits in the spool."""
        outcome = {"outcome": str(kept[0].outcome)} if len(kept) == 1 else {}
        if any(one.outcome is Outcome.PENDING for one in kept):
            return outcome
        joined = self._readable({one for each in kept for one in each.joined}) if posted.own else []
        left = self._readable({one for each in kept for one in each.left}) if posted.own else []
        return {**outcome, "joined": joined, "left": left, "segments": list(segments)}

    def _readable(self, numbers: set[int]) -> list[str]:
        """Return the codes of the segments among these that pages may read."""
        known = self._catalogue.picture.segments
        return sorted(known[one].code for one in numbers if one in known and known[one].is_readable_on_page)

    def _ask(self, request: Request) -> Answer | Asked:
        values = dict(parse_qsl(request.query[:_LONGEST_QUERY]))
        call, origin = self._call(request, read_key(None, values.get("key"))), request.headers.get("origin")
        if call.key.is_server:
            raise Refused(RequestError.UNKNOWN_WRITE_KEY)
        if origin is None or not call.is_listed:
            raise Refused(RequestError.ORIGIN_NOT_ALLOWED)
        headers = cors.listed(origin)
        found = self._browser(call, None)
        if found is None or self._cookies.opt_outs_in(request.cookies()):
            return _segments_answer(call.at, [], headers)
        if not self._readers.allows(found.random):
            return replies.refusal(RequestError.RATE_LIMITED, headers)
        codes = frozenset(code.lower() for code in values.get("codes", "").split(",") if code)
        return Asked(OwnSegments(found.key, codes), call.at, headers)

    def _settings(self, request: Request) -> Answer:
        """Tell a browser's library whither it sends; it asks before its first message."""
        text = request.path[len(_PROJECTS) : -len(_SETTINGS)]
        host_owner = self._host_owner(request)
        self._key(host_owner, text)
        place = urlsplit(self._public_url)
        # A host of the advertiser's own is one that its library has asked.
        host = request.headers.get("host") if host_owner else place.netloc
        ours = {"apiKey": text, "apiHost": f"{host}/v1", "protocol": place.scheme, "addBundledMetadata": True}
        body = {
            "integrations": {"Segment.io": ours},
            "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "remotePlugins": [],
        }
        return replies.json_answer(200, body, cors.headers_of(request.headers.get("origin"), is_listed=False))

    def _preflight(self, request: Request, *, is_own: bool) -> Answer:
        """Answer for the advertiser of the key, or, where the request will bring that, for all of this host."""
        origin, picture = request.headers.get("origin"), self._catalogue.picture
        owners = list(picture.advertisers.values())
        if is_own:
            key = picture.write_key(dict(parse_qsl(request.query[:_LONGEST_QUERY])).get("key", ""))
            owners = [picture.advertisers[key.advertiser_id]] if key else []
        is_listed = any(self._is_listed(origin, owner) for owner in owners)
        if is_own and not is_listed:
            return replies.refusal(RequestError.ORIGIN_NOT_ALLOWED)
        allowed = _HEADERS_OF_OWN_SEGMENTS if is_own else _HEADERS_OF_CALLS
        return cors.preflight(origin, is_listed=is_listed, allowed_headers=allowed)

    def _key(self, host_owner: KnownAdvertiser | None, text: str) -> KnownWriteKey:
        """Return a live write key; at a host of one advertiser there are no keys of others."""
        known = self._catalogue.picture.write_key(text)
        if known is None or (host_owner is not None and host_owner.id != known.advertiser_id):
            raise Refused(RequestError.UNKNOWN_WRITE_KEY)
        return known

    def _call(self, request: Request, text: str) -> _Call:
        host_owner = self._host_owner(request)
        key = self._key(host_owner, text)
        owner = self._catalogue.picture.advertisers[key.advertiser_id]
        origin = request.headers.get("origin")
        return _Call(request, key, owner, host_owner, origin, self._is_listed(origin, owner), now())

    def _host_owner(self, request: Request) -> KnownAdvertiser | None:
        return owner_of_host(request, self._catalogue.picture)

    def _is_listed(self, origin: str | None, owner: KnownAdvertiser) -> bool:
        return cors.is_listed(origin, owner.page_origins, is_development=self._cookies.is_plain_http)

    def _is_within_rate(self, call: _Call) -> bool:
        if call.key.is_server:
            return self._server_keys.allows(call.key.id)
        return self._addresses.allows(network_of(call.request.address))


def _is_settings(path: str) -> bool:
    return path.startswith(_PROJECTS) and path.endswith(_SETTINGS)


def _segments_answer(at: Instant, segments: Sequence[Shown], headers: list[Header]) -> Answer:
    return replies.json_answer(200, {"as_of": written(moment(at)), "segments": list(segments)}, headers)
