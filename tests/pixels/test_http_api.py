"""The HTTP API at both doors (pixels.md 4.2, 4.4): calls, keys, origins, answers, counts."""

import gzip
import json

import pytest

from audience.models import Event
from audience.proofs import hash_of
from audience.tenancy import acting_for
from audience.writekeys import revoke_write_key
from pixels.messages.bodies import BODY_BYTES
from pixels.messages.endpoint import CALLS
from tests.pixels.teller import ORIGIN, Teller, basic, body_of

SAID = {
    "track": {"event": "viewed"},
    "identify": {"traits": {"plan": "gold"}},
    "page": {"name": "Home"},
    "screen": {"name": "Home"},
    "group": {"groupId": "acme"},
    "alias": {"previousId": "x0"},
}
GOOD = {"success": True, "accepted": 1, "duplicate": 0, "suppressed": 0, "rejected": []}


@pytest.fixture
def teller(door):
    return Teller(door)


@pytest.mark.spec("pixels.md 4.2")
@pytest.mark.parametrize("call", [call for call, kind in CALLS.items() if kind])
def test_every_call_and_its_short_form(teller, call):
    reply = teller.tell(call, teller.server, userId="C-1", anonymousId="x1", **SAID[CALLS[call]])
    assert (reply.status, body_of(reply)) == (200, GOOD)
    assert teller.counts() == {"applied": 1}


@pytest.mark.spec("pixels.md 4.2")
@pytest.mark.parametrize("call", ["batch", "b"])
def test_a_batch_holds_good_and_bad(teller, call):
    batch = [
        {"type": "track", "event": "viewed", "anonymousId": "x1", "messageId": "m-1"},
        {"type": "identify", "anonymousId": "x1", "traits": {"plan": "gold"}},
        {"type": "track", "anonymousId": "x1", "messageId": "m-3"},
    ]
    reply = teller.tell(call, batch=batch, sentAt="2026-11-22T10:15:01Z")
    assert reply.status == 200
    assert body_of(reply) == {
        **GOOD,
        "accepted": 2,
        "rejected": [
            {
                "index": 2,
                "messageId": "m-3",
                "code": "no_event_name",
                "message": "A track call needs an event name.",
            }
        ],
    }
    assert teller.counts() == {"applied": 2, "rejected no_event_name": 1}


@pytest.mark.spec("pixels.md 4.4")
def test_where_every_message_is_bad_the_answer_is(teller):
    reply = teller.tell("track", anonymousId="x1")
    assert reply.status == 400
    assert body_of(reply)["code"] == "no_event_name"
    assert body_of(reply)["success"] is False
    assert teller.counts() == {"rejected no_event_name": 1}


def error(reply):
    return reply.status, body_of(reply)["code"]


@pytest.mark.spec("pixels.md 4.4")
def test_error_bodies_have_code_and_message(teller):
    key, unknown = basic(teller.public), basic("mw_0000000000000000")
    good = {"anonymousId": "x1", "event": "viewed"}
    body = json.dumps(good).encode()
    door = teller.door
    replies = {
        (400, "invalid_json"): door.post("/v1/track", b"{", authorization=key),
        (400, "payload_too_large"): door.post("/v1/track", b" " * (BODY_BYTES + 1), authorization=key),
        (400, "empty_batch"): teller.tell("batch", batch=[]),
        (401, "missing_write_key"): door.post("/v1/track", body),
        (401, "unknown_write_key"): door.post("/v1/track", body, authorization=unknown),
        (401, "write_key_conflict"): teller.tell("track", writeKey=teller.server, **good),
        (405, "method_not_allowed"): door.get("/v1/track", authorization=key),
    }
    for expected, reply in replies.items():
        assert error(reply) == expected
        assert body_of(reply)["message"]
        assert reply.header("content-type") == "application/json"
    assert replies[405, "method_not_allowed"].header("allow") == "POST, OPTIONS"
    assert teller.counts() == {}


def test_what_there_is_not(door):
    assert door.post("/v1/launch", b"{}").status == 404
    assert door.get("/v1/").status == 404


@pytest.mark.spec("pixels.md 4.2")
def test_the_key_may_stand_in_the_body_and_the_body_be_packed(teller):
    said = {"writeKey": teller.public, "anonymousId": "x1", "event": "viewed"}
    packed = gzip.compress(json.dumps(said).encode())
    plain = teller.door.post("/v1/track", json.dumps(said).encode(), content_type="text/plain")
    zipped = teller.door.post("/v1/track", packed, content_encoding="gzip")
    assert (plain.status, zipped.status) == (200, 200)


def test_a_revoked_key_is_unknown_within_a_second(teller):
    revoke_write_key(teller.server_row)
    teller.door.catch_up()
    assert error(teller.tell("track", teller.server, userId="C-1", event="a")) == (401, "unknown_write_key")


def test_a_stored_digest_opens_nothing(teller):
    assert error(teller.tell("track", teller.server_row.digest, userId="C-1", event="a")) == (
        401,
        "unknown_write_key",
    )


@pytest.mark.spec("pixels.md 4.3")
def test_a_hash_of_the_advertisers_secret_proves_its_user(teller):
    said = {"event": "viewed", "userId": "C-1001"}
    assert teller.tell("track", userHash=hash_of(teller.secret, "user", "C-1001"), **said).status == 200
    assert error(teller.tell("track", userHash="0" * 64, **said)) == (400, "bad_hash")


@pytest.mark.spec("pixels.md 4.2")
def test_a_large_batch_is_kept_whole(teller):
    batch = [{"type": "track", "event": "viewed", "anonymousId": f"x{n % 50}"} for n in range(2_500)]
    reply = teller.tell("batch", batch=batch)
    assert (reply.status, body_of(reply)["accepted"]) == (200, 2_500)
    assert teller.counts() == {"applied": 2_500}


@pytest.mark.spec("pixels.md 4.1")
def test_a_page_without_id_gets_one_and_is_known_by_it(teller):
    first = teller.tell("track", headers={"origin": ORIGIN}, event="viewed")
    given = body_of(first)["id"]
    assert f"__Host-muid={given};" in (first.header("set-cookie") or "")
    for again in (
        teller.tell("track", headers={"origin": ORIGIN, "muster_id": given}, event="viewed"),
        teller.tell("track", headers={"origin": ORIGIN}, event="viewed", context={"musterId": given}),
        teller.tell("track", headers={"origin": ORIGIN, "cookie": f"__Host-muid={given}"}, event="viewed"),
    ):
        assert (again.status, body_of(again), again.header("set-cookie")) == (200, GOOD, None)
    tampered = given[:-1] + ("A" if given[-1] != "A" else "B")
    assert "id" in body_of(teller.tell("track", headers={"origin": ORIGIN, "muster_id": tampered}, event="viewed"))


@pytest.mark.spec("pixels.md 4.2")
def test_origins_of_calls(teller):
    good = {"anonymousId": "x1", "event": "viewed"}
    listed = teller.tell("track", headers={"origin": ORIGIN}, **good)
    assert listed.header("access-control-allow-origin") == ORIGIN
    assert listed.header("access-control-allow-credentials") == "true"
    other = teller.tell("track", headers={"origin": "https://other.example"}, **good)
    assert other.header("access-control-allow-origin") == "*"
    assert other.header("access-control-allow-credentials") is None
    teller.public_row.is_origin_enforced = True
    teller.public_row.save()
    teller.door.catch_up()
    refused = teller.tell("track", headers={"origin": "https://other.example"}, **good)
    assert error(refused) == (403, "origin_not_allowed")
    assert refused.header("access-control-allow-origin") is None
    assert teller.tell("track", headers={"origin": ORIGIN}, **good).status == 200


@pytest.mark.spec("pixels.md 4.2")
def test_preflight_of_calls(teller):
    reply = teller.door.get("/v1/batch", method="OPTIONS", origin=ORIGIN)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.header("access-control-allow-origin") == ORIGIN
    assert reply.header("access-control-allow-headers") == "Authorization, Content-Type, Muster-Id"
    other = teller.door.get("/v1/batch", method="OPTIONS", origin="https://other.example")
    assert other.header("access-control-allow-origin") == "*"
    assert other.header("access-control-allow-credentials") is None


@pytest.mark.spec("pixels.md 4.2")
def test_settings_tell_a_browsers_library_the_host(door):
    teller = Teller(door, first_party_hosts=["px.shop.example"])
    own = teller.door.get(f"/v1/projects/{teller.public}/settings", host="px.shop.example")
    assert body_of(own)["integrations"]["Segment.io"]["apiHost"] == "px.shop.example/v1"
    reply = teller.door.get(f"/v1/projects/{teller.public}/settings", origin="https://other.example")
    ours = body_of(reply)["integrations"]["Segment.io"]
    assert (ours["apiKey"], ours["apiHost"].endswith("/v1")) == (teller.public, True)
    assert reply.header("access-control-allow-origin") == "*"
    assert error(teller.door.get("/v1/projects/mw_0000000000000000/settings")) == (401, "unknown_write_key")


@pytest.mark.spec("L")
def test_calls_a_minute_are_limited_by_address_and_by_server_key(restarted):
    limits = {"MUSTER_CALLS_PER_ADDRESS": 3, "MUSTER_CALLS_PER_SERVER_KEY": 5}
    teller = Teller(restarted(**limits))
    said = {"anonymousId": "x1", "event": "viewed"}
    for key, most in ((teller.public, 3), (teller.server, 5)):
        assert [teller.tell("track", key, **said).status for _ in range(most)] == [200] * most
        refused = teller.tell("track", key, headers={"origin": ORIGIN}, **said)
        assert error(refused) == (429, "rate_limited")
        assert refused.header("retry-after") == "60"
        assert refused.header("access-control-allow-origin") == ORIGIN
    assert teller.counts() == {"applied": 8}


@pytest.mark.spec("pixels.md 4.2")
def test_a_request_shows_its_browser_and_never_its_server(teller):
    shown = {
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "referer": "https://shop.example/cart?mail=jo@example.com",
        "accept_language": "de-AT,de;q=0.9",
    }
    teller.tell("track", headers={"origin": ORIGIN, **shown}, anonymousId="x1", event="seen")
    teller.tell("track", teller.server, headers=shown, userId="C-1", event="told")
    with acting_for(teller.advertiser.pk):
        seen, told = (Event.objects.get(name=name).context for name in ("seen", "told"))
    assert (seen["browser"]["name"], seen["device"]["type"]) == ("Firefox", "desktop")
    assert (seen["page"]["url"], seen["language"], seen["channel"]) == ("https://shop.example/cart", "de-AT", "web")
    assert told == {"channel": "server"}
