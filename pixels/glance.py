"""A look at what comes in, newest first: a page asks again and again, each time from where the last look ended.

What comes in is committed after it was received, so a little of the time before is read again; the page leaves out
what it has, by its id. Where more comes in than is shown, it is said how many stand behind each one.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import TextChoices

FIRST_ROWS = 50
MOST_ROWS = 300
OVERLAP = timedelta(seconds=3)
OLDEST = timedelta(days=30)

Row = tuple[Any, ...]
# Reads so many rows received after an instant, newest first; the second column is that of the receipt.
Read = Callable[[datetime, int], Sequence[Row]]


class Glance(NamedTuple):
    """What a look gives: newest first, where to go on, and how many there were to each one shown."""

    rows: list[dict[str, Any]]
    cursor: str
    one_of: int


def look_since(cursor: str, read: Read, show: Callable[[Row], dict[str, Any]], now: datetime) -> Glance:
    """Return what came since the cursor; an empty or unreadable one gives the newest that there is."""
    since = _read_cursor(cursor, now)
    rows = read(since - OVERLAP if since else now - OLDEST, MOST_ROWS if since else FIRST_ROWS)
    newest = max([row[1] for row in rows], default=since or now)
    return Glance([show(row) for row in rows], newest.isoformat(), _one_of(rows, since))


def sentence_of(choices: type[TextChoices], code: str) -> str:
    """Return the sentence of a code of a closed list; empty for none."""
    return str(choices(code).label) if code in choices.values else ""


def _one_of(rows: Sequence[Row], since: datetime | None) -> int:
    """Return how many stand behind each row, from the span of time that the shown ones cover."""
    if since is None or len(rows) < MOST_ROWS:
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
