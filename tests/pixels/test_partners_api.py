"""Partners and piggyback pixels, through the API."""

from typing import Any

import pytest

from audience.models import Advertiser, Role
from pixels.models import Partner, Piggyback
from segments.models import Segment
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_partner, make_piggyback, make_segment

pytestmark = pytest.mark.django_db

SYNC = "https://sync.partner.example/match?uid=${MUSTER_ID}"
IMAGE = "https://ad.partner.example/p?gdpr=${GDPR}"
ACME = {"name": "acme", "hosts": ["sync.partner.example"], "sync_url": SYNC}


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser(redirect_hosts=["ad.partner.example"])


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser, Role.MANAGER)


@pytest.fixture
def cart(advertiser: Advertiser) -> Segment:
    return make_segment(advertiser, "cart")


class TestPartners:
    def test_a_partner_is_made_read_edited_and_deleted(self, caller: Caller) -> None:
        made = caller.post("/partners", ACME)
        assert made.status_code == 201
        partner = made.json()
        path = f"/partners/{partner['id']}"
        assert caller.get(path).json() == partner == ACME | {"id": partner["id"], "created_at": partner["created_at"]}
        assert caller.patch(path, partner).json() == partner
        assert caller.patch(path, {"sync_url": ""}).json() == partner | {"sync_url": ""}
        assert [row["id"] for row in caller.get("/partners").json()["results"]] == [partner["id"]]
        assert caller.delete(path).status_code == 204
        assert caller.get(path).status_code == 404
        assert not Partner.all_advertisers.exists()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": "Acme"}, "name"),
            ({"name": "own"}, "name"),
            ({"name": "x" * 31}, "name"),
            ({"hosts": ["https://sync.partner.example"]}, "hosts.0"),
            ({"hosts": ["192.0.2.1"]}, "hosts.0"),
            ({"hosts": ["other.example"]}, "sync_url"),
            ({"sync_url": "http://sync.partner.example/?u=${MUSTER_ID}"}, "sync_url"),
            ({"sync_url": "https://evil.example/?u=${MUSTER_ID}"}, "sync_url"),
            ({"sync_url": "https://sync.partner.example/"}, "sync_url"),
            ({"sync_url": "https://sync.partner.example@evil.example/?u=${MUSTER_ID}"}, "sync_url"),
            ({"advertiser": 1}, "advertiser"),
        ],
    )
    def test_what_cannot_be_taken_is_named(self, caller: Caller, body: dict[str, Any], field: str) -> None:
        made = caller.post("/partners", ACME | body)
        assert made.status_code == 400
        assert set(made.json()["fields"]) == {field}
        partner = caller.post("/partners", ACME).json()
        edited = caller.patch(f"/partners/{partner['id']}", body)
        assert edited.status_code == 400
        assert caller.get(f"/partners/{partner['id']}").json() == partner

    def test_a_name_is_given_once_for_each_advertiser(self, caller: Caller) -> None:
        make_partner(make_advertiser(), "acme")
        assert caller.post("/partners", ACME).status_code == 201
        taken = caller.post("/partners", ACME)
        assert taken.status_code == 400
        assert "You have a partner of this name already." in taken.json()["message"]


class TestPiggybacks:
    def test_a_piggyback_is_made_read_edited_and_deleted(self, caller: Caller, cart: Segment) -> None:
        made = caller.post("/piggybacks", {"segment": cart.pk, "url": IMAGE})
        assert made.status_code == 201
        piggyback = made.json()
        assert piggyback == {"id": piggyback["id"], "segment": cart.pk, "kind": "image", "url": IMAGE, "silent": None}
        path = f"/piggybacks/{piggyback['id']}"
        assert caller.patch(path, piggyback).json() == piggyback
        assert caller.patch(path, {"kind": "script"}).json() == caller.get(path).json()
        assert [row["kind"] for row in caller.get("/piggybacks", segment=cart.pk).json()["results"]] == ["script"]
        assert caller.get("/piggybacks", segment=cart.pk + 1).json()["results"] == []
        assert caller.delete(path).status_code == 204
        assert not Piggyback.all_advertisers.exists()

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"url": "https://evil.example/p"}, "url"),
            ({"url": "http://ad.partner.example/p"}, "url"),
            ({"url": ""}, "url"),
            ({"kind": "frame"}, "kind"),
            ({"segment": 987_654_321}, "segment"),
        ],
    )
    def test_what_could_not_fire_is_refused(
        self, caller: Caller, cart: Segment, body: dict[str, Any], field: str
    ) -> None:
        answer = caller.post("/piggybacks", {"segment": cart.pk, "url": IMAGE} | body)
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {field}

    def test_a_segment_that_no_browser_adds_to_takes_none(self, caller: Caller, advertiser: Advertiser) -> None:
        ruled = make_segment(advertiser, "fans", kind=Segment.Kind.RULE)
        answer = caller.post("/piggybacks", {"segment": ruled.pk, "url": IMAGE})
        assert answer.status_code == 400
        assert "never fire" in answer.json()["message"]

    @pytest.mark.spec("T15")
    def test_a_segment_of_another_advertiser_is_one_that_never_was(self, caller: Caller) -> None:
        theirs = make_segment(make_advertiser(), "cart")
        answers = [
            caller.post("/piggybacks", {"segment": pk, "url": IMAGE}).json() for pk in (theirs.pk, 987_654_321)
        ]
        assert answers[0] == answers[1]
        assert answers[0]["fields"] == {"segment": ["You have nothing with this id."]}

    def test_a_segment_takes_ten(self, caller: Caller, advertiser: Advertiser, cart: Segment) -> None:
        for number in range(10):
            make_piggyback(cart, f"https://ad.partner.example/{number}")
        answer = caller.post("/piggybacks", {"segment": cart.pk, "url": IMAGE})
        assert answer.status_code == 400
        assert answer.json()["fields"] == {"segment": ["A segment takes at most 10 piggyback pixels."]}
        other = make_piggyback(make_segment(advertiser, "bought"), IMAGE)
        assert caller.patch(f"/piggybacks/{other.pk}", {"segment": cart.pk}).status_code == 400
        first = Piggyback.all_advertisers.filter(segment=cart).first()
        assert first
        assert caller.patch(f"/piggybacks/{first.pk}", {"kind": "script"}).status_code == 200

    def test_one_whose_host_was_taken_off_the_list_says_so(
        self, caller: Caller, advertiser: Advertiser, cart: Segment
    ) -> None:
        piggyback = make_piggyback(cart, IMAGE)
        advertiser.redirect_hosts = []
        advertiser.save()
        told = caller.get(f"/piggybacks/{piggyback.pk}").json()["silent"]
        assert told == "The host ad.partner.example is not among your redirect hosts. Add it there first."

    def test_those_of_a_deleted_segment_are_gone(self, caller: Caller, cart: Segment) -> None:
        piggyback = make_piggyback(cart, IMAGE)
        caller.delete(f"/segments/{cart.pk}")
        assert caller.get(f"/piggybacks/{piggyback.pk}").status_code == 404
        assert caller.get("/piggybacks").json()["results"] == []
