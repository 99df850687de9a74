"""More clients than a worker has file descriptors: each is answered or refused within 2 s, and what is answered is
stored; it goes on by itself afterwards.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.faults.book import Book
from tests.faults.database import Database
from tests.faults.ledger import Ledger
from tests.faults.test_ack_is_durable import Scene, scene_with
from tests.running import own_folder, until

pytestmark = pytest.mark.spec("R12")

MOST_BYTES = 512 * 1024 * 1024


@pytest.fixture
def scene(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("prlimit is not installed (apt-get install util-linux)")
    database = Database(own_folder("descriptors")).start()
    try:
        database.migrate()
        before = [prlimit, "--nofile=256:256"]
        with django_db_blocker.unblock(), scene_with(database, tmp_path, workers=1, before=before) as scene:
            yield scene
    finally:
        database.stop()


def test_no_descriptors(scene):
    workers = scene.door.workers()
    url = f"http://127.0.0.1:{scene.door.port}"
    crowd = Ledger(url, [scene.target], scene.file, connections=500, deadline_seconds=2)
    with crowd:
        until(lambda: len(Book.read(scene.file).refused) > 500, "some are turned away", timeout_seconds=20)
        until(lambda: len(Book.read(scene.file).answered) > 2_000, "others are answered", timeout_seconds=20)
        assert scene.door.status("/health/live") == 200
    book = scene.check()
    assert not book.unanswered, book
    assert scene.door.workers() == workers, "nobody had to start it again"
    assert _most_bytes(workers[0]) < MOST_BYTES

    with Ledger(url, [scene.target], scene.file.with_suffix(".later")) as few:
        until(lambda: few.answers > 300, "it answers as before", timeout_seconds=20)
    assert not Book.read(few.file).refused


def _most_bytes(pid: int) -> int:
    """Return the most memory that the process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
