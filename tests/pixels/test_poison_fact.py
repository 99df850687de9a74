"""A fact that cannot be stored is rejected and counted, alone: those beside it are applied, and the books balance."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from audience.tenancy import acting_for
from pixels.balance import Line, balance
from pixels.intake import database_conninfo
from pixels.models import Fire
from pixels.reasons import Reason
from pixels.replay import Replay
from segments.models import Membership
from tests.emptying import empty_tables
from tests.factories import make_pixel
from tests.pixels.shop import Shop
from tests.pixels.test_away import commit_waits
from tests.running import until

pytestmark = pytest.mark.spec("R4")

YEAR_10000, YEAR_0 = 253_402_300_800, -62_167_219_200

# What a tag says -> how the fire ends.
POISON = {
    "add={cart}&other=%00": Reason.BAD_ENCODING,
    "add={cart}&add_code=%00&member={id}": Reason.BAD_ENCODING,
    "add={cart}&other=%ED%A0%80": Reason.BAD_ENCODING,
    "add={cart}&pg=https://shop.example/%ED%BF%BF": Reason.BAD_ENCODING,
    "add={cart}&value=2147483648": Reason.VALUE_OVERFLOW,
    "add={cart}&value=-1": Reason.BAD_VALUE,
    "add={cart}:99999999999999999999999999999999999": Reason.VALUE_OVERFLOW,
    "member={id}&add=99999999999999999999999999999999999": Reason.UNKNOWN_SEGMENT,
    "add={cart}&keep=0": Reason.BAD_LIFETIME,
    "add={cart}&other=" + "x" * 9_000: Reason.TOO_LONG,
    "add={cart}" + ",{cart}" * 200: Reason.TOO_MANY_SEGMENTS,
}


@pytest.fixture(autouse=True)
def empty_books(open_database: None) -> None:
    """The doors' fixtures forget the counts of the test before; its rows go, too."""
    empty_tables()


@pytest.mark.parametrize(("query", "reason"), POISON.items())
def test_poison_fact(door, query, reason):
    shop = Shop(door)
    with before_and_after(shop):
        assert shop.seg(query).status == 200
    assert shop.outcome() == "applied"
    with acting_for(shop.id):
        assert Fire.objects.get(outcome="rejected").reason == reason
    assert line_of(shop).rejected == {reason: 1}


@pytest.mark.parametrize("seconds", [YEAR_0, YEAR_10000, 10**30])
def test_a_time_out_of_the_calendar_is_no_time_even_when_it_is_signed(door, seconds):
    shop = Shop(door)
    target = f"/p/{shop.pixel.public_key}.gif?eid=one"
    time = f"{seconds}.000000"
    mac = Replay(settings.MUSTER_REPLAY_KEY)._mac(time, target)
    with before_and_after(shop):
        assert door.get(target, muster_replay=f"{time}.{mac}").status == 200
    line = line_of(shop)
    assert (line.received, line.applied) == (3, 3), "received now, like any other"


def test_what_the_database_refuses_is_rejected_alone_among_all_that_waits(listener):
    """Rows that the door knows vanish, without a word to it; the fires meanwhile wait and become one batch."""
    shop = Shop(listener)
    gone = make_pixel(shop.advertiser, shop.vip, name="Gone")
    listener.catch_up()
    good = f"/p/{shop.pixel.public_key}.gif"
    poison = [f"/p/{gone.public_key}.gif", f"/seg?add={shop.left.pk}"]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pixels_pixel WHERE id = %s", [gone.pk])
        cursor.execute("DELETE FROM segments_segment WHERE id = %s", [shop.left.pk])
    sent = fire_as_one_batch(listener.port, shop, [good] * 8 + poison + [good] * 8)
    assert [status_of(one) for one in sent] == [200] * 18
    until(lambda: listener.get("/health/sink").status in (200, 404), "nothing waits", timeout_seconds=20)

    with acting_for(shop.id):
        assert Membership.objects.count() == 1 + 16
        assert set(Fire.objects.values_list("outcome", flat=True)) == {"applied"}
    books = balance()
    assert books.differences == []
    rejected = {line.advertiser_id: sum(line.rejected.values()) for line in books.lines}
    assert rejected[shop.id] == 1, "the one with the segment that is gone, under its own pixel"
    assert rejected[None] >= 1, "the one whose pixel is gone, for the installation"


@contextmanager
def before_and_after(shop: Shop) -> Iterator[None]:
    """Fire a good one on both sides of the block; both must be applied, and the books balance."""
    assert shop.p().status == 200
    yield
    assert shop.p().status == 200
    assert line_of(shop).applied >= 2
    assert balance().differences == []


def line_of(shop: Shop) -> Line:
    """Return what the books say of the shop, of which there is one day."""
    (line,) = (line for line in balance().lines if line.advertiser_id == shop.id)
    return line


def fire_as_one_batch(port: int, shop: Shop, targets: Sequence[str]) -> list[socket.socket]:
    """Hold a commit up with a lock, and send fires that have all been taken in before it is over."""
    with psycopg.connect(database_conninfo()) as lock:
        lock.execute("LOCK TABLE pixels_firedelta IN ACCESS EXCLUSIVE MODE")
        first = send(port, f"/p/{shop.pixel.public_key}.gif")
        until(commit_waits, "the first fire waits", timeout_seconds=10)
        sent = [send(port, target) for target in targets]
        assert status_of(send(port, "/health/live")) == 200, "what came before it has been taken in"
    assert status_of(first) == 200
    return sent


def send(port: int, target: str) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port), timeout=20)
    peer.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return peer


def status_of(peer: socket.socket) -> int:
    with peer:
        return int(peer.recv(4096).split(b" ")[1])
