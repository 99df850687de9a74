"""More clients than a worker has file descriptors: what is answered is stored, and it goes on by itself afterwards.

Not shown yet: that those who find no descriptor free hear a 503 within 2 s. They wait until another client leaves.
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
        until(lambda: _descriptors(workers[0]) >= 256, "no descriptor is left", timeout_seconds=20)
        until(lambda: len(Book.read(scene.file).entries) > 2_000, "requests have ended", timeout_seconds=20)
    book = scene.check()
    assert book.answered or book.refused
    assert scene.door.workers() == workers, "nobody had to start it again"
    assert _most_bytes(workers[0]) < MOST_BYTES

    with Ledger(url, [scene.target], scene.file.with_suffix(".later")) as few:
        until(lambda: few.answers > 300, "it answers as before", timeout_seconds=20)
    assert not Book.read(few.file).refused


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _most_bytes(pid: int) -> int:
    """Return the most memory that the process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
