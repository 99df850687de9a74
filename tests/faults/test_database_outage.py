"""PostgreSQL away, hung or cut off, under load: the door goes on answering, and afterwards nobody can tell."""

import random
import signal
import time

import pytest

from tests.faults.proxy import Mode
from tests.faults.scene import answers
from tests.running import until

pytestmark = pytest.mark.spec("R2")


def test_database_outage_stopped(scene):
    with scene.load() as ledger:
        scene.database.crash()
        until(scene.is_spool_in_use, "the spool is in use")
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
        until(scene.is_spool_in_use, "the spool is in use")
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
        until(scene.is_spool_in_use, "the spool is in use")
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
        until(scene.is_spool_in_use, "the spool is in use")
        answers(ledger, 300)
        scene.door.kill_worker()
        scene.database.start()
        answers(ledger, 300)
    book = scene.check(ledger, is_refusal_allowed=True)  # a worker that starts without a database knows no pixel
    assert len(book.answered) > 600


def test_the_door_ends_during_a_database_outage_and_the_next_one_does_the_rest(scene):
    with scene.load() as ledger:
        scene.database.crash()
        until(scene.is_spool_in_use, "the spool is in use")
        answers(ledger, 300)
    scene.door.process.send_signal(signal.SIGTERM)
    assert scene.door.process.wait(30) == 0
    scene.door.start()  # it knows the pixel from the one before
    with scene.load() as later:
        answers(later, 100)
    scene.database.start()
    scene.check(ledger, later)
    assert scene.late() > 300


@pytest.mark.long
def test_answers_come_quickly_during_a_long_database_outage(scene):
    with scene.load(per_second=2_000) as ledger:
        scene.database.crash()
        until(scene.is_spool_in_use, "the spool is in use")
        began = time.time() + 2
        until(lambda: time.time() > began + 60, "a minute", timeout_seconds=90)
        scene.database.start()
        until(lambda: not scene.is_spool_in_use(), "the spool is empty", timeout_seconds=120)
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
        lambda: [
            scene.door.await_answer("/health/live"),
            scene.door.kill_worker(),
            scene.door.await_answer("/health/live"),
        ],
    ]
    with scene.load(per_second=1_000) as ledger:
        for _ in range(10):
            time.sleep(moment.uniform(0, 1))
            moment.choice(faults)()
        answers(ledger, 300)
    scene.check(ledger, is_refusal_allowed=True)
