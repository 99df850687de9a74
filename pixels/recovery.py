"""What spools hold goes into the database, in the order in which it was kept, as soon as that is back."""

import asyncio
import hashlib
from pathlib import Path

import structlog

from audience import metrics
from audience.instants import instant_of_unix, now
from pixels import records, spool
from pixels.batch import Repeats
from pixels.commits import Commits, DatabaseAway
from pixels.facts import Fact, Fire
from pixels.reasons import Note, Reason

log = structlog.get_logger(__name__)

BATCH_FACTS = 500  # smaller than the door's: new facts are answered in between
LOOK_SECONDS = 5.0  # for spools of the dead; safety.md R2 promises 10


class Recovery:
    """Brings files of spools into the database over a connection of its own, one after the other.

    What a file holds may be stored already, some or all of it: a commit whose answer was lost, or a process that died
    before it removed the file. Such facts are left out, so that each is done once.
    """

    def __init__(self, commits: Commits, root: Path) -> None:
        self._commits = commits
        self._root = root
        self._turn = asyncio.Lock()

    async def bring(self, path: Path) -> None:
        """Store what a file holds. Raises `DatabaseAway`, and OSError where the file cannot be read."""
        async with self._turn:
            content = await asyncio.to_thread(path.read_bytes)
            found = records.read(content)
            if found.damaged:
                log.error("spool_damaged", spool=path.parent.name, file=path.name, records=found.lost)
                spool.set_aside(self._root, path, found.damaged)
            facts = [*(_late(fact) for fact in found.facts), *_lost(path, found)]
            for start in range(0, len(facts), BATCH_FACTS):
                await self._commits.commit(facts[start : start + BATCH_FACTS], Repeats.LEFT_OUT)
        metrics.count_spool(replayed=len(found.facts), damaged=found.lost)

    async def look_after_the_dead(self) -> None:
        """Take over the spools of dead processes, for ever."""
        while True:
            try:
                for left in spool.take_over(self._root):
                    try:
                        await self._empty(left)
                    finally:
                        left.close()
            except DatabaseAway:
                pass  # they wait as long as it takes
            except Exception:
                log.exception("spools_not_taken_over")
            await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Give the connection back: an outage is rare."""
        self._commits.close()

    async def _empty(self, left: spool.LeftSpool) -> None:
        files = left.files()
        for path in files:
            await self.bring(path)
            left.remove(path)
        self.close()
        log.info("spool_taken_over", spool=left.folder.name, files=len(files))


def _late(fact: Fact) -> Fact:
    return fact._replace(notes=(*fact.notes, Note.LATE)) if isinstance(fact, Fire) else fact


def _lost(path: Path, found: records.Records) -> list[Fire]:
    """Return a fire for each record that cannot be read, to be counted. Nobody can say whose it was."""
    at = found.facts[0].received_at if found.facts else min(instant_of_unix(path.stat().st_mtime), now())
    names = [f"{path.parent.name}/{path.name}/{number}" for number in range(found.lost)]
    ids = [hashlib.sha256(name.encode()).digest()[:16] for name in names]
    return [Fire(one, at, None, None, None, reason=Reason.SPOOL_DAMAGED) for one in ids]
