"""A crossing to accounts or people whose condition names none of them, such as the time of day."""

import json

import pytest

from segments.rules.reading.rules import read
from segments.rules.timeline import Surroundings
from tests.factories import make_advertiser
from tests.segments.rules.cases_of_people import COMPANY, NO_PEOPLE
from tests.segments.rules.database import ask
from tests.segments.rules.facts import Company, at, person
from tests.segments.rules.stored import put

pytestmark = pytest.mark.django_db

AS_OF = at("05-01 10:00")
EVENING = {"time": {"from": "18:00", "to": "19:00", "days": ["fri"]}, "zone": "UTC"}
THIS_EVENING = (at("05-01 18:00"), at("05-01 19:00"))


def first(of, node, subject):
    """Return the first range of the timeline, or None."""
    put(subject, make_advertiser())
    rule = read(json.dumps({"muster_rule": 1, "of": of, "rule": node})).rule
    return next(iter(ask(rule, subject.id, AS_OF, Surroundings())), None)


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ("any", THIS_EVENING),
        ("all", THIS_EVENING),
        ("none", (AS_OF, THIS_EVENING[0])),
        ({"at_least": 2}, THIS_EVENING),
        ({"at_least": 3}, None),
    ],
)
def test_people_are_asked_for_the_time(people, expected):
    assert first("account", {"people": people, "who": EVENING}, COMPANY) == expected


@pytest.mark.parametrize("people", ["any", "all", "none"])
def test_nobody_passes_where_there_are_no_people(people):
    assert first("account", {"people": people, "who": EVENING}, NO_PEOPLE) is None


@pytest.mark.parametrize(("companies", "expected"), [((Company(),), THIS_EVENING), ((), None)])
def test_accounts_are_asked_for_the_time(companies, expected):
    assert first("profile", {"account": EVENING}, person(companies=companies)) == expected
