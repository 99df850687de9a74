"""What spools hold goes into the database, in the order in which it was kept, as soon as that is back."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import structlog

from audience import metrics
from audience.instants import instant_of_unix, now
from pixels import records, spool
from pixels.batch import Repeats
from pixels.commits import Commits, DatabaseAway
from pixels.facts import Fire
from pixels.reasons import Note, Reason

log = structlog.get_logger(__name__)

BATCH_FIRES = 1_000
PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
LOOK_SECONDS = 5.0  # for spools of the dead; safety.md R2 promises 10


class Recovery:
    """Empties spools over a connection of its own, one file after the other.

    What a file holds may be stored already, some or all of it: a commit whose answer was lost, or a process that died
    before it removed the file. Such facts are left out, so that each is done once.
    """

    def __init__(self, commits: Commits, root: Path) -> None:
        self._commits = commits
        self._root = root
        self._turn = asyncio.Lock()

    async def empty(self, oldest: Callable[[], Awaitable[Path | None]], remove: Callable[[Path], None]) -> None:
        """Bring file after file into the database, until `oldest` has none."""
        while (path := await oldest()) is not None:
            try:
                async with self._turn:
                    await self._bring(path)
                    remove(path)
            except Exception:
                # Whatever it is, such as a broken disk: the facts stay where they are, and nothing else may end.
                log.exception("spool_not_emptied", spool=path.parent.name, file=path.name)
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def look_after_the_dead(self) -> None:
        """Take over the spools of dead processes, for ever."""
        while True:
            try:
                for left in spool.take_over(self._root):
                    try:
                        await self._empty_left(left)
                    finally:
                        left.close()
            except Exception:
                log.exception("spools_not_taken_over")
            await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        self._commits.close()

    async def _empty_left(self, left: spool.LeftSpool) -> None:
        files = left.files()
        if any(path.stat().st_size for path in files):
            log.info("spool_taken_over", spool=left.folder.name, files=len(files))
        for path in files:
            async with self._turn:
                await self._bring(path)
                left.remove(path)

    async def _bring(self, path: Path) -> None:
        content = await asyncio.to_thread(path.read_bytes)
        found = records.read(content)
        if found.damaged:
            log.error("spool_damaged", spool=path.parent.name, file=path.name, records=found.lost)
            spool.set_aside(self._root, path, found.damaged)
        fires = [fire._replace(notes=(*fire.notes, Note.LATE)) for fire in found.fires]
        fires += _lost(path, found)
        for batch in _batches(fires):
            await self._commit_patiently(batch)
        self._commits.close()  # an outage is rare, a connection is not free
        metrics.count_spool(replayed=len(found.fires), damaged=found.lost)

    async def _commit_patiently(self, batch: Sequence[Fire]) -> None:
        pause = PAUSE_SECONDS
        while True:
            try:
                stored = await self._commits.commit(batch, Repeats.LEFT_OUT)
            except DatabaseAway:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                left_out = sum(one.is_repeat for one in stored)
                log.info("spool_replayed", fires=len(batch), stored_before=left_out)
                return


def _batches(fires: Sequence[Fire]) -> Iterator[Sequence[Fire]]:
    for start in range(0, len(fires), BATCH_FIRES):
        yield fires[start : start + BATCH_FIRES]


def _lost(path: Path, found: records.Records) -> list[Fire]:
    """Return a fire for each record that cannot be read, to be counted. Nobody can say whose it was."""
    at = found.fires[0].received_at if found.fires else min(instant_of_unix(path.stat().st_mtime), now())
    names = [f"{path.parent.name}/{path.name}/{number}" for number in range(found.lost)]
    ids = [hashlib.sha256(name.encode()).digest()[:16] for name in names]
    return [Fire(one, at, None, None, None, reason=Reason.SPOOL_DAMAGED) for one in ids]
