"""Workers that record messages of the same people at once end where one worker alone would have ended."""

import random
import threading

import psycopg
import pytest
from django.db import connection, connections, transaction

from audience import attribute_changes
from audience.columns import batch_cursor
from audience.identity import ProfileGone
from audience.models import Event
from audience.recording import record
from audience.talk import speak
from tests.audience.messages import Sender, events_by_person, people, record_all
from tests.factories import make_advertiser

pytestmark = pytest.mark.django_db(transaction=True)
WORKERS, BATCHES, CUSTOMERS = 4, 12, 6
# What a committer tries again, see `pixels.commits`.
AGAIN = (ProfileGone, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


def history(shop):
    """Browsers that come unknown and prove their customer now and then, in a fixed order."""
    draw = random.Random(11)
    for number in range(WORKERS * BATCHES * 5):
        customer = draw.randrange(CUSTOMERS)
        own = f"browser:{customer}-{draw.randrange(3)}"
        proven = [f"customer_id:C{customer}", f"email:{customer}@example.com"][: draw.choice((0, 0, 1, 2))]
        yield shop.message(own, *proven, at=number, number=1_000 * shop.advertiser.pk + number, traits={"n": number})


@pytest.mark.spec("R5")
def test_workers_at_once_end_where_one_alone_ends():
    alone, together = Sender(make_advertiser()), Sender(make_advertiser())
    record_all(list(history(alone)))
    told = list(history(together))
    start, retries, failures = threading.Barrier(WORKERS), [], []

    def worker(number):
        try:
            start.wait()
            # Each worker is told a fifth of the others' messages, too.
            mine = told[number::WORKERS] + told[number::5]
            size = -(-len(mine) // BATCHES)
            for first in range(0, len(mine), size):
                insist(mine[first : first + size], retries)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=worker, args=[number]) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert people(together.advertiser) == people(alone.advertiser)
    assert events_by_person(together.advertiser) == events_by_person(alone.advertiser)
    recorded = Event.all_advertisers.filter(advertiser=together.advertiser)
    assert recorded.exclude(name=attribute_changes.NAME).count() == len(told)
    assert "DeadlockDetected" not in retries, "locks are taken in one order"


def insist(messages, retries):
    for _ in range(20):
        try:
            with transaction.atomic(), batch_cursor(connection.connection) as cursor:
                speak(cursor, record(messages))
        except AGAIN as error:
            retries.append(type(error).__name__)
        else:
            return
    raise AssertionError("It was tried twenty times.")
