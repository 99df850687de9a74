"""Amounts count in the advertiser's currency (rules.md 2.6): by the SQL and by the slow reference alike."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.rules.reading.rules import read
from segments.rules.tree import Rule
from tests.factories import make_advertiser
from tests.segments.rules.database import ask
from tests.segments.rules.facts import SOMEBODY, Event, Person, World, at, told
from tests.segments.rules.flips import timeline_of
from tests.segments.rules.reference import Asked, holds
from tests.segments.rules.stored import OWN_KEY, as_it_is_stored, put, surroundings

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("rules.md 2.6")]

NOON = at("05-01 12:00")
DOLLARS = {"currency": "USD"}


def is_in(node: dict[str, Any], *sold: dict[str, Any], currency: str = "EUR", wishes: Any = ()) -> bool:
    """Return whether somebody with these purchases and wishes is in, which both evaluators have to say."""
    rule: Rule = read(json.dumps({"muster_rule": 1, "of": "profile", "rule": node})).rule
    times = [NOON - timedelta(days=40 if one.get("is_old") else 1, minutes=number) for number, one in enumerate(sold)]
    numbered = enumerate(zip(times, sold, strict=True), 1)
    person = Person(
        SOMEBODY,
        tuple(Event("buy", when, one, id=UUID(int=number)) for number, (when, one) in numbered),
        told("04-01 12:00", wishes=[*wishes]),
    )
    world = World(currency=currency)
    with transaction.atomic():
        advertiser = make_advertiser()
        put(person, advertiser)
        found = ask(rule, SOMEBODY, NOON, surroundings(rule, person, world, advertiser))
        transaction.set_rollback(True)
    answer = bool(found) and found[0][0] == NOON
    asked = Asked(as_it_is_stored(person), NOON, NOON, world, rule, timeline_of, OWN_KEY)
    assert answer == holds(rule.root, asked)
    return answer


def bought(**asked: Any) -> dict[str, Any]:
    return {"event": "buy", **asked}


def adds_up_to(total: float) -> dict[str, Any]:
    return bought(sum={"of": "total", "between": [total, total]})


@pytest.mark.parametrize(
    ("sold", "total"),
    [
        ([{"total": 60, "currency": "EUR"}, {"total": 50}], 110),
        ([{"total": 60, "currency": "eur"}, {"total": 50, "currency": " "}], 110),
        ([{"total": 60}, {"total": 50, **DOLLARS}], 60),
        ([{"total": 60}, {"total": 50, **DOLLARS, "exchange_rate": 0.9}], 105),
        ([{"total": "60"}, {"total": "50", "currency": "usd", "exchange_rate": "0.9"}], 105),
        *[([{"total": 60}, {"total": 50, **DOLLARS, "exchange_rate": rate}], 60) for rate in (0, -1, "x", None)],
        ([{"total": 60, "exchange_rate": 0.9}], 60),
        ([{"total": 60, "currency": 978}], 0),
    ],
)
def test_a_sum_leaves_out_what_cannot_be_converted(sold, total):
    assert is_in(adds_up_to(total), *sold)


def test_the_advertiser_says_which_currency_is_its_own():
    sold = [{"total": 60, "currency": "EUR"}, {"total": 50, **DOLLARS}]
    assert is_in(adds_up_to(50), *sold, currency="USD")


@pytest.mark.parametrize(
    ("node", "answer"),
    [
        (bought(min={"of": "total", "equals": 18}), True),
        (bought(max={"of": "total", "equals": 18}), True),
        (bought(avg={"of": "total", "equals": 18}), True),
        (bought(where=[{"property": "total", "at_least": 18}]), True),
        (bought(where=[{"property": "total", "at_least": 19}]), False),
        (bought(where=[{"not": {"property": "total", "at_least": 19}}]), True),
        (bought(sum={"of": "lines[].price", "equals": 12.6}), True),
        (bought(where=[{"property": "lines[].price", "at_least": 10}]), False),
        (bought(where=[{"property": "lines[].price", "equals": 8.1, "pick": "first"}]), True),
        (bought(where=[{"property": "lines[].price", "more_than": 4, "pick": "all"}]), False),
        # What is no amount, or is not read as a number, is as it was sent.
        (bought(sum={"of": "quantity", "equals": 3}), True),
        (bought(where=[{"property": "total", "equals": "20"}]), True),
        (bought(where=[{"property": "total", "known": True}]), True),
        ({"favourite": "brand", "event": "buy", "by": {"sum": "total"}, "equals": "Acme"}, True),
    ],
    ids=str,
)
def test_every_number_of_an_amount_is_converted(node, answer):
    lines = [{"price": 9}, {"price": "5"}, {"price": "x"}, {}]
    sold = {"total": 20, "lines": lines, "quantity": 3, "brand": "Acme", **DOLLARS, "exchange_rate": 0.9}
    assert is_in(node, sold) is answer


WISHES = [
    {"price": 9},
    {"price": 10, **DOLLARS, "exchange_rate": 0.9},
    {"price": 5, **DOLLARS},
    {"currency": "USD"},
    "x",
    {"sizes": [5, "x", "2026-04-28"]},
]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"sum": {"of": "price", "equals": 18}}, True),
        ({"max": {"of": "price", "equals": 9}}, True),
        ({"where": [{"property": "price", "at_least": 9}], "count": {"exactly": 2}}, True),
        ({"where": [{"property": "price", "at_least": 1}], "count": {"exactly": 3}}, False),
        ({"where": [{"property": "price", "equals": "5"}], "count": {"exactly": 1}}, True),
        ({"distinct": {"of": "price", "exactly": 3}}, True),
        # An element of a list is not the line that it is in.
        ({"where": [{"property": "sizes", "at_least": 5}], "count": {"exactly": 1}}, True),
        ({"where": [{"property": "sizes", "one_of": ["x"]}], "count": {"exactly": 1}}, True),
        ({"where": [{"property": "sizes", "none_of": ["x"]}], "count": {"at_least": 1}}, False),
        ({"where": [{"property": "sizes", "includes_any": ["x"]}], "count": {"exactly": 1}}, True),
        ({"where": [{"property": "sizes", "within": "90d"}], "count": {"exactly": 1}}, True),
    ],
    ids=str,
)
def test_a_line_of_a_list_says_its_own_currency(asked, answer):
    assert is_in({"items": "wishes", **asked}, wishes=WISHES) is answer


def test_a_change_compares_converted_amounts():
    windows = {"from": {"between_ago": ["30d", "60d"]}, "to": {"within": "30d"}}
    node = {"change": "buy", "sum": "total", **windows, "equals": -10}
    assert is_in(node, {"total": 100, "is_old": True}, {"total": 100, **DOLLARS, "exchange_rate": 0.9})


sold = st.fixed_dictionaries(
    {"total": st.sampled_from([10, 20, "5", "x", None, [10, "x"]])},
    optional={
        "currency": st.sampled_from(["EUR", "eur", "USD", "", 5]),
        "exchange_rate": st.sampled_from([2, "0.5", 0, "x"]),
        "lines": st.lists(st.fixed_dictionaries({}, optional={"price": st.sampled_from([1, 20, "x"])}), max_size=2),
    },
)
tests = st.sampled_from([{"at_least": 10}, {"less_than": 20}, {"equals": 20}, {"not_equals": 10}])
names = st.sampled_from(["total", "lines[].price"])
nodes = st.one_of(
    st.builds(
        lambda kind, of, test: bought(**{kind: {"of": of, **test}}), st.sampled_from(["sum", "min"]), names, tests
    ),
    st.builds(lambda of, test: bought(where=[{"property": of, **test}]), names, tests),
    st.builds(lambda of, test: {"items": "wishes", "sum": {"of": of, **test}}, names, tests),
    st.builds(lambda of, test: {"items": "wishes", "where": [{"property": of, **test}]}, names, tests),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(nodes, st.lists(sold, max_size=3))
def test_both_evaluators_agree(node, told_of):
    is_in(node, *told_of, wishes=told_of)
