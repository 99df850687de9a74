"""The segments of browsers that their pages may read (pixels.md 1.11), by the predicate of every reader.

They are read over a connection of their own: the committer's is never kept waiting by a page that only looks. As with
commits, what has been asked while a statement runs is the next one's: nearly all that one browser costs is the way.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import structlog

from audience.columns import texts, uuids
from audience.identity import Key
from segments.membership import ENDS_AT_SQL, HOLDS_OF_ACTIVE_VERSION_SQL

log = structlog.get_logger(__name__)

MOST = 200
ASKED_AT_ONCE = 200
PATIENCE_SECONDS = 2.0
# One descent of an index for each key, however many browsers are asked about (see `pixels.commits`).
_OPTIONS = (
    "-c timezone=UTC -c jit=off -c statement_timeout=2000 -c default_transaction_read_only=on "
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)

# Needs `audience_identifier_pkey`, then `segments_membership_pkey`: the rows of each profile.
HELD = f"""
    SELECT a.place, r.*
    FROM unnest(%s::uuid[], %s::text[], %s::text[]) WITH ORDINALITY AS a(identifier, asked_at, codes, place)
    JOIN audience_identifier i ON i.id = a.identifier
    CROSS JOIN LATERAL (
        SELECT s.code, s.id, m.value, m.starts_at, {ENDS_AT_SQL}
        FROM segments_membership m JOIN segments_segment s ON s.id = m.segment_id
        WHERE m.profile_id = i.profile_id AND s.advertiser_id = i.advertiser_id
            AND s.is_readable_on_page AND s.deleted_at IS NULL
            AND {HOLDS_OF_ACTIVE_VERSION_SQL.replace("%(at)s", "a.asked_at::timestamptz")}
            AND (a.codes = '' OR lower(s.code) = ANY(string_to_array(a.codes, ',')))
        ORDER BY m.starts_at DESC, s.id LIMIT {MOST}
    ) r
"""  # noqa: S608 -- constants of ours

Shown = dict[str, Any]
_CODE = re.compile(r"[a-z0-9_-]{1,50}")  # as of `Segment.code`, in lower case


class OwnSegments(NamedTuple):
    """A question for the segments of one browser. `codes` in lower case; none of them: all segments."""

    browser: Key
    codes: frozenset[str] = frozenset()


class _Question(NamedTuple):
    asked: OwnSegments
    at: datetime
    answer: asyncio.Future[list[Shown]]


class Reader:
    """A connection for such questions. All of it happens in one event loop."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = psycopg.conninfo.make_conninfo(
            conninfo, options=_OPTIONS, application_name="muster-own-segments", connect_timeout=2
        )
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._waiting: list[_Question] = []
        self._reading: asyncio.Task[None] | None = None

    async def read(self, asked: OwnSegments, at: datetime) -> list[Shown]:
        """Return what holds at an instant, newest first; an empty list where the database does not answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Shown]] = loop.create_future()
        self._waiting.append(_Question(asked, at, answer))
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._answer_all())
        return await answer

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _answer_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:ASKED_AT_ONCE], self._waiting[ASKED_AT_ONCE:]
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    shown = await self._shown(group)
            except Exception as error:  # whatever it is, nobody waits for ever
                log.warning("own_segments_not_read", error=type(error).__name__)
                await self.close()
                group, self._waiting = [*group, *self._waiting], []
                shown = [[] for _ in group]
            for question, its in zip(group, shown, strict=True):
                if not question.answer.done():  # its client may have gone
                    question.answer.set_result(its)

    async def _shown(self, group: Sequence[_Question]) -> list[list[Shown]]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        cursor = await self._connection.execute(
            HELD,
            [
                uuids([one.asked.browser.id for one in group]),
                texts([one.at.isoformat() for one in group]),
                texts([_joined(one.asked.codes) for one in group]),
            ],
        )
        shown: list[list[Shown]] = [[] for _ in group]
        for place, *row in await cursor.fetchall():
            shown[place - 1].append(_shown(row))
        return shown


def _joined(codes: frozenset[str]) -> str:
    """Return those that may be codes, as text; of which none is one, what no segment has: a comma."""
    possible = [code for code in sorted(codes) if _CODE.fullmatch(code)]
    return ",".join(possible) or ("," if codes else "")


def _shown(row: Sequence[Any]) -> Shown:
    code, number, value, starts_at, ends_at = row
    until = None if ends_at is None else written(ends_at)
    return {"code": code, "id": number, "value": value, "since": written(starts_at), "until": until}


def written(at: datetime) -> str:
    """Return an instant as the API writes it: in UTC, to the millisecond where it has parts of a second."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")
