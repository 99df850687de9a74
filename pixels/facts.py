"""One request to a pixel, parsed and checked: what the committer stores and what it changes."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

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

    `reason` refuses the whole fire; then `changes` is empty. Without it the fire is applied if it has a change, and
    otherwise rejected with the reason of its first refusal. `browser` is the identifier as the advertiser knows it
    (32 hex digits, pixels.md 1.3), never the cookie's id; None where nothing may be stored about the browser.
    """

    id: UUID
    received_at: datetime
    advertiser_id: int | None
    pixel_id: int | None
    browser: str | None
    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    reason: Reason | None = None
    notes: tuple[Note, ...] = ()
    eid: str | None = None
    other: str = ""
    page_host: str = ""
    page_path: str = ""
    browser_name: str = ""
    device: str = ""
    # Segment codes by number, for the live view.
    codes: Mapping[int, str] = MappingProxyType({})
