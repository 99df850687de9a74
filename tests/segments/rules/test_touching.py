"""Which facts wake a rule."""

import json

import pytest

from segments.rules.compiling.scene import RuledSegment, StoredSegment
from segments.rules.reading.rules import read
from segments.rules.touching import Touched, touched_by


def rule(node, of="profile", **envelope):
    return read(json.dumps({"muster_rule": 1, "of": of, "rule": node, **envelope})).rule


def some(**names):
    return Touched(**{kind: value if value is True else frozenset(value) for kind, value in names.items()})


@pytest.mark.parametrize(
    ("node", "touched"),
    [
        ({"event": "view"}, some(events=["view"])),
        ({"event": ["view", "buy"], "count": {"none": True}}, some(events=["view", "buy"])),
        ({"event": "*"}, some(events=["*"])),
        ({"event": "$visit"}, some(events=["*"])),
        ({"event": "view", "window": {"this_visit": True}}, some(events=["view", "*"])),
        ({"event": "view", "distinct": {"of": "$visit", "at_least": 2}}, some(events=["view", "*"])),
        (
            {"sequence": [{"event": "a"}, {"event": "b", "without": {"event": "c"}}]},
            some(events=["a", "b", "c"]),
        ),
        ({"sequence": [{"event": "a"}, {"event": "b"}], "same_visit": True}, some(events=["a", "b", "*"])),
        ({"favourite": "brand", "event": "view", "equals": "Acme"}, some(events=["view"])),
        (
            {"change": "buy", "count": True, "from": {"within": "1d"}, "to": {"within": "2d"}, "at_most": 0},
            some(events=["buy"]),
        ),
        ({"attribute": "plan", "equals": "gold"}, some(attributes=["plan"])),
        ({"items": "cart"}, some(attributes=["cart"])),
        ({"identity": "email", "known": True}, some(kinds=["email"])),
        ({"person": "known"}, some(kinds=["customer_id", "email", "phone"])),
        ({"consent": "advertising", "equals": "granted"}, some(purposes=["advertising"])),
        ({"situation": "place.country", "equals": "DE"}, some(fields=[("place", "country")])),
        (
            {"situation": "place.country", "equals": "DE", "seen": "this_visit"},
            some(fields=[("place", "country")], events=["*"]),
        ),
        ({"near": {"lat": 1, "lon": 2, "km": 3}}, some(fields=[("place", "lat"), ("place", "lon")])),
        ({"bucket": [0, 25]}, some()),
        ({"time": {"from": "09:00"}}, some()),
        ({"segment": ["x", "y"], "in": True}, some(segments=["x", "y"])),
        ({"account": {"attribute": "industry", "equals": "retail"}}, some(attributes=["industry"], accounts=True)),
        (
            {"not": {"any_of": [{"event": "view"}, {"attribute": "plan", "known": True}]}},
            some(events=["view"], attributes=["plan"]),
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",  # a set is printed in another order each time
)
def test_a_rule_feels(node, touched):
    assert touched_by(rule(node)) == touched


def test_a_visitors_clock_moves_with_the_zone_that_is_known_of_them():
    found = touched_by(rule({"event": "view", "window": {"calendar": "today"}}, zone="visitor"))
    assert found == some(events=["view"], attributes=["time_zone"], fields=[("time_zone",)])


def test_what_touches_a_rule_touches_those_that_name_its_segment():
    others = {
        "a": RuledSegment(1, rule({"all_of": [{"event": "view"}, {"segment": "b", "in": True}]}), "a"),
        "b": RuledSegment(2, rule({"attribute": "plan", "known": True}), "b"),
        "x": StoredSegment(3, 1),
    }
    found = touched_by(rule({"segment": ["a", "x"], "in": False}), others)
    assert found == some(events=["view"], attributes=["plan"], segments=["a", "b", "x"])


def test_an_account_rule_feels_who_belongs_to_the_account():
    assert touched_by(rule({"event": "login"}, of="account")) == some(events=["login"], accounts=True)
