"""Messages are counted in the transaction that keeps them, once for each that came (safety.md R4, R5)."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from audience.identity import Key
from audience.ids import uuid7_bytes
from audience.instants import now
from audience.models import Event
from audience.tenancy import acting_for
from pixels.balance import HTTP_API, balance, pending_in
from pixels.batch import Repeats
from pixels.commits import Commits
from pixels.intake import database_conninfo
from pixels.messages import counts
from pixels.messages.arrivals import Arrival
from pixels.messages.errors import MessageError
from pixels.messages.sender import KnownWriteKey, Sender
from pixels.models import MessageDelta, MessageHour
from tests.emptying import empty_tables
from tests.pixels.doors import until
from tests.pixels.messages import read
from tests.pixels.teller import Teller, body_of

pytestmark = [pytest.mark.spec("R4"), pytest.mark.usefixtures("empty_books")]


@pytest.fixture
def empty_books(open_database):
    empty_tables()


@pytest.fixture
def teller(door):
    return Teller(door)


def line():
    books = balance()
    assert books.differences == []
    (one,) = (line for line in books.lines if line.source == HTTP_API)
    return one


def arrivals(teller, *bodies):
    sender = Sender(KnownWriteKey(teller.public_row.pk, teller.advertiser.pk), now())
    found = [one for body in bodies for one in read(body, "track", sender)]
    return [
        Arrival(uuid7_bytes(1), sender.received_at, teller.advertiser.pk, sender.key.id, one.message, one.error)
        for one in found
    ]


def commit(facts, repeats=Repeats.UNCHECKED):
    async def once():
        commits = Commits(database_conninfo(), lambda *_: None, name="test")
        try:
            return await commits.commit(facts, repeats)
        finally:
            commits.close()

    return asyncio.run(once())


def test_the_books_of_messages_balance(teller):
    good = {"type": "track", "event": "viewed", "anonymousId": "x1"}
    bad = {"type": "track", "anonymousId": "x1"}
    teller.tell("batch", batch=[{**good, "messageId": "m-1"}, bad, {**good, "messageId": "m-1"}, good])
    found = line()
    assert (found.received, found.applied, found.duplicate) == (4, 2, 1)
    assert found.rejected == {"no_event_name": 1}
    counts.merge_deltas()
    with acting_for(teller.advertiser.pk):
        assert not MessageDelta.objects.exists()
        assert MessageHour.objects.count() == 3
    assert line() == found


@pytest.mark.spec("R5")
@pytest.mark.parametrize("repeats", [Repeats.UNCHECKED, Repeats.LEFT_OUT])
def test_what_a_spool_brings_again_counts_once(teller, repeats):
    facts = arrivals(teller, {"event": "viewed", "anonymousId": "x1"}, {"anonymousId": "x1"})
    commit(facts)
    commit(facts, repeats)
    found = line()
    assert (found.applied, found.duplicate, found.rejected) == (1, 0, {"no_event_name": 1})


def test_a_message_that_the_database_refuses_is_rejected_alone(teller):
    good, poison = arrivals(teller, {"event": "viewed", "anonymousId": "x1"}, {"event": "b", "anonymousId": "x2"})
    poison = poison._replace(message=poison.message._replace(properties='{"a": "\\u0000"}'))
    others = [good, *arrivals(teller, *({"event": "c", "anonymousId": f"y{n}"} for n in range(4)))]
    ended = commit([*others[:2], poison, *others[2:]])
    assert [str(one.outcome) for one in ended] == ["applied", "applied", "rejected", "applied", "applied", "applied"]
    assert line().rejected == {MessageError.TOO_LARGE: 1}


def test_a_message_whose_advertiser_is_gone_spoils_no_other(teller):
    good, orphan = arrivals(teller, *({"event": "viewed", "anonymousId": f"x{n}"} for n in range(2)))
    nowhere = teller.advertiser.pk + 1_000_000
    own = Key(nowhere, "device", "a:x1")
    orphan = orphan._replace(advertiser_id=nowhere, message=orphan.message._replace(advertiser_id=nowhere, own=own))
    ended = commit([good, orphan])
    assert [str(one.outcome) for one in ended] == ["applied", "rejected"]
    assert line().received == 1


@pytest.mark.spec("R2")
def test_a_message_that_meets_no_database_is_pending_and_done_later(teller, settings):
    said = {"event": "viewed", "anonymousId": "x1", "messageId": "m-1"}
    teller.tell("track", event="first", anonymousId="x0")
    replies = []
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE pixels_messagedelta IN ACCESS EXCLUSIVE MODE")
        sending = threading.Thread(target=lambda: replies.append(teller.tell("track", query="segments=1", **said)))
        sending.start()
        sending.join(10)
        waiting = pending_in(settings.MUSTER_SPOOL_DIR)
        cursor.execute("ROLLBACK")
    (reply,) = replies
    assert reply.status == 200
    assert body_of(reply) == {
        "success": True,
        "accepted": 0,
        "duplicate": 0,
        "suppressed": 0,
        "pending": 1,
        "rejected": [],
        "outcome": "pending",
    }
    assert [(advertiser, source) for advertiser, source, _ in waiting] == [(teller.advertiser.pk, HTTP_API)]
    until(lambda: teller.counts() == {"applied": 2})
    until(lambda: body_of(teller.tell("track", **said))["duplicate"] == 1)


@pytest.mark.spec("R5")
def test_one_message_a_hundred_times_is_one(teller):
    said = {"event": "viewed", "anonymousId": "x1", "messageId": "m-1"}
    with ThreadPoolExecutor(20) as senders:
        statuses = [reply.status for reply in senders.map(lambda _: teller.tell("track", **said), range(100))]
    assert statuses == [200] * 100
    found = line()
    assert (found.applied, found.duplicate, found.rejected) == (1, 99, {})
    with acting_for(teller.advertiser.pk):
        assert Event.objects.count() == 1
