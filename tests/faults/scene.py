"""A door with everything that can fail around it, and what must hold afterwards."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixels.balance import balance
from tests.faults.book import Book
from tests.faults.database import Database
from tests.faults.door import RealDoor
from tests.faults.ledger import Ledger
from tests.faults.proxy import Proxy
from tests.running import ROOT, until


@dataclass
class Scene:
    """A database, the proxy in front of it, a door with two workers, and the pixel that is fired at."""

    database: Database
    proxy: Proxy
    door: RealDoor
    target: str
    folder: Path

    @contextmanager
    def load(self, *, per_second: float = 300.0, awaits: int = 100) -> Iterator[Ledger]:
        """Fire until the block ends; it begins after so many answers."""
        file = self.folder / f"ledger-{time.time_ns()}"
        ledger = Ledger(f"http://127.0.0.1:{self.door.port}", [self.target], file, per_second=per_second)
        with ledger:
            answers(ledger, awaits)
            yield ledger

    def check(self, *ledgers: Ledger, is_refusal_allowed: bool = False) -> Book:
        """Wait until everything is in the database, and hold what the clients have and the memberships against it."""
        self.door.settle(timeout_seconds=60)
        whole = Book()
        with self.database.connect() as connection:
            for ledger in ledgers:
                book = Book.read(ledger.file)
                book.check(connection)
                whole.sent_at |= book.sent_at
                whole.entries |= book.entries
            assert connection.execute(UNLIKE_THE_FIRES).fetchall() == []
            assert connection.execute(LOADS).fetchone() == (0,)
        with self.database.orm():
            books = balance()
        assert books.differences == []
        whole.check_received(sum(line.received for line in books.lines if line.advertiser_id is not None))
        if not is_refusal_allowed:
            assert not whole.refused, f"{whole}"
        return whole

    def manage(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `manage.py` on this database and data folder."""
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        known = {**self.door.environment, "DATABASE_URL": self.database.url, **environment}
        return subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, timeout=60)

    def is_spool_in_use(self) -> bool:
        return self.door.status("/health/sink") == 503

    def late(self) -> int:
        with self.database.connect() as connection:
            return connection.execute("SELECT count(*) FROM pixels_fire WHERE 'late' = ANY(notes)").fetchone()[0]


# What the fires of a person would have made without any fault: in from the first one, until 30 days after the last.
UNLIKE_THE_FIRES = """
    SELECT * FROM (
        SELECT profile_id, min(received_at) AS first, max(received_at) AS last FROM pixels_fire
        WHERE outcome = 'applied' GROUP BY profile_id
    ) f FULL JOIN segments_membership m USING (profile_id)
    WHERE (m.starts_at, m.expires_at, m.last_added_at) IS DISTINCT FROM (f.first, f.last + interval '30 days', f.last)
"""
LOADS = """
    SELECT (SELECT count(*) FROM pixels_fire WHERE outcome = 'applied')
        - (SELECT coalesce(sum(loads), 0) FROM segments_segmentdelta)
        - (SELECT coalesce(sum(loads), 0) FROM segments_segmentday)
"""


def answers(ledger: Ledger, more: int) -> None:
    """Wait for so many more fires to be answered."""
    until_now = ledger.answers
    until(lambda: ledger.answers >= until_now + more, f"{more} more answers", timeout_seconds=30)
