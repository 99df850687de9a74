"""Who is new is asked about by those rules alone that may take in somebody of whom nothing is known."""

import pytest

from segments.rules.reading.rules import read
from segments.rules.silence import may_hold_of_strangers
from tests.segments.rules.asking import rule_text

VIEWED = {"event": "view"}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (VIEWED, False),
        ({"event": "view", "count": {"at_most": 2}}, True),
        ({"event": "view", "distinct": {"of": "brand", "at_least": 2}}, False),
        ({"event": "view", "distinct": {"of": "brand", "none": True}}, True),
        ({"event": "buy", "sum": {"of": "total", "at_least": 100}}, False),
        ({"event": "buy", "sum": {"of": "total", "more_than": 0}}, False),
        ({"event": "buy", "sum": {"of": "total", "at_least": 0}}, True),
        ({"event": "buy", "sum": {"of": "total", "at_most": 100}}, True),
        ({"event": "buy", "avg": {"of": "total", "at_most": 100}}, False),
        ({"not": VIEWED}, True),
        ({"all_of": [VIEWED, {"not": VIEWED}]}, False),
        ({"any_of": [VIEWED, {"not": VIEWED}]}, True),
        ({"attribute": "plan", "equals": "gold"}, False),
        ({"situation": "place.country", "known": False}, True),
    ],
    ids=str,
)
def test_who_never_did_anything_may_be_in(node, expected):
    assert may_hold_of_strangers(read(rule_text(node)).rule.root) is expected
