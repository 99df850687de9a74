"""What was answered is stored: by `kill -9`, by a pulled plug, by both at once, and while fsync fails."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from pixels.balance import balance
from tests.factories import make_advertiser, make_pixel, make_segment
from tests.faults.book import Book
from tests.faults.database import Database
from tests.faults.door import RealDoor
from tests.faults.fiu import FSYNC, Fiu
from tests.faults.ledger import Ledger
from tests.running import own_folder, until

pytestmark = pytest.mark.spec("R1")

# What is not asked to be flushed stays in memory for so long: a committer that did not ask would lose it.
LAZY = {"wal_writer_delay": "10s"}
LONG_ROUNDS = 12
NEW_WORKERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'muster-catalogue' AND backend_start > %s"
)


@dataclass
class Scene:
    """A durable database, a shop in it, and a door with two workers on a disk of its own."""

    database: Database
    door: RealDoor
    advertiser_id: int
    target: str
    file: Path

    @contextmanager
    def load(self) -> Iterator[Ledger]:
        """Fire over 32 connections, as fast as answers come; the fault is to come at any moment."""
        with Ledger(f"http://127.0.0.1:{self.door.port}", [self.target], self.file) as ledger:
            answers(ledger, random.randint(500, 1_500))
            yield ledger

    def check(self) -> Book:
        """Hold the ledger client's file against the database, when all that was spooled is in it."""
        self.door.settle()
        book = Book.read(self.file)
        with self.database.connect() as connection:
            book.check(connection)
        with self.database.orm():
            books = balance()
        assert books.differences == []
        book.check_received(sum(line.received for line in books.lines if line.advertiser_id == self.advertiser_id))
        return book


def answers(ledger: Ledger, more: int) -> None:
    """Wait for so many more fires to be answered."""
    least = ledger.answers + more
    until(lambda: ledger.answers >= least, f"{more} more answers", timeout_seconds=30)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    database = Database(own_folder("durable"), LAZY).start()
    try:
        yield database.migrate()
    finally:
        database.stop()


@pytest.fixture
def scene(database: Database, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    with django_db_blocker.unblock(), scene_with(database, tmp_path) as scene:
        yield scene


@contextmanager
def scene_with(database: Database, folder: Path, **door: object) -> Iterator[Scene]:
    with database.orm():
        advertiser = make_advertiser()
        pixel = make_pixel(advertiser, make_segment(advertiser))
    with RealDoor(database.url, folder, **{"workers": 2, **door}) as running:
        yield Scene(database, running, advertiser.pk, f"/p/{pixel.public_key}.gif", folder / "ledger")


def kill_a_worker(scene: Scene, ledger: Ledger) -> None:
    with scene.database.connect() as connection:
        (known,) = connection.execute("SELECT clock_timestamp()").fetchone()
        scene.door.kill_worker()

        def is_replaced() -> bool:
            scene.door.look()
            return bool(connection.execute(NEW_WORKERS, [known]).fetchone()[0])

        until(is_replaced, "another worker takes its place")


def pull_the_plug(scene: Scene, ledger: Ledger) -> None:
    scene.database.crash()
    answers(ledger, 300)
    scene.database.start()


def do_both(scene: Scene, ledger: Ledger) -> None:
    scene.database.crash()
    scene.door.kill_worker()
    scene.database.start()


FAULTS = [kill_a_worker, pull_the_plug, do_both]


@pytest.mark.parametrize("fault", FAULTS)
def test_ack_is_durable(scene, fault: Callable[[Scene, Ledger], None]):
    with scene.load() as ledger:
        fault(scene, ledger)
        answers(ledger, 2_000)
    assert len(scene.check().answered) > 2_500


def test_ack_is_durable_where_the_server_would_not_flush(scene):
    """`synchronous_commit` is off for the whole server: the committer asks for it in its own session."""
    restart(scene.database, synchronous_commit="off")
    try:
        with scene.load() as ledger:
            pull_the_plug(scene, ledger)
            answers(ledger, 1_000)
            # Once more, and no word after it: of the last commits nothing came later to flush them along.
            scene.database.crash()
            scene.door.process.kill()
        scene.database.start()
        scene.check()
    finally:
        restart(scene.database, synchronous_commit="on")


def test_the_next_read_after_an_answer_sees_the_fact(scene):
    """32 clients look for every tenth of their fires as soon as each has its answer, over other connections."""
    unseen: list[str] = []

    async def look(number: str, status: int) -> None:
        if status == 200 and number.endswith("0"):
            async with await psycopg.AsyncConnection.connect(scene.database.url) as reader:
                found = await reader.execute("SELECT FROM pixels_fire WHERE other = %s", [number])
                if await found.fetchone() is None:
                    unseen.append(number)

    with Ledger(f"http://127.0.0.1:{scene.door.port}", [scene.target], scene.file, heard=look) as ledger:
        answers(ledger, 1_000)
    assert unseen == []
    scene.check()


# Each write is flushed by fdatasync, each new name by fsync.
@pytest.mark.parametrize("failing", [FSYNC, FSYNC[1:]], ids=["both", "fdatasync"])
def test_ack_is_durable_while_fsync_fails(database, tmp_path, django_db_blocker, failing):
    """The database is away and the disk does not take anything: every answer says no. Then the disk works again."""
    fiu = Fiu(tmp_path)
    with (
        django_db_blocker.unblock(),
        scene_with(database, tmp_path, workers=1, before=fiu.before) as scene,
        scene.load() as ledger,
    ):
        workers = scene.door.workers()
        scene.database.crash()
        answers(ledger, 200)
        fiu.fail(workers, *failing)
        scene.door.await_answer("/health/ready", 503, timeout_seconds=20)  # it says that it keeps nothing
        began = time.time()
        refused = len(Book.read(scene.file).refused)
        until(lambda: len(Book.read(scene.file).refused) > refused + 200, "fires are refused", timeout_seconds=20)
        ended = time.time()
        fiu.heal(workers, *failing)
        answers(ledger, 200)
        scene.database.start()
        answers(ledger, 200)
        ledger.stop()
        book = scene.check()
        assert {
            one.status for one in book.entries.values() if began < book.sent_at[one.number] and one.at < ended
        } == {503}


@pytest.mark.long
@pytest.mark.parametrize("synchronous_commit", ["on", "off"])
def test_ack_is_durable_at_random_moments(scene, synchronous_commit: str):
    restart(scene.database, synchronous_commit=synchronous_commit)
    try:
        with scene.load() as ledger:
            for number in range(LONG_ROUNDS):
                time.sleep(random.uniform(0, 2))  # the moment is the fault's, and nothing is waited for
                FAULTS[number % len(FAULTS)](scene, ledger)
                scene.door.await_answer("/health/ready")
                answers(ledger, 300)
        scene.check()
    finally:
        restart(scene.database, synchronous_commit="on")


def restart(database: Database, **options: str) -> None:
    """Start the server with other options."""
    if database.server.process is not None:
        database.stop()
    database.start(**options)
