"""PostgreSQL away, hung or cut off, under load: the door goes on answering, and afterwards nobody can tell."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.factories import make_advertiser, make_pixel, make_segment
from tests.faults.book import Book
from tests.faults.database import Database
from tests.faults.door import RealDoor
from tests.faults.ledger import Ledger
from tests.faults.proxy import Mode, Proxy
from tests.running import own_folder, until

pytestmark = pytest.mark.spec("R2")


@dataclass
class Scene:
    """A database, the proxy in front of it, a door with two workers, and the pixel that is fired at."""

    database: Database
    proxy: Proxy
    door: RealDoor
    target: str
    folder: Path

    @contextmanager
    def load(self, *, per_second: float = 300.0) -> Iterator[Ledger]:
        file = self.folder / f"ledger-{time.time_ns()}"
        ledger = Ledger(f"http://127.0.0.1:{self.door.port}", [self.target], file, per_second=per_second)
        with ledger:
            answers(ledger, 100)
            yield ledger

    def check(self, ledger: Ledger, *, is_refusal_allowed: bool = False) -> Book:
        """Wait until everything is in the database, and hold the ledger and the memberships against it."""
        self.door.settle(timeout_seconds=60)
        book = Book.read(ledger.file)
        with self.database.connect() as connection:
            book.check(connection)
            assert connection.execute(UNLIKE_THE_FIRES).fetchall() == []
            assert connection.execute(LOADS).fetchone() == (0,)
        if not is_refusal_allowed:
            assert not book.refused, f"{book}"
        return book

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


@pytest.fixture(scope="module")
def place(django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[Database, str]]:
    database = Database(own_folder("outage")).start()
    try:
        database.migrate()
        with django_db_blocker.unblock(), database.orm():
            advertiser = make_advertiser()
            pixel = make_pixel(advertiser, make_segment(advertiser))
        yield database, f"/p/{pixel.public_key}.gif"
    finally:
        database.stop()


@pytest.fixture
def scene(place: tuple[Database, str], tmp_path: Path) -> Iterator[Scene]:
    database, target = place
    with database.connect() as connection:
        connection.execute("TRUNCATE pixels_fire, pixels_firedelta, audience_profile CASCADE")
        connection.execute("TRUNCATE segments_segmentdelta, segments_segmentday")
    with Proxy(database.socket) as proxy:
        door = RealDoor(database.url_by(proxy.port), tmp_path, workers=2)
        with door:
            yield Scene(database, proxy, door, target, tmp_path)


def answers(ledger: Ledger, more: int) -> None:
    """Wait for so many more fires to be answered."""
    until_now = ledger.answers
    until(lambda: ledger.answers >= until_now + more, f"{more} more answers", timeout_seconds=30)


def in_use(scene: Scene) -> Callable[[], bool]:
    return lambda: scene.door.status("/health/sink") == 503


def test_database_outage_stopped(scene):
    with scene.load() as ledger:
        scene.database.crash()
        until(in_use(scene), "the spool is in use")
        assert scene.door.status("/health/ready") == 200, "or the load balancer would turn the outage into a loss"
        answers(ledger, 600)
        scene.database.start()
        answers(ledger, 600)
    scene.check(ledger)
    assert scene.late() > 300
    assert list((scene.folder / "spool").glob("*/*.facts")), "the first file is open, and empty"
    assert not any(path.stat().st_size for path in (scene.folder / "spool").glob("*/*.facts"))


def test_database_outage_hung(scene):
    with scene.load() as ledger:
        scene.database.freeze()
        until(in_use(scene), "the spool is in use")
        answers(ledger, 300)
        scene.database.thaw()
        answers(ledger, 300)
    scene.check(ledger)


@pytest.mark.parametrize("mode", [Mode.SWALLOW, Mode.REFUSE, pytest.param(Mode.TRICKLE, marks=pytest.mark.long)])
def test_database_outage_cut_off(scene, mode):
    with scene.load() as ledger:
        scene.proxy.set(mode)
        if mode is Mode.REFUSE:
            scene.proxy.cut()
        until(in_use(scene), "the spool is in use")
        answers(ledger, 300)
        scene.proxy.heal()
        answers(ledger, 300)
    scene.check(ledger)


def test_database_outage_between_commit_and_its_answer(scene):
    """Nobody knows whether the batch is stored: what is read from the spool again is done once."""
    with scene.load() as ledger:
        for _ in range(5):
            cuts = scene.proxy.cuts
            scene.proxy.set(Mode.CUT_ANSWER, cut_at=b"COMMIT")
            until(lambda cuts=cuts: scene.proxy.cuts > cuts, "a commit's answer is cut")
            scene.proxy.heal()
            answers(ledger, 100)
    scene.check(ledger)


@pytest.mark.long
def test_database_outage_of_a_tenth_of_the_connections(scene):
    with scene.load() as ledger:
        scene.proxy.refused_share = 0.1
        for _ in range(10):
            scene.proxy.cut()
            answers(ledger, 60)
    scene.proxy.heal()
    scene.check(ledger)


def test_a_worker_dies_during_a_database_outage(scene):
    """What it has spooled is done by another worker of this disk."""
    with scene.load() as ledger:
        scene.database.crash()
        until(in_use(scene), "the spool is in use")
        answers(ledger, 300)
        scene.door.kill_worker()
        scene.database.start()
        answers(ledger, 300)
    book = scene.check(ledger, is_refusal_allowed=True)  # a worker that starts without a database knows no pixel
    assert len(book.answered) > 600


def test_the_door_ends_during_a_database_outage_and_the_next_one_does_the_rest(scene):
    with scene.load() as ledger:
        scene.database.crash()
        until(in_use(scene), "the spool is in use")
        answers(ledger, 300)
    scene.door.process.send_signal(signal.SIGTERM)
    assert scene.door.process.wait(30) == 0
    scene.database.start()
    scene.door.start()
    scene.check(ledger)
    assert scene.late() > 200


@pytest.mark.long
def test_answers_come_quickly_during_a_long_database_outage(scene):
    with scene.load(per_second=2_000) as ledger:
        scene.database.crash()
        until(in_use(scene), "the spool is in use")
        began = time.time() + 2
        until(lambda: time.time() > began + 120, "two minutes", timeout_seconds=150)
        scene.database.start()
        until(lambda: not in_use(scene)(), "the spool is empty", timeout_seconds=120)
        over = time.time()
    book = scene.check(ledger)
    times = book.milliseconds(since=began, until=over)
    assert times[int(len(times) * 0.99)] < 200, book


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_outages_at_random_moments(scene, seed):
    moment = random.Random(seed)
    faults = [
        lambda: (scene.database.crash(), scene.database.start()),
        lambda: (scene.database.freeze(), time.sleep(moment.uniform(0, 4)), scene.database.thaw()),
        lambda: (scene.proxy.set(Mode.SWALLOW), time.sleep(moment.uniform(0, 4)), scene.proxy.heal()),
        scene.proxy.cut,
        scene.door.kill_worker,
    ]
    with scene.load(per_second=1_000) as ledger:
        for _ in range(10):
            time.sleep(moment.uniform(0, 1))
            moment.choice(faults)()
        answers(ledger, 300)
    scene.check(ledger, is_refusal_allowed=True)
