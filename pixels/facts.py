"""What the committer stores: one request to a pixel, parsed and checked, or one message of the HTTP API."""

from typing import NamedTuple

from audience.identity import Key
from audience.instants import Instant
from pixels.messages.arrivals import Arrival
from pixels.reasons import Note, Reason
from segments.membership import Change


class Refusal(NamedTuple):
    """One action that is not done. `segment` is its code; of an unknown one what the tag wrote, cut."""

    do: str
    segment: str
    reason: Reason
    value: str = ""


class IdSyncs(NamedTuple):
    """The partners that may be told who a browser is, and how many of them at most by one fire."""

    most: int
    partners: tuple[str, ...]


class Conversion(NamedTuple):
    """The event that a fire records (pixels.md 1.8). `properties` and `context` are JSON of objects.

    An `order_id` counts once for a pixel in 90 days; empty where the tag names none.
    """

    name: str
    order_id: str = ""
    properties: str = "{}"
    context: str = "{}"


class FromServer(NamedTuple):
    """What a server says of its fire beside what it does (pixels.md 1.12).

    `once` is a hash of the advertiser and the fire's id, 16 bytes, which is done once in 8 days; None where there is
    none. `must_be_known`: it names a browser by the id that advertisers store, which proves nothing by itself.
    """

    at: Instant
    once: bytes | None = None
    must_be_known: bool = False


class Fire(NamedTuple):
    """One fire, ready for the batch.

    Without a `reason` it is applied and has changes or a conversion; with one nothing of it is done. `id` is a
    UUID's 16 bytes. `browser` is the identifier as the advertiser knows it (32 hex digits, pixels.md 1.3), never the
    cookie's id, and of a server's fire the identifier that it named; None where nothing may be stored about the
    browser, and then nothing is applied. `actions` is JSON for the live view.
    """

    id: bytes
    received_at: Instant
    advertiser_id: int | None
    pixel_id: int | None
    browser: Key | None
    changes: tuple[Change, ...] = ()
    reason: Reason | None = None
    notes: tuple[Note, ...] = ()
    actions: str = "[]"
    eid: str | None = None
    other: str = ""
    page_host: str = ""
    page_path: str = ""
    browser_name: str = ""
    device: str = ""
    # Ids that a partner gave to the browser: they come to lead to its profile.
    partner_ids: tuple[Key, ...] = ()
    conversion: Conversion | None = None
    server: FromServer | None = None
    country: str = ""
    # The answer is out before anything is stored, so a spool leaves this one out.
    id_syncs: IdSyncs | None = None


class Withdrawal(NamedTuple):
    """A browser says no: these identifiers are given up, and what they led to ends (`segments.withdrawal`).

    `fire` is the suppressed fire that brought them. Done twice it changes nothing.
    """

    received_at: Instant
    keys: tuple[Key, ...]
    fire: Fire | None = None


Fact = Fire | Arrival | Withdrawal
