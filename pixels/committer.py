"""Group commit: many fires, one transaction, the answers after it.

One task per process takes whatever has arrived and commits it at once; what arrives meanwhile is the next batch.
There is no gather delay: measured, waiting 2 to 5 ms only lowers throughput.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import structlog

from audience.crash import crash_point
from audience.identity import Memory, ProfileGone
from audience.pipeline import NothingCommitted, Pipeline
from audience.talk import Talk
from pixels.batch import Done, Stored, put_count, store
from pixels.facts import Fire
from pixels.reasons import Outcome, Reason
from segments.changes import DayOf

log = structlog.get_logger(__name__)

BATCH_FIRES = 1_000
QUEUE_FIRES = 10_000
RETRIES = 5
# About 40 MB when full.
REMEMBERED_IDENTIFIERS = 100_000

# The plans of a batch are fixed: one index descent per key, whatever the statistics of an hour ago say.
SESSION_OPTIONS = (
    "-c synchronous_commit=on -c timezone=UTC -c jit=off -c plan_cache_mode=force_generic_plan "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)
_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, ProfileGone, NothingCommitted)
# The database is away, or this connection is: the facts are good.
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)

Answers = list[tuple[Any, Stored | None]]


class Committer:
    """Commit fires in batches and answer each after its commit. All of it happens in one event loop.

    Promise: `answer` hears `Stored` only for a fire whose transaction is committed with `synchronous_commit = on`;
    None says that it is not stored, and the client must be told so. One bad fire never spoils its batch.
    """

    def __init__(
        self, *, conninfo: str, day_of: DayOf, answer: Callable[[Answers], None], name: str = "muster-door"
    ) -> None:
        """`day_of` is the advertiser's local day of an instant; `answer` is called once for a batch."""
        self._conninfo = psycopg.conninfo.make_conninfo(
            conninfo, options=SESSION_OPTIONS, application_name=name, connect_timeout=5
        )
        self._day_of = day_of
        self._answer = answer
        self._queue: deque[tuple[Fire, Any]] = deque()
        self._news = asyncio.Event()
        self._is_ending = False
        self._pipeline: Pipeline | None = None
        self._memory = Memory(REMEMBERED_IDENTIFIERS)

    def submit(self, fire: Fire, waiter: Any) -> bool:
        """Queue a fire; False when the queue is full, or the end has begun, and the client must be refused."""
        if self._is_ending or len(self._queue) >= QUEUE_FIRES:
            return False
        self._queue.append((fire, waiter))
        self._news.set()
        return True

    def end(self) -> None:
        """Let `run` return as soon as what has been submitted is committed."""
        self._is_ending = True
        self._news.set()

    async def run(self) -> None:
        """Commit until the end."""
        while self._queue or not self._is_ending:
            if self._queue:
                await self._take_batch()
            else:
                self._news.clear()
                await self._news.wait()
        if self._pipeline is not None:
            self._pipeline.close()

    async def _take_batch(self) -> None:
        """Take all that has arrived, commit it and answer."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_FIRES))]
        stored: Sequence[Stored | None]
        try:
            stored = await self._commit([fire for fire, _ in batch])
        except _AWAY as error:
            log.warning("fires_not_stored", fires=len(batch), error=type(error).__name__)
            stored = [None] * len(batch)
        except Exception:
            # The committer outlives everything: a dead one would leave every later fire without an answer.
            log.exception("batch_failed", fires=len(batch))
            if self._pipeline is not None:
                self._pipeline.close()
            stored = [None] * len(batch)
        self._answer([(waiter, one) for (_, waiter), one in zip(batch, stored, strict=True)])

    async def _commit(self, fires: Sequence[Fire]) -> list[Stored]:
        """Commit a batch; split it where a fire is poison, until that one stands alone and is rejected."""
        try:
            return await self._commit_once(fires)
        except _AWAY:
            raise
        except (psycopg.DatabaseError, ValueError, ProfileGone) as error:
            if len(fires) == 1:
                log.warning("fire_rejected", error=type(error).__name__)
                return [await self._reject(fires[0])]
            half = len(fires) // 2
            return [*await self._commit(fires[:half]), *await self._commit(fires[half:])]

    async def _commit_once(self, fires: Sequence[Fire]) -> list[Stored]:
        for attempt in range(RETRIES):
            pipeline = await self._connected()
            try:
                done = await pipeline.transact(self._storing(fires))
            except _AGAIN as error:
                if isinstance(error, ProfileGone):
                    self._memory.forget(error.keys)
                if attempt == RETRIES - 1:
                    raise
            else:
                self._memory.keep(done.met)
                crash_point("batch.after_commit")
                return done.stored
        raise AssertionError("unreachable")

    def _storing(self, fires: Sequence[Fire]) -> Talk[Done]:
        done = yield from store(fires, self._day_of, self._memory)
        crash_point("batch.before_commit")
        return done

    async def _reject(self, fire: Fire) -> Stored:
        """Count a fire that the database refuses; nothing else of it is kept.

        Where its own pixel is gone or its page is the poison, it is counted for the installation.
        """
        nobodys = fire._replace(advertiser_id=None, pixel_id=None, page_host="", page_path="")
        try:
            await self._count_rejected(fire)
        except _AWAY:
            raise
        except (psycopg.DatabaseError, ValueError):
            await self._count_rejected(nobodys)
        return Stored(fire, Outcome.REJECTED, Reason.BAD_ENCODING)

    async def _count_rejected(self, fire: Fire) -> None:
        pipeline = await self._connected()
        await pipeline.transact(put_count(Stored(fire, Outcome.REJECTED, Reason.BAD_ENCODING)))

    async def _connected(self) -> Pipeline:
        if self._pipeline is None or self._pipeline.is_closed:
            self._pipeline = await Pipeline.connect(self._conninfo)
        return self._pipeline
