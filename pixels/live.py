"""The fires of a pixel, or of a segment's pixels, as they come in: for the live view, which asks twice a second."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from pixels.glance import Glance, Row, look_since, sentence_of
from pixels.models import Pixel
from pixels.reasons import Note, Outcome, Reason
from segments.models import Segment

# Needs `pixels_fire_pkey`: each pixel's newest fires, and only as many as are shown.
_FIRES = """
    SELECT f.id, f.received_at, f.outcome, f.reason, f.notes, f.actions, f.other, f.page_host, f.page_path,
        f.browser, f.device, f.country, f.same, f.pixel_id
    FROM unnest(%(pixels)s::bigint[]) AS p(id)
    CROSS JOIN LATERAL (
        SELECT * FROM pixels_fire
        WHERE pixel_id = p.id AND received_at > %(after)s
            AND (%(outcome)s::text = '' OR outcome = %(outcome)s) AND (%(reason)s::text = '' OR reason = %(reason)s)
            AND (%(host)s::text = '' OR page_host = %(host)s)
            AND (%(names)s::text[] = '{}' OR actions @> ANY(%(names)s::text[]::jsonb[]))
        ORDER BY received_at DESC LIMIT %(most)s
    ) f
    ORDER BY f.received_at DESC LIMIT %(most)s
"""


@dataclass(frozen=True)
class Wanted:
    """Which fires somebody wants to see; empty texts let all through."""

    outcome: str = ""
    reason: str = ""
    host: str = ""
    # Only fires that name this segment, by its number or its code.
    segment: Segment | None = None


def look(pixels: Collection[Pixel], cursor: str, wanted: Wanted, now: datetime) -> Glance:
    """Return the fires since the cursor, as the page shows them."""
    names = {pixel.pk: pixel.name for pixel in pixels}
    return look_since(
        cursor, lambda after, most: _rows(pixels, wanted, after, most), lambda row: _shown(row, names), now
    )


def _rows(pixels: Collection[Pixel], wanted: Wanted, after: datetime, most: int) -> list[Row]:
    parameters: dict[str, Any] = {
        "pixels": [pixel.pk for pixel in pixels],
        "after": after,
        "outcome": wanted.outcome,
        "reason": wanted.reason,
        "host": wanted.host,
        "names": _names(wanted.segment) if wanted.segment else [],
        "most": most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FIRES, parameters)
        rows: list[Row] = cursor.fetchall()
    return rows


def _names(segment: Segment) -> list[str]:
    """Return how fires name a segment: what was done has its number, what was refused what the tag wrote."""
    names: list[dict[str, Any]] = [{"segment": segment.pk}, {"code": str(segment.pk)}, {"code": segment.code}]
    return [json.dumps([name]) for name in names]


def _shown(row: Row, names: dict[int, str]) -> dict[str, Any]:
    """Return a fire as the page shows it; of a suppressed one the reason and the host, nothing else."""
    id_, at, outcome, reason, notes, actions, other, host, path, browser, device, country, same, pixel_id = row
    if isinstance(actions, str):
        actions = json.loads(actions)
    is_suppressed = outcome == Outcome.SUPPRESSED
    return {
        "id": str(id_),
        "at": at.isoformat(),
        "outcome": outcome,
        "sentence": sentence_of(Outcome, outcome),
        "reason": reason,
        "why": sentence_of(Reason, reason),
        "notes": [{"code": note, "sentence": sentence_of(Note, note)} for note in notes],
        "actions": [] if is_suppressed else [_action(action) for action in actions],
        "page": host if is_suppressed else host + path,
        "host": host,
        "other": "" if is_suppressed else other,
        "browser": "" if is_suppressed else browser,
        "device": "" if is_suppressed else device,
        "country": "" if is_suppressed else country,
        "same": "" if is_suppressed else same,
        "pixel": names.get(pixel_id, ""),
    }


def _action(action: dict[str, Any]) -> dict[str, Any]:
    reason = action.get("reason") or ""
    name = action.get("event") or action.get("code") or str(action.get("segment", ""))
    shown = {"do": action.get("do", ""), "segment": name, "value": action.get("value"), "reason": reason}
    return {**shown, "why": sentence_of(Reason, reason)}
