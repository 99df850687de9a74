"""Fires that record an event: once for an order, in the same transaction as the memberships, by both doors."""

import json
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from audience.models import Event
from audience.tenancy import acting_for
from pixels.balance import balance
from pixels.models import OrderId, Pixel
from pixels.orders import order_key
from pixels.reasons import Note
from tests.pixels.doors import until
from tests.pixels.shop import Shop, counted
from tests.pixels.test_away import blocked_fire, break_connection

pytestmark = pytest.mark.spec("pixels.md 1.8")


@pytest.fixture
def shop(door):
    return Shop(door)


def px(shop, query, **headers):
    """Fire `/px` of the shop's pixel; {cart}, {vip} and {left} stand for numbers."""
    for name in ("cart", "vip", "left"):
        query = query.replace("{" + name + "}", str(getattr(shop, name).pk))
    return shop.door.get(f"/px?id={shop.pixel.pk}&{query}", **headers)


def events(shop):
    with acting_for(shop.id):
        return list(Event.objects.order_by("received_at"))


def notes(shop):
    return set(shop.fire().notes)


def test_px_combined(shop):
    first = shop.seg("add={left}")
    reply = px(
        shop,
        "seg={cart}:3&remove={left}&order_id=A-1001&value=59.90&other=gift&t=2",
        cookie=first.cookie,
        referer="https://shop.example/thanks?utm_source=mail&utm_medium=email",
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    )
    assert (reply.status, len(reply.body)) == (200, 43)
    assert shop.outcome() == "applied"
    assert shop.values() == {"cart": 3}
    (event,) = events(shop)
    fire = shop.fire()
    assert (event.name, event.id, event.profile_id) == ("conversion", fire.id, fire.profile_id)
    assert event.occurred_at == event.received_at == fire.received_at
    assert event.properties == {"order_id": "A-1001", "value": 59.9, "other": "gift"}
    assert event.context["page"]["url"] == "https://shop.example/thanks"
    assert event.context["source"]["name"] == "mail"
    assert event.context["browser"]["name"] == "Firefox"
    assert event.context["channel"] == "web"
    assert (fire.pixel_id, fire.other, fire.notes) == (shop.pixel.pk, "gift", [])
    done = [(one["do"], one.get("event") or one["code"], one["value"]) for one in fire.actions]
    assert done == [("record", "conversion", 59.9), ("add", "cart", 3), ("remove", "left", None)]


def test_px_names_segments_by_code_and_keeps_them_for_as_long_as_it_says(shop):
    px(shop, f"seg_code=VIP:4&remove_code=left&member={shop.id}&keep=2h&value=10")
    assert shop.values() == {"vip": 4}, "the value is the event's, never a segment's"
    assert shop.minutes("vip") == 120


def test_px_same_order_counts_once(shop):
    first = px(shop, "seg={cart}&order_id=A-1&value=10")
    assert notes(shop) == set()
    px(shop, "seg={vip}&order_id=A-1&value=10", cookie=first.cookie)
    assert shop.outcome() == "applied"
    assert notes(shop) == {Note.DUPLICATE_ORDER}
    assert shop.values() == {"cart": None, "vip": None}, "the segments are done all the same"
    assert [one["do"] for one in shop.fire().actions] == ["add"]

    px(shop, "order_id=A-1", cookie=first.cookie)
    assert (shop.outcome(), notes(shop)) == ("applied", {Note.DUPLICATE_ORDER})
    assert len(events(shop)) == 1

    px(shop, "order_id=A-2", cookie=first.cookie)
    px(shop, "value=5", cookie=first.cookie)
    px(shop, "value=5", cookie=first.cookie)
    assert len(events(shop)) == 4, "without an order id each fire is an event"


def test_another_pixel_or_a_time_after_90_days_may_have_the_same_order(door, shop):
    px(shop, "order_id=A-1")
    other = Shop(door)
    px(other, "order_id=A-1")
    assert len(events(other)) == 1

    known = OrderId.objects.filter(id=UUID(bytes=order_key(shop.pixel.pk, "A-1")))
    for days, stored in ((89, 1), (91, 2)):
        known.update(seen_at=timezone.now() - timedelta(days=days))
        px(shop, "order_id=A-1")
        assert len(events(shop)) == stored


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ("0", "0"),
        ("59.90", "59.90"),
        ("007.5", "7.5"),
        ("999999999999.9999", "999999999999.9999"),
        ("1000000000000", None),
        ("1.23456", None),
        ("59,90", None),
        ("-5", None),
        ("1e3", None),
        (".5", None),
        ("[VALUE]", None),
        ("%D9%A1", None),
    ],
)
def test_revenue_is_stored_as_it_is_told_or_not_at_all(shop, told, stored):
    px(shop, f"seg={{cart}}&value={told}")
    assert shop.values() == {"cart": None}
    assert notes(shop) == (set() if stored else {Note.BAD_REVENUE})
    (event,) = events(shop)
    with connection.cursor() as cursor:
        cursor.execute("SELECT properties->'value' FROM audience_event WHERE id = %s", [event.id])
        (value,) = cursor.fetchone()
    assert value == stored if stored is None else Decimal(value) == Decimal(stored)


def test_an_order_id_that_is_no_good_is_left_out(shop):
    long = "x" * 65
    for told, note in (("[ORDER_ID]", Note.PLACEHOLDER_LEFT), (long, Note.PARAMETER_IGNORED)):
        for _ in range(2):
            px(shop, f"order_id={told}")
            assert notes(shop) == {note}
    px(shop, f"order_id={long[:64]}")
    assert [event.properties.get("order_id") for event in events(shop)] == [None] * 4 + [long[:64]]


def test_the_pixel_names_the_event_and_then_its_own_address_records_it(shop):
    first = shop.p("order_id=A-1&value=5")
    assert events(shop) == []
    assert notes(shop) == {Note.PARAMETER_IGNORED}, "it records nothing"

    shop.change(shop.pixel, event_name="purchase")
    shop.p("order_id=A-1&value=59.90", cookie=first.cookie)
    assert (shop.outcome(), notes(shop)) == ("applied", set())
    assert shop.values()["cart"] is None
    px(shop, "order_id=A-1", cookie=first.cookie)
    assert notes(shop) == {Note.DUPLICATE_ORDER}, "one order, whichever address"
    px(shop, "order_id=A-2", cookie=first.cookie)
    assert [event.name for event in events(shop)] == ["purchase", "purchase"]


def test_a_pixel_that_records_gives_its_segments_their_fixed_values(shop):
    with acting_for(shop.id):
        action = shop.pixel.actions.get()
    shop.change(action, value=7)
    shop.change(shop.pixel, event_name="purchase")
    shop.p("value=59.90")
    assert shop.values() == {"cart": 7}
    assert events(shop)[0].properties == {"value": 59.9}


def test_an_event_is_enough_for_a_fire_and_a_refused_segment_does_not_hold_it_back(shop):
    px(shop, "value=1")
    assert (shop.outcome(), shop.values()) == ("applied", {})
    px(shop, "seg=999999")
    assert shop.outcome() == "applied"
    assert [one.get("reason") for one in shop.fire().actions] == [None, "unknown_segment"]
    assert len(events(shop)) == 2


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("order_id=A-1&order_id=A-2", "repeated_parameter"),
        ("order_id=jo@example.com", "personal_data"),
        ("seg_code=vip", "missing_member"),
        ("cid=C-1001", "signature_missing"),
    ],
)
def test_a_refused_fire_records_nothing(shop, query, reason):
    px(shop, query)
    assert shop.outcome() == f"rejected {reason}"
    assert events(shop) == []
    assert shop.profiles() == 0


def test_a_pixel_that_is_not_there_is_unknown(door, shop):
    other = Shop(door)
    for target in (f"/px?id={other.pixel.pk}&member={shop.id}", "/px?id=99999999", "/px?id=x", "/px"):
        assert door.get(target).status == 200
    assert shop.fires() == other.fires() == 0
    shop.change(shop.pixel, state=Pixel.State.PAUSED)
    px(shop, "value=1")
    assert shop.outcome() == "rejected pixel_paused"


def test_the_same_event_id_records_once(shop):
    first = px(shop, "eid=e-1&order_id=A-1")
    px(shop, "eid=e-1&order_id=A-2", cookie=first.cookie)
    assert shop.outcome() == "duplicate"
    px(shop, "order_id=A-2", cookie=first.cookie)
    assert len(events(shop)) == 2, "what a duplicate names is not remembered"


def test_a_script_is_answered_as_one(shop):
    assert px(shop, "t=1").body == b"/* muster */\n"
    assert px(shop, "t=1", method="HEAD").status == 200
    assert json.dumps(shop.fire().actions) != "[]"


@pytest.mark.spec("R2")
def test_a_conversion_that_waited_on_disk_is_stored_once(shop):
    shop.change(shop.pixel, event_name="purchase")
    first = shop.p("order_id=A-1&value=5")
    with blocked_fire(shop, "order_id=A-2&value=6.50", cookie=first.cookie or "") as replies:
        break_connection()
        until(lambda: replies)
    shop.p("order_id=A-2", cookie=first.cookie or "")  # behind what waits
    until(lambda: counted(advertiser=shop.id) == 3)
    assert Note.DUPLICATE_ORDER in notes(shop)
    assert [event.properties["order_id"] for event in events(shop)] == ["A-1", "A-2"]
    books = balance()
    assert [one for one in books.differences if f"of advertiser {shop.id}," in str(one)] == []
