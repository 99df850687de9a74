"""The fires of access logs go into the database: each one that is not stored yet, once (safety.md R3).

It may run beside live traffic and beside another of its kind, and be broken off and begun again: a fire is known by
its id, and what is stored already is left out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import psycopg

from audience.pipeline import Pipeline
from audience.talk import Talk
from pixels.accesslog import LogFile, Reader, Skipped, UnreadableLog
from pixels.batch import Ended, Repeats, entry_of, mark_repeats
from pixels.commits import DatabaseAway
from pixels.facts import Fire
from pixels.reasons import Outcome, Reason
from pixels.stored import Stored

BATCH_FIRES = 1_000
LINES_BETWEEN_LOOKS = 1_000
# Long enough for a database that starts anew or that others keep busy; the log does not run away.
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)


@dataclass
class Report:
    """What became of the lines of all logs."""

    lines: int = 0
    applied: int = 0
    duplicates: int = 0
    suppressed: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    skipped: Counter[Skipped] = field(default_factory=Counter)

    def count(self, stored: Stored) -> None:
        if stored.outcome is Outcome.APPLIED:
            self.applied += 1
        elif stored.outcome is Outcome.DUPLICATE:
            self.duplicates += 1
        elif stored.outcome is Outcome.SUPPRESSED:
            self.suppressed += 1
        elif stored.reason is not None:
            self.rejected[stored.reason] += 1

    def text(self) -> Iterator[str]:
        """Yield the lines of the report for a person."""
        rejected = ", ".join(f"{reason.value} {fires:,}" for reason, fires in sorted(self.rejected.items()))
        yield f"{self.lines:>12,} lines"
        yield f"{self.applied:>12,} applied"
        yield f"{self.duplicates:>12,} duplicates"
        yield f"{self.rejected.total():>12,} rejected" + (f": {rejected}" if rejected else "")
        yield f"{self.suppressed:>12,} suppressed: the visitor has opted out, or the line does not say"
        for why in Skipped:
            yield f"{self.skipped[why]:>12,} {why}"


class Sink(Protocol):
    """Where fires go: `Commits`, or `Look`."""

    async def commit(self, fires: Sequence[Fire], repeats: Repeats, /) -> Sequence[Ended]: ...


class Look:
    """Tells how fires would end, and stores nothing."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._pipeline: Pipeline | None = None

    async def commit(self, fires: Sequence[Fire], _: Repeats, /) -> list[Stored]:
        try:
            if self._pipeline is None or self._pipeline.is_closed:
                self._pipeline = await Pipeline.connect(self._conninfo)
            return await self._pipeline.transact(_look(fires))
        except (psycopg.Error, OSError) as error:
            raise DatabaseAway from error

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()


def _look(fires: Sequence[Fire]) -> Talk[list[Stored]]:
    entries = [entry_of(fire) for fire in fires]
    yield from mark_repeats(entries)
    return entries


class LogReplay:
    """Reads log after log; `report` is what became of their lines until now.

    `watch` is called now and then while lines are read.
    """

    def __init__(self, reader: Reader, sink: Sink) -> None:
        self.report = Report()
        self.watch: Callable[[], None] = lambda: None
        self._reader = reader
        self._sink = sink

    async def bring(self, log: LogFile) -> None:
        """Bring in the fires of a log.

        Raises `UnreadableLog`, when all that could be read of it is stored, and `DatabaseAway`.
        """
        for batch in self._batches(log):
            await self._commit(batch)

    def _batches(self, log: LogFile) -> Iterator[list[Fire]]:
        batch: list[Fire] = []
        try:
            for fire in self._fires(log):
                batch.append(fire)
                if len(batch) == BATCH_FIRES:
                    yield batch
                    batch = []
        except UnreadableLog:
            if batch:
                yield batch
            raise
        if batch:
            yield batch

    def _fires(self, log: LogFile) -> Iterator[Fire]:
        for line in log.lines():
            self.report.lines += 1
            if self.report.lines % LINES_BETWEEN_LOOKS == 0:
                self.watch()
            fire = self._reader.fire_of(line)
            if isinstance(fire, Skipped):
                self.report.skipped[fire] += 1
            else:
                yield fire

    async def _commit(self, batch: Sequence[Fire]) -> None:
        for stored in await self._commit_patiently(batch):
            if isinstance(stored, Stored):
                self.report.count(stored)

    async def _commit_patiently(self, batch: Sequence[Fire]) -> Sequence[Ended]:
        for pause in PAUSES_SECONDS:
            try:
                return await self._sink.commit(batch, Repeats.LEFT_OUT)
            except DatabaseAway:
                await asyncio.sleep(pause)
        return await self._sink.commit(batch, Repeats.LEFT_OUT)
