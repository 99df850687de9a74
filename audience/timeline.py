"""What happened to one profile, newest first, read by key range: its events, and what rooms above add to them.

A page begins after the mark where the one before ended: an instant, and a key that orders what lies at that instant.
Nothing is counted and nothing is skipped, so the hundredth page costs what the first one does.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from audience.models import Event

ENTRIES_OF_A_PAGE = 50
PROPERTIES_IN_SHORT = 3
LONGEST_SHORT_VALUE = 80
_MARK = re.compile(r"([0-9]{1,17})-([0-9a-f]{32})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Mark(NamedTuple):
    """A place in a timeline. Of entries at one instant the one with the greater key is the newer one."""

    at: datetime
    key: UUID

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}-{self.key.hex}"


def read_mark(text: str) -> Mark | None:
    """Return the mark that a text stands for; None where it is none."""
    match = _MARK.fullmatch(text)
    return Mark(_EPOCH + int(match[1]) * _MICROSECOND, UUID(match[2])) if match else None


class Entry(NamedTuple):
    """One thing that happened. `tone` is the kind of a transition, `link` leads to what the title names."""

    mark: Mark
    title: str
    short: str = ""
    tone: str = ""
    tone_name: str = ""
    link: str = ""
    profile_id: UUID | None = None
    # What is folded away: (heading, JSON).
    folded: tuple[tuple[str, str], ...] = ()


class Timeline(NamedTuple):
    """One page; `older` is where the next one begins, None on the last one."""

    entries: Sequence[Entry]
    older: Mark | None


# A source takes a profile, a mark (None: the end) and how many; it returns entries before the mark, newest first.
Source = Callable[[UUID, Mark | None, int], Sequence[Entry]]
_sources: list[Source] = []


def adds_to_timelines(source: Source) -> Source:
    """Register a source of entries."""
    _sources.append(source)
    return source


def read_timeline(profile_id: UUID, before: Mark | None = None, *, limit: int = ENTRIES_OF_A_PAGE) -> Timeline:
    """Return the newest entries of all sources before a mark."""
    found = [entry for source in _sources for entry in source(profile_id, before, limit + 1)]
    found.sort(key=lambda entry: entry.mark, reverse=True)
    entries = found[:limit]
    return Timeline(entries, entries[-1].mark if len(found) > limit else None)


def events_of(profile_id: UUID, before: Mark | None = None) -> QuerySet[Event]:
    """Return a profile's events before a mark, newest first: along the primary key, backwards.

    The bound on the instant stands beside that on the key for the planner, which leaves out later partitions by it.
    """
    events = Event.objects.filter(profile_id=profile_id)
    if before is not None:
        events = events.filter(pk__lt=(profile_id, *before), occurred_at__lte=before.at)
    return events.order_by("-occurred_at", "-id")


@contextmanager
def in_key_order() -> Iterator[None]:
    """Let PostgreSQL read events in the order of their key inside the block.

    It knows how many events a profile has on average, and would fetch and sort all of them where one has 100,000.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        yield


def newest_event(profile_id: UUID) -> Event | None:
    """Return the newest event of a profile, if there is one."""
    with in_key_order():
        return events_of(profile_id).first()


@adds_to_timelines
def event_entries(profile_id: UUID, before: Mark | None, limit: int) -> list[Entry]:
    """Return the events as entries."""
    with in_key_order():
        return [entry_of(event) for event in events_of(profile_id, before)[:limit]]


def entry_of(event: Event, *, of: UUID | None = None) -> Entry:
    """Return an event as an entry; `of` is the profile, where a page shows those of several."""
    parts = (("Properties", event.properties), ("Context", event.context))
    return Entry(
        mark=Mark(event.occurred_at, event.id),
        title=event.name,
        short=in_short(event),
        profile_id=of,
        folded=tuple((name, as_text(part)) for name, part in parts if part),
    )


def in_short(event: Event) -> str:
    """Return what an event is about in one line: its page, and its first properties that are a single value."""
    page = event.context.get("page") if isinstance(event.context, Mapping) else None
    path = page.get("path") if isinstance(page, Mapping) else None
    words = [_cut(str(path))] if path else []
    return " · ".join([*words, *islice(_single_values(event.properties), PROPERTIES_IN_SHORT)])


def _single_values(properties: object) -> Iterator[str]:
    for name, value in properties.items() if isinstance(properties, Mapping) else ():
        if isinstance(value, (str, int, float)) and value != "":
            yield f"{_cut(str(name))} {_cut(value if isinstance(value, str) else json.dumps(value))}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHORT_VALUE else f"{text[: LONGEST_SHORT_VALUE - 1]}…"


def as_text(value: Any) -> str:
    """Return JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)
