"""Where, how and whence somebody was seen: the first, the last, in this visit (rules.md 1.4 and 1.5)."""

import json
from datetime import timedelta

import pytest

from segments.rules.reading.rules import read
from segments.rules.timeline import Surroundings
from tests.factories import make_advertiser
from tests.segments.rules.database import ask
from tests.segments.rules.facts import Event, at, person
from tests.segments.rules.stored import put

pytestmark = pytest.mark.django_db

AS_OF = "05-03 10:10"
EMAIL, DIRECT, STEP = (
    {"source": {"medium": medium, "campaign": campaign}}
    for medium, campaign in (("email", "spring"), ("direct", "none"), ("internal", "none"))
)
GERMANY, AUSTRIA = {"place": {"country": "DE"}}, {"place": {"country": "AT"}}
MUNICH = {"place": {"lat": 48.137, "lon": 11.575}}


def seen(**contexts):
    """Return somebody who was seen in contexts at times of 1 to 3 May."""
    return person(*(Event("page", at(time.replace("_", " ")), context=context) for time, context in contexts.items()))


SPRING = {"situation": "source.campaign", "equals": "spring"}
IN_GERMANY = {"situation": "place.country", "equals": "DE"}


@pytest.mark.parametrize(
    ("condition", "contexts", "expected"),
    [
        (IN_GERMANY, {"05-01 10:00": AUSTRIA, "05-03 10:00": GERMANY}, "[now, ∞)"),
        (IN_GERMANY, {"05-01 10:00": GERMANY, "05-03 10:00": AUSTRIA}, "{}"),
        (IN_GERMANY, {"05-01 10:00": GERMANY, "05-03 10:00": {}}, "[now, ∞)"),
        ({**IN_GERMANY, "seen": "first"}, {"05-01 10:00": GERMANY, "05-03 10:00": AUSTRIA}, "[now, ∞)"),
        ({**IN_GERMANY, "window": {"within": "7d"}}, {"05-01 10:00": GERMANY}, "[now, 05-08 10:00)"),
        ({**IN_GERMANY, "window": {"more_than_ago": "7d"}}, {"05-01 10:00": GERMANY}, "[05-08 10:00, ∞)"),
        # The window is asked of the last one alone.
        ({**IN_GERMANY, "window": {"more_than_ago": "1d"}}, {"05-01 10:00": GERMANY, "05-03 10:00": AUSTRIA}, "{}"),
        ({**IN_GERMANY, "seen": "this_visit"}, {"05-03 10:00": GERMANY}, "[now, 05-03 10:30)"),
        ({**IN_GERMANY, "seen": "this_visit"}, {"05-03 10:00": GERMANY, "05-03 10:05": {}}, "[now, 05-03 10:35)"),
        ({**IN_GERMANY, "seen": "this_visit"}, {"05-03 09:00": GERMANY, "05-03 10:00": {}}, "{}"),
        (SPRING, {"05-01 10:00": EMAIL, "05-02 10:00": DIRECT, "05-03 10:00": STEP}, "[now, ∞)"),
        ({**SPRING, "equals": "none"}, {"05-02 10:00": DIRECT, "05-03 10:00": STEP}, "[now, ∞)"),
        ({**SPRING, "seen": "first"}, {"05-01 10:00": DIRECT, "05-02 10:00": EMAIL}, "{}"),
        ({**SPRING, "seen": "first"}, {"05-01 10:00": STEP, "05-02 10:00": EMAIL}, "[now, ∞)"),
        ({"situation": "place.country", "known": False}, {"05-01 10:00": EMAIL}, "[now, ∞)"),
        ({"situation": "place.country", "known": True}, {"05-01 10:00": GERMANY}, "[now, ∞)"),
        (
            {"situation": "weather.condition", "known": False},
            {"05-03 10:00": {"weather": {"condition": "fog"}}},
            "[05-03 13:00, ∞)",
        ),
        ({"near": {"lat": 48.2, "lon": 11.6, "km": 10}}, {"05-01 10:00": MUNICH, "05-02 10:00": GERMANY}, "[now, ∞)"),
        ({"near": {"lat": 48.2, "lon": 11.6, "km": 5}}, {"05-01 10:00": MUNICH}, "{}"),
    ],
)
def test_a_situation_holds(condition, contexts, expected):
    somebody = seen(**contexts)
    put(somebody, make_advertiser())
    rule = read(json.dumps({"muster_rule": 1, "of": "profile", "rule": condition})).rule
    assert ask(rule, somebody.id, at(AS_OF)) == ranges(expected)


def test_what_was_seen_is_forgotten_with_the_event():
    somebody = seen(**{"05-01 10:00": EMAIL, "05-02 10:00": DIRECT})
    put(somebody, make_advertiser())
    rule = read(json.dumps({"muster_rule": 1, "of": "profile", "rule": SPRING})).rule
    kept = Surroundings(retention=timedelta(days=10))
    assert ask(rule, somebody.id, at(AS_OF), kept) == ranges("[now, 05-11 10:00)")
    direct = read(json.dumps({"muster_rule": 1, "of": "profile", "rule": {**SPRING, "equals": "none"}})).rule
    assert ask(direct, somebody.id, at(AS_OF), kept) == ranges("[05-11 10:00, 05-12 10:00)")


def ranges(expected):
    if expected == "{}":
        return []
    start, end = expected.strip("[)").split(", ")
    return [(at(AS_OF if start == "now" else start), None if end == "∞" else at(end))]
