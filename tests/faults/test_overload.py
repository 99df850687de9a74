"""More than the machine can do, and less room than it needs: refused aloud, and over when the cause is gone."""

import resource
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.book import Book
from tests.faults.ledger import Ledger
from tests.faults.scene import answers
from tests.running import descendants, until

pytestmark = pytest.mark.spec("R12")


def rss_mib(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


@pytest.mark.long
def test_overload(scene):
    """500 clients without a pause, for a minute: every request is answered or refused within 2 s."""
    file = scene.folder / "ledger"
    url = f"http://127.0.0.1:{scene.door.port}"
    with Ledger(url, [scene.target], file, connections=500, deadline_seconds=2) as ledger:
        began = time.monotonic()
        most = 0.0
        while time.monotonic() < began + 60:
            time.sleep(0.5)
            most = max(most, *(rss_mib(pid) for pid in scene.door.workers()))
    assert most < 512
    book = scene.check(ledger, is_refusal_allowed=True)
    assert len(book.unanswered) <= len(book.sent) // 1_000, book


def test_a_full_disk_under_the_spool(scene):
    """Refused aloud while nothing can be kept, and taken again as soon as there is room."""
    with scene.load() as ledger:
        scene.door.limit(resource.RLIMIT_FSIZE, 20_000)
        scene.database.crash()
        until(lambda: scene.door.status("/health/ready") == 503, "the door says that it can keep nothing")
        scene.door.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        until(lambda: scene.door.status("/health/ready") == 200, "it can again")
        answers(ledger, 100)
        scene.database.start()
    book = scene.check(ledger, is_refusal_allowed=True)
    assert book.refused


@pytest.mark.long
def test_a_full_disk_under_the_database(scene):
    """What PostgreSQL cannot write goes to the spool, and from there to the database when it can."""
    process = scene.database.server.process
    with Ledger(f"http://127.0.0.1:{scene.door.port}", [scene.target], scene.folder / "ledger") as ledger:
        answers(ledger, 100)
        _limit([process.pid, *descendants(process.pid)], 17 << 20)  # its log files have 16 MiB
        until(scene.is_spool_in_use, "a table cannot grow any more", timeout_seconds=120)
        answers(ledger, 1_000)
        _limit([process.pid, *descendants(process.pid)], "unlimited")
        answers(ledger, 1_000)
    book = scene.check(ledger)
    assert isinstance(book, Book)


def _limit(pids: list[int], most: int | str) -> None:
    """Limit the files of processes. As their own user: where tests run as root, PostgreSQL does not, and not every
    root may do that to others."""
    for pid in pids:
        owner = Path(f"/proc/{pid}").stat()
        command = ["prlimit", f"--pid={pid}", f"--fsize={most}:"]
        subprocess.run(command, user=owner.st_uid, group=owner.st_gid, extra_groups=[], check=True)
