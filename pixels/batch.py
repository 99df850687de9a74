"""One batch of fires in one transaction: a list of steps, each takes the batch and leaves its mark on it."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zlib import crc32

import psycopg

from audience.arrays import instants, plain, texts
from audience.identity import Key, find_or_make
from audience.ids import uuid_text
from pixels.facts import Fire
from pixels.reasons import Outcome, Reason
from segments.changes import Asked, DayOf, apply_changes

Cursor = psycopg.Cursor[tuple[Any, ...]]
EVENT_ID_MEMORY = timedelta(hours=24)


class Stored(NamedTuple):
    """How a fire ended, once its batch is committed."""

    outcome: Outcome
    reason: Reason | None
    notes: tuple[str, ...]


@dataclass(slots=True)
class Entry:
    """A fire on its way through the batch."""

    fire: Fire
    outcome: Outcome
    reason: Reason | None
    profile_id: str | None = None
    notes: list[str] = field(default_factory=list)


def store(cursor: Cursor, fires: Sequence[Fire], day_of: DayOf) -> list[Stored]:
    """Store a batch in the caller's transaction; return how each fire ended.

    Raises what psycopg raises; then nothing of the batch may be committed.
    """
    entries = [_entry(fire) for fire in fires]
    drop_duplicates(cursor, entries)
    put_profiles(cursor, entries)
    put_changes(cursor, entries, day_of)
    put_fires(cursor, entries)
    return [Stored(entry.outcome, entry.reason, tuple(entry.notes)) for entry in entries]


def _entry(fire: Fire) -> Entry:
    reason = fire.reason
    if reason is None and not fire.changes:
        reason = fire.refusals[0].reason if fire.refusals else Reason.EMPTY
    outcome = Outcome.APPLIED if reason is None else Outcome.REJECTED
    return Entry(fire, outcome, reason, notes=list(fire.notes))


# The lock makes two workers with the same eid wait for each other; a partitioned table cannot keep it unique by time.
_LOCK_EVENT_IDS = "SELECT pg_advisory_xact_lock(k) FROM (SELECT unnest(%s::bigint[]) AS k ORDER BY 1) keys"
_SEEN_EVENT_IDS = (
    "SELECT id::text, max(seen_at) FROM pixels_eventid WHERE id = ANY(%s::uuid[]) AND seen_at > %s GROUP BY id"
)
_REMEMBER_EVENT_IDS = """
    INSERT INTO pixels_eventid (id, seen_at) SELECT * FROM unnest(%s::uuid[], %s::timestamptz[])
    ON CONFLICT DO NOTHING
"""


def drop_duplicates(cursor: Cursor, entries: Sequence[Entry]) -> None:
    """Mark the fires whose `eid` the same browser has fired within 24 hours."""
    marked = [(entry, event_id(entry.fire)) for entry in entries if entry.fire.eid and entry.fire.browser]
    if not marked:
        return
    ids = {id_ for _, id_ in marked}
    cursor.execute(_LOCK_EVENT_IDS, [plain(int(id_[:8], 16) for id_ in ids)])
    oldest = min(entry.fire.received_at for entry, _ in marked) - EVENT_ID_MEMORY
    cursor.execute(_SEEN_EVENT_IDS, [plain(ids), oldest])
    seen: dict[str, datetime] = dict(cursor.fetchall())
    new: dict[str, datetime] = {}
    for entry, id_ in marked:
        at = entry.fire.received_at
        if id_ in seen and seen[id_] > at - EVENT_ID_MEMORY:
            entry.outcome, entry.reason = Outcome.DUPLICATE, None
        elif entry.outcome == Outcome.APPLIED:
            seen[id_] = new[id_] = at
    if new:
        cursor.execute(_REMEMBER_EVENT_IDS, [plain(new), instants(new.values())])


def event_id(fire: Fire) -> str:
    """Return the key of an `eid`: it means something for one advertiser and one browser only."""
    return uuid_text(hashlib.sha256(f"{fire.advertiser_id}\0{fire.browser}\0{fire.eid}".encode()).hexdigest())


def put_profiles(cursor: Cursor, entries: Sequence[Entry]) -> None:
    """Find or make the profile of every fire that is applied; the others make none."""
    keys = [(entry, _key(entry.fire)) for entry in entries if entry.outcome == Outcome.APPLIED]
    if not keys:
        return
    now = max(entry.fire.received_at for entry, _ in keys)
    profiles = find_or_make(cursor, {key for _, key in keys}, now)
    for entry, key in keys:
        entry.profile_id = profiles[key]


def _key(fire: Fire) -> Key:
    if fire.advertiser_id is None or fire.browser is None:
        raise ValueError("A fire without an advertiser or a browser cannot be applied.")
    return Key(fire.advertiser_id, "browser", fire.browser)


def put_changes(cursor: Cursor, entries: Sequence[Entry], day_of: DayOf) -> None:
    """Apply what the fires add and remove."""
    asked, owners = [], []
    for entry in entries:
        fire = entry.fire
        if entry.profile_id is not None and fire.advertiser_id is not None:
            asked += [Asked(fire.advertiser_id, entry.profile_id, change) for change in fire.changes]
            owners += [entry] * len(fire.changes)
    for entry, decision in zip(owners, apply_changes(cursor, asked, day_of), strict=True):
        entry.notes += [note for note in decision.notes if note not in entry.notes]


# One statement for the fires and their counts: each round trip costs a batch 50 microseconds.
_PUT_FIRES = """
    WITH fires AS (
        INSERT INTO pixels_fire (id, received_at, advertiser_id, pixel_id, profile_id, outcome, reason, notes,
            actions, other, page_host, page_path, browser, device, same)
        SELECT id, received_at, advertiser_id, pixel_id, profile_id, outcome, reason, notes::varchar[],
            actions::jsonb, other, page_host, page_path, browser, device, same
        FROM unnest(%s::uuid[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::uuid[], %s::text[], %s::text[],
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
            AS f(id, received_at, advertiser_id, pixel_id, profile_id, outcome, reason, notes, actions, other,
            page_host, page_path, browser, device, same)
    )
    INSERT INTO pixels_firedelta (advertiser_id, pixel_id, hour, outcome, reason, page_host, page_path, fires,
        last_at)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::int[], %s::timestamptz[])
"""


def put_fires(cursor: Cursor, entries: Sequence[Entry]) -> None:
    """Write the fires for the live view and count them; those that lead to no pixel are only counted."""
    shown = [entry for entry in entries if entry.fire.pixel_id is not None]
    cursor.execute(_PUT_FIRES, [*_fire_columns(shown), *_count_columns(entries)])


def put_count(cursor: Cursor, entry: Entry) -> None:
    """Count a fire of which nothing else can be kept."""
    cursor.execute(_PUT_FIRES, [*_fire_columns([]), *_count_columns([entry])])


def _fire_columns(entries: Sequence[Entry]) -> list[str]:
    fires = [entry.fire for entry in entries]
    return [
        plain([fire.id for fire in fires]),
        instants([fire.received_at for fire in fires]),
        plain([fire.advertiser_id for fire in fires]),
        plain([fire.pixel_id for fire in fires]),
        plain([entry.profile_id for entry in entries]),
        texts([entry.outcome for entry in entries]),
        texts([entry.reason or "" for entry in entries]),
        texts(["{" + ",".join(entry.notes) + "}" for entry in entries]),
        texts([_actions(fire) for fire in fires]),
        texts([fire.other for fire in fires]),
        texts([fire.page_host for fire in fires]),
        texts([fire.page_path for fire in fires]),
        texts([fire.browser_name for fire in fires]),
        texts([fire.device for fire in fires]),
        texts([_same(fire) for fire in fires]),
    ]


def _count_columns(entries: Sequence[Entry]) -> list[str]:
    """The fires by advertiser, pixel, hour, outcome, reason and page."""
    counts: Counter[tuple[Any, ...]] = Counter()
    last_at: dict[tuple[Any, ...], datetime] = {}
    for entry in entries:
        fire = entry.fire
        at = fire.received_at
        hour = at.replace(minute=0, second=0, microsecond=0)
        owner = (fire.advertiser_id, fire.pixel_id, hour)
        key = (*owner, entry.outcome, entry.reason or "", fire.page_host, fire.page_path)
        counts[key] += 1
        last_at[key] = max(at, last_at.get(key, at))
    advertisers, pixels, hours, *words = zip(*counts, strict=True)
    return [
        plain(advertisers),
        plain(pixels),
        instants(hours),
        *(texts(column) for column in words),
        plain(counts.values()),
        instants(last_at.values()),
    ]


def _actions(fire: Fire) -> str:
    """What the fire did and did not do, for the live view, as JSON."""
    if len(fire.changes) == 1 and not fire.refusals:
        # Nearly every fire. Codes are letters, digits, - and _ (a constraint of the segment), so need no escaping.
        (one,) = fire.changes
        code, value = fire.codes.get(one.segment_id, ""), "null" if one.value is None else one.value
        return f'[{{"do": "{one.do}", "segment": {one.segment_id}, "code": "{code}", "value": {value}}}]'
    actions: list[dict[str, object]] = [
        {
            "do": one.do,
            "segment": one.segment_id,
            "code": fire.codes.get(one.segment_id, ""),
            "value": one.value,
        }
        for one in fire.changes
    ]
    actions += [
        {"do": one.do, "code": one.segment, "value": one.value, "reason": one.reason} for one in fire.refusals
    ]
    return json.dumps(actions)


def _same(fire: Fire) -> str:
    """Four letters for one browser at one pixel: enough to follow it in a live view, too few to trace it back."""
    if fire.browser is None:
        return ""
    return f"{crc32(f'{fire.browser}.{fire.pixel_id}'.encode()) & 0xFFFF:04x}"
