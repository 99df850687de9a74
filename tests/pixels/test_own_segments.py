"""A page reads the segments of its own browser, and of nobody else's (pixels.md 1.11)."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audience.identity import Key
from audience.models import Identifier
from config.environment import conninfo
from pixels.messages.endpoint import READS_PER_BROWSER
from pixels.messages.ownsegments import OwnSegments, Reader
from segments.building import build
from segments.models import Segment
from segments.starting_points import starting_point
from segments.versions import save_rule
from tests.factories import make_advertiser, make_pixel, make_segment
from tests.pixels.shop import Shop
from tests.pixels.teller import ORIGIN, Teller, body_of

pytestmark = pytest.mark.spec("pixels.md 1.11")


class Page(Teller):
    """A page whose advertiser has segments `cart` and `vip`, which it may read, and `secret`, which it may not."""

    def __init__(self, door, **fields):
        super().__init__(door, **fields)
        codes = {"Cart": True, "vip": True, "secret": False}
        self.segments = {
            code: make_segment(self.advertiser, code, is_readable_on_page=may) for code, may in codes.items()
        }
        door.catch_up()

    def fire(self, *codes, cookie=None, value=None):
        """Fire as a browser, and return its cookie."""
        added = ",".join(str(self.segments[code].pk) + (f":{value}" if value else "") for code in codes)
        reply = self.door.get(f"/seg?add={added}", **({"cookie": cookie} if cookie else {}))
        assert reply.status == 200
        return cookie or reply.cookie

    def ask(self, codes=None, key=None, origin=ORIGIN, **headers):
        query = f"key={key or self.public}" + ("" if codes is None else f"&codes={codes}")
        sent = headers if origin is None else {"origin": origin, **headers}
        return self.door.get(f"/v1/me/segments?{query}", **sent)

    def codes(self, *asked, **headers):
        reply = self.ask(*asked, **headers)
        assert reply.status == 200
        return [one["code"] for one in body_of(reply)["segments"]]


@pytest.fixture
def page(door):
    return Page(door)


def fire_as_somebody_new(page, *codes):
    """Return the key of the browser that has fired."""
    page.fire(*codes)
    browsers = Identifier.all_advertisers.filter(advertiser=page.advertiser, kind="browser")
    return Key(page.advertiser.pk, "browser", browsers.latest("first_seen_at").value)


@pytest.mark.spec("pixels.md 1.11")
def test_fire_then_read_sees_it(page):
    cookie = page.fire("Cart", value=65)
    reply = page.ask(cookie=cookie)
    (segment,) = body_of(reply)["segments"]
    since, until = (datetime.fromisoformat(segment[name]) for name in ("since", "until"))
    assert segment | {"since": "", "until": ""} == {
        "code": "Cart",
        "id": page.segments["Cart"].pk,
        "value": 65,
        "since": "",
        "until": "",
    }
    assert since <= datetime.fromisoformat(body_of(reply)["as_of"]) < until
    assert until - since == timedelta(days=30)
    assert reply.header("access-control-allow-origin") == ORIGIN
    assert reply.header("access-control-allow-credentials") == "true"
    assert reply.header("vary") == "Origin"
    assert reply.header("cache-control") == "no-store, private"


@pytest.mark.spec("pixels.md 1.11")
def test_me_segments_only_own(page):
    cookie, other = page.fire("Cart", "vip", "secret"), page.fire("vip")
    assert sorted(page.codes(cookie=cookie)) == ["Cart", "vip"], "the third is not readable on the page"
    assert page.codes(cookie=other) == ["vip"]
    assert page.codes("cart,none", cookie=cookie) == ["Cart"]
    assert page.codes() == []
    assert page.codes(cookie=cookie[:-1] + "_") == [], "the value is not what we signed"
    assert page.codes(muster_id=cookie.partition("=")[2]) == page.codes(cookie=cookie)
    theirs = Page(page.door)
    assert theirs.codes(cookie=cookie) == []


def test_who_has_left_is_in_nothing(page):
    cookie = page.fire("Cart")
    page.door.get(f"/seg?remove={page.segments['Cart'].pk}", cookie=cookie)
    assert page.codes(cookie=cookie) == []


def test_codes_that_are_none_find_nothing_and_spoil_nothing(page):
    cookie = page.fire("Cart", "vip")
    for codes in ("%00", "%ff", "%ED%A0%80", "'--", "Ca%20rt", "{cart}"):
        assert page.codes(codes, cookie=cookie) == []
        assert page.codes(codes + ",cart", cookie=cookie) == ["Cart"]


def test_browsers_that_ask_at_once_hear_each_of_their_own(page):
    holding = [("Cart",), ("vip",), ("Cart", "vip"), ("secret",)]
    keys = [fire_as_somebody_new(page, *codes) for codes in holding]
    asked = [OwnSegments(key, frozenset(codes)) for codes in ((), ("cart", "\0")) for key in keys * 150]

    async def ask_all():
        reader = Reader(conninfo(connection.settings_dict))
        try:
            return await asyncio.gather(*(reader.read(one, timezone.now()) for one in asked))
        finally:
            await reader.close()

    found = [{one["code"] for one in shown} for shown in asyncio.run(ask_all())]
    assert (
        found == [{*codes} - {"secret"} for codes in holding] * 150 + [{*codes} & {"Cart"} for codes in holding] * 150
    )


def test_where_the_database_is_away_nobody_waits_for_his_segments(page):
    key = fire_as_somebody_new(page, "Cart")

    async def ask_all():
        reader = Reader("host=/nowhere dbname=none")
        return await asyncio.gather(*(reader.read(OwnSegments(key), timezone.now()) for _ in range(500)))

    assert asyncio.run(ask_all()) == [[]] * 500


def test_no_parameter_names_a_person(page):
    page.tell("track", page.server, anonymousId="x1", userId="C-1", event="viewed")
    for said in ("userId=C-1", "anonymousId=x1", "user=C-1"):
        reply = page.door.get(f"/v1/me/segments?key={page.public}&{said}", origin=ORIGIN)
        assert body_of(reply)["segments"] == []


# origin -> status, with the list [https://shop.example, http://localhost:3000]
ORIGINS = {
    ORIGIN: 200,
    "https://shop.example:8443": 403,
    "http://shop.example": 403,
    "https://other.example": 403,
    "https://shop.example.evil.example": 403,
    "https://Shop.example": 403,
    "http://localhost:3000": 403,  # of development alone, and this door is not
    "null": 403,
    None: 403,
}


@pytest.mark.spec("pixels.md 1.11")
@pytest.mark.parametrize("origin", ORIGINS, ids=str)
def test_me_segments_cors_matrix(page, origin):
    page.advertiser.page_origins = [ORIGIN, "http://localhost:3000"]
    page.advertiser.save()
    page.door.catch_up()
    cookie = page.fire("Cart")
    reply = page.ask(origin=origin, cookie=cookie)
    sent = {} if origin is None else {"origin": origin}
    before = page.door.get(f"/v1/me/segments?key={page.public}", method="OPTIONS", **sent)
    assert reply.status == ORIGINS[origin]
    if reply.status == 200:
        assert before.status == 204
        assert before.header("access-control-allow-origin") == origin
        assert before.header("access-control-allow-credentials") == "true"
        assert before.header("access-control-allow-methods") == "GET, POST"
        assert before.header("access-control-allow-headers") == "Muster-Id, Content-Type"
        assert before.header("access-control-max-age") == "7200"
    else:
        assert before.status == 403
        assert body_of(reply)["code"] == "origin_not_allowed"
        names = [name for one in (reply, before) for name, _ in one.headers]
        assert not any(name.startswith("access-control-") for name in names)


@pytest.mark.parametrize("key", ["", "mw_0000000000000000"])
def test_an_unknown_key_reads_nothing(page, key):
    reply = page.door.get(f"/v1/me/segments?key={key}", origin=ORIGIN, cookie=page.fire("Cart"))
    assert reply.status == 401


def test_a_server_key_has_no_place_in_an_address(page):
    assert page.ask(key=page.server).status == 401


@pytest.mark.spec("L")
def test_reads_of_one_browser_are_limited(page):
    cookie, other = page.fire("Cart"), page.fire("Cart")
    assert {page.ask(cookie=cookie).status for _ in range(READS_PER_BROWSER)} == {200}
    refused = page.ask(cookie=cookie)
    assert (refused.status, body_of(refused)["code"]) == (429, "rate_limited")
    assert refused.header("retry-after") == "60"
    assert page.ask(cookie=other).status == 200


@pytest.mark.spec("pixels.md 4.2")
def test_an_answer_shows_segments_to_its_own_page_alone(page):
    cookie = page.fire("Cart", "secret")

    def shown(headers):
        return body_of(page.tell("track", query="segments=1", headers=headers, event="viewed", anonymousId="x1"))

    own = shown({"origin": ORIGIN, "cookie": cookie})
    assert [one["code"] for one in own["segments"]] == ["Cart"]
    assert (own["outcome"], own["joined"], own["left"]) == ("applied", [], [])
    assert shown({"origin": "https://other.example", "cookie": cookie})["segments"] == []
    assert shown({"cookie": cookie})["segments"] == []
    assert shown({"origin": ORIGIN})["segments"] == [], "a client-made id never reads"
    assert "segments" not in body_of(page.tell("track", headers={"origin": ORIGIN}, event="viewed", anonymousId="x1"))


def test_at_a_host_of_one_advertiser_there_are_no_keys_of_others(page):
    make_advertiser(first_party_hosts=["px.other.example"])
    page.door.catch_up()
    reply = page.tell("track", headers={"host": "px.other.example"}, event="viewed", anonymousId="x1")
    assert (reply.status, body_of(reply)["code"]) == (401, "unknown_write_key")


def test_a_shop_without_origins_has_no_readers(door):
    shop, page = Shop(door), Page(door)
    page.advertiser.page_origins = []
    page.advertiser.save()
    door.catch_up()
    assert shop.p().status == 200
    assert page.ask().status == 403


@pytest.mark.spec("rules.md 7")
def test_63_a_cart_under_100_is_known_in_the_answer_to_each_fact_of_it(page):
    segment = make_segment(page.advertiser, "under100", kind=Segment.Kind.RULE, is_readable_on_page=True)
    save_rule(segment, starting_point("cart-under-100").text)
    build(now=timezone.now())
    page.door.catch_up()
    cookie = page.fire("vip")

    def track(event, **properties):
        said = {"event": event, "properties": properties, "anonymousId": "x1"}
        headers = {"origin": ORIGIN, "cookie": cookie}
        answer = body_of(page.tell("track", query="segments=1", headers=headers, **said))
        assert ("under100" in page.codes(cookie=cookie)) is (
            "under100" in [one["code"] for one in answer["segments"]]
        )
        return answer["joined"], answer["left"], "under100" in [one["code"] for one in answer["segments"]]

    def updated(*prices):
        return track("cart_updated", products=[{"product_id": str(price), "price": price} for price in prices])

    joins, leaves = (["under100"], [], True), ([], ["under100"], False)
    assert updated(80) == joins
    assert updated(80, 40) == leaves
    assert updated(99.99) == joins
    assert updated(99.99, 0.01) == leaves
    assert updated(90) == joins
    assert updated() == leaves
    assert track("add_to_cart", product_id="mug", price=12, quantity=8) == joins
    assert track("add_to_cart", product_id="mug", price=12) == leaves
    assert track("remove_from_cart", product_id="mug", quantity=1) == joins
    assert track("purchase", total=96) == leaves
    assert track("cart_updated", total=65) == joins, "of a cart whose total alone is told"


def test_an_order_by_a_pixel_empties_the_cart(page):
    segment = make_segment(page.advertiser, "filled", kind=Segment.Kind.RULE, is_readable_on_page=True)
    save_rule(segment, json.dumps({"muster_rule": 1, "of": "profile", "rule": {"items": "cart"}}))
    build(now=timezone.now())
    pixel = make_pixel(page.advertiser, page.segments["vip"], event_name="purchase")
    page.door.catch_up()
    cookie = page.fire("vip")
    said = {"event": "add_to_cart", "properties": {"product_id": "mug", "price": 12}, "anonymousId": "x1"}
    page.tell("track", headers={"origin": ORIGIN, "cookie": cookie}, **said)
    assert page.codes("filled", cookie=cookie) == ["filled"]
    page.door.get(f"/px?id={pixel.pk}&order_id=A-1&value=12", cookie=cookie)
    assert page.codes("filled", cookie=cookie) == []
