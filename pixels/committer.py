"""Group commit: many facts, one transaction, the answers after it.

Whatever has arrived is taken and committed at once; what arrives meanwhile is the next batch. There is no gather
delay: measured, waiting 2 to 5 ms only lowers throughput. While PostgreSQL waits for its disk at the end of a batch,
the next one begins over a second connection; facts of one person are never in both, so that their order is kept.

While the database is away, or slower than facts come, the batch goes to the spool and is answered after its fsync. As
long as the spool holds anything, all that is new queues up behind it, so that the order is kept.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from audience import metrics
from audience.identity import Key
from pixels.batch import DoorMemory, Ended, pending
from pixels.commits import REMEMBERED_IDENTIFIERS, Commits, DatabaseAway
from pixels.facts import Fact, Fire, Withdrawal
from pixels.messages.arrivals import Kept
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
LANES = 2  # one waits for its disk, one is being done; a third brought nothing

Answers = list[tuple[Any, Ended | None]]
Batch = list[tuple[Fact, Any]]


class Lane:
    """A connection with its batch, and the people in it."""

    def __init__(self, commits: Commits) -> None:
        self.commits = commits
        self.people: set[Key] = set()


class Turn:
    """The right to have a batch done; it is given away once."""

    def __init__(self, lock: asyncio.Lock) -> None:
        """The lock is held."""
        self._lock = lock
        self._is_given = False

    def give_away(self) -> None:
        if not self._is_given:
            self._is_given = True
            self._lock.release()


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
        memory = DoorMemory(REMEMBERED_IDENTIFIERS)
        self._lanes = [Lane(Commits(conninfo, day_of, name=name, memory=memory)) for _ in range(LANES)]
        # Held by the lane whose batch is being done; one whose batch waits for its disk has given it away.
        self._turn = asyncio.Lock()
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
        """Commit until the end."""
        self._open_spool()
        await asyncio.gather(*(lane.commits.open() for lane in self._lanes))
        looking = asyncio.create_task(self._recovery.look_after_the_dead())
        await asyncio.gather(*(self._work(lane) for lane in self._lanes))
        await self._stop([looking, *([self._emptying] if self._emptying else [])])

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """End; what the spool still holds waits for the next process."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._recovery.close()
        for lane in self._lanes:
            lane.commits.close()
        self._disk.shutdown()
        if self._spool is not None:
            self._spool.close()

    async def _work(self, lane: Lane) -> None:
        """Take one batch after the other, each when it is this lane's turn."""
        while True:
            await self._turn.acquire()
            turn = Turn(self._turn)
            try:
                batch = await self._next_batch(lane)
                if not batch:
                    return
                await self._store_and_answer(lane, batch, turn)
            finally:
                turn.give_away()

    async def _next_batch(self, lane: Lane) -> Batch:
        """Return what has arrived, as soon as there is something; nothing at the end."""
        while True:
            batch = self._take(lane)
            if batch or (self._is_ending and not self._queue):
                return batch
            if not self._queue:
                metrics.set_queue(0)
            self._news.clear()
            await self._news.wait()

    def _take(self, lane: Lane) -> Batch:
        """Take all that has arrived, but for the people in the other lane's batch."""
        waiting = len(self._queue)
        if not waiting:
            return []
        metrics.set_queue(waiting)
        most = SPOOLED_AT_ONCE if waiting > LONG_QUEUE or self.is_spooling else BATCH_FACTS
        elsewhere = set().union(*(other.people for other in self._lanes))
        batch, held = [], []
        for _ in range(min(waiting, most)):
            one = self._queue.popleft()
            people = _people(one[0])
            if elsewhere.isdisjoint(people):
                batch.append(one)
                lane.people.update(people)
            else:
                held.append(one)
                elsewhere.update(people)
        self._queue.extendleft(reversed(held))
        return batch

    async def _store_and_answer(self, lane: Lane, batch: Batch, turn: "Turn") -> None:
        facts = [fact for fact, _ in batch]
        stored: Sequence[Ended | None]
        try:
            stored = await self._store(lane, facts, turn, is_long=len(facts) > BATCH_FACTS and not self.is_spooling)
        except Exception:
            # The committer outlives everything: a dead one would leave every later fact without an answer.
            log.exception("batch_failed", facts=len(batch))
            metrics.count_refused("fault", len(batch))
            lane.commits.close()
            stored = [None] * len(batch)
        lane.people.clear()
        self._news.set()
        self._answer([(waiter, one) for (_, waiter), one in zip(batch, stored, strict=True)])

    async def _store(
        self, lane: Lane, facts: Sequence[Fact], turn: "Turn", *, is_long: bool
    ) -> Sequence[Ended | None]:
        if is_long:
            return await self._keep(facts)
        if self.is_spooling:
            async with self._writing:
                # It may have been emptied while we waited.
                if self.is_spooling:
                    return await self._write(facts)
        return await self._commit(lane, facts, turn)

    async def _commit(self, lane: Lane, facts: Sequence[Fact], turn: "Turn") -> Sequence[Ended | None]:
        started = time.perf_counter()
        try:
            stored = await lane.commits.commit(facts, is_done=turn.give_away)
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


def _people(fact: Fact) -> Sequence[Key]:
    """Return whom a fact names. Who of them is one and the same is found out in the database."""
    if isinstance(fact, Fire):
        return (fact.browser,) if fact.browser is not None else ()
    if isinstance(fact, Withdrawal):
        return fact.keys
    message = fact.message
    if message is None:
        return ()
    named = (message.own, message.previous, *message.linked, *message.proven)
    return [key for key in named if key is not None]


def _count(stored: Sequence[Ended], *, commit_seconds: float) -> None:
    messages = [one for one in stored if isinstance(one, Kept)]
    fires = Counter([(str(one.outcome), str(one.reason or "")) for one in stored if isinstance(one, Stored)])
    metrics.count_batch(fires, facts=len(stored), commit_seconds=commit_seconds)
    if messages:
        metrics.count_messages(Counter([(str(one.outcome), str(one.reason or "")) for one in messages]))
