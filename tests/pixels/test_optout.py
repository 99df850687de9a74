"""Opting out and in, through both doors: what a browser is told, and what is left of it."""

import json
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audience.ids import uuid7
from audience.models import Identifier
from audience.tenancy import acting_for
from pixels.answers import GIF
from pixels.balance import balance
from pixels.models import Fire
from segments.models import Membership, SegmentDelta, Transition
from tests.factories import make_segment
from tests.pixels.doors import Reply, until
from tests.pixels.shop import Shop, counted
from tests.pixels.teller import ORIGIN, Teller, body_of
from tests.pixels.test_away import break_connection, commit_waits, locked_counts

pytestmark = pytest.mark.spec("pixels.md 1.10", "P14", "P18")

MOPT = "__Host-mopt=1; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=None"
MOPTP = "__Host-moptp=1; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"
NO_ID = "__Host-muid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"


@pytest.fixture
def shop(door):
    return Shop(door)


def cookies_of(reply: Reply) -> list[str]:
    return [value for name, value in reply.headers if name == "set-cookie"]


def transitions(shop: Any) -> list[tuple[str, str]]:
    with acting_for(shop.id):
        return list(Transition.objects.order_by("at").values_list("change", "cause"))


def test_optout_in_same_answer(door, shop):
    other = Shop(door)
    cookie = shop.seg("add={cart}:5,{vip}").cookie or ""
    other.seg("add={cart}", cookie=cookie)

    reply = door.post("/optout", b"", cookie=cookie)
    assert (reply.status, reply.header("location"), reply.body) == (303, "/optout", b"")
    assert cookies_of(reply) == [MOPT, MOPTP, NO_ID]
    for one, left in ((shop, 2), (other, 1)):
        assert one.values() == {}
        assert one.browsers() == set()
        assert one.profiles() == 1, "what was known without the id stays"
        assert transitions(one)[left:] == [("leave", "consent")] * left
        with acting_for(one.id):
            assert sum(row.leaves for row in SegmentDelta.objects.all()) == left
            assert all(row.expires_at <= timezone.now() and row.sweep_at is None for row in Membership.objects.all())
        books = balance()
        assert [each for each in books.differences if f"of advertiser {one.id}," in str(each)] == []


def test_hundred_fires_after_optout_set_no_id(door, shop):
    first = shop.p()
    out = door.post("/optout", b"", cookie=first.cookie or "")
    sent = "; ".join(line.partition(";")[0] for line in cookies_of(out)[:2])
    before = rows_of_people()
    for number in range(100):
        targets = (f"/p/{shop.pixel.public_key}.gif?n={number}", f"/seg?add={shop.cart.pk}", "/seg?add=%FF")
        shown = {"referer": "https://shop.example/private?x=1", "user_agent": "Firefox/140.0"}
        reply = door.get(targets[number % 3], cookie=sent, **shown)
        assert (reply.status, reply.body) == (200, GIF)
        assert cookies_of(reply) == [MOPT, MOPTP], "renewed, and no id"
    assert rows_of_people() == before
    assert counted(advertiser=shop.id, outcome="suppressed", reason="opted_out") == 67
    fire = shop.fire()
    assert (fire.outcome, fire.reason, fire.page_host) == ("suppressed", "opted_out", "shop.example")
    assert (fire.page_path, fire.browser, fire.same, fire.profile_id, fire.actions) == ("", "", "", None, [])


def rows_of_people() -> dict[str, int]:
    """Return how many rows each table of people has; fires and their counts are none."""
    with connection.cursor() as cursor:
        counts = {}
        for table in ("audience_profile", "audience_identifier", "audience_event", "segments_membership"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
        return counts


def test_optin_refuses_get_and_foreign_origin(door):
    Teller(door)
    opted_out = "__Host-mopt=1; __Host-moptp=1"
    get = door.get("/optin", cookie=opted_out)
    assert (get.status, get.header("allow"), cookies_of(get)) == (405, "POST", [])
    for origin in ({}, {"origin": "null"}, {"origin": "https://evil.example"}, {"origin": "http://px.example.com"}):
        reply = door.post("/optin", b"", cookie=opted_out, host="px.example.com", **origin)
        assert (reply.status, cookies_of(reply)) == (403, [])
    for origin in ("https://px.example.com", ORIGIN):
        reply = door.post("/optin", b"", cookie=opted_out, host="px.example.com", origin=origin)
        assert (reply.status, reply.header("location")) == (303, "/optout")
        assert cookies_of(reply) == [
            "__Host-mopt=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=None",
            "__Host-moptp=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        ]


def test_the_page_says_how_it_stands(door):
    taking_part, out = door.get("/optout"), door.get("/optout", cookie="a=1; __Host-moptp=1")
    for page, words, action in (
        (taking_part, b"This browser takes part.", b'action="/optout"'),
        (out, b"This browser has opted out.", b'action="/optin"'),
    ):
        assert page.status == 200
        assert page.header("content-type") == "text/html; charset=utf-8"
        assert page.header("x-frame-options") == "DENY"
        policy = page.header("content-security-policy") or ""
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert page.header("cache-control") == "no-store, private"
        assert words in page.body
        assert action in page.body
        assert page.body.count(b"<button") == 1
        assert b"<script" not in page.body
        assert cookies_of(page) == []
    assert door.get("/optout?x=%3Cb%3Ehostile", cookie="mopt=1").body == taking_part.body


def test_the_image_opts_out_for_a_site(door, shop):
    cookie = shop.p().cookie or ""
    head = door.get("/optout.gif", method="HEAD", cookie=cookie)
    assert (head.status, cookies_of(head), shop.values()) == (200, [], {"cart": None})
    reply = door.get("/optout.gif?cb=1", cookie=cookie)
    assert (reply.status, reply.body, reply.header("content-type")) == (200, GIF, "image/gif")
    assert cookies_of(reply) == [MOPT, MOPTP, NO_ID]
    assert shop.values() == {}
    assert shop.browsers() == set()


def test_methods_and_paths(door):
    for path, method, allowed in (
        ("/optout", "DELETE", "GET, HEAD, POST"),
        ("/optout.gif", "POST", "GET, HEAD"),
        ("/optin", "HEAD", "POST"),
    ):
        reply = door.get(path, method=method)
        assert (reply.status, reply.header("allow")) == (405, allowed)
    assert door.get("/optout", method="HEAD").status == 200
    assert door.get("/optouts").status == 404


def test_a_later_fire_from_another_site_ends_what_the_id_there_holds(door, shop):
    """The opt-out came from elsewhere; this site's own, partitioned id still stands for somebody."""
    other = Shop(door)
    cookie = shop.p().cookie or ""
    other.p(cookie=cookie)
    reply = shop.p(cookie=f"{cookie}; __Host-mopt=1")
    assert cookies_of(reply) == [MOPT, NO_ID], "the one that came is renewed"
    assert shop.outcome() == "suppressed opted_out"
    for one in (shop, other):
        assert (one.values(), one.browsers()) == ({}, set())
    assert transitions(shop) == [("join", "fact"), ("leave", "consent")]
    assert counted(advertiser=shop.id) == 2


def test_a_first_party_host_is_its_advertisers_alone(door):
    own = Shop(door, first_party_hosts=["px.own.example"])
    other = Shop(door)
    minted = own.p(host="px.own.example")
    cookie = minted.cookie or ""
    other.p(cookie=cookie)
    out = door.post("/optout", b"", host="px.own.example", cookie=cookie)
    assert cookies_of(out)[-1] == "__Host-muid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert own.values() == {}
    assert other.values() == {"cart": None}


def test_opt_in_starts_with_a_new_id(door, shop):
    old = shop.p().cookie or ""
    door.post("/optout", b"", cookie=old)
    assert shop.p().cookie not in (None, old)
    assert len(shop.browsers()) == 1
    assert shop.profiles() == 2
    shop.p(cookie=old)
    assert shop.profiles() == 3, "an id that comes back from somewhere finds nothing of before"


def test_whoever_was_known_otherwise_stays_known(door, shop):
    cookie = shop.p().cookie or ""
    with acting_for(shop.id):
        profile = Identifier.objects.get().profile_id
        Identifier.objects.create(
            id=uuid7(),
            kind="customer_id",
            value="C-1001",
            profile_id=profile,
            first_seen_at=timezone.now(),
            last_seen_at=timezone.now(),
        )
    door.post("/optout", b"", cookie=cookie)
    assert shop.values() == {}
    with acting_for(shop.id):
        assert Identifier.objects.get().kind == "customer_id"


def test_a_signed_id_that_a_page_keeps_is_given_up_too(door, shop):
    value = (shop.p().cookie or "").partition("=")[2]
    for told in (b"{", b"[]", b'{"musterId":5}', b"x" * 5_000, json.dumps({"musterId": value[:-2] + "AA"}).encode()):
        assert door.post("/optout", told).status == 303
    assert shop.values() == {"cart": None}
    reply = door.post("/optout", json.dumps({"musterId": value}).encode(), origin="https://any.example")
    assert reply.status == 303
    assert (shop.values(), shop.browsers()) == ({}, set())


def test_thirty_posts_a_minute_from_one_network(restarted):
    door = restarted(MUSTER_DEV_HTTP_COOKIE=False)
    statuses = [door.post(path, b"", origin="https://x.example").status for path in ("/optout", "/optin") * 16]
    assert statuses.count(429) == 2
    assert statuses[-2:] == [429, 429]
    late = door.post("/optout", b"")
    assert (late.header("retry-after"), cookies_of(late)) == ("60", [])
    assert door.get("/optout").status == 200, "looking is free"


# --- Messages -------------------------------------------------------------------------------------


def test_messages_of_a_browser_that_opted_out_are_counted_and_leave_nothing(door):
    teller = Teller(door)
    first = teller.tell("track", event="viewed", headers={"origin": ORIGIN})
    known = body_of(first)["id"]
    assert first.status == 200
    assert identifiers(teller) == ["browser"]

    said = {"event": "viewed", "context": {"musterId": known}}
    reply = teller.tell("track", query="segments=1", headers={"origin": ORIGIN, "cookie": "__Host-mopt=1"}, **said)
    assert body_of(reply) == {
        "success": True,
        "accepted": 0,
        "duplicate": 0,
        "suppressed": 1,
        "rejected": [],
        "outcome": "suppressed",
        "joined": [],
        "left": [],
        "segments": [],
    }
    assert cookies_of(reply) == [MOPT]
    assert identifiers(teller) == [], "the id that the page still kept is given up"
    batch = teller.tell("batch", batch=[{}, "x"], headers={"cookie": "__Host-moptp=1", "origin": ORIGIN})
    assert body_of(batch)["suppressed"] == 2, "nobody looks into them"
    assert teller.counts() == {"applied": 1, "suppressed opted_out": 3}
    server = teller.tell("track", teller.server, userId="C-1", event="paid", headers={"cookie": "__Host-mopt=1"})
    assert body_of(server)["accepted"] == 1, "a server has no browser that could have opted out"
    owner = f"of advertiser {teller.advertiser.pk}"
    assert [one for one in balance().differences if owner in str(one)] == []


def identifiers(teller: Teller) -> list[str]:
    with acting_for(teller.advertiser.pk):
        return list(Identifier.objects.values_list("kind", flat=True))


def test_a_browser_that_opted_out_reads_no_segments(door):
    teller = Teller(door)
    segment = make_segment(teller.advertiser, "cart", is_readable_on_page=True)
    door.catch_up()
    cookie = door.get(f"/seg?add={segment.pk}").cookie or ""
    target = f"/v1/me/segments?key={teller.public}"
    assert len(body_of(door.get(target, origin=ORIGIN, cookie=cookie))["segments"]) == 1
    refused = door.get(target, origin=ORIGIN, cookie=f"{cookie}; __Host-mopt=1")
    assert (refused.status, body_of(refused)["segments"]) == (200, [])
    assert refused.header("access-control-allow-origin") == ORIGIN


# --- Durability -----------------------------------------------------------------------------------


@pytest.mark.spec("R2")
def test_a_no_that_meets_no_database_is_kept_and_done_later(door, shop):
    cookie = shop.p().cookie or ""
    with locked_counts(lambda: shop.p(cookie=cookie)):
        until(commit_waits)
        break_connection()
        until(lambda: shop.door.post("/optout", b"", cookie=cookie).status == 303)
    until(lambda: shop.browsers() == set())
    assert shop.values() == {}
    fires = counted(advertiser=shop.id)
    with acting_for(shop.id):
        assert Fire.objects.count() == fires == 2
