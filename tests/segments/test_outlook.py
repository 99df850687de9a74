"""What a join or leave says of what comes after it, and the joins and leaves of accounts."""

from typing import Any

import pytest
from django.db.models import F

from audience.models import Role
from segments.models import Membership, Segment
from tests.callers import make_caller
from tests.factories import make_segment
from tests.segments.engine.scene import Shop, sweep_at
from tests.segments.rules.facts import at
from tests.segments.test_transitions_api import Reader

pytestmark = pytest.mark.django_db(transaction=True)

VIEWED = {"event": "view", "window": {"within": "7d"}}
MORNINGS = {"all_of": [{"event": "view"}, {"time": {"from": "09:00", "to": "10:00"}}]}  # in Berlin
BOUGHT = {"event": "buy", "window": {"within": "7d"}}


@pytest.fixture
def shop() -> Shop:
    return Shop()


def read(shop: Shop, segment: Segment, **query: Any) -> list[dict[str, Any]]:
    return Reader(make_caller(shop.advertiser), segment, **query).go_on()


def outlooks(shop: Shop, segment: Segment) -> list[tuple[str, str | None, str | None]]:
    return [(row["type"], row["until"], row["next"]) for row in read(shop, segment)]


def z(text: str) -> str:
    return at(text).isoformat().replace("+00:00", "Z")


def test_a_join_says_when_it_ends_by_what_is_known_when_it_is_read(shop: Shop) -> None:
    segment = shop.segment("fans", VIEWED)
    shop.views("p", "05-01 10:00")
    assert outlooks(shop, segment) == [("segment.joined", z("05-08 10:00"), None)]
    shop.views("p", "05-03 10:00")
    assert outlooks(shop, segment) == [("segment.joined", z("05-10 10:00"), None)]


def test_what_has_come_is_told_of_those_before_it(shop: Shop) -> None:
    segment = shop.segment("fans", VIEWED)
    shop.views("p", "05-01 10:00")
    sweep_at("05-08 11:00")
    shop.views("p", "05-12 10:00")
    assert outlooks(shop, segment) == [
        ("segment.joined", z("05-08 10:00"), z("05-12 10:00")),
        ("segment.left", None, z("05-12 10:00")),
        ("segment.joined", z("05-19 10:00"), None),
    ]


def test_a_next_start_is_known_ahead(shop: Shop) -> None:
    segment = shop.segment("mornings", MORNINGS)
    shop.views("p", "05-01 12:00")
    sweep_at("05-02 07:30")
    assert outlooks(shop, segment) == [("segment.joined", z("05-02 08:00"), z("05-03 07:00"))]
    sweep_at("05-02 09:00")
    assert outlooks(shop, segment)[1] == ("segment.left", None, z("05-03 07:00"))


def test_no_end_is_null(shop: Shop) -> None:
    segment = shop.segment("gold", {"attribute": "plan", "equals": "gold"})
    shop.track("p", "", "05-01 10:00", traits={"plan": "gold"}, proven=["customer_id:C-1"])
    assert outlooks(shop, segment) == [("segment.joined", None, None)]


def test_how_far_a_rule_was_looked_ahead_is_no_end(shop: Shop) -> None:
    segment = shop.segment("mornings", MORNINGS)
    shop.views("p", "05-01 07:30")
    rows = Membership.all_advertisers.filter(segment=segment)
    assert outlooks(shop, segment) == [("segment.joined", z("05-01 08:00"), z("05-02 07:00"))]
    rows.update(known_until=F("expires_at"), upcoming=None)
    assert outlooks(shop, segment) == [("segment.joined", None, None)]


def test_a_value_is_told_of_the_newest_join_alone(shop: Shop) -> None:
    segment = make_segment(shop.advertiser, "cart")
    caller, path = make_caller(shop.advertiser), f"/segments/{segment.pk}/members"
    person = {"identifier": {"kind": "customer_id", "value": "C-1"}}
    for body in ({"add": [{**person, "value": 5}]}, {"remove": [person]}, {"add": [{**person, "value": 7}]}):
        assert caller.post(path, body).json()["applied"] == 1
    assert [(row["type"], row["value"]) for row in read(shop, segment)] == [
        ("segment.joined", None),
        ("segment.left", None),
        ("segment.joined", 7),
    ]


def test_accounts_join_and_leave(shop: Shop) -> None:
    segment = shop.segment("buyers", BOUGHT, of="account")
    shop.track("p", "", "05-01 09:00", account="ACME")
    shop.track("p", "buy", "05-01 10:00")
    sweep_at("05-08 11:00")
    joined, left = read(shop, segment)
    assert (joined["type"], joined["of"], joined["profile"], joined["seq"]) == ("segment.joined", "account", None, 1)
    assert (joined["at"], joined["until"], joined["identifiers"]) == (z("05-01 10:00"), z("05-08 10:00"), [])
    assert (joined["cause"]["kind"], joined["cause"]["name"], joined["version"]) == ("fact", "buy", 1)
    assert (left["type"], left["seq"], left["at"], left["cause"]["kind"]) == (
        "segment.left", 2, z("05-08 10:00"), "time",
    )  # fmt: skip
    accounts = make_caller(shop.advertiser).get("/accounts", key="ACME").json()["results"]
    assert {joined["account"], left["account"]} == {accounts[0]["id"]}
    viewer = make_caller(shop.advertiser, Role.VIEWER, people=False)
    assert Reader(viewer, segment).go_on()[0]["identifiers"] is None


def test_who_asks_is_told_which_condition_decided(shop: Shop) -> None:
    """Of people and of accounts, by a fact and by time."""
    segment = shop.segment("fans", {"all_of": [VIEWED, {"event": "purchase", "window": {"within": "9d"}}]})
    for event, when in (("view", "05-01 10:00"), ("purchase", "05-02 10:00")):
        shop.track("p", event, when)
    sweep_at("05-12")
    joined, left = read(shop, segment, decided_by="true")
    assert (joined["decided_by"], left["decided_by"]) == ([["rule", "all_of", 1]], [["rule", "all_of", 0]])
    assert [one["decided_by"] for one in read(shop, segment)] == [None, None]

    either = shop.segment("buyers", {"any_of": [BOUGHT, {"event": "demo", "window": {"within": "9d"}}]}, of="account")
    shop.track("q", "", "05-01 09:00", account="ACME")
    shop.track("q", "demo", "05-03 10:00")
    sweep_at("05-13")
    joined, left = read(shop, either, decided_by="true")
    assert (joined["decided_by"], left["decided_by"]) == ([["rule", "any_of", 1]], [["rule", "any_of", 1]])


def test_so_many_conditions_are_not_looked_for_at_once(shop: Shop) -> None:
    path = f"/segments/{make_segment(shop.advertiser).pk}/transitions"
    caller = make_caller(shop.advertiser)
    refused = caller.get(path, decided_by="true", limit=101)
    assert refused.status_code == 400
    assert "at most 100" in refused.content.decode()
    assert caller.get(path, decided_by="true", limit=100).status_code == 200
    assert caller.get(path, decided_by="false", limit=101).status_code == 200
    assert caller.get(path, decided_by="perhaps").status_code == 400
