"""Attributes as a marketer reads them: the value, since when, told last when, and whence."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from audience.models import AccountAttribute, Attribute, WriteKey
from audience.timeline import as_text


class Known(NamedTuple):
    """One attribute, in words."""

    name: str
    value: str
    since: datetime
    seen_at: datetime
    whence: str


def known_of(rows: Iterable[Attribute | AccountAttribute]) -> list[Known]:
    """Return attributes in words. A write key that is no more has no name left."""
    rows = list(rows)
    keys = WriteKey.objects.in_bulk({row.source_id for row in rows if row.source_id is not None})
    found = []
    for row in rows:
        key = keys.get(row.source_id) if row.source_id is not None else None
        value = row.value if isinstance(row.value, str) else as_text(row.value)
        whence = f"{key.name}, {row.source_kind}" if key else row.source_kind
        found.append(Known(row.name, value, row.since, row.seen_at, whence))
    return found
