"""Facts into the database: a batch in one transaction, tried again where that helps, split where one is poison."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TypeVar

import psycopg
import structlog

from audience.crash import CrashPoint, crash_point
from audience.identity import ProfileGone
from audience.pipeline import NothingCommitted, OutcomeUnknown, Pipeline
from audience.talk import Talk
from pixels.batch import KINDS, Done, DoorMemory, Ended, Repeats, entry_of, store, turn_of
from pixels.facts import Fact, Fire, Withdrawal
from pixels.messages.arrivals import Arrival
from pixels.messages.batch import count, refused
from pixels.reasons import Reason
from pixels.writing import put_count
from segments.changes import DayOf
from segments.renewals import RowsChanged
from segments.rulebook import BookBehind

log = structlog.get_logger(__name__)
T = TypeVar("T")

RETRIES = 5
# About 40 MB when full.
REMEMBERED_IDENTIFIERS = 100_000
# Longer than any batch takes in health; who waits longer is served by the spool.
PATIENCE_SECONDS = 2.0
CONNECT_SECONDS = 2

# The plans of a batch are fixed: one index descent per key, whatever the statistics of an hour ago say. What a lost
# door has left in a transaction must not hold its locks for long.
SESSION_OPTIONS = (
    "-c synchronous_commit=on -c timezone=UTC -c jit=off -c plan_cache_mode=force_generic_plan "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off "
    "-c idle_in_transaction_session_timeout=10000 -c client_connection_check_interval=1000"
)
_AGAIN = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    RowsChanged,
    ProfileGone,
    NothingCommitted,
)
_POISON = (psycopg.DataError, psycopg.IntegrityError, ValueError, ProfileGone)


class DatabaseAway(Exception):
    """The database is away, or answers too late, or not to us; or rules are to be asked that are still being read.

    The facts are good; whether they are stored is unknown.
    """


class Commits:
    """One connection for batches, one after the other.

    Promise: what `commit` returns is committed with `synchronous_commit = on`. One bad fact never spoils its batch.
    """

    def __init__(
        self,
        conninfo: str,
        day_of: DayOf,
        *,
        name: str,
        remembered: int = REMEMBERED_IDENTIFIERS,
    ) -> None:
        """`day_of` is the advertiser's local day of an instant; `name` is what PostgreSQL shows of the connection."""
        self._conninfo = psycopg.conninfo.make_conninfo(
            conninfo, options=SESSION_OPTIONS, application_name=name, connect_timeout=CONNECT_SECONDS
        )
        self._day_of = day_of
        self._pipeline: Pipeline | None = None
        self._memory = DoorMemory(remembered)

    async def commit(self, facts: Sequence[Fact], repeats: Repeats = Repeats.UNCHECKED) -> list[Ended]:
        """Store facts; return how each ended. Raises `DatabaseAway`."""
        turns = [turn_of(fact) for fact in facts]
        try:
            if len({*turns}) == 1:
                return await self._commit_or_split(facts, repeats)
            ended: list[Iterator[Ended]] = [iter(())] * KINDS
            for turn in sorted({*turns}):
                group = [fact for fact, its in zip(facts, turns, strict=True) if its == turn]
                ended[turn] = iter(await self._commit_or_split(group, repeats))
            return [next(ended[turn]) for turn in turns]
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("database_away", facts=len(facts), error=type(error).__name__)
            self.close()
            raise DatabaseAway from error
        except BookBehind as error:
            # The catalogue's thread reads the rules, as soon as it has a connection again.
            log.warning("rules_behind", facts=len(facts))
            raise DatabaseAway from error

    async def open(self) -> None:
        """Connect before the first fire: in the hour of need there may be no file descriptor left."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._pipeline = await Pipeline.connect(self._conninfo)
        except (psycopg.Error, OSError) as error:
            log.warning("database_away", facts=0, error=type(error).__name__)

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None

    async def _commit_or_split(self, facts: Sequence[Fact], repeats: Repeats) -> list[Ended]:
        """Commit a batch; split it where a fact is poison, until that one stands alone and is rejected."""
        try:
            return await self._commit_once(facts, repeats)
        except _POISON as error:
            if len(facts) == 1:
                log.warning("fact_rejected", error=type(error).__name__)
                return [await self._reject(facts[0])]
            half = len(facts) // 2
            first = await self._commit_or_split(facts[:half], repeats)
            return [*first, *await self._commit_or_split(facts[half:], repeats)]

    async def _commit_once(self, facts: Sequence[Fact], repeats: Repeats) -> list[Ended]:
        for attempt in range(RETRIES):
            try:
                done = await self._transact(self._storing(facts, repeats))
            except psycopg.errors.UniqueViolation:
                # Another process has stored one of them: look which, from now on.
                if attempt == RETRIES - 1:
                    raise
                if repeats is Repeats.UNCHECKED:
                    repeats = Repeats.COUNTED
            except OutcomeUnknown:
                # What is stored is found and left out; where the database is away, the spool does the same later.
                if attempt == RETRIES - 1:
                    raise
                repeats = Repeats.LEFT_OUT
            except _AGAIN as error:
                if isinstance(error, ProfileGone):
                    self._memory.people.forget(error.keys)
                if isinstance(error, RowsChanged | psycopg.errors.DeadlockDetected):
                    self._memory.doubt(facts)
                if attempt == RETRIES - 1:
                    raise
            else:
                self._memory.keep(done)
                crash_point(_AFTER[repeats is Repeats.LEFT_OUT])
                return done.stored
        raise AssertionError("unreachable")

    def _storing(self, facts: Sequence[Fact], repeats: Repeats) -> Talk[Done]:
        done = yield from store(facts, self._day_of, self._memory, repeats)
        crash_point("batch.before_commit")
        return done

    async def _reject(self, fact: Fact) -> Ended:
        """Count a fact that the database refuses; nothing else of it is kept."""
        if isinstance(fact, Withdrawal):
            return fact if fact.fire is None else await self._reject_fire(fact.fire)
        return await (self._reject_fire(fact) if isinstance(fact, Fire) else self._reject_message(fact))

    async def _reject_message(self, arrival: Arrival) -> Ended:
        """Count a message. Where its advertiser is gone there are no books that it could stand in."""
        try:
            return await self._transact(count(arrival))
        except _POISON:
            return refused(arrival)

    async def _reject_fire(self, fire: Fire) -> Ended:
        """Count a fire.

        Where its own pixel is gone or its page is the poison, it is counted for the installation.
        """
        stored = entry_of(fire._replace(reason=fire.reason or Reason.BAD_ENCODING))
        nobodys = stored.fire._replace(advertiser_id=None, pixel_id=None, page_host="", page_path="")
        for attempt in (stored, entry_of(nobodys)):
            try:
                await self._transact(put_count(attempt))
            except psycopg.errors.UniqueViolation:
                break  # counted already
            except _POISON:
                continue
            break
        return stored

    async def _transact(self, talk: Talk[T]) -> T:
        async with asyncio.timeout(PATIENCE_SECONDS):
            if self._pipeline is not None and self._pipeline.is_closed:
                self.close()
            if self._pipeline is None:
                self._pipeline = await Pipeline.connect(self._conninfo)
            return await self._pipeline.transact(talk)


_AFTER: tuple[CrashPoint, CrashPoint] = ("batch.after_commit", "replay.after_commit")
