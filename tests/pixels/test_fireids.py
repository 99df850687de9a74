"""A fire's id: it tells the fire's time, and the same request is done once however often a proxy sends it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from audience.instants import MINUTE, instant, now
from audience.tenancy import acting_for
from pixels import fireids
from pixels.models import Fire, FireDelta
from segments.models import SegmentDelta, Transition
from tests.factories import NOON
from tests.pixels.doors import listener_door
from tests.pixels.shop import Shop

RANDOM = "7f3a9c2e51d04b6f8a1be2c3d4f50617"
PROXIED = {"MUSTER_TRUSTED_PROXIES": "127.0.0.1/32"}


def request_id(at: datetime, random: str = RANDOM) -> str:
    return f"{at.timestamp():.3f}-{random}"


@given(st.integers(instant(NOON) - 10**15, instant(NOON) + 10**15))
def test_an_id_tells_its_time(at):
    assert fireids.time_of(fireids.new(at)) == at


def test_the_id_of_a_request_tells_its_time_to_the_millisecond():
    at = fireids.time_of(fireids.of_request(request_id(NOON + timedelta(milliseconds=7))))
    assert 7_000 <= at - instant(NOON) < 8_000
    assert at == fireids.time_of(fireids.of_request(request_id(NOON + timedelta(milliseconds=7))))


def test_a_request_id_makes_one_id_and_another_makes_another():
    first = fireids.of_request(request_id(NOON))
    assert first == fireids.of_request(request_id(NOON))
    assert first != fireids.of_request(request_id(NOON, "8" + RANDOM[1:]))
    assert first[6] >> 4 == 7, "a UUID of version 7"
    assert first[8] >> 6 == 0b10


@pytest.mark.parametrize(
    "text",
    [None, "", RANDOM, f"1795377600-{RANDOM}", f"1795377600.12-{RANDOM}", f"-1.000-{RANDOM}", f"1.000-{RANDOM[1:]}"],
)
def test_other_forms_are_no_ids(text):
    assert fireids.of_request(text) is None


@given(st.text(max_size=80))
def test_whatever_stands_in_the_header_nothing_breaks(text):
    assert fireids.of_request(text) is None or fireids.HEADER


def test_a_time_far_from_now_is_none_of_a_request_that_just_came():
    here = now()
    fresh = request_id(datetime.now(UTC))
    assert fireids.of_fresh_request(fresh, here) == fireids.of_request(fresh)
    assert fireids.of_fresh_request(fresh, here + 2 * MINUTE) is None
    assert fireids.of_fresh_request(fresh, here - 2 * MINUTE) is None


@pytest.fixture(scope="module")
def proxied(open_database):
    with listener_door(**PROXIED) as door:
        yield door


@pytest.mark.spec("R5")
def test_idempotent_request(proxied):
    """One request 100 times, 20 at a time, in the same and in different batches: one fire, one join, one load."""
    shop = Shop(proxied)
    cookie = shop.p().cookie
    shop.p(x_request_id=request_id(datetime.now(UTC), "a" * 32), cookie=cookie)
    again = request_id(datetime.now(UTC))
    with ThreadPoolExecutor(20) as threads:
        replies = list(threads.map(lambda _: shop.seg("add={vip}", x_request_id=again, cookie=cookie), range(100)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.header("muster-fire") for reply in replies}) == 1

    with acting_for(shop.id):
        (fire,) = Fire.objects.filter(pixel=shop.direct)
        assert fire.id.bytes == fireids.of_request(again)
        assert instant(fire.received_at) == fireids.time_of(fire.id.bytes)
        assert Transition.objects.filter(segment=shop.vip).count() == 1
        ends = FireDelta.objects.filter(pixel=shop.direct).values_list("outcome").annotate(Sum("fires"))
        assert dict(ends) == {"applied": 1, "duplicate": 99}
        assert sum(SegmentDelta.objects.filter(segment=shop.vip).values_list("loads", flat=True)) == 1


@pytest.mark.spec("R5")
def test_the_same_id_at_another_advertisers_pixel_is_another_fire(proxied):
    one, other = Shop(proxied), Shop(proxied)
    same = request_id(datetime.now(UTC), "b" * 32)
    one.p(x_request_id=same)
    other.p(x_request_id=same)
    assert [one.outcome(), other.outcome()] == ["applied", "applied"]


def test_a_stranger_chooses_no_id(door):
    shop = Shop(door)
    chosen = request_id(datetime.now(UTC), "c" * 32)
    shop.p(x_request_id=chosen)
    shop.p(x_request_id=chosen)
    assert shop.fires() == 2
    assert shop.fire().id.bytes != fireids.of_request(chosen)
