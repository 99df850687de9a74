"""Fires from a server, through both doors: for anybody, into every segment, once for an id."""

import json
import os
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audience.models import Event, Identifier
from audience.tenancy import acting_for
from pixels.balance import balance
from pixels.models import Fire, PixelAction
from pixels.reasons import Note
from pixels.tags import Address, Format, make_tag, of_pixel
from segments.models import Membership, Segment, SegmentDelta, Transition
from tests.factories import make_pixel, make_segment
from tests.pixels.doors import until
from tests.pixels.shop import counted
from tests.pixels.teller import Teller, basic, body_of
from tests.pixels.test_away import break_connection, commit_waits, locked_counts

pytestmark = pytest.mark.spec("pixels.md 1.12")

JO = {"kind": "customer_id", "value": "C-1001"}


class Server(Teller):
    """An advertiser whose server fires: segments `cart` and `vip`, and a pixel that adds to `cart`."""

    def __init__(self, door: Any, **fields: Any) -> None:
        super().__init__(door, **fields)
        self.cart = make_segment(self.advertiser, "cart", write_mode=Segment.WriteMode.SERVER_ONLY)
        self.vip = make_segment(
            self.advertiser, "vip", write_mode=Segment.WriteMode.DOMAINS, are_domains_enforced=True
        )
        self.pixel = make_pixel(self.advertiser, self.cart, value_source="page")
        door.catch_up()

    def send(self, *fires: Any, key: str | None = None) -> Any:
        body = json.dumps({"fires": fires}).encode()
        return self.door.post("/v1/fires", body, authorization=basic(key or self.server))

    def fire(self, **fields: Any) -> dict[str, Any]:
        """Send one fire, of Jo unless told otherwise; return its result, or what it is refused with."""
        reply = body_of(self.send({"identifier": JO, **fields}))
        result = reply["results"][0]
        return result | ({"code": reply["code"]} if "code" in reply else {})

    def members(self) -> dict[str, int | None]:
        now = timezone.now()
        with acting_for(self.advertiser.pk):
            rows = Membership.objects.filter(starts_at__lte=now, expires_at__gt=now).select_related("segment")
            return {row.segment.code: row.value for row in rows}

    def rows(self, model: Any) -> list[Any]:
        with acting_for(self.advertiser.pk):
            return list(model.objects.all())


@pytest.fixture
def server(door):
    return Server(door)


def test_server_fire_server_only_segment(door, server):
    reply = server.send({"id": "ord-1", "pixel": server.pixel.public_key, "identifier": JO, "value": 65})
    assert reply.status == 200
    assert body_of(reply) == {
        "applied": 1,
        "duplicate": 0,
        "suppressed": 0,
        "rejected": [],
        "results": [{"id": "ord-1", "outcome": "applied", "joined": ["cart"], "left": []}],
    }
    assert server.members() == {"cart": 65}
    (identifier,) = server.rows(Identifier)
    assert (identifier.kind, identifier.value) == ("customer_id", "C-1001")
    (fire,) = server.rows(Fire)
    assert (fire.pixel_id, fire.profile_id, fire.same) == (server.pixel.pk, identifier.profile_id, "")

    assert door.get(f"/seg?add={server.cart.pk}").status == 200
    assert sorted(fire.reason for fire in server.rows(Fire)) == ["", "server_only"], "a browser's fire is refused"


def test_lists_add_and_remove_by_code_or_number(server):
    fire = {"add": [{"segment": "CART", "value": 5, "keep": "2h"}, {"segment": server.vip.pk}], "value": 7}
    assert server.fire(**fire)["joined"] == ["cart", "vip"]
    assert server.members() == {"cart": 5, "vip": 7}
    assert server.fire(remove=[{"segment": "cart"}])["left"] == ["cart"]
    assert server.fire(add=[{"segment": "vip"}])["joined"] == [], "was in already"
    assert server.members() == {"vip": 7}
    (direct,) = {fire.pixel_id for fire in server.rows(Fire)}
    assert direct != server.pixel.pk


def test_server_fire_once(server):
    fire = {"id": "ord-1", "add": [{"segment": "cart", "value": 1}]}
    assert server.fire(**fire)["outcome"] == "applied"
    again = body_of(server.send({"identifier": JO, **fire, "add": [{"segment": "vip"}]}))
    assert (again["applied"], again["duplicate"]) == (0, 1)
    assert again["results"] == [{"id": "ord-1", "outcome": "duplicate", "joined": [], "left": []}]
    assert server.members() == {"cart": 1}

    twice = body_of(server.send(*[{"id": "ord-2", "identifier": JO, "add": [{"segment": "vip"}]}] * 2))
    assert (twice["applied"], twice["duplicate"]) == (1, 1)
    assert server.fire(id="ord-3", add=[{"segment": "nothing"}])["code"] == "unknown_segment"
    assert server.fire(id="ord-3", add=[{"segment": "vip"}])["outcome"] == "applied", "a refused one is not done"


def test_another_advertiser_may_have_the_same_id(door, server):
    other = Server(door)
    for one in (server, other):
        assert one.fire(id="ord-1", add=[{"segment": "cart"}])["outcome"] == "applied"


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("email", " Jo@Example.com", "jo@example.com"),
        ("phone", "+49 89 123456", "+4989123456"),
        ("device", "abc-1", "abc-1"),
        ("partner:acme", "12abc", "12abc"),
    ],
)
def test_any_kind_of_identifier(server, kind, value, stored):
    assert server.fire(identifier={"kind": kind, "value": value}, add=[{"segment": "cart"}])["joined"] == ["cart"]
    (identifier,) = server.rows(Identifier)
    assert (identifier.kind, identifier.value) == (kind, stored)


def test_a_browser_only_where_muster_made_its_id(door, server):
    add = {"add": [{"segment": "cart"}]}
    unknown = {"kind": "browser", "value": "17c310350571072714b50b704d0910c3"}
    assert server.fire(identifier=unknown, **add)["code"] == "no_cookie"
    assert server.rows(Identifier) == []

    cookie = (door.get(f"/seg?add={server.vip.pk}", referer="https://x.example/").cookie or "").partition("=")[2]
    assert server.fire(identifier={"kind": "browser", "value": cookie}, **add)["joined"] == ["cart"]
    (browser,) = server.rows(Identifier)
    stored = {"kind": "browser", "value": browser.value}
    assert server.fire(identifier=stored, remove=[{"segment": "cart"}])["left"] == ["cart"]
    forged = {"kind": "browser", "value": cookie[:-1] + ("A" if cookie[-1] != "A" else "B")}
    assert server.fire(identifier=forged, **add)["code"] == "no_cookie"


def test_the_time_is_the_servers_up_to_30_days_back(server):
    then = timezone.now() - timedelta(days=20)
    server.pixel.event_name, server.pixel.value_source = "purchase", "none"
    server.pixel.save()
    server.door.catch_up()
    told = {"order_id": "A-1", "value": 59.9}
    assert server.fire(pixel=server.pixel.public_key, at=then.isoformat(), **told)["joined"] == ["cart"]
    (membership,) = server.rows(Membership)
    assert (membership.starts_at, membership.expires_at) == (then, then + timedelta(days=30))
    assert server.rows(Transition)[0].at == then
    (event,) = server.rows(Event)
    assert (event.name, event.occurred_at, event.properties) == ("purchase", then, told)
    assert event.context == {"channel": "server"}
    (fire,) = server.rows(Fire)
    assert fire.received_at - then > timedelta(days=19), "the fire itself came now"
    ahead = timezone.now() + timedelta(hours=1)
    server.fire(remove=[{"segment": "cart"}], at=ahead.isoformat())
    assert server.rows(Membership)[0].expires_at <= timezone.now(), "never later than its receipt"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"add": [{"segment": "cart"}], "at": "yesterday"}, "bad_time"),
        ({"add": [{"segment": "cart"}], "at": "2026-01-01T00:00:00Z"}, "too_old"),
        ({"add": [{"segment": "cart"}], "id": "x" * 101}, "bad_message_id"),
        ({"add": [{"segment": "cart"}], "id": 5}, "bad_message_id"),
        ({"add": [{"segment": "cart"}], "identifier": None}, "no_id"),
        ({"add": [{"segment": "cart"}], "identifier": {"kind": "shoe size", "value": "43"}}, "no_id"),
        ({"add": [{"segment": "cart"}], "identifier": {"kind": "email", "value": "jo"}}, "no_id"),
        ({"add": "cart"}, "bad_type"),
        ({"add": ["cart"]}, "bad_type"),
        ({"add": [{"segment": True}]}, "bad_type"),
        ({}, "empty"),
        ({"pixel": "0000000000000000"}, "unknown_pixel"),
        ({"add": [{"segment": "nothing"}]}, "unknown_segment"),
        ({"add": [{}]}, "bad_number"),
        ({"add": [{"segment": "cart", "value": 1.5}]}, "bad_value"),
        ({"add": [{"segment": "cart", "value": 2**31}]}, "value_overflow"),
        ({"add": [{"segment": "cart", "keep": "0"}]}, "bad_lifetime"),
        ({"add": [{"segment": "cart"}] * 101}, "too_many_segments"),
        ({"add": [{"segment": "cart"}], "other": "jo@example.com"}, "personal_data"),
    ],
)
def test_what_is_wrong_is_said_and_counted(server, fields, code):
    reply = server.send({"identifier": JO, **fields})
    body = body_of(reply)
    assert (reply.status, body["code"]) == (400, code)
    assert body["rejected"][0] | {"message": ""} == {
        "index": 0,
        "id": fields.get("id") if code != "bad_message_id" else None,
        "code": code,
        "message": "",
    }
    assert body["message"] == body["rejected"][0]["message"] != ""
    assert server.members() == {}
    as_fire = counted(advertiser=server.advertiser.pk, outcome="rejected", reason=code)
    assert as_fire + server.counts().get(f"rejected {code}", 0) == 1


def test_a_refused_fire_holds_back_no_other(server):
    good = {"id": "a", "identifier": JO, "add": [{"segment": "cart"}, {"segment": "nothing"}]}
    reply = server.send("cart", good, {"id": "c", "identifier": JO})
    body = body_of(reply)
    assert reply.status == 200
    assert [(one["index"], one["id"], one["code"]) for one in body["rejected"]] == [
        (0, None, "bad_type"),
        (2, "c", "empty"),
    ]
    assert [one["outcome"] for one in body["results"]] == ["rejected", "applied", "rejected"]


@pytest.mark.parametrize("at", [{}, {"at": (timezone.now() - timedelta(days=1)).isoformat()}], ids=["now", "then"])
def test_the_fires_of_a_request_are_done_in_their_order(server, at):
    cart = [{"segment": "cart"}]
    fires = [{"identifier": JO, do: cart, **at} for do in ("add", "remove", "add", "remove", "add")]
    body = body_of(server.send(*fires))
    assert [one["joined"] for one in body["results"]] == [["cart"], [], ["cart"], [], ["cart"]]
    assert [one["left"] for one in body["results"]] == [[], ["cart"], [], ["cart"], []]
    assert server.members() == {"cart": None}
    assert len(server.rows(Transition)) == 5
    deltas = server.rows(SegmentDelta)
    assert (sum(row.joins for row in deltas), sum(row.leaves for row in deltas)) == (3, 2)


def test_the_pixel_of_a_fire_decides_what_it_does(door, server):
    server.fire(pixel=server.pixel.public_key, add=[{"segment": "vip"}])
    assert server.members() == {"cart": None}
    assert server.rows(Fire)[0].notes == [Note.PARAMETER_IGNORED]
    other = Server(door)
    assert server.fire(pixel=other.pixel.public_key)["code"] == "unknown_pixel"


def test_only_a_server_key_fires(door, server):
    refused = server.send({"identifier": JO}, key=server.public)
    assert (refused.status, body_of(refused)["code"]) == (403, "server_key_needed")
    assert server.send({"identifier": JO}, key="ms_nothing").status == 401
    assert door.post("/v1/fires", b"{}").status == 401
    assert door.get("/v1/fires").status == 405
    for body, code in (
        (b"[]", "invalid_json"),
        (b'{"fires":{}}', "invalid_json"),
        (b'{"fires":[]}', "empty_batch"),
        (json.dumps({"fires": [{}] * 1001}).encode(), "payload_too_large"),
        (b'{"fires":["' + b"x" * (500 << 10) + b'"]}', "payload_too_large"),
    ):
        reply = door.post("/v1/fires", body, authorization=basic(server.server))
        assert (reply.status, body_of(reply)["code"]) == (400, code)


def test_a_thousand_fires_of_one_request_balance(server):
    fires = [
        {"id": f"o-{number}", "identifier": {"kind": "customer_id", "value": f"C-{number % 400}"}, "value": number}
        | ({"pixel": server.pixel.public_key} if number % 3 else {"add": [{"segment": "vip"}]})
        for number in range(1000)
    ]
    body = body_of(server.send(*fires))
    assert (body["applied"], len(body["results"])) == (1000, 1000)
    again = body_of(server.send(*fires))
    assert again["duplicate"] == 1000
    owner = f"of advertiser {server.advertiser.pk},"
    assert [one for one in balance().differences if owner in str(one)] == []


@pytest.mark.spec("R2")
def test_what_waits_on_disk_is_pending_and_then_done_once(server):
    told = {"id": "ord-1", "add": [{"segment": "cart", "value": 5}]}
    with locked_counts(lambda: server.fire(**told)) as replies:
        until(commit_waits)
        break_connection()
        until(lambda: replies)
    (result,) = replies
    assert result == {"id": "ord-1", "outcome": "pending"}
    assert server.fire(**told)["outcome"] in ("duplicate", "pending")
    until(lambda: server.fire(**told)["outcome"] == "duplicate")
    assert server.members() == {"cart": 5}


@pytest.mark.spec("pixels.md 3.2")
@pytest.mark.parametrize("address", Address)
@pytest.mark.parametrize("event_name", ["", "purchase"])
def test_the_printed_command_fires(listener, address, event_name):
    server = Server(listener)
    with acting_for(server.advertiser.pk):
        PixelAction.objects.create(pixel=server.pixel, segment=server.vip, value=3, lifetime_minutes=120)
        server.pixel.event_name, server.pixel.value_source = event_name, "fixed"
        server.pixel.save()
        tag = make_tag(of_pixel(server.pixel), f"http://127.0.0.1:{listener.port}", Format.SERVER, address)
    listener.catch_up()
    environment = {**os.environ, "MUSTER_SERVER_KEY": server.server}
    run = subprocess.run(["sh", "-c", tag.html], env=environment, capture_output=True, check=True, timeout=30)
    assert json.loads(run.stdout)["results"][0]["outcome"] == "applied"
    assert server.members() == {"cart": None, "vip": 3}
    recorded = [{"order_id": "A-1001", "value": 59.9}] if event_name else []
    assert [event.properties for event in server.rows(Event)] == recorded
    assert server.server not in tag.html
