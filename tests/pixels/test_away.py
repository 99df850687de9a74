"""The door while the database is away, and at its end: what was not stored is said, what was taken in is answered."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
import pytest
from django.db import connection

from audience.models import Identifier
from audience.tenancy import acting_for
from pixels.answers import GIF
from pixels.intake import database_conninfo
from tests.factories import make_piggyback
from tests.pixels.doors import Reply, listener_door, until
from tests.pixels.shop import Shop, counted

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("open_database")


def break_connection() -> None:
    """End the connection of a door in the middle of its transaction, as a restart of the database does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'muster-door' "
            "AND datname = current_database() AND wait_event_type = 'Lock'"
        )


@pytest.mark.spec("pixels.md 1.2")
def test_a_fire_that_meets_no_database_is_kept_and_done_later(door):
    shop = Shop(door)
    shop.p()
    with blocked_fire(shop) as replies:
        break_connection()
        until(lambda: replies)
    (reply,) = replies
    assert (reply.status, reply.body) == (200, GIF)
    assert reply.header("muster-fire")
    until(lambda: counted() == 2)
    assert shop.p().status == 200, "the connection is opened again"
    until(lambda: counted() == 3)


@pytest.mark.spec("pixels.md 1.2", "pixels.md 1.9", "pixels.md 3.6")
@pytest.mark.parametrize(
    "target",
    ["/seg?member={id}&add_code=vip", "/mapuid?member={id}&user=c-77&seg_code=vip"],
)
def test_syncs_and_piggybacks_do_not_wait_for_the_database(door, target):
    shop = Shop(door, redirect_hosts=["ad.partner.example"])
    make_piggyback(shop.vip, "https://ad.partner.example/p")
    door.catch_up()
    cookie = shop.p().cookie or ""
    with locked_counts(lambda: door.get(target.replace("{id}", str(shop.id)), cookie=cookie)) as replies:
        until(commit_waits)
        break_connection()
        until(lambda: replies)
    assert replies[0].status == 302
    until(lambda: counted(advertiser=shop.id) == 2)
    assert (shop.values(), shop.profiles()) == ({"cart": None, "vip": None}, 1)
    with acting_for(shop.id):
        ids = Identifier.objects.filter(kind="partner:own").values_list("value", flat=True)
        assert [*ids] == (["c-77"] if "mapuid" in target else [])
    assert shop.p().status == 200, "the connection is opened again"
    until(lambda: counted(advertiser=shop.id) == 3)


@pytest.mark.spec("pixels.md 1.2", "R12")
def test_a_fire_that_can_be_kept_nowhere_is_answered_503():
    with listener_door(MUSTER_SPOOL_MAX_BYTES="10") as door:
        shop = Shop(door)
        shop.p()
        before = counted()
        with blocked_fire(shop) as replies:
            break_connection()
            until(lambda: replies)
            until(lambda: not commit_waits())  # PostgreSQL finds within a second that nobody waits for it
        (reply,) = replies
        assert (reply.status, reply.body) == (503, GIF)
        assert reply.header("retry-after") == "5"
        assert reply.header("content-type") == "image/gif"
        assert reply.header("cache-control") == "no-store, private"
        assert reply.header("set-cookie") is None
        assert shop.p().status == 200, "the connection is opened again"
        assert counted() == before + 1, "it is outside the balance"


def test_health_of_the_door(listener):
    assert listener.get("/health/live").status == 200
    ready = listener.get("/health/ready")
    assert ready.status == 200
    assert json.loads(ready.body)["state"] == "ready"
    assert listener.get("/health/other").status == 404


@pytest.mark.spec("pixels.md 1.2")
def test_a_door_that_has_never_seen_its_database_lives_and_refuses(tmp_path):
    nowhere = {"DATABASE_URL": "postgresql://muster:x@127.0.0.1:1/muster", "MUSTER_SPOOL_DIR": str(tmp_path)}
    with listener_door(is_ready=False, **nowhere) as door:
        assert door.get("/health/live").status == 200
        assert door.get("/health/ready").status == 503
        reply = door.get("/seg?add=12")
        assert (reply.status, reply.body, reply.header("retry-after")) == (503, GIF, "5")
        assert json.loads(door.get("/health/ready").body)["refused"] == 1


@contextmanager
def blocked_fire(shop: Shop, query: str = "", **headers: str) -> Iterator[list[Reply]]:
    """Fire, and hold a lock that the commit waits for until the block ends; what the client heard is in the list."""
    with locked_counts(lambda: shop.p(query, **headers)) as replies:
        until(commit_waits)
        yield replies


@contextmanager
def locked_counts(request: Callable[[], T]) -> Iterator[list[T]]:
    """Make a request while no fire can be counted, until the block ends."""
    replies: list[T] = []
    client = threading.Thread(target=lambda: replies.append(request()))
    with psycopg.connect(database_conninfo()) as lock:
        lock.execute("LOCK TABLE pixels_firedelta IN ACCESS EXCLUSIVE MODE")
        client.start()
        yield replies
    client.join(20)


def commit_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'muster-door' "
            "AND wait_event_type = 'Lock' AND datname = current_database()"
        )
        return cursor.fetchone()[0] == 1


def test_what_was_taken_in_is_committed_and_answered_before_the_door_ends():
    with listener_door() as door:
        shop = Shop(door)
        with blocked_fire(shop) as replies:
            door.process.send_signal(signal.SIGTERM)
            assert replies == []
        assert [reply.status for reply in replies] == [200]
        assert door.process.wait(20) == 0
        assert shop.outcome() == "applied"


def test_health_answers_while_a_commit_waits(listener):
    with blocked_fire(Shop(listener)) as replies:
        assert listener.get("/health/live").status == 200
        assert listener.get("/health/ready").status == 200
        assert replies == []
    assert [reply.status for reply in replies] == [200]
