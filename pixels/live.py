"""The fires of a pixel, or of a segment's pixels, as they come in: for the live view, which asks twice a second."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from pixels.models import Pixel
from pixels.reasons import Note, Outcome, Reason
from segments.models import Segment

FIRST_FIRES = 50
MOST_FIRES = 300
# A batch is committed after its fires were received: what is read again is left out by the page, by its id.
OVERLAP = timedelta(seconds=3)
OLDEST = timedelta(days=30)

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


@dataclass(frozen=True)
class Glance:
    """What a look at the fires gives: newest first, where to go on, and how many there were to each one shown."""

    fires: list[dict[str, Any]]
    cursor: str
    one_of: int


def look(pixels: Collection[Pixel], cursor: str, wanted: Wanted, now: datetime) -> Glance:
    """Return the fires since the cursor; an empty or unreadable one gives the newest that there are."""
    since = _read_cursor(cursor, now)
    rows = _rows(pixels, wanted, since - OVERLAP if since else now - OLDEST, MOST_FIRES if since else FIRST_FIRES)
    names = {pixel.pk: pixel.name for pixel in pixels}
    fires = [_shown(row, names) for row in rows]
    newest = max([row[1] for row in rows], default=since or now)
    return Glance(fires, newest.isoformat(), _one_of(rows, since))


def _rows(pixels: Collection[Pixel], wanted: Wanted, after: datetime, most: int) -> list[tuple[Any, ...]]:
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
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _names(segment: Segment) -> list[str]:
    """Return how fires name a segment: what was done has its number, what was refused what the tag wrote."""
    names: list[dict[str, Any]] = [{"segment": segment.pk}, {"code": str(segment.pk)}, {"code": segment.code}]
    return [json.dumps([name]) for name in names]


def _one_of(rows: list[tuple[Any, ...]], since: datetime | None) -> int:
    """Return how many fires stand behind each one shown, from the span of time that the shown ones cover."""
    if since is None or len(rows) < MOST_FIRES:
        return 1
    covered: float = max((rows[0][1] - rows[-1][1]).total_seconds(), 0.001)
    span: float = max((rows[0][1] - (since - OVERLAP)).total_seconds(), covered)
    return max(1, round(span / covered))


def _read_cursor(cursor: str, now: datetime) -> datetime | None:
    try:
        at = datetime.fromisoformat(cursor)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return max(at, now - OLDEST)


def _shown(row: tuple[Any, ...], names: dict[int, str]) -> dict[str, Any]:
    """Return a fire as the page shows it; of a suppressed one the reason and the host, nothing else."""
    id_, at, outcome, reason, notes, actions, other, host, path, browser, device, country, same, pixel_id = row
    if isinstance(actions, str):
        actions = json.loads(actions)
    is_suppressed = outcome == Outcome.SUPPRESSED
    return {
        "id": str(id_),
        "at": at.isoformat(),
        "outcome": outcome,
        "sentence": _sentence(Outcome, outcome),
        "reason": reason,
        "why": _sentence(Reason, reason),
        "notes": [{"code": note, "sentence": _sentence(Note, note)} for note in notes],
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
    segment = action.get("code") or str(action.get("segment", ""))
    shown = {"do": action.get("do", ""), "segment": segment, "value": action.get("value"), "reason": reason}
    return {**shown, "why": _sentence(Reason, reason)}


def _sentence(choices: Any, code: str) -> str:
    return str(choices(code).label) if code in choices.values else ""
