"""The segments of one browser that its page may read (pixels.md 1.11), by the predicate of every reader.

They are read over a connection of their own: the committer's is never kept waiting by a page that only looks.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import structlog

from audience.identity import Key
from segments.membership import ENDS_AT_SQL, HOLDS_OF_ACTIVE_VERSION_SQL

log = structlog.get_logger(__name__)

MOST = 200
PATIENCE_SECONDS = 2.0
_OPTIONS = "-c timezone=UTC -c jit=off -c statement_timeout=2000 -c default_transaction_read_only=on"

# Needs `audience_identifier_pkey`, then `segments_membership_pkey`: the rows of one profile.
_HELD = f"""
    SELECT s.code, s.id, m.value, m.starts_at, {ENDS_AT_SQL}
    FROM audience_identifier i
    JOIN segments_membership m ON m.profile_id = i.profile_id
    JOIN segments_segment s ON s.id = m.segment_id AND s.advertiser_id = i.advertiser_id
    WHERE i.id = %(identifier)s AND s.is_readable_on_page AND s.deleted_at IS NULL
        AND {HOLDS_OF_ACTIVE_VERSION_SQL}
        AND (%(codes)s::text[] = '{{}}' OR lower(s.code) = ANY(%(codes)s::text[]))
    ORDER BY m.starts_at DESC, s.id LIMIT {MOST}
"""  # noqa: S608 -- constants of ours

Shown = dict[str, Any]


class OwnSegments(NamedTuple):
    """A question for the segments of one browser. `codes` in lower case; none of them: all segments."""

    browser: Key
    codes: frozenset[str] = frozenset()


class Reader:
    """A connection for one such question after the other. All of it happens in one event loop."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = psycopg.conninfo.make_conninfo(
            conninfo, options=_OPTIONS, application_name="muster-own-segments", connect_timeout=2
        )
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def read(self, asked: OwnSegments, at: datetime) -> list[Shown]:
        """Return what holds at an instant, newest first; an empty list where the database does not answer."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._turn:
                return [_shown(row) for row in await self._rows(asked, at)]
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("own_segments_not_read", error=type(error).__name__)
            await self.close()
            return []

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _rows(self, asked: OwnSegments, at: datetime) -> Sequence[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        values = {"identifier": asked.browser.id.hex(), "codes": sorted(asked.codes), "at": at}
        cursor = await self._connection.execute(_HELD, values)
        return await cursor.fetchall()


def _shown(row: tuple[Any, ...]) -> Shown:
    code, number, value, starts_at, ends_at = row
    until = None if ends_at is None else written(ends_at)
    return {"code": code, "id": number, "value": value, "since": written(starts_at), "until": until}


def written(at: datetime) -> str:
    """Return an instant as the API writes it: in UTC, to the millisecond where it has parts of a second."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")
