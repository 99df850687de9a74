"""The proxy's log of fires, as `docs/nginx.conf` writes it: one line is one request (safety.md R3).

    {"request":"1795377600.125-7f3a9c2e51d04b6f8a1be2c3d4f50617","fire":"01JD…","method":"GET","status":"200",
     "target":"/seg?add=12:65","cookie":"__Host-muid=1.k1.…","gpc":"","opt_out":"","page":"https://shop.example/cart",…}

`fire` is the answer's Muster-Fire, the fire's id; where no answer came, the id is made from the request id, as the
door would have made it. Promise: a line that does not say what its visitor wanted (`gpc` and `opt_out`) is suppressed
and leaves nothing but that; nothing is guessed from a line that cannot be read.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from io import BufferedReader
from typing import NamedTuple
from urllib.parse import unquote

from audience.instants import HOUR, Instant, now
from pixels import answers, fireids
from pixels.answers import Answer
from pixels.endpoint import Endpoint
from pixels.facts import Fire
from pixels.models import Fire as FireRow
from pixels.reasons import Note, Reason
from pixels.steps import Request

KEEP_DAYS = FireRow.partitioning.keep_days
# What is older may have been stored, and nobody would know. A day is forgotten as a whole, after its last fire.
MEMORY = KEEP_DAYS * 24 * HOUR
# nginx takes a request line of 32 kB and 32 kB of headers, and writes a sign as six letters at most.
LONGEST_LINE = 1 << 20

_NEEDED = ("request", "fire", "method", "target", "status")
_CONSENT = ("gpc", "opt_out")
_GZIP_MAGIC = b"\x1f\x8b"
# After the cookie check a request comes back with this at its end.
_CHECKED = "mb=1"


class Skipped(StrEnum):
    """Why a line is not applied, as the report says it."""

    NO_FIRE = "no fires"
    MALFORMED = "malformed"
    TOO_OLD = f"refused: older than the {KEEP_DAYS} days for which stored fires are known"
    AHEAD = "refused: ahead of the clock"


class UnreadableLog(Exception):
    """A file that cannot be read, or not to its end. The message says which and why."""


class Logged(NamedTuple):
    """One line: the request as the door had it, and the id of its fire."""

    request: Request
    fire_id: bytes
    says_consent: bool


class LoggedHeaders(dict[str, str]):
    """The headers that a line tells of, by name in lower case."""

    def get_all(self, name: str, /) -> list[str]:
        value = self.get(name)
        return [] if value is None else [value]


class Reader:
    """Turn lines into fires, by what pixels and segments are now."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], Instant] = now) -> None:
        self._endpoint = endpoint
        self._clock = clock

    def fire_of(self, line: bytes) -> Fire | Skipped:
        """Return the fire of a line, or why there is none. Raises nothing, whatever the line holds."""
        logged = read(line)
        if isinstance(logged, Skipped):
            return logged
        refusal = self._refusal(fireids.time_of(logged.fire_id))
        if refusal is not None:
            return refusal
        received = self._endpoint.receive(logged.request, logged.fire_id)
        if isinstance(received, Answer):
            return Skipped.NO_FIRE
        fire = received.fire
        # A fire that was sent again, with a signed time of its own, is remembered under that.
        refusal = self._refusal(fire.received_at)
        if refusal is not None:
            return refusal
        return fire._replace(notes=(*fire.notes, Note.LATE)) if logged.says_consent else _suppressed(fire)

    def _refusal(self, at: Instant) -> Skipped | None:
        here = self._clock()
        if at > here + fireids.MOST_SKEW:
            return Skipped.AHEAD
        return Skipped.TOO_OLD if at < here - MEMORY else None


def _suppressed(fire: Fire) -> Fire:
    """Return what may be kept of a visitor who may have said no: that there was one."""
    reason = fire.reason if fire.advertiser_id is None else Reason.NO_SIGNAL
    return Fire(fire.id, fire.received_at, fire.advertiser_id, fire.pixel_id, None, reason=reason)


def read(line: bytes) -> Logged | Skipped:
    """Read one line."""
    fields = _fields(line)
    if fields is None:
        return Skipped.MALFORMED
    if fields["method"] != "GET" or not _may_be_fire(fields):
        return Skipped.NO_FIRE
    fire_id = _fire_id(fields)
    if fire_id is None:
        return Skipped.MALFORMED
    return Logged(_request(fields), fire_id, all(name in fields for name in _CONSENT))


def _fields(line: bytes) -> dict[str, str] | None:
    """Return the fields of a line by name; None where it is no line of ours."""
    try:
        # nginx writes bytes that are no UTF-8 as they came.
        fields = json.loads(line.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or any(name not in fields for name in _NEEDED):
        return None
    if not all(isinstance(value, str) for value in fields.values()):
        return None
    status = fields["status"]
    return fields if len(status) == 3 and status.isascii() and status.isdigit() else None


def _may_be_fire(fields: Mapping[str, str]) -> bool:
    """Say whether this was a fire: Muster called it one, or it got no answer from Muster."""
    status = fields["status"]
    return fields["fire"] != "" or status == "499" or not "100" <= status < "500"


def _fire_id(fields: Mapping[str, str]) -> bytes | None:
    said = fields["fire"]
    return answers.read_crockford(said) if said else fireids.of_request(fields["request"])


def _request(fields: Mapping[str, str]) -> Request:
    path, _, query = fields["target"].partition("#")[0].partition("?")
    told = {
        "cookie": _cookies(fields, query),
        "sec-gpc": fields.get("gpc", ""),
        "referer": _printable(fields.get("page", "")),
        "origin": _printable(fields.get("origin", "")),
        "user-agent": fields.get("agent", ""),
        "sec-purpose": fields.get("purpose", ""),
        "muster-replay": fields.get("replay", ""),
        "host": fields.get("host", ""),
    }
    headers = LoggedHeaders({name: value for name, value in told.items() if value})
    return Request("GET", unquote(path), query, headers, fields.get("network", ""))


def _cookies(fields: Mapping[str, str], query: str) -> str:
    """Return our cookies: the browser's id is the one that the answer gave, else the one that came.

    A browser that came back from the cookie check without one keeps none, whatever it was given once more.
    """
    received, given = fields.get("cookie", ""), fields.get("new_cookie", "")
    keeps_none = not received and query.endswith(_CHECKED)
    browser = "" if keeps_none else given or received
    opt_out = "__Host-mopt=1" if fields.get("opt_out") else ""
    return "; ".join(filter(None, (browser, opt_out)))


def _printable(text: str) -> str:
    """Return a text that a database takes."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)


class LogFile:
    """A log, packed by gzip or not; `-` is what comes in by standard input."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bytes_read = 0  # as it lies on disk

    def lines(self) -> Iterator[bytes]:
        """Yield its lines; one that is too long is cut, and so cannot be read. Raises `UnreadableLog`."""
        is_stdin = self.name == "-"
        try:
            with open(0 if is_stdin else self.name, "rb", closefd=not is_stdin) as file:
                is_packed = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
                for line in _lines(gzip.GzipFile(fileobj=file) if is_packed else file):
                    self.bytes_read = self.bytes_read + len(line) if is_stdin else file.tell()
                    yield line
        except (OSError, EOFError, zlib.error) as error:
            why = getattr(error, "strerror", None) or error
            raise UnreadableLog(f"{self.name} cannot be read: {why}") from error


def _lines(file: BufferedReader | gzip.GzipFile) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
