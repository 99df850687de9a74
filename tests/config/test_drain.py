"""Told to end, the door says so, goes on for a while, and leaves nothing behind: real signals, under load."""

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audience.models import Advertiser
from exports.models import Run
from tests.exports.scene import Scene
from tests.factories import make_advertiser, make_member, make_pixel, make_profile, make_segment
from tests.faults.book import Book
from tests.faults.database import Database
from tests.faults.door import NO_LIMITS, RealDoor
from tests.faults.ledger import Ledger
from tests.running import LiveMuster, alive, descendants, own_folder, until

pytestmark = [pytest.mark.spec("R10"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

DRAIN_SECONDS = 3
LONGEST_SECONDS = 25  # from the signal to the end


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A server that outlives the Muster on it."""
    database = Database(own_folder("drain-database")).start().migrate()
    yield database
    database.stop()


@pytest.fixture
def target(database: Database, django_db_blocker: DjangoDbBlocker) -> str:
    """The path of a pixel that adds to a segment."""
    with django_db_blocker.unblock(), database.orm():
        return pixel_of(make_advertiser())


def pixel_of(advertiser: Advertiser) -> str:
    pixel = make_pixel(advertiser, make_segment(advertiser))
    return f"/p/{pixel.public_key}.gif"


@pytest.fixture(scope="module")
def muster() -> Iterator[LiveMuster]:
    server = Database(own_folder("drain-server")).start()
    environment = {"DATABASE_URL": server.url, "MUSTER_DRAIN_SECONDS": str(DRAIN_SECONDS), **NO_LIMITS}
    muster = LiveMuster(own_folder("drain"), environment=environment)
    try:
        yield muster.start()
    finally:
        if muster.process and muster.process.poll() is None:
            muster.stop()
        server.stop()


def await_known(muster: LiveMuster, target: str) -> None:
    """Return when a door that runs already has heard of a new pixel: within a second, its fires are refused."""

    def is_known() -> bool:
        urllib.request.urlopen(f"{muster.pixel_url}{target}", timeout=5).read()
        with muster.connect() as connection:
            row = connection.execute("SELECT count(*) FROM pixels_fire WHERE outcome = 'applied'").fetchone()
        return bool(row and row[0])

    until(is_known, "the door knows the pixel", timeout_seconds=5)


@contextmanager
def load(url: str, target: str, file: Path, *, connections: int = 16, per_second: float = 200) -> Iterator[Ledger]:
    """Fire until the block ends; it begins when fires are answered."""
    with Ledger(url, [target], file, connections=connections, per_second=per_second) as ledger:
        until(lambda: ledger.answers > 100, "fires are answered", timeout_seconds=20)
        yield ledger


def check_answered(file: Path, before: float) -> None:
    """Each request that was sent before then has its answer, and a good one."""
    book = Book.read(file)
    failed = {number for number, at in book.sent_at.items() if at < before} - book.answered
    assert not failed, f"{len(failed)} requests went wrong before the end: {sorted(failed)[:3]}; {book}"


def status(url: str) -> int:
    try:
        return urllib.request.urlopen(url, timeout=5).status
    except OSError as error:
        return getattr(error, "code", 0)


def exporter_of(muster: LiveMuster) -> int:
    assert muster.process is not None
    family = descendants(muster.process.pid)
    return next(pid for pid, line in family.items() if "--queues=exports" in line and "leash.py" not in line)


def test_an_exporter_gives_its_runs_back(muster: LiveMuster, django_db_blocker: DjangoDbBlocker) -> None:
    """Its run stops at the next block, and goes on at once in the next exporter: nobody waits for a lease to end."""
    with django_db_blocker.unblock(), muster.orm():
        scene = Scene(make_advertiser(), muster.folder / "exports", muster.folder / "runs")
        segment = make_segment(scene.advertiser)
        profile = make_profile(scene.advertiser, customer_id="C-1")
        make_member(segment, profile, starts_at=timezone.now() - timedelta(hours=1))
        destination = scene._destination(kind="folder", root="exports", path="drained")
        column = {"source": "identifier", "identifier_kind": "customer_id"}
        export = scene.export(destination, segment, columns=[column])
        with muster.connect() as other:
            other.autocommit = False
            other.execute("LOCK TABLE audience_identifier IN ACCESS EXCLUSIVE MODE")
            run = scene.start(export)
            muster.manage("shell", "-c", f"from exports.dispatch import announce; announce([{run.pk}])")
            until(lambda: scene.fresh(run).state == Run.State.WRITING, "the exporter is at it", timeout_seconds=20)
            exporter = exporter_of(muster)
            os.kill(exporter, signal.SIGTERM)
            until(lambda: "warm shutdown" in log_of(muster, "exporter").lower(), "it has heard", timeout_seconds=20)
            other.rollback()
        until(lambda: not alive(exporter), "it has ended", timeout_seconds=20)
        until(lambda: not scene.fresh(run).is_open, "the next one ends the run", timeout_seconds=30)
        ended = scene.fresh(run)
        assert (ended.state, ended.claim, ended.times_lost) == ("delivered", 2, 0)


def log_of(muster: LiveMuster, program: str) -> str:
    return (muster.folder / "logs" / f"{program}.log").read_text()


def test_sigterm_under_load(muster: LiveMuster, django_db_blocker: DjangoDbBlocker, tmp_path: Path) -> None:
    assert muster.process is not None
    with django_db_blocker.unblock(), muster.orm():
        target = pixel_of(make_advertiser())
    await_known(muster, target)
    with load(muster.pixel_url, target, tmp_path / "ledger"):
        told_at = time.time()
        muster.process.send_signal(signal.SIGTERM)
        for url in (muster.pixel_url, muster.admin_url):
            until(lambda url=url: status(f"{url}/health/ready") == 503, "it is not ready", timeout_seconds=2)
            assert status(f"{url}/health/live") == 200
        assert muster.process.wait(LONGEST_SECONDS) == 0
        took = time.time() - told_at
    check_answered(tmp_path / "ledger", told_at + DRAIN_SECONDS)
    with muster.connect() as connection:
        Book.read(tmp_path / "ledger").check(connection)
    assert DRAIN_SECONDS < took < DRAIN_SECONDS + 10


def test_somebody_at_the_terminal_need_not_wait(muster: LiveMuster) -> None:
    muster.environment["MUSTER_DRAIN_SECONDS"] = "60"
    muster.start()
    assert status(f"{muster.admin_url}/health/ready") == 200
    assert muster.stop(signal.SIGINT, timeout_seconds=15) == 0


def test_a_door_of_a_service_manager_drains_by_itself(database: Database, target: str, tmp_path: Path) -> None:
    with RealDoor(database.url, tmp_path, MUSTER_DRAIN_SECONDS="2") as door:
        with load(f"http://127.0.0.1:{door.port}", target, tmp_path / "ledger"):
            told_at = time.time()
            door.process.terminate()
            until(lambda: door.status("/health/ready") == 503, "it is not ready", timeout_seconds=2)
            door.process.terminate()  # as a service manager tells each process of a group
            assert door.process.wait(LONGEST_SECONDS) == 0
        check_answered(tmp_path / "ledger", told_at + 2)
        Book.read(tmp_path / "ledger").check(database.connect())


@pytest.mark.parametrize("after_seconds", [1, pytest.param(5, marks=pytest.mark.long)])
def test_killed_in_its_drain(database: Database, target: str, tmp_path: Path, after_seconds: int) -> None:
    with RealDoor(database.url, tmp_path, MUSTER_DRAIN_SECONDS="10") as door:
        with load(f"http://127.0.0.1:{door.port}", target, tmp_path / "ledger", per_second=0):
            told_at = time.time()
            door.process.terminate()
            until(lambda: time.time() > told_at + after_seconds, "it is in the middle of its drain")
            assert door.status("/health/live") == 200
            door.kill()
        check_answered(tmp_path / "ledger", told_at + after_seconds / 2)
        Book.read(tmp_path / "ledger").check(database.connect())


def test_sigterm_while_the_database_is_away(database: Database, target: str, tmp_path: Path) -> None:
    """What was taken goes to the spool, and from there into the database by the next door."""
    with RealDoor(database.url, tmp_path, MUSTER_DRAIN_SECONDS="2") as door:
        with load(f"http://127.0.0.1:{door.port}", target, tmp_path / "ledger"):
            database.crash()
            until(lambda: door.status("/health/sink") == 503, "it spools", timeout_seconds=20)
            told_at = time.time()
            door.process.terminate()
            assert door.process.wait(LONGEST_SECONDS) == 0
        check_answered(tmp_path / "ledger", told_at + 2)
        database.start()
        door.start()
        door.settle()
        Book.read(tmp_path / "ledger").check(database.connect())


def test_who_is_let_in_at_the_very_end_is_answered(database: Database, target: str, tmp_path: Path) -> None:
    """A worker that stands still finds both at once when it goes on: a client at its door, and its time over."""
    with RealDoor(database.url, tmp_path, MUSTER_DRAIN_SECONDS="2") as door:
        (worker,) = door.workers()
        told_at = time.time()
        os.kill(worker, signal.SIGTERM)
        until(lambda: door.status("/health/ready") == 503, "it drains")
        os.kill(worker, signal.SIGSTOP)
        with socket.create_connection(("127.0.0.1", door.port), timeout=20) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            until(lambda: time.time() > told_at + 2.2, "its time is over")
            os.kill(worker, signal.SIGCONT)
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("workers", "times"), [(1, 1), pytest.param(4, 10, marks=pytest.mark.long)])
def test_workers_are_replaced_without_a_gap(
    database: Database, target: str, tmp_path: Path, workers: int, times: int
) -> None:
    """SIGHUP: a new worker begins before the old one drains. No request fails."""
    # The old one takes requests until the new one has started.
    with RealDoor(database.url, tmp_path, workers=workers, MUSTER_DRAIN_SECONDS="10") as door:
        with load(f"http://127.0.0.1:{door.port}", target, tmp_path / "ledger") as ledger:
            for _ in range(times):
                old = set(door.workers())
                door.process.send_signal(signal.SIGHUP)
                until(lambda old=old: old.isdisjoint(door.workers()), "all workers are new")
            before = ledger.answers
            until(lambda: ledger.answers > before + 100, "the new ones answer")
        check_answered(tmp_path / "ledger", time.time())
        Book.read(tmp_path / "ledger").check(database.connect())
