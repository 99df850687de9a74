"""What the HTTP API has answered is stored, once, by the faults of `test_ack_is_durable`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from audience.models import WriteKey
from audience.writekeys import issue_write_key
from pixels.balance import balance
from tests.factories import make_advertiser
from tests.faults.book import Book
from tests.faults.database import Database
from tests.faults.door import RealDoor
from tests.faults.ledger import Ledger, MessageLedger
from tests.faults.test_ack_is_durable import Scene, answers, do_both, kill_a_worker, pull_the_plug
from tests.running import own_folder

pytestmark = [pytest.mark.spec("R1"), pytest.mark.spec("R2"), pytest.mark.spec("R4")]

_STORED = "SELECT properties ->> 'number' FROM audience_event WHERE advertiser_id = %s"


class Teller(Scene):
    """The scene with a client of the HTTP API; `target` is its call, `key` a server key."""

    key: str

    @contextmanager
    def load(self) -> Iterator[Ledger]:
        url = f"http://127.0.0.1:{self.door.port}"
        with MessageLedger(url, [self.target], self.file, write_key=self.key) as ledger:
            answers(ledger, 500)
            yield ledger

    def check(self) -> Book:
        self.door.settle()
        book = Book.read(self.file)
        with self.database.connect() as connection:
            stored = [number for (number,) in connection.execute(_STORED, [self.advertiser_id]).fetchall()]
        assert book.answered - set(stored) == set(), f"acknowledged and not stored; {book}"
        assert set(stored) - book.sent == set(), "stored and never sent"
        assert len(stored) == len(set(stored)), "stored twice"
        with self.database.orm():
            books = balance()
        assert books.differences == []
        lines = [line for line in books.lines if line.advertiser_id == self.advertiser_id]
        book.check_received(sum(line.received for line in lines))
        assert sum(line.applied for line in lines) == len(stored)
        return book


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    database = Database(own_folder("messages")).start()
    try:
        yield database.migrate()
    finally:
        database.stop()


@pytest.fixture
def scene(database: Database, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Teller]:
    with django_db_blocker.unblock():
        with database.orm():
            advertiser = make_advertiser()
            _, key = issue_write_key(advertiser, name="CRM", kind=WriteKey.Kind.SERVER)
        with RealDoor(database.url, tmp_path, workers=2, MUSTER_CALLS_PER_SERVER_KEY="0") as door:
            scene = Teller(database, door, advertiser.pk, "/v1/track", tmp_path / "ledger")
            scene.key = key
            yield scene


@pytest.mark.parametrize("fault", [kill_a_worker, pull_the_plug, do_both])
def test_messages_are_durable(scene, fault: Callable[[Scene, Ledger], None]):
    with scene.load() as ledger:
        fault(scene, ledger)
        answers(ledger, 500)
    assert len(scene.check().answered) > 1_000
