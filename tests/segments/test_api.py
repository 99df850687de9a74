"""Segments, their members and the people behind them, through the API."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from audience.models import Advertiser, Identifier, Profile, Role
from audience.tenancy import acting_for
from segments.models import Membership, Segment, Transition
from tests.audience.messages import Sender
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_member, make_pixel, make_profile, make_segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser)


@pytest.fixture
def segment(advertiser: Advertiser) -> Segment:
    return make_segment(advertiser, "cart", name="Cart")


def known(kind: str, value: str, /, **more: Any) -> dict[str, Any]:
    return {"identifier": {"kind": kind, "value": value}} | more


class TestSegments:
    def test_a_segment_is_made_read_edited_and_deleted(self, caller: Caller) -> None:
        made = caller.post("/segments", {"name": "Cart", "code": "cart", "domains": ["shop.example"]})
        assert made.status_code == 201
        segment = made.json()
        assert segment["lifetime_minutes"] == 43200
        assert segment["size"] == 0
        path = f"/segments/{segment['id']}"
        assert caller.get(path).json() == segment

        edited = caller.patch(path, {"lifetime_minutes": 60})
        assert edited.status_code == 200
        assert edited.json() == segment | {"lifetime_minutes": 60}

        assert caller.delete(path).status_code == 204
        for answer in (caller.get(path), caller.patch(path, {}), caller.delete(path), caller.get(f"{path}/members")):
            assert answer.status_code == 404
        assert caller.get("/segments").json() == {"results": [], "next_cursor": None}
        assert Segment.all_advertisers.get(pk=segment["id"]).deleted_at is not None

    def test_a_segment_is_switched_off_and_on(self, caller: Caller, segment: Segment) -> None:
        for is_active in (False, True):
            assert caller.patch(f"/segments/{segment.pk}", {"is_active": is_active}).json()["is_active"] is is_active
            segment.refresh_from_db()
            assert segment.is_active is is_active

    def test_what_uses_a_segment_is_told_to_those_who_may_see_it(self, caller: Caller, segment: Segment) -> None:
        make_pixel(caller.row.advertiser, segment)
        told = caller.get(f"/segments/{segment.pk}").json()["used_by"]
        assert told == [{"kind": "pixel", "name": "Cart page", "does": "adds to it"}]
        analyst = make_caller(caller.row.advertiser, Role.ANALYST)
        assert analyst.get(f"/segments/{segment.pk}").json()["used_by"] == []

    def test_what_was_read_can_be_sent_back(self, caller: Caller, segment: Segment) -> None:
        read = caller.get(f"/segments/{segment.pk}").json()
        changed = caller.patch(f"/segments/{segment.pk}", read | {"size": 9, "kind": "rule", "id": 1})
        assert changed.status_code == 200
        assert changed.json() == read

    def test_the_code_of_a_deleted_segment_is_free(self, caller: Caller, segment: Segment) -> None:
        taken = caller.post("/segments", {"name": "Cart 2", "code": "CART"})
        assert taken.status_code == 400
        assert "already" in taken.json()["message"]
        caller.delete(f"/segments/{segment.pk}")
        assert caller.post("/segments", {"name": "Cart 2", "code": "CART"}).status_code == 201

    @pytest.mark.spec("T15")
    def test_the_code_of_another_advertiser_is_free_and_nothing_says_that_it_is_taken(self, caller: Caller) -> None:
        make_segment(make_advertiser(), "secret")
        assert caller.post("/segments", {"name": "Mine", "code": "secret"}).status_code == 201

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"code": "two words"}, "code"),
            ({"lifetime_minutes": 0}, "lifetime_minutes"),
            ({"lifetime_minutes": 259_201}, "lifetime_minutes"),
            ({"lifetime_minutes": 20, "longest_lifetime_minutes": 10}, "longest_lifetime_minutes"),
            ({"value_from": 5, "value_to": 4}, "value_to"),
            ({"value_to": 2**31}, "value_to"),
            ({"id_syncs_per_fire": 11}, "id_syncs_per_fire"),
            ({"id_syncs_per_fire": 1, "write_mode": "server_only"}, "id_syncs_per_fire"),
            ({"write_mode": "anybody"}, "write_mode"),
            ({"domains": "shop.example"}, "domains"),
            ({"domains": ["https://shop.example"]}, "domains.0"),
            ({"name": "a\x00b"}, "name"),
            ({"description": "\ud800"}, "description"),
            ({"name": "x" * 256}, "name"),
            ({"advertiser": 1}, "advertiser"),
            ({"advertiser_id": 1}, "advertiser_id"),
            ({"active_version": 7}, "active_version"),
        ],
    )
    def test_what_cannot_be_taken_is_named(
        self, caller: Caller, segment: Segment, body: dict[str, Any], field: str
    ) -> None:
        made = caller.post("/segments", {"name": "Bought", "code": "bought"} | body)
        assert made.status_code == 400
        assert set(made.json()["fields"]) == {field}
        edited = caller.patch(f"/segments/{segment.pk}", body)
        assert edited.status_code == 400
        assert set(edited.json()["fields"]) == {field}
        segment.refresh_from_db()
        assert (segment.name, segment.active_version) == ("Cart", 1)

    def test_a_segment_is_found_by_its_code(self, caller: Caller, segment: Segment) -> None:
        make_segment(caller.row.advertiser, "cart2")
        found = caller.get("/segments", code="CART").json()["results"]
        assert [row["id"] for row in found] == [segment.pk]
        assert caller.get("/segments", is_active="false").json()["results"] == []

    def test_the_size_is_now_and_costs_one_statement_for_a_page(
        self, caller: Caller, segment: Segment, django_assert_num_queries: Any
    ) -> None:
        other = make_segment(caller.row.advertiser, "other")
        body = {"add": [known("customer_id", f"C-{n}", lifetime_minutes=60 * n) for n in (1, 2, 3)]}
        caller.post(f"/segments/{segment.pk}/members", body)
        with django_assert_num_queries(4):  # token, limit, page, sizes
            rows = caller.get("/segments").json()["results"]
        assert {row["id"]: row["size"] for row in rows} == {segment.pk: 3, other.pk: 0}
        with time_machine.travel(timezone.now() + timedelta(minutes=61), tick=False):
            assert caller.get(f"/segments/{segment.pk}").json()["size"] == 2


class TestMembers:
    def test_people_are_put_in_and_taken_out(self, caller: Caller, segment: Segment) -> None:
        path = f"/segments/{segment.pk}/members"
        added = caller.post(path, {"add": [known("email", "Jo@Example.com", value=65), known("customer_id", "C-1")]})
        assert added.status_code == 200
        assert (added.json()["applied"], added.json()["rejected"]) == (2, 0)
        assert [result["joined"] for result in added.json()["results"]] == [True, True]

        members = caller.get(path).json()["results"]
        assert sorted((row["value"] or 0, row["identifiers"]) for row in members) == [
            (0, [{"kind": "customer_id", "value": "C-1"}]),
            (65, [{"kind": "email", "value": "jo@example.com"}]),
        ]

        removed = caller.post(path, {"remove": [known("email", "jo@example.com ")]})
        assert removed.json()["results"][0]["left"] is True
        assert len(caller.get(path).json()["results"]) == 1
        with acting_for(segment.advertiser_id):
            assert set(Transition.objects.values_list("change", "cause")) == {("join", "api"), ("leave", "api")}

    def test_one_refused_does_not_hold_back_the_others(self, caller: Caller, segment: Segment) -> None:
        Segment.all_advertisers.filter(pk=segment.pk).update(value_to=100)
        body = {
            "add": [
                known("customer_id", "C-1", value=100, lifetime_minutes=1_000_000),
                known("customer_id", "C-2", value=101),
                known("customer_id", "C-3", value=-1),
                known("customer_id", "C-4", value=2**31),
                known("customer_id", "C-5", lifetime_minutes=0),
                known("browser", "17c310350571072714b50b704d0910c3"),
                known("email", "nobody"),
                known("shoe_size", "44"),
            ],
            "remove": [known("customer_id", "C-9")],
        }
        answer = caller.post(f"/segments/{segment.pk}/members", body).json()
        assert [(one["do"], one["index"], one["reason"]) for one in answer["results"]] == [
            ("add", 0, None),
            ("add", 1, "value_out_of_range"),
            ("add", 2, "bad_value"),
            ("add", 3, "value_overflow"),
            ("add", 4, "bad_lifetime"),
            ("add", 5, "unknown_browser"),
            ("add", 6, "bad_identifier"),
            ("add", 7, "bad_identifier"),
            ("remove", 0, "unknown_identifier"),
        ]
        assert (answer["applied"], answer["rejected"]) == (1, 8)
        assert answer["results"][0]["notes"] == ["lifetime_shortened"]
        assert all(one["message"] for one in answer["results"][1:])
        assert Profile.all_advertisers.count() == 1

    def test_who_stands_in_both_lists_is_removed_and_never_joins(self, caller: Caller, segment: Segment) -> None:
        path = f"/segments/{segment.pk}/members"
        both = {"add": [known("email", "JO@example.com")], "remove": [known("email", "jo@example.com")]}
        answer = caller.post(path, both).json()
        assert answer["results"][0]["notes"] == ["remove_wins"]
        assert Transition.all_advertisers.count() == 0
        caller.post(path, {"add": both["add"]})
        assert caller.post(path, both).json()["results"][1]["left"] is True
        assert caller.get(path).json()["results"] == []

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "body"),
            ({"add": []}, "body"),
            ({"add": {}}, "add"),
            ({"add": ["C-1"]}, "add.0"),
            ({"add": [{}]}, "add.0.identifier"),
            ({"add": [{"identifier": "C-1"}]}, "add.0.identifier"),
            ({"add": [{"identifier": {"kind": "email"}}]}, "add.0.identifier.value"),
            ({"add": [known("email", "a\x00@example.com")]}, "add.0.identifier.value"),
            ({"add": [known("email", "jo@example.com"), known("email", "x", value="many")]}, "add.1.value"),
            ({"add": [known("email", "jo@example.com", keep="7d")]}, "add.0.keep"),
            ({"remove": [known("email", "jo@example.com", value=1)]}, "remove.0.value"),
            ({"replace": [known("email", "jo@example.com")]}, "replace"),
        ],
    )
    def test_a_body_of_another_shape_changes_nothing(
        self, caller: Caller, segment: Segment, body: dict[str, Any], field: str
    ) -> None:
        answer = caller.post(f"/segments/{segment.pk}/members", body)
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {field}
        assert Profile.all_advertisers.count() == 0

    def test_a_thousand_in_a_call_and_not_one_more(self, caller: Caller, segment: Segment) -> None:
        people = [known("customer_id", f"C-{number}") for number in range(1001)]
        path = f"/segments/{segment.pk}/members"
        refused = caller.post(path, {"add": people})
        assert refused.status_code == 400
        assert "1000" in refused.json()["message"]
        assert caller.post(path, {"add": people[:1000]}).json()["applied"] == 1000
        assert Membership.all_advertisers.count() == 1000

    def test_pages_of_members_hold_everybody_once(self, caller: Caller, segment: Segment) -> None:
        profiles = {str(make_member(segment, starts_at=timezone.now()).profile_id) for _ in range(7)}
        query: dict[str, Any] = {"limit": 3}
        read = []
        while True:
            page = caller.get(f"/segments/{segment.pk}/members", **query).json()
            read += [row["profile"] for row in page["results"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert read == sorted(profiles)

    @pytest.mark.spec("R7")
    def test_only_who_is_in_at_this_instant_is_listed(self, caller: Caller, segment: Segment) -> None:
        now = timezone.now()
        member = make_member(segment, starts_at=now, lifetime=timedelta(hours=1))
        path = f"/segments/{segment.pk}/members"
        with time_machine.travel(now - timedelta(microseconds=1), tick=False):
            assert caller.get(path).json()["results"] == []
        with time_machine.travel(now + timedelta(minutes=59), tick=False):
            assert [row["profile"] for row in caller.get(path).json()["results"]] == [str(member.profile_id)]
        with time_machine.travel(now + timedelta(hours=1), tick=False):
            assert caller.get(path).json()["results"] == []

    @pytest.mark.spec("P35")
    def test_identifiers_are_for_tokens_that_may_see_people(self, advertiser: Advertiser, segment: Segment) -> None:
        profile = make_profile(advertiser, email="jo@example.com")
        make_member(segment, profile, starts_at=timezone.now())
        answer = make_caller(advertiser, Role.OWNER, people=False).get(f"/segments/{segment.pk}/members")
        assert [row["identifiers"] for row in answer.json()["results"]] == [None]
        assert b"jo@example.com" not in answer.content
        answer = make_caller(advertiser, Role.VIEWER, people=True).get(f"/segments/{segment.pk}/members")
        assert b"jo@example.com" in answer.content


class TestProfiles:
    @pytest.fixture
    def jo(self, advertiser: Advertiser, segment: Segment) -> Profile:
        profile = make_profile(advertiser, email="jo@example.com", customer_id="C-1")
        make_member(segment, profile, starts_at=timezone.now(), value=65)
        make_member(make_segment(advertiser, "old"), profile, starts_at=timezone.now() - timedelta(days=31))
        gone = make_segment(advertiser, "gone", deleted_at=timezone.now())
        make_member(gone, profile, starts_at=timezone.now())
        return profile

    def test_a_profile_is_read_with_all_that_is_known(self, caller: Caller, jo: Profile, segment: Segment) -> None:
        read = caller.get(f"/profiles/{jo.pk}")
        assert read.status_code == 200
        body = read.json()
        assert body["identifiers"] == [
            {"kind": "customer_id", "value": "C-1"},
            {"kind": "email", "value": "jo@example.com"},
        ]
        (held,) = body["memberships"]
        assert (held["segment"], held["code"], held["value"]) == (segment.pk, "cart", 65)

    def test_attributes_and_companies_say_since_when(self, caller: Caller, advertiser: Advertiser) -> None:
        sender = Sender(advertiser)  # type: ignore[no-untyped-call]
        sender.send(None, "customer_id:C-7", kind="identify", traits={"plan": {"name": "gold"}}, source_id=3)
        sender.send(None, "customer_id:C-7", kind="group", account="ACME")
        body = caller.get("/profiles", kind="customer_id", value="C-7").json()["results"][0]
        assert body["attributes"] == [
            {
                "name": "plan",
                "value": {"name": "gold"},
                "since": "2026-11-22T12:00:00Z",
                "seen_at": "2026-11-22T12:00:00Z",
                "write_key": 3,
                "message": "identify",
            }
        ]
        assert body["accounts"] == [{"account": "ACME", "since": "2026-11-22T12:00:00Z"}]

    def test_touches_say_where_somebody_came_from(self, caller: Caller, advertiser: Advertiser) -> None:
        sender = Sender(advertiser)  # type: ignore[no-untyped-call]
        for minute, medium in enumerate(["email", "direct"]):
            sender.send(None, "customer_id:C-7", at=minute, context={"source": {"medium": medium}})
        body = caller.get("/profiles", kind="customer_id", value="C-7").json()["results"][0]
        kept = {"at": "2026-11-22T12:00:00Z", "source": {"medium": "email"}}
        assert body["touches"] == [{"which": "first", **kept}, {"which": "last", **kept}]

    def test_events_are_read_by_cursor(self, caller: Caller, advertiser: Advertiser) -> None:
        sender = Sender(advertiser)  # type: ignore[no-untyped-call]
        for number in range(10):
            sender.send(None, "customer_id:C-7", event=f"e{number}", at=number // 4, properties={"n": number})
        sender.send(None, "customer_id:C-8", event="other")
        (profile,) = caller.get("/profiles", kind="customer_id", value="C-7").json()["results"]
        path, read, cursor = f"/profiles/{profile['id']}/events", [], {}
        while True:
            page = caller.get(path, limit=3, **cursor).json()
            read += page["results"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        keys = [(row["occurred_at"], row["id"]) for row in read]
        assert keys == sorted(keys, reverse=True)
        assert sorted(row["properties"]["n"] for row in read) == list(range(10))
        assert caller.get(path, cursor="made up").status_code == 400
        assert caller.get(path, kind="email", value="x").status_code == 400

    @pytest.mark.parametrize(("kind", "value"), [("customer_id", "C-1"), ("email", " JO@example.com")])
    def test_a_profile_is_found_by_identifier(self, caller: Caller, jo: Profile, kind: str, value: str) -> None:
        by_address = caller.get("/profiles", kind=kind, value=value)
        assert [row["id"] for row in by_address.json()["results"]] == [str(jo.pk)]
        by_body = caller.post("/profiles/find", {"kind": kind, "value": value})
        assert by_body.json() == by_address.json()["results"][0]

    def test_somebody_unknown_is_found_by_neither(self, caller: Caller, jo: Profile) -> None:
        assert caller.get("/profiles", kind="email", value="other@example.com").json()["results"] == []
        assert caller.post("/profiles/find", {"kind": "email", "value": "other@example.com"}).status_code == 404
        assert caller.get("/profiles/0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11").status_code == 404
        assert caller.get("/profiles/1").status_code == 404

    @pytest.mark.parametrize(
        "query", [{}, {"kind": "email"}, {"value": "C-1"}, {"kind": "shoe_size", "value": "44"}, {"email": "x"}]
    )
    def test_people_cannot_be_listed(self, caller: Caller, jo: Profile, query: dict[str, str]) -> None:
        assert caller.get("/profiles", **query).status_code == 400

    @pytest.mark.spec("P35")
    def test_people_are_for_tokens_that_may_see_them(self, advertiser: Advertiser, jo: Profile) -> None:
        for role in Role:
            caller = make_caller(advertiser, role, people=False)
            for answer in (
                caller.get(f"/profiles/{jo.pk}"),
                caller.get("/profiles", kind="customer_id", value="C-1"),
                caller.post("/profiles/find", {"kind": "customer_id", "value": "C-1"}),
                caller.get("/profiles/0199a7c2-6f0e-7c1a-9d52-8f1f6f1f2b11"),
                caller.get(f"/profiles/{jo.pk}/events"),
            ):
                assert answer.status_code == 403
                assert answer.json()["code"] == "forbidden"

    @pytest.mark.spec("T15")
    def test_one_identifier_is_another_person_for_another_advertiser(self, caller: Caller, jo: Profile) -> None:
        other = make_advertiser()
        make_profile(other, email="jo@example.com", phone="+4989123456")
        body = caller.get("/profiles", kind="email", value="jo@example.com").json()
        assert [row["id"] for row in body["results"]] == [str(jo.pk)]
        assert caller.get("/profiles", kind="phone", value="+4989123456").json()["results"] == []
        assert Identifier.all_advertisers.filter(value="jo@example.com").count() == 2
