"""Why somebody is in or out: a tree shaped like the rule, with what is the case and when it changes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone

from audience.models import Advertiser, Profile
from segments.rules.timeline import Surroundings
from segments.why import Interval, NotThere, explain
from tests.factories import make_advertiser, make_profile
from tests.segments.asked import rule_of, told, viewed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AROUND = Surroundings(zone="Europe/Berlin", retention=timedelta(days=400))
SHOES = {
    "event": "product_view",
    "where": [{"property": "category", "equals": "shoes"}],
    "window": {"within": "7d"},
    "count": {"at_least": 3},
}


@pytest.fixture
def noon() -> Any:
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser(time_zone="Europe/Berlin")


@pytest.fixture
def profile(advertiser: Advertiser) -> Profile:
    return make_profile(advertiser, email="jo@example.com")


def why(profile: Profile, node: dict[str, Any]) -> Any:
    return explain(rule_of(node), AROUND, profile.advertiser_id, profile.pk)


def test_the_sentence_says_until_when_and_what_would_change_it(profile: Profile) -> None:
    viewed(profile, 3 * DAY, 2 * DAY, HOUR, name="product_view", category="shoes")
    answer = why(profile, SHOES)
    assert answer.sentence == "In. Leaves on 8 May at 14:00 unless they view a product in shoes again."
    assert answer.is_in
    assert answer.until == NOON + 4 * DAY
    assert answer.ranges == (Interval(NOON, NOON + 4 * DAY),)
    assert answer.root.actual == "3 times, newest 4 May 13:00"
    assert [event.occurred_at for event in answer.root.events] == [NOON - HOUR, NOON - 2 * DAY, NOON - 3 * DAY]
    assert (answer.root.changes_at, answer.root.changes_to) == (NOON + 4 * DAY, False)


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"event": "view"}, "Not in, and time alone does not change that."),
        ({"not": {"event": "view"}}, "In, and time alone does not change that."),
        ({"attribute": "ends", "within_next": "3d"}, "Not in. Joins on 7 May at 14:00 if nothing else happens."),
        (
            {"not": {"attribute": "ends", "within_next": "3d"}},
            "In. Leaves on 7 May at 14:00 if nothing else happens.",
        ),
        ({"attribute": "ends", "more_than_ahead": "3d"}, "In. Leaves on 7 May at 14:00 if nothing else happens."),
        ({"time": {"from": "00:00", "to": "24:00"}}, "In, and time alone does not change that within 32 days."),
    ],
)
def test_the_sentence_of(profile: Profile, node: dict[str, Any], sentence: str) -> None:
    told(profile, ends="2026-05-10T12:00:00Z")
    assert why(profile, node).sentence == sentence


def test_the_tree_has_the_shape_of_the_rule(profile: Profile) -> None:
    viewed(profile, DAY)
    root = why(profile, {"all_of": [{"event": "view"}, {"not": {"event": "buy"}}]}).root
    assert (root.node.path, root.holds) == (("rule",), True)
    assert [child.node.path for child in root.children] == [("rule", "all_of", 0), ("rule", "all_of", 1)]
    (bought,) = root.children[1].children
    assert (bought.holds, bought.actual, bought.says) == (False, "not once", "Did `buy` in the last 400 days")
    assert root.children[1].says == "Not: did `buy` in the last 400 days"


@pytest.mark.parametrize(
    ("node", "actual"),
    [
        ({"event": "view", "which": "last", "window": {"more_than_ago": "30d"}}, "the last 3 May 14:00"),
        ({"event": "buy", "sum": {"of": "total", "more_than": 1}}, "adds up to 110.5; 2 times, newest 3 May 14:00"),
        ({"event": "buy", "avg": {"of": "total", "more_than": 1}}, "on average 55.25; 2 times, newest 3 May 14:00"),
        ({"event": "buy", "distinct": {"of": "brand", "at_least": 1}}, "1 different; 2 times, newest 3 May 14:00"),
        ({"event": "buy", "which": "first", "window": {"within": "7d"}}, "the first 2 May 14:00"),
        ({"event": "buy", "sum": {"of": "no", "at_most": 1}}, "adds up to 0; 2 times, newest 3 May 14:00"),
        ({"event": "buy", "min": {"of": "nothing", "at_least": 1}}, "unknown; 2 times, newest 3 May 14:00"),
        ({"attribute": "plan", "equals": "gold"}, "silver"),
        ({"attribute": "tags", "includes_any": ["a"]}, "a, b"),
        ({"attribute": "none", "equals": "gold"}, "unknown"),
        ({"items": "cart", "count": {"at_least": 1}}, "2 lines"),
        ({"identity": "email", "known": True}, "1 of this kind"),
        ({"identity": "phone", "known": True}, "none of this kind"),
        ({"person": "known"}, "known by email"),
        ({"consent": "advertising", "equals": "granted"}, "unknown"),
        ({"situation": "place.city", "equals": "Berlin"}, "unknown"),
        ({"time": {"from": "09:00", "to": "17:00"}}, "“Monday 14:00”"),
        ({"attribute": "nothing", "equals": "gold"}, "an empty list"),
        ({"sequence": [{"event": "login"}, {"event": "buy"}]}, "0 of 2 steps"),
        ({"sequence": [{"event": "buy"}, {"event": "view"}]}, "2 of 2 steps, the last on 3 May 14:00"),
        ({"favourite": "brand", "event": "view", "equals": "Acme"}, "unknown"),
        (
            {"favourite": "brand", "event": "buy", "by": {"sum": "total"}, "equals": "x"},
            "favourite is Acme (110.5 of 110.5)",
        ),
        (
            {
                "change": "buy",
                "count": True,
                "from": {"between_ago": ["3d", "9d"]},
                "to": {"within": "3d"},
                "at_most": 1,
            },
            "from 0 to 2: unknown as a change",
        ),
        ({"account": {"attribute": "industry", "equals": "retail"}}, "no companies"),
    ],
)
def test_what_is_the_case(profile: Profile, node: dict[str, Any], actual: str) -> None:
    viewed(profile, DAY)
    viewed(profile, DAY, name="buy", total=60.5, brand="Acme")
    viewed(profile, 2 * DAY, name="buy", total=50, brand="acme")
    told(profile, plan="silver", tags=["a", "b"], nothing=[], cart=[{"id": 1}, {"id": 2}])
    assert why(profile, node).root.actual == actual


def test_amounts_in_another_currency_are_left_out_and_shown(profile: Profile) -> None:
    viewed(profile, DAY, name="buy", total=60)
    viewed(profile, 2 * DAY, name="buy", total=50, currency="USD")
    viewed(profile, 3 * DAY, name="buy", total=10, currency="USD", exchange_rate="0.9")
    actual = why(profile, {"event": "buy", "sum": {"of": "total", "more_than": 1}}).root.actual
    assert actual == "adds up to 69; 1 left out for being in another currency; 3 times, newest 3 May 14:00"


def test_amounts_that_are_no_numbers_are_left_out_and_shown(profile: Profile) -> None:
    viewed(profile, DAY, name="buy", total=60)
    viewed(profile, 2 * DAY, name="buy", total="12,50", currency="USD")
    actual = why(profile, {"event": "buy", "sum": {"of": "total", "more_than": 1}}).root.actual
    assert actual == "adds up to 60; 1 left out for being no number; 2 times, newest 3 May 14:00"


def test_an_attribute_that_is_no_number_says_so_where_one_is_asked_for(profile: Profile) -> None:
    told(profile, size="12,50")
    assert why(profile, {"attribute": "size", "at_least": 1}).root.actual == "“12,50”, which is no number"
    assert why(profile, {"attribute": "size", "equals": "12"}).root.actual == "“12,50”"


@pytest.mark.parametrize(
    ("asked", "actual"),
    [
        ({}, "4 lines"),
        ({"where": [{"property": "brand", "equals": "Acme"}]}, "2 of 4 lines"),
        ({"distinct": {"of": "brand", "at_least": 1}}, "1 different; 4 lines"),
        (
            {"sum": {"of": "amount", "less_than": 100}},
            "adds up to 30; 1 left out for being no number; 1 left out for being in another currency; 4 lines",
        ),
        (
            {"max": {"of": "price", "less_than": 100}, "where": [{"property": "brand", "equals": "Acme"}]},
            "at the highest 10; 2 of 4 lines",
        ),
        (
            {"avg": {"of": "price", "less_than": 100}, "where": [{"property": "brand", "equals": "No"}]},
            "unknown; 0 of 4 lines",
        ),
    ],
    ids=str,
)
def test_what_the_lines_of_a_list_come_to(profile: Profile, asked: dict[str, Any], actual: str) -> None:
    acme = [{"brand": "Acme", "price": price, "quantity": 2} for price in (5, 10)]
    told(profile, cart=[*acme, {"price": 7, "quantity": 1, "currency": "USD"}, {"amount": "ten"}])
    assert why(profile, {"items": "cart", **asked}).root.actual == actual


def test_who_has_no_list_is_unknown(profile: Profile) -> None:
    told(profile, cart="none")
    assert why(profile, {"items": "cart"}).root.actual == "unknown"
    assert why(profile, {"items": "wishes"}).root.actual == "unknown"


def test_ten_ranges_and_ten_events_are_shown(profile: Profile) -> None:
    viewed(profile, *(HOUR * n for n in range(1, 13)))
    assert len(why(profile, {"event": "view"}).root.events) == 10
    assert len(why(profile, {"time": {"from": "09:00", "to": "17:00"}}).ranges) == 10


def test_nobody_of_another_advertiser_is_explained(profile: Profile) -> None:
    stranger = make_profile(make_advertiser())
    for id_ in (stranger.pk, uuid4()):
        with pytest.raises(NotThere):
            explain(rule_of({"event": "view"}), AROUND, profile.advertiser_id, id_, as_of=timezone.now())
