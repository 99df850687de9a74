"""Group commit: many fires, one transaction, the answers after it.

One thread per process takes whatever has arrived and commits it at once; what arrives meanwhile is the next batch.
There is no gather delay: measured, waiting 2 to 5 ms only lowers throughput.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import structlog

from audience.crash import crash_point
from pixels.batch import Entry, Stored, put_count, store
from pixels.facts import Fire
from pixels.reasons import Outcome, Reason
from segments.changes import DayOf

log = structlog.get_logger(__name__)

BATCH_FIRES = 1_000
QUEUE_FIRES = 10_000
RETRIES = 5

# The plans of a batch are fixed: one index descent per key, whatever the statistics of an hour ago say.
SESSION_OPTIONS = (
    "-c synchronous_commit=on -c timezone=UTC -c jit=off -c plan_cache_mode=force_generic_plan "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)
_AGAIN = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
# The database is away, or this connection is: the facts are good.
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)

Answers = list[tuple[Any, Stored | None]]
Connection = psycopg.Connection[tuple[Any, ...]]


class Committer:
    """Commit fires in batches and answer each after its commit.

    Promise: `answer` hears `Stored` only for a fire whose transaction is committed with `synchronous_commit = on`;
    None says that it is not stored, and the client must be told so. One bad fire never spoils its batch.
    """

    def __init__(
        self, *, conninfo: str, day_of: DayOf, answer: Callable[[Answers], None], name: str = "muster-door"
    ) -> None:
        """`day_of` is the advertiser's local day of an instant; `answer` is called from the committer's thread."""
        self._conninfo = psycopg.conninfo.make_conninfo(
            conninfo, options=SESSION_OPTIONS, application_name=name, connect_timeout=5
        )
        self._day_of = day_of
        self._answer = answer
        self._queue: queue.SimpleQueue[tuple[Fire, Any] | None] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """Commit what has been submitted, then end."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def submit(self, fire: Fire, waiter: Any) -> bool:
        """Queue a fire; False when the queue is full and the client must be refused."""
        if self._queue.qsize() >= QUEUE_FIRES:
            return False
        self._queue.put((fire, waiter))
        return True

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            fires, waiters = [fire for fire, _ in batch], [waiter for _, waiter in batch]
            try:
                stored = self._commit(fires)
            except _AWAY as error:
                log.warning("fires_not_stored", fires=len(fires), error=type(error).__name__)
                self._disconnect()
                stored = [None] * len(fires)
            except Exception:
                # The committer outlives everything: a dead one would leave every later fire without an answer.
                log.exception("batch_failed", fires=len(fires))
                self._disconnect()
                stored = [None] * len(fires)
            self._answer(list(zip(waiters, stored, strict=True)))
        self._disconnect()

    def _take(self) -> list[tuple[Fire, Any]] | None:
        """Wait for a fire and take with it all that has arrived; None when the end was asked for."""
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < BATCH_FIRES:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            batch.append(following)
        return batch

    def _commit(self, fires: Sequence[Fire]) -> list[Stored | None]:
        """Commit a batch; split it where a fire is poison, until that one stands alone and is rejected."""
        try:
            return list(self._commit_once(fires))
        except _AWAY:
            raise
        except (psycopg.DatabaseError, ValueError) as error:
            if len(fires) == 1:
                log.warning("fire_rejected", error=type(error).__name__)
                return [self._reject(fires[0])]
            half = len(fires) // 2
            return self._commit(fires[:half]) + self._commit(fires[half:])

    def _commit_once(self, fires: Sequence[Fire]) -> list[Stored]:
        for attempt in range(RETRIES):
            try:
                connection = self._connected()
                with connection.transaction(), connection.cursor() as cursor:
                    stored = store(cursor, fires, self._day_of)
                    crash_point("batch.before_commit")
            except _AGAIN:
                if attempt == RETRIES - 1:
                    raise
            else:
                crash_point("batch.after_commit")
                return stored
        raise AssertionError("unreachable")

    def _reject(self, fire: Fire) -> Stored:
        """Count a fire that the database refuses; nothing else of it is kept.

        Where its own pixel is gone or its page is the poison, it is counted for the installation.
        """
        nobodys = fire._replace(advertiser_id=None, pixel_id=None, page_host="", page_path="")
        try:
            self._count_rejected(fire)
        except _AWAY:
            raise
        except (psycopg.DatabaseError, ValueError):
            self._count_rejected(nobodys)
        return Stored(Outcome.REJECTED, Reason.BAD_ENCODING, ())

    def _count_rejected(self, fire: Fire) -> None:
        connection = self._connected()
        with connection.transaction(), connection.cursor() as cursor:
            put_count(cursor, Entry(fire, Outcome.REJECTED, Reason.BAD_ENCODING))

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=1)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
