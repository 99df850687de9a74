"""The messages of a write key as they come in, for its live view, which asks twice a second. It names nobody."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from audience.models import WriteKey
from pixels.glance import Glance, Row, look_since, sentence_of
from pixels.messages.errors import MessageError
from pixels.reasons import Outcome

# Needs `pixels_arrivedmessage_pkey`: the key's newest messages, and only as many as are shown.
_MESSAGES = """
    SELECT id, received_at, kind, event, outcome, error, page_host FROM pixels_arrivedmessage
    WHERE source_id = %(key)s AND received_at > %(after)s
        AND (%(outcome)s::text = '' OR outcome = %(outcome)s) AND (%(error)s::text = '' OR error = %(error)s)
        AND (%(host)s::text = '' OR page_host = %(host)s)
    ORDER BY received_at DESC LIMIT %(most)s
"""


@dataclass(frozen=True)
class Wanted:
    """Which messages somebody wants to see; empty texts let all through."""

    outcome: str = ""
    error: str = ""
    host: str = ""


def look(key: WriteKey, cursor: str, wanted: Wanted, now: datetime) -> Glance:
    """Return the messages of a key since the cursor, as the page shows them."""
    return look_since(cursor, lambda after, most: _rows(key, wanted, after, most), _shown, now)


def _rows(key: WriteKey, wanted: Wanted, after: datetime, most: int) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(_MESSAGES, {"key": key.pk, "after": after, "most": most, **asdict(wanted)})
        rows: list[Row] = cursor.fetchall()
    return rows


def _shown(row: Row) -> dict[str, Any]:
    id_, at, kind, event, outcome, error, host = row
    return {
        "id": str(id_),
        "at": at.isoformat(),
        "kind": kind,
        "event": event,
        "outcome": outcome,
        "sentence": sentence_of(Outcome, outcome),
        "reason": error,
        "why": sentence_of(MessageError, error),
        "page": host,
    }
