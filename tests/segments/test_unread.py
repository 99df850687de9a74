"""The author of a rule sees for how many a value that it reads as a number is none (rules.md 2.6)."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience.models import Account, AccountAttribute, AccountMember, Advertiser, Event, Profile
from audience.tenancy import acting_for
from segments.estimates import Estimate
from segments.preview import Unread, preview
from segments.rules.compiling.unread import ReadAsNumber
from segments.rules.timeline import Surroundings
from tests.factories import make_advertiser, make_profile
from tests.segments.asked import rule_of, told, viewed

pytestmark = [pytest.mark.django_db, pytest.mark.spec("rules.md 2.6")]

DAY = timedelta(days=1)
AMOUNT = {"of": "total", "at_least": 1}
BIG = {"property": "total", "at_least": 1}
CHANGED = {"from": {"between_ago": ["30d", "60d"]}, "to": {"within": "30d"}, "at_least": 1}


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


def unread(advertiser: Advertiser, node: dict[str, Any], of: str = "profile") -> dict[str, int]:
    """Return of how many values are no numbers, by their name, over the whole rule."""
    parts = preview(rule_of(node, of), Surroundings(), advertiser.pk).parts
    found = [one for part in parts for one in part.unread]
    assert all(one.found.is_exact for one in found)
    return {".".join(one.read.name): one.found.hits for one in found}


def bought(profile: Profile, *ago: timedelta, **properties: Any) -> None:
    viewed(profile, *(ago or (DAY,)), name="buy", **properties)


def event(**asked: Any) -> dict[str, Any]:
    return {"event": "buy", **asked}


@pytest.mark.parametrize(
    ("said", "is_unread"),
    [
        *((number, False) for number in (12.5, "12.50", "-3", 0)),
        *((nothing, False) for nothing in ("", "  ", [], [None, 5])),
        *((text, True) for text in ("12,50", "1e3", " -3 ", "twelve", True, {"amount": 5}, [5, "x"])),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "node", [{"attribute": "age", "at_least": 1}, event(where=[{"property": "age", "at_most": 1}])]
)
def test_a_value_that_is_known_and_no_number_is_counted(
    advertiser: Advertiser, node: dict[str, Any], said: Any, is_unread: bool
) -> None:
    profile = make_profile(advertiser)
    told(profile, age=said)
    bought(profile, age=said)
    assert unread(advertiser, node) == ({"age": 1} if is_unread else {})


scalars = st.one_of(st.integers(), st.decimals(-9, 9, places=3).map(str), st.text("0123456789.,-e x"), st.booleans())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scalars)
def test_what_is_unread_is_what_is_known_and_neither_passes_nor_fails(advertiser: Advertiser, said: Any) -> None:
    with transaction.atomic():
        told(make_profile(advertiser), age=said)
        tests = [{"known": True}, {"at_most": 0}, {"more_than": 0}]
        rule = rule_of({"all_of": [{"attribute": "age", **test} for test in tests]})
        _, known, fails, passes = preview(rule, Surroundings(), advertiser.pk).parts
        transaction.set_rollback(True)
    is_unread = known.alone.hits and not fails.alone.hits and not passes.alone.hits
    assert bool(fails.unread) == bool(passes.unread) == bool(is_unread)
    assert not known.unread


@pytest.mark.parametrize(
    ("test", "is_unread"),
    [
        ({"equals": 5, "pick": "first"}, False),
        ({"equals": 5, "pick": "last"}, True),
        ({"equals": 5, "pick": "all"}, True),
        ({"one_of": [5, 6]}, True),
        ({"equals": "5"}, False),
        ({"known": True}, False),
    ],
    ids=str,
)
def test_what_is_not_read_as_a_number_need_not_be_one(
    advertiser: Advertiser, test: dict[str, Any], is_unread: bool
) -> None:
    told(make_profile(advertiser), sizes=[5, "x"])
    assert unread(advertiser, {"attribute": "sizes", **test}) == ({"sizes": 1} if is_unread else {})


@pytest.mark.parametrize(
    ("node", "is_unread"),
    [
        *((event(**{kind: AMOUNT}), True) for kind in ("sum", "avg", "min", "max")),
        (event(sum=AMOUNT, window={"within": "9d"}), False),
        (event(sum=AMOUNT, window={"within": "11d"}), True),
        (event(sum={"of": "quantity", "at_least": 1}), False),
        (event(where=[BIG]), True),
        (event(where=[BIG, {"property": "brand", "equals": "Acme"}]), True),
        (event(where=[BIG, {"property": "brand", "equals": "Other"}]), False),
        (event(where=[{"not": BIG}]), True),
        (event(where=[{"any_of": [BIG, {"property": "brand", "equals": "Other"}]}]), True),
        (event(where=[BIG, {"property": "sold_on", "within": "30d"}]), True),
        (event(where=[BIG, {"property": "sold_on", "more_than_ago": "30d"}]), False),
        (event(sum=AMOUNT, where=[{"property": "brand", "equals": "Other"}]), False),
        (event(which="last", where=[BIG]), True),
        ({"sequence": [{"event": "view"}, event(where=[BIG])]}, True),
        ({"sequence": [{"event": "view"}, {"event": "view", "without": event(where=[BIG])}]}, True),
        ({"sequence": [{"event": "view"}, event()]}, False),
        ({"change": "buy", "sum": "total", **CHANGED}, True),
        ({"change": "buy", "count": True, **CHANGED}, False),
        ({"change": "buy", "count": True, "where": [BIG], **CHANGED}, True),
        ({"favourite": "brand", "event": "buy", "by": {"sum": "total"}, "equals": "Acme"}, True),
        ({"favourite": "brand", "event": "buy", "equals": "Acme"}, False),
    ],
    ids=str,
)
def test_each_condition_tells_of_the_events_that_it_is_about(
    advertiser: Advertiser, node: dict[str, Any], is_unread: bool
) -> None:
    on_day = (timezone.now() - DAY).date().isoformat()
    properties = {"total": "12,50", "brand": "Acme", "quantity": 2, "sold_on": on_day}
    bought(make_profile(advertiser), 10 * DAY, **properties)
    bought(make_profile(advertiser), 10 * DAY, **{**properties, "total": 12.5})
    viewed(make_profile(advertiser), DAY, total="12,50")
    assert unread(advertiser, node) == ({"total": 1} if is_unread else {})


def test_of_a_list_every_element_counts_where_each_is_read(advertiser: Advertiser) -> None:
    bought(make_profile(advertiser), lines=[{"size": 5}, {"size": "x"}, {}], sizes=[1, 2])
    assert unread(advertiser, event(sum={"of": "lines[].size", "at_least": 1})) == {"lines.[].size": 1}
    # A whole list is no number, though its elements are.
    assert unread(advertiser, event(sum={"of": "sizes", "at_least": 1})) == {"sizes": 1}
    assert unread(advertiser, event(where=[{"property": "sizes", "at_least": 1}])) == {}


@pytest.mark.parametrize("asked", [{"sum": AMOUNT}, {"where": [BIG]}], ids=str)
def test_an_amount_that_cannot_be_converted_counts_among_them(advertiser: Advertiser, asked: dict[str, Any]) -> None:
    for properties in ({}, {"currency": "eur"}, {"currency": "USD", "exchange_rate": 0.9}, {"currency": "USD"}):
        bought(make_profile(advertiser), total=5, **properties)
    parts = preview(rule_of(event(**asked)), Surroundings(), advertiser.pk).parts
    (found,) = parts[0].unread
    assert found == Unread(ReadAsNumber(("total",), "EUR"), "profile", Estimate(1, 4, 4))
    assert str(found) == "For 1 person, “total” is no number (or not in EUR) and does not count."


def test_a_cart_tells_of_its_lines(advertiser: Advertiser) -> None:
    told(make_profile(advertiser), cart=[{"price": 5, "quantity": 2}])
    told(make_profile(advertiser), cart=[{"price": "5,-", "quantity": 2}, {"price": "5,-", "amount": 10}])
    told(make_profile(advertiser), cart=[{"price": "5,-", "quantity": 2, "amount": 10}])
    told(make_profile(advertiser), cart=[{"amount": "ten", "brand": "Acme"}])
    told(make_profile(advertiser), cart="price")
    told(make_profile(advertiser), cart=[{"price": 5, "quantity": 2, "currency": "USD"}])
    assert unread(advertiser, {"items": "cart", "sum": {"of": "amount", "at_least": 1}}) == {"amount": 2, "price": 1}
    dear = {"property": "price", "at_least": 1}
    assert unread(advertiser, {"items": "cart", "where": [dear]}) == {"price": 3}
    assert unread(advertiser, {"items": "cart", "where": [dear, {"property": "amount", "at_least": 10}]}) == {
        "price": 2
    }
    assert unread(advertiser, {"items": "cart", "where": [{"property": "brand", "equals": "Acme"}]}) == {}


def test_a_situation_tells_of_the_one_that_decides(advertiser: Advertiser) -> None:
    for widths in (("wide", 1200), (1200, "wide")):
        profile = make_profile(advertiser)
        viewed(profile, 2 * DAY, DAY)
        for seen, width in zip(
            Event.all_advertisers.filter(profile=profile).order_by("occurred_at"), widths, strict=True
        ):
            Event.all_advertisers.filter(pk=seen.pk).update(context={"screen": {"width": width}})
    node = {"situation": "screen.width", "at_least": 1}
    assert unread(advertiser, node) == {"screen.width": 1}
    assert unread(advertiser, event(where=[{"context": "screen.width", "at_least": 1}])) == {}
    viewing = {"event": "view", "where": [{"context": "screen.width", "at_least": 1}]}
    assert unread(advertiser, viewing) == {"screen.width": 2}


def test_it_is_told_across_to_accounts_and_to_their_people(advertiser: Advertiser) -> None:
    with acting_for(advertiser.pk):
        for said in ("many", 12):
            profile = make_profile(advertiser)
            told(profile, age=said)
            seen = {"first_seen_at": timezone.now(), "last_seen_at": timezone.now()}
            account = Account.objects.create(pk=profile.pk, key=str(said), **seen)
            AccountMember.objects.create(account=account, profile=profile, since=timezone.now())
            AccountAttribute.objects.create(
                account=account,
                name="staff",
                value=said,
                since=timezone.now(),
                seen_at=timezone.now(),
                fact_id=profile.pk,
            )
    staff, old = {"attribute": "staff", "at_least": 10}, {"attribute": "age", "at_least": 10}
    assert unread(advertiser, {"account": {"all_of": [staff]}}) == {"staff": 1}
    assert unread(advertiser, {"account": {"people": "any", "who": {"not": old}}}) == {"age": 1}
    assert unread(advertiser, staff, of="account") == {"staff": 1}
    assert unread(advertiser, {"people": "any", "who": old}, of="account") == {"age": 1}
    assert unread(advertiser, {"people": {"at_least": 1}}, of="account") == {}


def test_a_rule_without_numbers_tells_nothing(advertiser: Advertiser) -> None:
    bought(make_profile(advertiser), total="x")
    assert unread(advertiser, {"all_of": [event(), {"not": {"attribute": "plan", "equals": "gold"}}]}) == {}


@override_settings(MUSTER_PREVIEW_PEOPLE=10)
def test_of_a_random_part_it_is_an_estimate(advertiser: Advertiser) -> None:
    for _ in range(40):
        told(make_profile(advertiser), age="old")
    (part,) = preview(rule_of({"attribute": "age", "at_least": 1}), Surroundings(), advertiser.pk).parts
    (found,) = part.unread
    assert found.found == Estimate(10, 10, 40)
    assert str(found) == "For about 40 (29 to 40) people, “age” is no number and does not count."
