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


class Fire(NamedTuple):
    """One fire, ready for the batch.

    Without a `reason` it is applied and has changes; with one nothing of it is done. `id` is a UUID's 16 bytes.
    `browser` is the identifier as the advertiser knows it (32 hex digits, pixels.md 1.3), never the cookie's id; None
    where nothing may be stored about the browser, and then nothing is applied. `actions` is JSON for the live view.
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
    country: str = ""


Fact = Fire | Arrival
