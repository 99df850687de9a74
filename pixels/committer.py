"""Group commit: many facts, one transaction, the answers after it.

Whatever has arrived is taken and committed at once; what arrives meanwhile is the next batch. There is no gather
delay: measured, waiting 2 to 5 ms only lowers throughput. Nor is there a second batch while PostgreSQL waits for its
disk: that time is the other doors' of the machine, and two small batches cost more than one (measured: a tenth).

While the database is away, or slower than facts come, the batch goes to the spool and is answered after its fsync. As
long as the spool holds anything, all that is new queues up behind it, so that the order is kept.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from audience import metrics
from pixels.batch import Ended, pending
from pixels.commits import Commits, DatabaseAway
from pixels.facts import Fact
from pixels.messages.arrivals import Kept
from pixels.reasons import Outcome
from pixels.recovery import Recovery
from pixels.spool import Spool, SpoolFull
from pixels.stored import Stored
from segments.changes import DayOf

log = structlog.get_logger(__name__)

BATCH_FACTS = 1_000
SPOOLED_AT_ONCE = 5_000
QUEUE_FACTS = 10_000
# What waits longer than this many facts goes to the spool: the database does not keep up.
LONG_QUEUE = 5_000
REMEMBERED_BY_RECOVERY = 10_000
PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
LAST_BYTES = 256 << 10  # about 600 fires

Answers = list[tuple[Any, Ended | None]]
Batch = list[tuple[Fact, Any]]


class Committer:
    """Commit facts in batches and answer each after its commit. All of it happens in one event loop.

    Promise: `answer` hears how a fact ended only where its transaction is committed with `synchronous_commit = on`,
    or it is fsynced in the spool (then its outcome is pending); None says that it is not stored, and the client
    must be told so.
    """

    def __init__(
        self,
        *,
        conninfo: str,
        day_of: DayOf,
        answer: Callable[[Answers], None],
        spool_root: Path,
        spool_bytes: int,
        name: str = "muster-door",
    ) -> None:
        """`day_of` is the advertiser's local day of an instant; `answer` is called once for a batch."""
        self._answer = answer
        self._queue: deque[tuple[Fact, Any]] = deque()
        self._news = asyncio.Event()
        self._is_ending = False
        self._commits = Commits(conninfo, day_of, name=name)
        self._spool_root, self._spool_bytes = spool_root, spool_bytes
        self._spool: Spool | None = None
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._writing = asyncio.Lock()
        replaying = Commits(conninfo, day_of, name="muster-spool", remembered=REMEMBERED_BY_RECOVERY)
        self._recovery = Recovery(replaying, spool_root)
        # The task that empties the spool. While there is one, facts go to the spool.
        self._emptying: asyncio.Task[None] | None = None
        self._is_spool_refusing = False

    @property
    def is_spooling(self) -> bool:
        """Whether facts go to the spool at this time."""
        return self._emptying is not None

    @property
    def is_refusing(self) -> bool:
        """Whether facts can be kept nowhere: the database is away, and the spool is full or cannot be written."""
        return self.is_spooling and self._is_spool_refusing

    @property
    def has_spool(self) -> bool:
        return self._spool is not None

    def submit(self, fact: Fact, waiter: Any) -> bool:
        """Queue a fact; False when the queue is full, or the end has begun, and the client must be refused."""
        if self._is_ending or len(self._queue) >= QUEUE_FACTS:
            metrics.count_refused("ending" if self._is_ending else "queue_full")
            return False
        self._queue.append((fact, waiter))
        self._news.set()
        return True

    def end(self) -> None:
        """Let `run` return as soon as what has been submitted is committed."""
        self._is_ending = True
        self._news.set()

    async def run(self) -> None:
        """Commit one batch after the other until the end."""
        self._open_spool()
        await self._commits.open()
        looking = asyncio.create_task(self._recovery.look_after_the_dead())
        while batch := await self._next_batch():
            await self._store_and_answer(batch)
        await self._stop([looking, *([self._emptying] if self._emptying else [])])

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """End; what the spool still holds waits for the next process."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._recovery.close()
        self._commits.close()
        self._disk.shutdown()
        if self._spool is not None:
            self._spool.close()

    async def _next_batch(self) -> Batch:
        """Return all that has arrived, as soon as there is something; nothing at the end."""
        if not self._queue:
            metrics.set_queue(0)
        while not self._queue and not self._is_ending:
            self._news.clear()
            await self._news.wait()
        waiting = len(self._queue)
        metrics.set_queue(waiting)
        most = SPOOLED_AT_ONCE if waiting > LONG_QUEUE or self.is_spooling else BATCH_FACTS
        return [self._queue.popleft() for _ in range(min(waiting, most))]

    async def _store_and_answer(self, batch: Batch) -> None:
        facts = [fact for fact, _ in batch]
        stored: Sequence[Ended | None]
        try:
            stored = await self._store(facts, is_long=len(facts) > BATCH_FACTS and not self.is_spooling)
        except Exception:
            # The committer outlives everything: a dead one would leave every later fact without an answer.
            log.exception("batch_failed", facts=len(batch))
            metrics.count_refused("fault", len(batch))
            self._commits.close()
            stored = [None] * len(batch)
        self._answer([(waiter, one) for (_, waiter), one in zip(batch, stored, strict=True)])

    async def _store(self, facts: Sequence[Fact], *, is_long: bool) -> Sequence[Ended | None]:
        if is_long:
            return await self._keep(facts)
        if self.is_spooling:
            async with self._writing:
                # It may have been emptied while we waited.
                if self.is_spooling:
                    return await self._write(facts)
        return await self._commit(facts)

    async def _commit(self, facts: Sequence[Fact]) -> Sequence[Ended | None]:
        started = time.perf_counter()
        try:
            stored = await self._commits.commit(facts)
        except DatabaseAway:
            return await self._keep(facts)
        _count(stored, commit_seconds=time.perf_counter() - started)
        return stored

    async def _keep(self, facts: Sequence[Fact]) -> Sequence[Ended | None]:
        async with self._writing:
            return await self._write(facts)

    async def _write(self, facts: Sequence[Fact]) -> Sequence[Ended | None]:
        """Put facts into the spool; None for each where it takes none."""
        try:
            if self._spool is None:
                raise OSError("There is no spool.")
            await asyncio.get_running_loop().run_in_executor(self._disk, self._spool.append, facts)
        except (OSError, SpoolFull) as error:
            reason = "spool_full" if isinstance(error, SpoolFull) else "spool_failed"
            if not self._is_spool_refusing:  # once, not for each batch: the figures count
                log.error("fires_refused", reason=reason, error=type(error).__name__)
            metrics.count_refused(reason, len(facts))
            self._is_spool_refusing = True
            return [None] * len(facts)
        self._is_spool_refusing = False
        if self._emptying is None:
            log.warning("spooling_begins")
            self._emptying = asyncio.create_task(self._empty(self._spool))
        self._measure_spool()
        metrics.count_spool(written=len(facts))
        return [pending(fact) for fact in facts]

    async def _empty(self, spool: Spool) -> None:
        """Bring the spool into the database; from its end on facts go there directly."""
        pause = PAUSE_SECONDS
        while self._emptying is not None:
            try:
                await self._bring_oldest(spool)
                pause = PAUSE_SECONDS
            except DatabaseAway:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            except Exception:
                # Whatever it is, such as a broken disk: the facts stay where they are, and nothing else may end.
                log.exception("spool_not_emptied")
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)
            self._measure_spool()
        self._recovery.close()
        log.info("spooling_ends")

    async def _bring_oldest(self, spool: Spool) -> None:
        async with self._writing:
            path = spool.oldest()
            if path is None:
                self._emptying = None
                return
            if spool.held_bytes <= LAST_BYTES:
                # Under load there is always something new: let it wait for a moment, or this would never end.
                await self._recovery.bring(path)
                spool.remove(path)
                return
        await self._recovery.bring(path)
        spool.remove(path)

    def _measure_spool(self) -> None:
        if self._spool is not None:
            metrics.set_spool(held_bytes=self._spool.held_bytes, oldest_seconds=self._spool.oldest_seconds)

    def _open_spool(self) -> None:
        try:
            self._spool = Spool(self._spool_root, most_bytes=self._spool_bytes)
        except OSError as error:
            log.error("no_spool", folder=str(self._spool_root), error=type(error).__name__)


def _count(stored: Sequence[Ended], *, commit_seconds: float) -> None:
    messages = [one for one in stored if isinstance(one, Kept)]
    fires = Counter([(one.outcome, one.reason) for one in stored if isinstance(one, Stored)])
    metrics.count_batch(_named(fires), facts=len(stored), commit_seconds=commit_seconds)
    if messages:
        metrics.count_messages(_named(Counter([(one.outcome, one.reason) for one in messages])))


def _named(ends: Mapping[tuple[Outcome, Any], int]) -> dict[tuple[str, str], int]:
    return {(str(outcome), str(reason or "")): number for (outcome, reason), number in ends.items()}
