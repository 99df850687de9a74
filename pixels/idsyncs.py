"""Whom a browser was made known to (pixels.md 3.6): each partner once in 14 days."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from audience.columns import instants, uuids
from audience.identity import Key
from audience.instants import HOUR
from audience.talk import Talk, reads
from pixels.models import IdSync
from pixels.reasons import Outcome
from pixels.stored import Stored

PAUSE_DAYS = 14
_PAUSE = PAUSE_DAYS * 24 * HOUR

_RECENT = reads("SELECT id FROM pixels_idsync WHERE id = ANY(%s::uuid[]) AND synced_at > (%s::timestamptz[])[1]")
# Of two fires at once the second one waits here, and finds that it came too late.
_NOTE = reads(
    """
    INSERT INTO pixels_idsync AS s (id, synced_at)
    SELECT id, at FROM unnest(%s::uuid[], %s::timestamptz[]) AS a(id, at) ORDER BY id
    ON CONFLICT (id) DO UPDATE SET synced_at = excluded.synced_at
        WHERE s.synced_at <= excluded.synced_at - interval '14 days'
    RETURNING id
    """
)


def note_id_syncs(entries: Sequence[Stored]) -> Talk[None]:
    """Choose for each fire that has room for them the partners that its browser is made known to, and note that."""
    asking = [
        (entry, browser, wanted)
        for entry in entries
        if (wanted := entry.fire.id_syncs) is not None
        and (browser := entry.fire.browser) is not None
        and entry.outcome is Outcome.APPLIED
    ]
    if not asking:
        return
    now = max([entry.fire.received_at for entry, _, _ in asking])
    asked = {sync_id(browser, partner) for _, browser, wanted in asking for partner in wanted.partners}
    (rows,) = yield [_RECENT(uuids(sorted(asked)), instants([now - _PAUSE]))]
    known = {id_ for (id_,) in rows}
    chosen: dict[bytes, tuple[Stored, str]] = {}
    for entry, browser, wanted in asking:
        free = [partner for partner in wanted.partners if sync_id(browser, partner) not in known]
        for partner in free[: wanted.most]:
            known.add(id_ := sync_id(browser, partner))
            chosen[id_] = (entry, partner)
    if chosen:
        (rows,) = yield [_NOTE(uuids(list(chosen)), instants([now] * len(chosen)))]
        noted = {id_ for (id_,) in rows}
        for id_, (entry, partner) in chosen.items():
            if id_ in noted:
                entry.synced = (*entry.synced, partner)


def sync_id(browser: Key, partner: str) -> bytes:
    """Return the key of the note: nobody can tell from it who the browser is."""
    return hashlib.sha256(f"{browser.advertiser_id}\0{browser.value}\0{partner}".encode()).digest()[:16]


def forget_id_syncs(now: datetime | None = None) -> int:
    """Drop the notes of more than 14 days ago; return how many."""
    before = (now or timezone.now()) - timedelta(days=PAUSE_DAYS)
    return IdSync.objects.filter(synced_at__lte=before).delete()[0]
